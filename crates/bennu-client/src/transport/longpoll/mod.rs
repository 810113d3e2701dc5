//! Long polling: a request that the server holds until there is something to say, and one for each batch of messages to it.

mod answer;
mod batches;
mod connection;
mod lane;
mod server;

use std::sync::Arc;
use std::time::Duration;

use answer::PollAnswer;
use connection::LongPollConnection;
use lane::{Lane, LaneError};
use server::Server;

use super::{Connector, OpenError, OpenRequest, Opening, Transport, head};

/// The transport for networks that break WebSockets, where the server allows it.
///
/// One connection is kept for polls and one for posts, so both go on at once; messages of one moment travel together, in order. The server
/// tells by itself when the session is gone, so no heartbeats are sent over it. A Phoenix server cannot send bytes over it: binary
/// replies and broadcasts are text or lost there.
#[derive(Clone, Debug)]
#[doc(alias = "Phoenix.Transports.LongPoll")]
pub struct LongPoll {
    connector: Connector,
    timeout: Duration,
    max_answer_size: usize,
    header_token_only: bool,
}

impl Default for LongPoll {
    fn default() -> Self {
        LongPoll {
            connector: Connector::default(),
            timeout: Duration::from_secs(20),
            max_answer_size: 16 << 20,
            header_token_only: false,
        }
    }
}

impl LongPoll {
    /// One that reaches servers by a default [`Connector`].
    #[must_use]
    pub fn new() -> Self {
        LongPoll::default()
    }

    /// How servers are reached.
    #[must_use]
    pub fn connector(mut self, connector: Connector) -> Self {
        self.connector = connector;
        self
    }

    /// How long a request may take, 20 s by default; the connection has failed then. It has to be longer than the server holds a poll, which
    /// is 10 s with Phoenix.
    #[doc(alias = "longpollerTimeout")]
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The largest answer to a poll in bytes, which holds all messages that waited; 16 MiB by default.
    #[must_use]
    pub fn max_answer_size(mut self, bytes: usize) -> Self {
        self.max_answer_size = bytes;
        self
    }

    /// Sends the session's token in a header alone, which keeps it out of logs. By default it stands in the query too, as Phoenix 1.7 reads it.
    #[must_use]
    pub fn header_token_only(mut self) -> Self {
        self.header_token_only = true;
        self
    }
}

impl Transport for LongPoll {
    fn segment(&self) -> &str {
        "longpoll"
    }

    fn needs_heartbeats(&self) -> bool {
        false
    }

    fn open(&self, request: OpenRequest) -> Opening {
        let settings = self.clone();
        Box::pin(async move {
            let server = Arc::new(Server::new(settings, &request)?);
            Ok(Box::new(open(server).await?) as _)
        })
    }
}

/// The first poll has no token, and is answered with one.
async fn open(server: Arc<Server>) -> Result<LongPollConnection, OpenError> {
    let mut lane = Lane::default();
    let answer = match lane.exchange(&server, server.poll(None)?).await {
        Ok(answer) => answer,
        Err(LaneError::Open(error)) => return Err(error),
        Err(error) => return Err(OpenError::Failed(error.to_string())),
    };
    if answer.status != 200 {
        let retry_after = head::retry_after(&answer.headers);
        let (status, body) = (answer.status, head::beginning(&answer.body));
        return Err(OpenError::Refused { status, body, retry_after });
    }
    match PollAnswer::parse(&answer.body) {
        Some(PollAnswer { status: 410, token: Some(token), .. }) => {
            Ok(LongPollConnection::new(server, token, lane))
        }
        Some(PollAnswer { status: status @ 400..=599, .. }) => {
            Err(OpenError::Refused { status, body: head::beginning(&answer.body), retry_after: None })
        }
        Some(PollAnswer { status, .. }) => {
            Err(OpenError::Failed(format!("the server answers a first poll with status {status}")))
        }
        None => Err(OpenError::Failed("the server's answer is none of a long poll".to_owned())),
    }
}
