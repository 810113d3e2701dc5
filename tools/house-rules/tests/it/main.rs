//! The rules of the house.

mod attack_cases;
mod coverage;
mod crates;
mod sources;
