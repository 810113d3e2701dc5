//! The real program, run as a user runs it.

mod doctor;
mod documents;
mod goodbye;
mod new_project;
mod presence;
mod program;
mod push;
mod repl;
mod server;
mod tail;
mod token;
