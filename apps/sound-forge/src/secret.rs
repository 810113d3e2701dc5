//! Secrets: random ones for keys and links, and the hash under which they are kept.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// So many random bytes, as hexadecimal text.
pub fn random_hex<const BYTES: usize>() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

/// The SHA-256 of a secret, as hexadecimal text.
///
/// The secrets are 192 random bits or more, so a plain hash is enough: there is nothing to guess.
pub fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Bytes as hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
