//! Chat.

fn main() {}
