//! The rules of the house.

mod coverage;
mod crates;
mod sources;
