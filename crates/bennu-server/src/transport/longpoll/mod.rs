//! Long polling: a connection over requests that each bring or fetch messages.
//!
//! The channels specification, section 5, says what is answered; the real HTTP status of
//! every JSON answer is 200, and its `status` member is what counts.

mod answer;
mod body;
mod exchange;
mod options;
mod request;
mod session;
mod session_ref;
mod sessions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::SessionConfig;
use bytes::Bytes;
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{Method, Response};
use http_body::Body;

use self::body::Posted;
use self::session::Session;
use self::session_ref::{Polled, Published, Route, SessionRef};
use self::sessions::{SessionToken, Sessions};
use super::connect::{Asking, NotConnected, Target};
use crate::metrics::ConnectResult;
use crate::mount::PathPattern;
use crate::params::Params;
use crate::socket::TransportKind;

pub(crate) use self::exchange::Exchange;
pub(crate) use self::sessions::random_text;

pub use self::options::LongPollOptions;

/// Where clients since 1.9 put the session's token.
const TOKEN: HeaderName = HeaderName::from_static("x-phoenix-longpoll-token");

/// Where official clients put the value of their option `authToken`.
const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-phoenix-authtoken");

/// After how long a client that found no room should come again.
const AFTER_FULL: Duration = Duration::from_secs(5);

/// The long polling of one mount.
pub(crate) struct LongPollMount {
    pub(crate) path: PathPattern,
    pub(crate) options: LongPollOptions,
    pub(crate) session: Arc<SessionConfig>,
    pub(crate) sessions: Arc<Sessions>,
}

impl LongPollMount {
    /// `session` are the rules of the mount's WebSockets.
    pub(crate) fn new(base: &str, options: LongPollOptions, session: &SessionConfig) -> Self {
        // Whether the client is still there, its polls tell.
        let session = SessionConfig { idle_timeout: None, errors_unmatched: true, ..session.clone() };
        LongPollMount {
            path: PathPattern::new(base, &options.path),
            options,
            session: Arc::new(session),
            sessions: Arc::default(),
        }
    }
}

/// A request to a path where a socket may be polled.
pub struct LongPoll<'a> {
    pub(crate) target: Target<'a>,
    pub(crate) longpoll: &'a LongPollMount,
}

