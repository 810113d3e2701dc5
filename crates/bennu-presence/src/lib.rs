//! bennu-presence.
