//! What the servers speak, behind one face.

mod phoenix;
mod plain;
mod socketio;

use clap::ValueEnum;
use serde::Serialize;
use thiserror::Error;

/// A way to say join, echo and shout; see the contract in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// Phoenix Channels, version 2 of the JSON serializer.
    Phoenix,
    /// Text frames alone; the path says what the server does with them.
    Plain,
    /// Socket.IO 4 over WebSocket.
    #[value(name = "socketio")]
    SocketIo,
}

/// What the connections of a run are for: with plain text frames, the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Each message comes back to its sender.
    Echo,
    /// Each message goes to all.
    Fanout,
    /// Either, by the first character.
    Mixed,
}

/// What a server said, in the words of all protocols.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    /// The protocol's own opening is over.
    Opened,
    /// The answer to a join.
    Joined { reference: u32 },
    /// The answer to an echo; `None` where the protocol has no references.
    Echo { reference: Option<u32>, payload: &'a [u8] },
    /// A message for all; `None` where the protocol has no topics.
    Shout { topic: Option<&'a str>, payload: &'a [u8] },
    /// Who is present on a topic.
    PresenceState { payload: &'a [u8] },
    /// Who came and went.
    PresenceDiff { payload: &'a [u8] },
    /// The answer to a heartbeat, or to a ping.
    Alive,
    /// To be answered at once.
    Ask { answer: &'static str },
}

/// Why a message is none that may come.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("unexpected message {0:?}")]
pub(crate) struct Unexpected(String);

impl Unexpected {
    fn new(text: &[u8]) -> Self {
        const SHOWN: usize = 300;
        let text = String::from_utf8_lossy(&text[..text.len().min(SHOWN)]);
        Self(text.into_owned())
    }
}

impl Protocol {
    /// The path and query of the request that opens a connection.
    pub(crate) fn target(self, base: &str, purpose: Purpose) -> String {
        let base = base.trim_end_matches('/');
        match self {
            Self::Phoenix => format!("{}/websocket?vsn=2.0.0", default(base, "/socket")),
            Self::Plain => format!("{base}{}", plain::path(purpose)),
            Self::SocketIo => format!("{}/?EIO=4&transport=websocket", default(base, "/socket.io")),
        }
    }

    /// Whether a server opens the protocol itself, above the WebSocket.
    pub(crate) fn has_opening(self) -> bool {
        self == Self::SocketIo
    }

    /// Whether there are topics to join.
    pub(crate) fn has_topics(self) -> bool {
        self != Self::Plain
    }

    /// Whether there is a heartbeat that clients send.
    pub(crate) fn has_heartbeat(self) -> bool {
        self == Self::Phoenix
    }

    /// Writes a join of `topic`. The references of a connection begin with 1.
    pub(crate) fn join(self, out: &mut Vec<u8>, reference: u32, topic: &str, payload: &str) {
        match self {
            Self::Phoenix => phoenix::join(out, reference, topic, payload),
            Self::SocketIo => socketio::join(out, reference, topic),
            Self::Plain => {}
        }
    }

    /// Writes an echo; `payload` appends to the message.
    pub(crate) fn echo(
        self,
        out: &mut Vec<u8>,
        at: Address<'_>,
        purpose: Purpose,
        payload: impl FnOnce(&mut Vec<u8>),
    ) {
        match self {
            Self::Phoenix => phoenix::push(out, at, "echo", payload),
            Self::SocketIo => socketio::echo(out, at.reference, payload),
            Self::Plain => plain::echo(out, purpose, payload),
        }
    }

    /// Writes a message for all subscribers of a topic.
    pub(crate) fn shout(
        self,
        out: &mut Vec<u8>,
        at: Address<'_>,
        purpose: Purpose,
        payload: impl FnOnce(&mut Vec<u8>),
    ) {
        match self {
            Self::Phoenix => phoenix::push(out, at, "shout", payload),
            Self::SocketIo => socketio::shout(out, at.topic, payload),
            Self::Plain => plain::shout(out, purpose, payload),
        }
    }

    /// Writes a heartbeat, if clients send one.
    pub(crate) fn heartbeat(self, out: &mut Vec<u8>, reference: u32) {
        match self {
            Self::Phoenix => phoenix::heartbeat(out, reference),
            Self::Plain | Self::SocketIo => {}
        }
    }

    /// Reads a text message.
    pub(crate) fn read(self, text: &[u8], purpose: Purpose) -> Result<Received<'_>, Unexpected> {
        let received = match self {
            Self::Phoenix => phoenix::read(text),
            Self::Plain => plain::read(text, purpose),
            Self::SocketIo => socketio::read(text),
        };
        received.ok_or_else(|| Unexpected::new(text))
    }
}

/// Where a message goes, and how its reply will name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'a> {
    pub(crate) topic: &'a str,
    /// The reference of the topic's join.
    pub(crate) join_reference: u32,
    pub(crate) reference: u32,
}

fn default<'a>(base: &'a str, path: &'a str) -> &'a str {
    if base.is_empty() { path } else { base }
}

/// Appends what `format!` would make.
macro_rules! put {
    ($out:expr, $($argument:tt)*) => {{
        use std::io::Write as _;
        write!($out, $($argument)*).expect("a vector takes all bytes");
    }};
}
use put;

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &str = r#"{"t":"x"}"#;

    fn written(protocol: Protocol, purpose: Purpose) -> [String; 3] {
        let at = Address { topic: "room:a", join_reference: 1, reference: 2 };
        let payload = |out: &mut Vec<u8>| out.extend_from_slice(PAYLOAD.as_bytes());
        let (mut join, mut echo, mut shout) = (Vec::new(), Vec::new(), Vec::new());
        protocol.join(&mut join, 1, "room:a", "{}");
        protocol.echo(&mut echo, at, purpose, payload);
        protocol.shout(&mut shout, at, purpose, payload);
        [join, echo, shout].map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn messages_are_those_of_the_contract() {
        for (protocol, purpose, messages) in [
            (
                Protocol::Phoenix,
                Purpose::Mixed,
                [
                    r#"["1","1","room:a","phx_join",{}]"#,
                    r#"["1","2","room:a","echo",{"t":"x"}]"#,
                    r#"["1","2","room:a","shout",{"t":"x"}]"#,
                ],
            ),
            (
                Protocol::SocketIo,
                Purpose::Mixed,
                [r#"421["join","room:a"]"#, r#"422["echo",{"t":"x"}]"#, r#"42["shout","room:a",{"t":"x"}]"#],
            ),
            (Protocol::Plain, Purpose::Mixed, ["", r#"e{"t":"x"}"#, r#"s{"t":"x"}"#]),
            (Protocol::Plain, Purpose::Echo, ["", PAYLOAD, PAYLOAD]),
        ] {
            assert_eq!(written(protocol, purpose), messages);
        }
    }

    #[test]
    fn answers_are_understood_however_they_are_spaced() {
        let payload = PAYLOAD.as_bytes();
        let echo = || Received::Echo { reference: Some(2), payload };
        let shout = || Received::Shout { topic: Some("room:a"), payload };
        let state = || Received::PresenceState { payload: b"{}" };
        for (protocol, text, received) in [
            (
                Protocol::Phoenix,
                r#"["1","1","room:a","phx_reply",{"status":"ok","response":{}}]"#,
                Received::Joined { reference: 1 },
            ),
            (
                Protocol::Phoenix,
                r#"["1","2","room:a","phx_reply",{"response":{"t":"x"},"status":"ok"}]"#,
                echo(),
            ),
            (
                Protocol::Phoenix,
                r#"["1", "2", "room:a", "phx_reply", {"status": "ok", "response": {"t":"x"}}]"#,
                echo(),
            ),
            (
                Protocol::Phoenix,
                r#"[null,"5","phoenix","phx_reply",{"status":"ok","response":{}}]"#,
                Received::Alive,
            ),
            (Protocol::Phoenix, r#"[null,null,"room:a","shout",{"t":"x"}]"#, shout()),
            (Protocol::Phoenix, r#"["1", null, "room:a", "shout", {"t":"x"}]"#, shout()),
            (Protocol::Phoenix, r#"["1",null,"presence:a","presence_state",{}]"#, state()),
            (Protocol::SocketIo, r#"0{"sid":"x"}"#, Received::Ask { answer: "40" }),
            (Protocol::SocketIo, r#"40{"sid":"x"}"#, Received::Opened),
            (Protocol::SocketIo, "2", Received::Ask { answer: "3" }),
            (Protocol::SocketIo, r#"431["ok"]"#, Received::Joined { reference: 1 }),
            (Protocol::SocketIo, r#"432[{"t":"x"}]"#, echo()),
            (Protocol::SocketIo, r#"42["shout","room:a",{"t":"x"}]"#, shout()),
            (Protocol::Plain, r#"e{"t":"x"}"#, Received::Echo { reference: None, payload }),
            (Protocol::Plain, r#"s{"t":"x"}"#, Received::Shout { topic: None, payload }),
        ] {
            assert_eq!(protocol.read(text.as_bytes(), Purpose::Mixed), Ok(received), "{text}");
        }
    }

    #[test]
    fn errors_and_strangers_are_unexpected() {
        for (protocol, text) in [
            (
                Protocol::Phoenix,
                r#"["1","1","room:a","phx_reply",{"status":"error","response":{"reason":"full"}}]"#,
            ),
            (Protocol::Phoenix, r#"["1","1","room:a","phx_error",{}]"#),
            (Protocol::Phoenix, "[]"),
            (Protocol::Phoenix, ""),
            (Protocol::SocketIo, "41"),
            (Protocol::SocketIo, r#"44{"message":"no"}"#),
            (Protocol::Plain, "x"),
        ] {
            assert!(protocol.read(text.as_bytes(), Purpose::Mixed).is_err(), "{text}");
        }
    }
}
