//! Hostile and unlucky peers, by the numbers of the team's list of attack cases.

mod connections;
mod frames;
mod herd;
mod slow_readers;
mod smuggling;
