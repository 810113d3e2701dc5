//! Sound Forge.

fn main() {}