impl LongPoll<'_> {
    /// Answers a request, whatever its method. A GET waits until there are messages, for
    /// [`LongPollOptions::window`] at most; dropping the future withdraws it, and what a session of this
    /// node had answered already goes back to it.
    ///
    /// A body is read only for a session that exists, never beyond 8,000,000 bytes, and for 15 s at most.
    pub async fn answer<B>(&self, parts: Parts, peer: Option<SocketAddr>, body: B) -> Response<Bytes>
    where
        B: Body<Data = Bytes>,
    {
        let params = match self.target.params(&parts) {
            Ok(params) => params,
            Err(error) => {
                self.count_rejected(&parts.method);
                return super::answer::undecodable(&error);
            }
        };
        if !self.target.is_origin_allowed(&parts) {
            self.count_rejected(&parts.method);
            return answer::status(403);
        }
        match parts.method {
            Method::GET => self.poll(params, parts, peer).await,
            Method::POST => self.publish(&params, &parts, body).await,
            Method::OPTIONS => answer::preflight(&parts.headers),
            _ => answer::bad_request(),
        }
    }

    /// Only polls are attempts to connect.
    fn count_rejected(&self, method: &Method) {
        if *method == Method::GET {
            self.target.metrics(TransportKind::LongPoll).connect(ConnectResult::Rejected);
        }
    }

    async fn poll(&self, params: Params, parts: Parts, peer: Option<SocketAddr>) -> Response<Bytes> {
        if let Some(token) = token(&params, &parts)
            && let Some(session) = self.session(token)
        {
            match session.poll().await {
                Polled::Messages(messages) => return answer::messages(200, token, &messages),
                Polled::Nothing => return answer::messages(204, token, &[]),
                Polled::Gone => {}
            }
        }
        match self.open(params, parts, peer).await {
            Ok(token) => answer::messages(410, &token, &[]),
            Err(error) => refuse(&error),
        }
    }

    async fn publish<B: Body<Data = Bytes>>(
        &self,
        params: &Params,
        parts: &Parts,
        body: B,
    ) -> Response<Bytes> {
        let session = token(params, parts).and_then(|token| self.session(token));
        let Some(session) = session else { return answer::status(410) };
        let Ok(body) = body::read(body).await else { return answer::bad_request() };
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let posted = Posted::decode(body, content_type.is_some_and(|value| value == "application/x-ndjson"));
        match session.publish(posted.frames).await {
            // Phoenix fails with 500 here; a line that cannot be read is the client's fault.
            Published::Taken if posted.cut_off => answer::bad_request(),
            Published::Taken => answer::status(200),
            Published::NotTaken => answer::status(408),
            Published::Gone => answer::status(410),
        }
    }

    /// The session that a token names, unless it is known to have ended.
    fn session(&self, token: &str) -> Option<SessionRef> {
        let LongPollMount { options, sessions, .. } = self.longpoll;
        let endpoint = self.target.endpoint;
        let token = SessionToken::verify(token, endpoint.tokens(), &self.target.mount.base, options)?;
        let exchange = endpoint.exchange();
        let route = if token.owner == *exchange.own() {
            Route::Here(sessions.find(&token.session)?)
        } else {
            Route::Elsewhere { exchange: exchange.clone(), owner: token.owner, session: token.session }
        };
        Some(SessionRef { route, window: options.window, pubsub_timeout: options.pubsub_timeout })
    }

    /// Opens a session, if the socket lets the client in, and returns its token.
    async fn open(
        &self,
        params: Params,
        mut parts: Parts,
        peer: Option<SocketAddr>,
    ) -> Result<String, NotConnected> {
        let Target { endpoint, mount, .. } = self.target;
        let LongPollMount { options, sessions, session, .. } = self.longpoll;
        let transport = TransportKind::LongPoll;
        let (place, requests) = sessions.open(options.max_sessions).map_err(|_| self.full())?;
        // Taken out, so that no program passes it on with the other headers.
        let auth_token = mount.options.auth_token.then(|| parts.headers.remove(AUTH_TOKEN)).flatten();
        let auth_token = auth_token.and_then(|value| value.to_str().ok().map(str::to_owned));
        let asking = Asking { params, parts, auth_token, peer, transport };
        let connected = self.target.connect(asking).await?;
        let token = SessionToken {
            owner: endpoint.exchange().own().clone(),
            mount: mount.base.clone(),
            session: place.name().to_owned(),
        };
        let token = token.sign(endpoint.tokens(), options).map_err(|error| {
            tracing::error!(%error, "a long-poll session cannot be named");
            NotConnected::Failed
        })?;
        let connection = self.target.connection(connected, session, transport).await?;
        self.target.metrics(transport).connect(ConnectResult::Ok);
        // The task ends with its session, and the endpoint counts and closes those.
        tokio::spawn(Session::new(connection, requests, place, options.window).run());
        Ok(token)
    }

    fn full(&self) -> NotConnected {
        let (mount, max_sessions) = (&self.target.mount.base, self.longpoll.options.max_sessions);
        tracing::warn!(mount, max_sessions, "there is no room for another long-poll session");
        self.target.metrics(TransportKind::LongPoll).connect(ConnectResult::Rejected);
        NotConnected::Unavailable { retry_after: AFTER_FULL }
    }
}

fn refuse(error: &NotConnected) -> Response<Bytes> {
    match error {
        NotConnected::Version | NotConnected::Unauthorized | NotConnected::Reason(_) => answer::status(403),
        NotConnected::Unavailable { retry_after } => answer::unavailable(*retry_after),
        NotConnected::Failed => super::answer::failed(),
    }
}

impl std::fmt::Debug for LongPoll<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LongPoll({:?})", self.target.mount.base)
    }
}

/// The session's token: a header that is there counts, whatever it holds.
fn token<'a>(params: &'a Params, parts: &'a Parts) -> Option<&'a str> {
    match parts.headers.get(TOKEN) {
        Some(value) => value.to_str().ok(),
        None => params.text("token"),
    }
}
