//! bennu-server.
