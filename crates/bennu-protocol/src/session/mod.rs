//! The protocol's decisions as a state machine that is told the time.

pub mod client;
mod server;
mod slots;

pub use server::{ChannelId, JoinRefRule, Renewal, ServerSession, SessionConfig, SessionError, SessionEvent};

#[cfg(test)]
mod tests;
