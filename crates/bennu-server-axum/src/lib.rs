//! bennu-server-axum.
