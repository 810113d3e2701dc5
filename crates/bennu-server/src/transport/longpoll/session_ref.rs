//! How a request reaches the session that its token names.

use std::time::Duration;

use bennu_protocol::Frame;
use bennu_pubsub::{PubSub, Subscription};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::request::{Answer, AnswerTo, Forwarded, ForwardedFrame, Request};
use super::sessions::random_text;

/// A session as seen by the HTTP requests to it.
pub(crate) struct SessionRef {
    pub(crate) route: Route,
    pub(crate) window: Duration,
    pub(crate) pubsub_timeout: Duration,
}

pub(crate) enum Route {
    /// It is on this node.
    Here(mpsc::Sender<Request>),
    /// Another node has it and listens to this topic.
    Elsewhere { pubsub: PubSub, topic: String },
}

/// What a poll came to.
pub(crate) enum Polled {
    Messages(Vec<String>),
    /// Nothing to say; the session lives, or the next poll will tell that it does not.
    Nothing,
    Gone,
}

/// What a post came to.
pub(crate) enum Published {
    Taken,
    NotTaken,
    Gone,
}

impl SessionRef {
    /// Waits for messages, for a window at most.
    pub(crate) async fn poll(&self) -> Polled {
        let until = Instant::now() + self.window;
        let answer = match &self.route {
            Route::Here(sender) => ask(sender, Request::Poll).await,
            Route::Elsewhere { pubsub, topic } => {
                self.forward(pubsub, topic, |reply_to| Forwarded::Poll { reply_to }).await
            }
        };
        match answer {
            Answer::Messages(messages) => Polled::Messages(messages),
            Answer::Replaced => {
                tokio::time::sleep_until(until).await;
                Polled::Nothing
            }
            Answer::Nothing | Answer::Ended | Answer::Accepted | Answer::Taken | Answer::NotTaken => {
                Polled::Nothing
            }
            Answer::Gone => Polled::Gone,
        }
    }

    /// Hands frames to the session, and waits until it has taken them.
    pub(crate) async fn publish(&self, frames: Vec<Frame>) -> Published {
        let until = Instant::now() + self.window;
        let answer = match &self.route {
            Route::Here(sender) => ask(sender, |answer_to| Request::Publish(frames.into(), answer_to)).await,
            Route::Elsewhere { pubsub, topic } => {
                let frames = frames.iter().map(ForwardedFrame::new).collect();
                self.forward(pubsub, topic, |reply_to| Forwarded::Publish { frames, reply_to }).await
            }
        };
        match answer {
            Answer::Taken => Published::Taken,
            Answer::Ended => {
                tokio::time::sleep_until(until).await;
                Published::NotTaken
            }
            Answer::NotTaken
            | Answer::Accepted
            | Answer::Messages(_)
            | Answer::Nothing
            | Answer::Replaced => Published::NotTaken,
            Answer::Gone => Published::Gone,
        }
    }

    /// Sends a request to another node. The session keeps the time there; what is waited for here is
    /// that it is heard at all, and somewhat longer than a window for the answer.
    async fn forward(
        &self,
        pubsub: &PubSub,
        topic: &str,
        request: impl FnOnce(String) -> Forwarded,
    ) -> Answer {
        let mut replies = pubsub.subscribe(format!("phx:lp:reply:{}", random_text()));
        let mut withdrawal = Withdrawal { pubsub, topic, reply_to: Some(replies.topic().to_owned()) };
        pubsub.broadcast(topic, request(replies.topic().to_owned()));
        let first = tokio::time::timeout(self.pubsub_timeout, next(&mut replies)).await;
        let answer = match first {
            Ok(Answer::Accepted) => {
                let patience = self.window + self.pubsub_timeout;
                tokio::time::timeout(patience, next(&mut replies)).await.unwrap_or(Answer::Accepted)
            }
            Ok(answer) => answer,
            Err(_) => Answer::Gone,
        };
        withdrawal.reply_to = None;
        answer
    }
}

/// Asks a session of this node, which keeps the time itself and answers in any case.
async fn ask(sender: &mpsc::Sender<Request>, request: impl FnOnce(AnswerTo) -> Request) -> Answer {
    let (answer_to, answer) = oneshot::channel();
    let mut asked = Asked { sender, answer };
    match sender.send(request(AnswerTo::Here(answer_to))).await {
        Ok(()) => (&mut asked.answer).await.unwrap_or(Answer::Ended),
        Err(_) => Answer::Gone,
    }
}

/// Gives back what came for a requester that was dropped before it had read it.
struct Asked<'a> {
    sender: &'a mpsc::Sender<Request>,
    answer: oneshot::Receiver<Answer>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(Answer::Messages(messages)) = self.answer.try_recv() {
            // A session that has ended, or is flooded, has no use for them.
            let _ = self.sender.try_send(Request::Return(messages));
        }
    }
}

async fn next(replies: &mut Subscription) -> Answer {
    loop {
        if let Some(answer) = replies.recv().await.ok().and_then(|delivery| delivery.get::<Answer>().cloned())
        {
            return answer;
        }
    }
}

/// Tells the session when the requester is dropped: its client has gone, and must not be sent messages.
struct Withdrawal<'a> {
    pubsub: &'a PubSub,
    topic: &'a str,
    reply_to: Option<String>,
}

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        if let Some(reply_to) = self.reply_to.take() {
            self.pubsub.broadcast(self.topic, Forwarded::Withdraw { reply_to });
        }
    }
}
