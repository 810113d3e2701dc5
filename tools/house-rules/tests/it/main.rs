//! The rules of the house.

mod attack_cases;
mod client;
mod coverage;
mod crates;
mod sources;
