//! What can be set for one mount.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::websocket::Limits;
use bennu_protocol::{JoinRefRule, Serializer};
use bennu_token::SessionCookie;
use bytes::Bytes;
use http::Response;

use crate::compression::Compression;
use crate::credentials::AtExpiry;
use crate::origin::CheckOrigin;
use crate::session::SessionOptions;
use crate::transport::longpoll::LongPollOptions;

type ErrorHandler = Arc<dyn Fn(&str) -> Response<Bytes> + Send + Sync>;

/// Options of one mount of a socket. Each has a safe default.
#[derive(Clone)]
pub struct SocketOptions {
    pub(crate) path: String,
    pub(crate) websocket: bool,
    pub(crate) longpoll: Option<LongPollOptions>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) limits: Limits,
    pub(crate) compression: Option<Compression>,
    pub(crate) check_origin: CheckOrigin,
    pub(crate) origin_hint: String,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) auth_token: bool,
    pub(crate) session: SessionOptions,
    pub(crate) error_handler: Option<ErrorHandler>,
    pub(crate) max_channels: usize,
    pub(crate) join_ref_rule: JoinRefRule,
    pub(crate) serializers: Vec<Serializer>,
    pub(crate) max_backlog: usize,
    pub(crate) max_backlog_frames: usize,
    pub(crate) write_timeout: Duration,
    pub(crate) shutdown: Duration,
    pub(crate) expiry_notice: Duration,
    pub(crate) at_expiry: AtExpiry,
}

impl Default for SocketOptions {
    fn default() -> Self {
        SocketOptions {
            path: "/websocket".to_owned(),
            websocket: true,
            longpoll: None,
            timeout: Some(Duration::from_secs(60)),
            limits: Limits::default(),
            compression: None,
            check_origin: CheckOrigin::default(),
            origin_hint: "if it is yours, allow it with SocketOptions::check_origin".to_owned(),
            subprotocols: Vec::new(),
            auth_token: false,
            session: SessionOptions::default(),
            error_handler: None,
            max_channels: 100,
            join_ref_rule: JoinRefRule::default(),
            serializers: vec![Serializer::V1, Serializer::V2],
            max_backlog: 1 << 20,
            max_backlog_frames: 10_000,
            write_timeout: Duration::from_secs(30),
            shutdown: Duration::from_secs(5),
            expiry_notice: Duration::from_secs(60),
            at_expiry: AtExpiry::default(),
        }
    }
}

impl SocketOptions {
    /// The path of the WebSocket below the mount; `/websocket` by default.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Whether there is a WebSocket; on by default.
    #[must_use]
    pub fn websocket(mut self, on: bool) -> Self {
        self.websocket = on;
        self
    }

    /// Lets clients poll too, for networks that let no WebSocket through; off by default.
    /// What the server sends them is text: binary messages are dropped with a warning.
    #[must_use]
    pub fn longpoll(mut self, options: LongPollOptions) -> Self {
        self.longpoll = Some(options);
        self
    }

    /// Closes a connection with 1002 after so long without a byte from the client;
    /// 60 s by default. Clients send a heartbeat every 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The longest frame from a client in bytes, its header counted; 10,000,000 by
    /// default. A longer one closes the connection with 1009 before it is read; over long polling,
    /// a longer message ends the session.
    #[must_use]
    pub fn max_frame_size(mut self, bytes: usize) -> Self {
        self.limits.max_frame_size = bytes;
        self
    }

