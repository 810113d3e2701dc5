//! Phoenix Channels, Presence and PubSub in Rust, for the clients you already have.
//!
//! A server has *sockets*, which decide who may connect, and *channels*, which
//! say what happens on a topic. Any Phoenix client talks to them.
//!
//! ```no_run
//! use bennu::prelude::*;
//!
//! struct RoomChannel;
//!
//! impl Channel for RoomChannel {
//!     type Assigns = ();
//!
//!     async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
//!         Ok(Joined::new(RoomChannel))
//!     }
//!
//!     async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
//!         match event {
//!             "shout" => {
//!                 cx.broadcast("shout", payload)?;
//!                 Handled::ok()
//!             }
//!             _ => Handled::unknown_event(event),
//!         }
//!     }
//! }
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let channels = Channels::new().channel::<RoomChannel>("room:*");
//! let endpoint = Endpoint::builder(PubSub::local())
//!     .socket("/socket", AllowAnonymous, channels, SocketOptions::default())
//!     .build()?;
//! let app = axum::Router::new().layer(bennu::axum::sockets(&endpoint));
//! bennu::axum::serve(tokio::net::TcpListener::bind("127.0.0.1:4000").await?, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! bennu logs with `tracing`: without a subscriber, such as `tracing_subscriber::fmt::init()`,
//! a channel that crashes does so in silence.
//!
//! - [`Socket`], [`Channel`], [`Context`]: what to write, and what to act through.
//! - [`Endpoint`]: mounts sockets; broadcasts and disconnects from anywhere.
//! - [`PubSub`]: typed messages between tasks, channels and workers.
//! - [`cluster`]: many nodes.
//! - [`presence`]: who is online.
//! - [`token`]: tokens and sessions, as `Phoenix.Token` and `Plug.Session` make them.
//! - [`typed`]: channels whose events are types, and TypeScript and AsyncAPI from them.
//! - [`axum`]: mounting in axum or tower.

/// Mounting in axum or any tower service.
pub mod axum {
    #[cfg(feature = "tls")]
    pub use bennu_server_axum::rustls;
    pub use bennu_server_axum::{
        Server, ServerLimits, SocketLayer, SocketService, health, readiness, serve, sockets, stop_signal,
    };
}

/// Many nodes: a PubSub over the engine that a URL names, each behind a feature.
pub mod cluster {
    pub use bennu_cluster::{ClusterError, pubsub};
    pub use bennu_pubsub::{ClusterOptions, ClusterOptionsError, Gap, LinkStatus, Node, NodeName};
}

/// Who is online.
pub mod presence {
    pub use bennu_presence::replica::{ReplicaOptions, ReplicaOptionsError};
    pub use bennu_presence::{
        After, Change, Crowd, Diff, Entry, Meta, Owner, Presence, PresenceBuilder, PresenceLimits, Presences,
        State, TrackError, UpdateError,
    };
}

/// Tokens and sessions that Phoenix applications read and write.
///
/// ```
/// use bennu::prelude::*;
/// use bennu::token::{SecretKeyBase, Session, SessionCookie, csrf};
///
/// struct UserSocket;
///
/// impl Socket for UserSocket {
///     type Assigns = u64;
///
///     async fn connect(&self, request: &ConnectRequest) -> Result<Connected<u64>, Refusal> {
///         // A page with a session of the web application, or whoever has a token.
///         if let Some(user) = request.session().and_then(|session| session.get("user_id")) {
///             return Ok(Connected::new(user));
///         }
///         let token = request.tokens().verify::<u64>("user socket", request.params().text("token"))?;
///         Ok(Connected::new(token.data).issued_at(token.signed_at).expires_at(token.expires_at))
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let channels = Channels::new();
/// let secret = SecretKeyBase::new("what the Phoenix application has as its secret_key_base")?;
/// let cookie = SessionCookie::new("_my_app_key", "mYs4lt");
/// let endpoint = Endpoint::builder(PubSub::local())
///     .secret_key_base(secret)
///     .socket("/socket", UserSocket, channels, SocketOptions::default().session(cookie.clone()))
///     .build()?;
///
/// let token = endpoint.tokens().sign("user socket", &42)?;
/// assert_eq!(endpoint.tokens().verify::<u64>("user socket", &*token)?.data, 42);
///
/// let token = csrf::session_token();
/// let session = Session::new().with("user_id", 42).with("_csrf_token", token.as_str());
/// let value = cookie.encode(endpoint.tokens(), &session)?;
/// let in_the_page = csrf::mask(&token).expect("it was made for this");
/// # assert!(cookie.decode(endpoint.tokens(), &value).is_some() && csrf::is_valid(&token, &in_the_page));
/// # Ok(())
/// # }
/// ```
pub mod token {
    pub use bennu_token::{
        FromTerm, KeyDigest, KeyOptions, MaxAge, SecretKeyBase, SecretTooShort, Session, SessionCookie,
        SignError, SignOptions, Term, TermError, ToTerm, TokenError, Tokens, Verified, VerifyOptions, csrf,
        term,
    };
}

/// Channels whose events are types, and the contract for clients that comes from them.
pub mod typed {
    pub use bennu_typed::*;
}

pub use bytes::Bytes;
pub use http;

pub use bennu_presence::Presence;
pub use bennu_protocol::{
    Broadcast, EncodeError, Encoding, IntoPayload, JoinRefRule, Payload, PayloadError, Ref, Serializer,
    Status, Topic,
};
pub use bennu_pubsub::{
    Codec, CodecError, CrossingError, Delivery, Gap, Lagged, LinkStatus, NodeName, PubSub, PubSubMessage,
    Subscription,
};
pub use bennu_server::{
    AllowAnonymous, AtExpiry, BroadcastError, BuildError, Channel, ChannelError, ChannelRef, Channels,
    CheckOrigin, Compression, ConnectRequest, Connected, Context, DrainOptions, DrainReport, Endpoint,
    EndpointBuilder, Handled, HandlerResult, History, Info, JoinRefusal, JoinRequest, Joined,
    LongPollOptions, Origin, OriginPattern, OriginPatternError, Param, Params, QueryError, Recovery, Refusal,
    RenewRequest, Renewed, Reply, Revocation, SlowReader, Socket, SocketOptions, SocketRef, StopReason,
    TerminateReason, TransportKind, UnknownEvent, Unready,
};

/// What most channels need, for `use bennu::prelude::*`.
pub mod prelude {
    pub use crate::{
        AllowAnonymous, Channel, ChannelError, ChannelRef, Channels, CheckOrigin, ConnectRequest, Connected,
        Context, Endpoint, Handled, HandlerResult, History, Info, JoinRefusal, JoinRequest, Joined, Payload,
        Presence, PubSub, Refusal, RenewRequest, Renewed, SlowReader, Socket, SocketOptions, SocketRef,
        Status, StopReason, TerminateReason, Topic, presence,
        typed::{Answer, AnswerResult, ClientEvents, ServerEvents, Typed, TypedChannel, TypedContext},
    };
}

/// The guides, so that their code is compiled.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../docs/mistakes.md")]
    struct Mistakes;
}
