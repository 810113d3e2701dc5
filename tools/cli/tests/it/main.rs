//! The real program, run as a user runs it.

mod doctor;
mod documents;
mod program;
mod server;
mod token;
