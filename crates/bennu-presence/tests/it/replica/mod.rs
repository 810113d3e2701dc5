//! The replicated set of presences, with a clock and a network that the tests own.

mod life_cycle;
mod simulation;
mod viewer;
mod world;
