//! The constants of the opening handshake (RFC 6455, 4).
//!
//! The SHA-1 and base64 that make an accept value of [`accept_source`] belong to
//! the server and the client, as this crate depends on neither.

/// The only version there is, for `Sec-WebSocket-Version`.
pub const VERSION: &str = "13";

/// What both sides append to the client's key (1.3).
pub const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The text whose SHA-1, in base64, is the `Sec-WebSocket-Accept` for `key`.
///
/// `key` is the value of `Sec-WebSocket-Key` as it came, still in base64;
/// white space around it does not count (4.2.2).
pub fn accept_source(key: &str) -> String {
    [key.trim(), GUID].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_source_is_key_and_guid() {
        for key in ["dGhlIHNhbXBsZSBub25jZQ==", " dGhlIHNhbXBsZSBub25jZQ== "] {
            assert_eq!(accept_source(key), "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        }
    }
}
