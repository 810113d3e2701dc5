//! Close frames: their body, and which code answers which.

use super::ProtocolViolation;

/// The purpose of the connection is fulfilled.
pub const NORMAL: u16 = 1000;
/// The server goes down, or the page was left.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// A message does not fit its type, as text that is not UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// A frame or message exceeds the limits of its receiver.
pub const TOO_LARGE: u16 = 1009;
/// The server met a condition that it did not expect.
pub const INTERNAL_ERROR: u16 = 1011;
/// The server restarts; the client may come back.
pub const SERVICE_RESTART: u16 = 1012;
/// The server is overloaded, or the client does not keep up.
pub const TRY_AGAIN_LATER: u16 = 1013;
/// Of the range for applications: the client's credential has expired; it may come back with a new one.
pub const CREDENTIAL_EXPIRED: u16 = 4401;

/// What a control frame leaves for the reason once the code is written.
const MAX_REASON_LEN: usize = super::frame::MAX_CONTROL_LEN - size_of::<u16>();

/// The body of a close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// Why the peer closes (RFC 6455, 7.4).
    pub code: u16,
    /// A text for the log, often empty.
    pub reason: String,
}

impl CloseFrame {
    /// Reads the body of a close frame; an empty body carries no code.
    pub(super) fn parse(body: &[u8]) -> Result<Option<Self>, ProtocolViolation> {
        if body.is_empty() {
            return Ok(None);
        }
        let Some((code, reason)) = body.split_first_chunk() else {
            return Err(ProtocolViolation::CloseBody);
        };
        let code = u16::from_be_bytes(*code);
        if !may_be_received(code) {
            return Err(ProtocolViolation::CloseCode { code });
        }
        let reason = str::from_utf8(reason).map_err(|_| ProtocolViolation::CloseReason)?;
        Ok(Some(Self { code, reason: reason.to_owned() }))
    }

    /// The body to put into a frame, its reason cut to the 123 bytes that fit.
    pub fn to_payload(&self) -> Vec<u8> {
        let cut = self.reason.floor_char_boundary(MAX_REASON_LEN);
        let mut payload = Vec::with_capacity(size_of::<u16>() + cut);
        payload.extend_from_slice(&self.code.to_be_bytes());
        payload.extend_from_slice(&self.reason.as_bytes()[..cut]);
        payload
    }
}

/// The code with which a server answers a close frame, given the code received.
///
/// As Bandit does: 1000 for a code that a client has a reason to send (or none),
/// else 1002. The code itself is not echoed.
pub const fn reply_code(received: Option<u16>) -> u16 {
    match received {
        None | Some(1000..=1003 | 1007..=1011 | 3000..) => NORMAL,
        Some(_) => PROTOCOL_ERROR,
    }
}

/// Whether a close frame may carry this code.
///
/// 1012 to 1014 came after RFC 6455, by way of IANA's registry, and servers send
/// them. 1004 to 1006 and 1015 never travel (7.4.1). Codes from 5000 on are
/// undefined; Bandit lets them pass, and so do we.
const fn may_be_received(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_is_1000_for_codes_a_client_may_send_else_1002() {
        assert_eq!(reply_code(None), NORMAL);
        for (codes, reply) in [
            (0..=999, PROTOCOL_ERROR),
            (1000..=1003, NORMAL),
            (1004..=1006, PROTOCOL_ERROR),
            (1007..=1011, NORMAL),
            (1012..=2999, PROTOCOL_ERROR),
            (3000..=u16::MAX, NORMAL),
        ] {
            for code in codes {
                assert_eq!(reply_code(Some(code)), reply, "{code}");
            }
        }
    }

    #[test]
    fn close_bodies() {
        let frame = |code, reason: &str| {
            let reason = reason.to_owned();
            Ok(Some(CloseFrame { code, reason }))
        };
        let wrong_code = |code| Err(ProtocolViolation::CloseCode { code });
        for (name, body, expected) in [
            ("empty", &b""[..], Ok(None)),
            ("half a code", b"\x03", Err(ProtocolViolation::CloseBody)),
            ("code alone", b"\x03\xe8", frame(1000, "")),
            ("code and reason", b"\x03\xe9bye", frame(1001, "bye")),
            ("zero", b"\0\0", wrong_code(0)),
            ("999", b"\x03\xe7", wrong_code(999)),
            ("1004", b"\x03\xec", wrong_code(1004)),
            ("1005", b"\x03\xed", wrong_code(1005)),
            ("1006", b"\x03\xee", wrong_code(1006)),
            ("1012 from a server", b"\x03\xf4", frame(1012, "")),
            ("1014", b"\x03\xf6", frame(1014, "")),
            ("1015", b"\x03\xf7", wrong_code(1015)),
            ("1016", b"\x03\xf8", wrong_code(1016)),
            ("2999", b"\x0b\xb7", wrong_code(2999)),
            ("3000", b"\x0b\xb8", frame(3000, "")),
            ("5000", b"\x13\x88", frame(5000, "")),
            ("broken reason", b"\x03\xe8\xff", Err(ProtocolViolation::CloseReason)),
        ] {
            assert_eq!(CloseFrame::parse(body), expected, "{name}");
        }
    }

    #[test]
    fn long_reason_is_cut_between_characters() {
        let frame = CloseFrame { code: NORMAL, reason: "é".repeat(100) };
        let payload = frame.to_payload();
        assert_eq!(payload.len(), 2 + 122);
        let read = CloseFrame::parse(&payload).unwrap().unwrap();
        assert_eq!(read.reason, "é".repeat(61));
    }
}
