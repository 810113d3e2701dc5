//! The replicated set of presences, with a clock and a network that the tests own.

mod life_cycle;
mod merging;
mod simulation;
mod stale;
mod transfers;
mod viewer;
mod world;
