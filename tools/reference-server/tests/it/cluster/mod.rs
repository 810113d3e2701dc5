//! Three `reference-server` processes on real engines, and what happens to them.

mod account;
mod browsers;
mod clock;
mod engine;
mod ghosts;
mod member;
mod nginx;
mod nodes;
mod peers;
mod polls;
mod reach;
mod rolling;
