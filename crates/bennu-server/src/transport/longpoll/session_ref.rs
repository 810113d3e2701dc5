//! How a request reaches the session that its token names.

use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::Frame;
use bennu_pubsub::CrossingError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::exchange::{Address, Asked, Exchange};
use super::request::{Answer, AnswerTo, Ask, Forwarded, ForwardedFrame, Request};

/// A session as seen by the HTTP requests to it.
pub(crate) struct SessionRef {
    pub(crate) route: Route,
    pub(crate) window: Duration,
    pub(crate) pubsub_timeout: Duration,
}

pub(crate) enum Route {
    /// It is on this node.
    Here(mpsc::Sender<Request>),
    /// Another endpoint has it.
    Elsewhere { exchange: Arc<Exchange>, owner: Address, session: String },
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
            Route::Elsewhere { exchange, owner, session } => {
                self.forward(Way { exchange, owner, session }, Ask::Poll).await
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
            Route::Elsewhere { exchange, owner, session } => {
                let frames = frames.iter().map(ForwardedFrame::new).collect();
                self.forward(Way { exchange, owner, session }, Ask::Publish { frames }).await
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
    async fn forward(&self, way: Way<'_>, ask: Ask) -> Answer {
        let asked = way.exchange.begin();
        if way.send(&asked, ask).is_err() {
            // The PubSub has logged that it is too large to cross.
            return Answer::NotTaken;
        }
        let mut forwarding = Forwarding { way, asked, is_answered: false };
        let answers = &mut forwarding.asked.answers;
        let first = tokio::time::timeout(self.pubsub_timeout, answers.recv()).await;
        let answer = match first.ok().flatten() {
            Some(Answer::Accepted) => {
                let patience = self.window + self.pubsub_timeout;
                let answer = tokio::time::timeout(patience, answers.recv()).await;
                answer.ok().flatten().unwrap_or(Answer::Accepted)
            }
            Some(answer) => answer,
            None => Answer::Gone,
        };
        forwarding.is_answered = !matches!(answer, Answer::Accepted | Answer::Gone);
        answer
    }
}

/// Asks a session of this node, which keeps the time itself and answers in any case.
async fn ask(sender: &mpsc::Sender<Request>, request: impl FnOnce(AnswerTo) -> Request) -> Answer {
    let (answer_to, answer) = oneshot::channel();
    let mut asked = AskedHere { sender, answer };
    match sender.send(request(AnswerTo::Here(answer_to))).await {
        Ok(()) => (&mut asked.answer).await.unwrap_or(Answer::Ended),
        Err(_) => Answer::Gone,
    }
}

/// Gives back what came for a requester that was dropped before it had read it.
struct AskedHere<'a> {
    sender: &'a mpsc::Sender<Request>,
    answer: oneshot::Receiver<Answer>,
}

impl Drop for AskedHere<'_> {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(Answer::Messages(messages)) = self.answer.try_recv() {
            // A session that has ended, or is flooded, has no use for them.
            let _ = self.sender.try_send(Request::Return(messages));
        }
    }
}

/// How a session on another node is reached.
struct Way<'a> {
    exchange: &'a Exchange,
    owner: &'a Address,
    session: &'a str,
}

impl Way<'_> {
    fn send(&self, asked: &Asked, ask: Ask) -> Result<(), CrossingError> {
        let (session, reply_to) = (self.session.to_owned(), asked.reply_to.clone());
        self.exchange.send(self.owner, Forwarded { session, reply_to, ask })
    }
}

/// Tells the session when nobody waits for its answer any more, which must take no messages with it: the client has gone,
/// or the session took too long.
struct Forwarding<'a> {
    way: Way<'a>,
    asked: Asked,
    is_answered: bool,
}

impl Drop for Forwarding<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            // It is small enough for any engine.
            let _ = self.way.send(&self.asked, Ask::Withdraw);
        }
    }
}