    /// The longest fragmented message from a client in bytes; 8,000,000 by default.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.limits.max_message_size = bytes;
        self
    }

    /// Compresses what is sent to clients that ask for it, and takes compressed messages
    /// (permessage-deflate, RFC 7692); off by default.
    ///
    /// It saves traffic of large messages and costs CPU time. All browsers ask for it. Long polling
    /// is not concerned.
    #[must_use]
    #[doc(alias = "compress")]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Which web pages may connect; by default those of the own host.
    #[must_use]
    pub fn check_origin(mut self, check: CheckOrigin) -> Self {
        self.check_origin = check;
        self
    }

    /// What the log says to do about an origin that was refused; an application with an
    /// option of its own for origins names it here.
    #[must_use]
    pub fn origin_hint(mut self, hint: impl Into<String>) -> Self {
        self.origin_hint = hint.into();
        self
    }

    /// WebSocket sub-protocols, the preferred one first. The first that the client
    /// offers too is answered; a client that offers others only is refused with 403.
    #[must_use]
    pub fn subprotocols(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Reads the token that the JavaScript client's `authToken` option sends as a
    /// sub-protocol; off by default. Keeps tokens out of URLs and so out of logs.
    #[must_use]
    pub fn auth_token(mut self, on: bool) -> Self {
        self.auth_token = on;
        self
    }

    /// Reads the session of the web application for `connect`; none by default.
    ///
    /// The session is absent, and the connection still asked for, when the cookie is missing or
    /// forged, or when the page does not send the token of its session as the parameter
    /// `_csrf_token`, as the JavaScript client does that is given `{params: {_csrf_token}}`.
    #[must_use]
    #[doc(alias = "connect_info")]
    pub fn session(mut self, cookie: SessionCookie) -> Self {
        self.session.cookie = Some(cookie);
        self
    }

    /// Whether a page must send its session's token for the session to be seen; on by default.
    ///
    /// Without it the origin must be checked: a mount that reads sessions for every page of the
    /// web cannot be built.
    #[must_use]
    pub fn check_csrf(mut self, on: bool) -> Self {
        self.session.check_csrf = on;
        self
    }

    /// The name under which the session keeps its token against forged requests; `_csrf_token` by default.
    #[must_use]
    pub fn csrf_token_key(mut self, name: impl Into<String>) -> Self {
        self.session.csrf_token_key = name.into();
        self
    }

    /// Answers a [`Refusal::Reason`](crate::Refusal::Reason), given its text; by default with 403.
    #[must_use]
    pub fn error_handler(
        mut self,
        handler: impl Fn(&str) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.error_handler = Some(Arc::new(handler));
        self
    }

    /// How many channels a connection may have joined; 100 by default, 65,535 at most.
    #[must_use]
    #[doc(alias = "max_channels_per_transport")]
    pub fn max_channels(mut self, count: u16) -> Self {
        self.max_channels = usize::from(count);
        self
    }

    /// Which join refs a channel accepts; [`JoinRefRule::Lenient`] by default.
    #[must_use]
    pub fn join_ref_rule(mut self, rule: JoinRefRule) -> Self {
        self.join_ref_rule = rule;
        self
    }

    /// Which versions of the protocol are spoken; both by default. A client that asks for
    /// another one is refused with 403, and so is one that asks for none if 1.0.0 is left out.
    #[must_use]
    #[doc(alias = "serializer")]
    pub fn serializers(mut self, serializers: impl IntoIterator<Item = Serializer>) -> Self {
        self.serializers = serializers.into_iter().collect();
        self
    }

    /// Bytes that may wait for a client that reads too slowly; 1 MiB by default.
    ///
    /// A message that finds more waiting closes the connection with 1013; what
    /// waited is dropped, and the client reconnects and joins anew. While half
    /// of it waits, nothing more is read from the client. Channels can ask for something milder with
    /// [`Channels::slow_reader`](crate::Channels::slow_reader).
    #[must_use]
    pub fn max_backlog(mut self, bytes: usize) -> Self {
        self.max_backlog = bytes;
        self
    }

    /// Messages that may wait for a client that reads too slowly, however small they are; 10,000 by default, which
    /// take half a MiB beside their bytes. As with [`max_backlog`](Self::max_backlog), the next one closes the
    /// connection with 1013.
    #[must_use]
    pub fn max_backlog_frames(mut self, count: usize) -> Self {
        self.max_backlog_frames = count;
        self
    }

    /// Drops a connection when less than 4 KiB of what waits for the client could be sent in
    /// this time; 30 s by default. Costs nothing while nothing waits. Holds whatever a channel's
    /// [`SlowReader`](crate::SlowReader) says, or a dead peer would keep its memory for ever.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// How long handlers and `terminate` may go on after the connection ended; 5 s by default.
    #[must_use]
    pub fn shutdown(mut self, timeout: Duration) -> Self {
        self.shutdown = timeout;
        self
    }
}

impl SocketOptions {
    /// Whether any page of the web could act with the session of its visitor.
    pub(crate) fn is_session_open(&self) -> bool {
        let unchecked = matches!(self.check_origin, CheckOrigin::Any) && !self.session.check_csrf;
        unchecked && self.session.cookie.is_some()
    }
}

impl fmt::Debug for SocketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketOptions")
            .field("path", &self.path)
            .field("websocket", &self.websocket)
            .field("longpoll", &self.longpoll)
            .field("timeout", &self.timeout)
            .field("limits", &self.limits)
            .field("compression", &self.compression)
            .field("check_origin", &self.check_origin)
            .field("auth_token", &self.auth_token)
            .field("session", &self.session)
            .field("max_channels", &self.max_channels)
            .field("max_backlog", &self.max_backlog)
            .field("max_backlog_frames", &self.max_backlog_frames)
            .finish_non_exhaustive()
    }
}
