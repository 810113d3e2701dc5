//! What travels between an HTTP request and the session that it is for, on this node or from another.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bennu_protocol::{Frame, FrameKind};
use bennu_pubsub::{CrossingError, PubSub};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::exchange::Address;

/// One request to a session.
pub(crate) enum Request {
    /// Wait for messages.
    Poll(AnswerTo),
    /// Take frames of the client.
    Publish(VecDeque<Frame>, AnswerTo),
    /// The poll that these answered was dropped before it had read them.
    Return(Vec<String>),
    /// The poll that wanted its answer there is no longer waiting.
    Withdraw(ReplyTo),
}

/// What a session says to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The session lives; the answer proper follows. Only other nodes need to be told.
    Accepted,
    /// Messages for the client, in order.
    Messages(Vec<String>),
    /// None came within the window.
    Nothing,
    /// A later poll waits in place of this one.
    Replaced,
    /// All frames were taken in.
    Taken,
    /// A frame was not taken in within the window; the rest of its batch is dropped.
    NotTaken,
    /// The session ended while it had the request: a poll that waited, or a post that broke it.
    Ended,
    /// The session is no longer there for the request.
    Gone,
}

/// Where the answer to a request goes.
pub(crate) enum AnswerTo {
    Here(oneshot::Sender<Answer>),
    Elsewhere { pubsub: PubSub, to: ReplyTo },
}

/// Bytes of messages in one answer that crosses nodes, unless a single one is longer: all engines carry that, and the rest follows
/// with the next poll.
const MAX_CROSSING: usize = 256 * 1024;

impl AnswerTo {
    /// Tells a requester on another node that it is heard.
    pub(crate) fn accept(&self) {
        if let AnswerTo::Elsewhere { pubsub, to } = self {
            // It is small enough for any engine.
            let _ = to.send(pubsub, Answer::Accepted);
        }
    }

    pub(crate) fn is_on(&self, reply_to: &ReplyTo) -> bool {
        matches!(self, AnswerTo::Elsewhere { to, .. } if to == reply_to)
    }

    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self, AnswerTo::Elsewhere { .. })
    }

    /// Takes out of `messages` what does not fit into one answer.
    pub(crate) fn take_excess(&self, messages: &mut Vec<String>) -> Vec<String> {
        if !self.is_elsewhere() {
            return Vec::new();
        }
        let mut bytes = 0;
        let fits = |message: &String| {
            bytes += message.len();
            bytes <= MAX_CROSSING
        };
        let count = messages.iter().map(fits).take_while(|fits| *fits).count().max(1);
        messages.split_off(count.min(messages.len()))
    }

    /// Sends the answer; gives it back if nobody waits for it, or it cannot get there.
    pub(crate) fn send(self, answer: Answer) -> Result<(), Answer> {
        match self {
            AnswerTo::Here(sender) => sender.send(answer),
            AnswerTo::Elsewhere { pubsub, to } => to.send(&pubsub, answer.clone()).map_err(|_| {
                // The PubSub has logged it.
                let _ = to.send(&pubsub, Answer::Ended);
                answer
            }),
        }
    }
}

/// Where a request came from that crossed nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplyTo {
    pub(crate) address: Address,
    pub(crate) request: u64,
}

impl ReplyTo {
    fn send(&self, pubsub: &PubSub, answer: Answer) -> Result<(), CrossingError> {
        let ReplyTo { address, request } = self;
        let reply = Reply { request: *request, answer };
        pubsub.direct_broadcast(&address.node, address.topic(), reply)
    }
}

/// An answer as it crosses nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) request: u64,
    pub(crate) answer: Answer,
}

/// A request as it crosses nodes.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Forwarded {
    /// What the client's token calls the session.
    pub(crate) session: String,
    pub(crate) reply_to: ReplyTo,
    pub(crate) ask: Ask,
}

/// What is asked of a session.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Ask {
    Poll,
    Publish { frames: Vec<ForwardedFrame> },
    Withdraw,
}

/// A frame as it crosses nodes.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ForwardedFrame {
    binary: bool,
    base64: String,
}

impl Forwarded {
    /// The request, if its frames can be read.
    pub(crate) fn open(&self, pubsub: &PubSub) -> Option<Request> {
        let answer_to = AnswerTo::Elsewhere { pubsub: pubsub.clone(), to: self.reply_to.clone() };
        Some(match &self.ask {
            Ask::Poll => Request::Poll(answer_to),
            Ask::Publish { frames } => {
                let frames = frames.iter().map(ForwardedFrame::open).collect::<Option<_>>()?;
                Request::Publish(frames, answer_to)
            }
            Ask::Withdraw => Request::Withdraw(self.reply_to.clone()),
        })
    }
}

impl ForwardedFrame {
    pub(crate) fn new(frame: &Frame) -> Self {
        ForwardedFrame { binary: frame.kind() == FrameKind::Binary, base64: STANDARD.encode(frame.payload()) }
    }

    fn open(&self) -> Option<Frame> {
        let payload = STANDARD.decode(&self.base64).ok()?;
        Some(if self.binary { Frame::binary(payload) } else { Frame::text(payload) })
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    fn reply_to(request: u64) -> ReplyTo {
        ReplyTo { address: Address { node: "a".to_owned(), endpoint: "e".to_owned() }, request }
    }

    /// A message as another process gets it.
    fn crossed<M: Serialize + DeserializeOwned>(message: &M) -> M {
        serde_json::from_slice(&serde_json::to_vec(message).unwrap()).unwrap()
    }

    #[test]
    fn requests_cross_processes() {
        // Text of a hostile client need not be UTF-8; the session shall see it as it came.
        let frames = [Frame::text("[1]"), Frame::text(vec![b'[', 0xff]), Frame::binary(vec![0, 255])];
        let ask = Ask::Publish { frames: frames.iter().map(ForwardedFrame::new).collect() };
        let sent = Forwarded { session: "s".to_owned(), reply_to: reply_to(7), ask };
        let Some(Request::Publish(received, answer_to)) = crossed(&sent).open(&PubSub::local()) else {
            panic!("another request")
        };
        assert_eq!(received, frames);
        assert!(answer_to.is_on(&reply_to(7)) && !answer_to.is_on(&reply_to(8)));
    }

    #[test]
    fn answers_cross_processes() {
        for answer in [Answer::Accepted, Answer::Messages(vec!["[1]".to_owned()]), Answer::Gone] {
            let reply = Reply { request: 7, answer };
            assert_eq!(crossed(&reply), reply);
        }
    }

    #[test]
    fn an_answer_to_another_node_holds_what_an_engine_carries() {
        let elsewhere = AnswerTo::Elsewhere { pubsub: PubSub::local(), to: reply_to(1) };
        let (sender, _receiver) = oneshot::channel();
        let here = AnswerTo::Here(sender);
        let message = |length: usize| "x".repeat(length);
        for (name, lengths, expected) in [
            ("none", &[][..], 0),
            ("all", &[1, MAX_CROSSING - 1], 2),
            ("some", &[1, MAX_CROSSING - 1, 1, 1], 2),
            ("one that is longer", &[MAX_CROSSING + 1, 1], 1),
            ("one that is longer behind another", &[1, MAX_CROSSING + 1], 1),
        ] {
            let mut messages: Vec<String> = lengths.iter().copied().map(message).collect();
            assert_eq!(here.take_excess(&mut messages).len(), 0, "{name}");
            let excess = elsewhere.take_excess(&mut messages);
            assert_eq!((messages.len(), excess.len()), (expected, lengths.len() - expected), "{name}");
        }
    }
}
