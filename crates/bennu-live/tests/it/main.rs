//! The engine through its public face.

mod client;
mod macros;
mod random;
mod wire;
