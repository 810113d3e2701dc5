//! Writes the contract of two channels:
//! `cargo run -p bennu-typed --example contract -- contract crates/bennu-typed/examples/contract`.

mod channels;

use std::io;

fn main() -> io::Result<()> {
    if channels::contract().command(std::env::args())? {
        return Ok(());
    }
    Err(io::Error::other("say `contract FOLDER`: a server would start here"))
}
