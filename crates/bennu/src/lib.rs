//! bennu.
