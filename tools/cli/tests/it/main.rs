//! The real program, run as a user runs it.

mod documents;
mod program;
mod token;
