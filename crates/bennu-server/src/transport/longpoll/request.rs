//! What travels between an HTTP request and the session that it is for, on this node or from another.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bennu_protocol::{Frame, FrameKind};
use bennu_pubsub::PubSub;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// One request to a session.
pub(crate) enum Request {
    /// Wait for messages.
    Poll(AnswerTo),
    /// Take frames of the client.
    Publish(VecDeque<Frame>, AnswerTo),
    /// The poll that these answered was dropped before it had read them.
    Return(Vec<String>),
    /// The poll that wanted its answer on this topic is no longer there.
    Withdraw(String),
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
    Elsewhere { pubsub: PubSub, topic: String },
}

impl AnswerTo {
    /// Tells a requester on another node that it is heard.
    pub(crate) fn accept(&self) {
        if let AnswerTo::Elsewhere { pubsub, topic } = self {
            pubsub.broadcast(topic, Answer::Accepted);
        }
    }

    pub(crate) fn is_on(&self, reply_topic: &str) -> bool {
        matches!(self, AnswerTo::Elsewhere { topic, .. } if topic == reply_topic)
    }

    /// Sends the answer; gives it back if nobody waits for it.
    pub(crate) fn send(self, answer: Answer) -> Result<(), Answer> {
        match self {
            AnswerTo::Here(sender) => sender.send(answer),
            AnswerTo::Elsewhere { pubsub, topic } => {
                pubsub.broadcast(&topic, answer);
                Ok(())
            }
        }
    }
}

/// A request as it crosses nodes, on the session's private topic.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Forwarded {
    Poll { reply_to: String },
    Publish { frames: Vec<ForwardedFrame>, reply_to: String },
    Withdraw { reply_to: String },
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
        let answer_to = |topic: &String| AnswerTo::Elsewhere { pubsub: pubsub.clone(), topic: topic.clone() };
        Some(match self {
            Forwarded::Poll { reply_to } => Request::Poll(answer_to(reply_to)),
            Forwarded::Publish { frames, reply_to } => {
                let frames = frames.iter().map(ForwardedFrame::open).collect::<Option<_>>()?;
                Request::Publish(frames, answer_to(reply_to))
            }
            Forwarded::Withdraw { reply_to } => Request::Withdraw(reply_to.clone()),
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
    use bennu_pubsub::{Delivery, PubSubMessage};

    use super::*;

    /// A message as another process gets it.
    fn crossed<M: PubSubMessage + Clone>(message: M) -> M {
        let sent = PubSub::local().broadcast("t", message);
        let received = Delivery::decode("t".into(), sent.type_name(), sent.encode().unwrap());
        received.get::<M>().expect("the message is readable there").clone()
    }

    #[test]
    fn requests_cross_processes() {
        // Text of a hostile client need not be UTF-8; the session shall see it as it came.
        let frames = [Frame::text("[1]"), Frame::text(vec![b'[', 0xff]), Frame::binary(vec![0, 255])];
        let sent = Forwarded::Publish {
            frames: frames.iter().map(ForwardedFrame::new).collect(),
            reply_to: "r".to_owned(),
        };
        let Some(Request::Publish(received, answer_to)) = crossed(sent).open(&PubSub::local()) else {
            panic!("another request")
        };
        assert_eq!(received, frames);
        assert!(answer_to.is_on("r"));
    }

    #[test]
    fn answers_cross_processes() {
        for answer in [Answer::Accepted, Answer::Messages(vec!["[1]".to_owned()]), Answer::Gone] {
            assert_eq!(crossed(answer.clone()), answer);
        }
    }
}
