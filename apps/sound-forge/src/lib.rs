//! Sound Forge: a self-hosted studio for DJs and producers, and the flagship of bennu.
//!
//! Read it in this order: [`cli`] and [`config`] say what can be asked for, [`serve`] puts the
//! studio together, [`library`] is what a user can wish for, [`queue`] decides when work is done
//! and [`pipeline`] does it; [`web`], [`rest`] and [`channels`] are its three faces.

pub mod accounts;
pub mod channels;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod ids;
pub mod keys;
pub mod library;
pub mod pipeline;
pub mod providers;
pub mod queue;
pub mod rest;
pub mod secret;
pub mod serve;
pub mod signing;
pub mod store;
pub mod web;

/// What the product is called wherever people see it.
pub const PRODUCT_NAME: &str = "Sound Forge Alchemy (SFA)";

/// What stands below the name wherever people see it.
pub const DISCLAIMER: &str = "Not affiliated with the owner of any trademark of a similar name.";
