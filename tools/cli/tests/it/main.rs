//! The real program, run as a user runs it.

mod doctor;
mod documents;
mod new_project;
mod program;
mod server;
mod token;
