//! Reference.

fn main() {}
