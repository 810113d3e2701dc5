//! A Phoenix server that says what a test tells it to, for programs that are clients.
//!
//! [`ScriptedServer::new`] gives a server and the transport that leads to it: give that to the client in place of a network. The test
//! then is the server.
//!
//! ```
//! use bennu_client::{PushError, Socket, SocketConfig};
//! use bennu_testkit::ScriptedServer;
//! use serde_json::json;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
//! // In a test: #[tokio::test(start_paused = true)]
//! let (server, transport) = ScriptedServer::new();
//! let program = tokio::spawn(async move {
//!     let config = SocketConfig::new("ws://localhost/socket").param("token", "abc").transport(transport);
//!     let socket = Socket::start(config).unwrap();
//!     let (_, room) = socket.join("room:1", json!({"name": "ada"})).await.unwrap();
//!     let outcome = room.push("message:new", json!({"body": "hello"})).await;
//!     assert!(matches!(outcome, Err(PushError::Refused { .. })));
//!     room.recv().await.unwrap()
//! });
//!
//! let connection = server.accept().await;
//! assert_eq!(connection.param("token").as_deref(), Some("abc"));
//!
//! let join = connection.expect_join("room:1").await;
//! assert_eq!(join["name"], "ada");
//! join.reply_ok(json!({}));
//!
//! let push = connection.expect_push("room:1", "message:new").await;
//! assert_eq!(push["body"], "hello");
//! push.reply_error(json!({"reason": "too loud"}));
//!
//! connection.broadcast("room:1", "closing", json!({"in": 5}));
//! assert_eq!(program.await?.event.as_str(), "closing");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An expectation takes the first message that fits and was not taken before; the order between different ones is free. When none comes
//! within 5 s of tokio's clock ([`ScriptedServer::within`]), or the connection ends before, it panics, and lists what came.
//!
//! [`ScriptedServer::listen`] has the same server listen on a port, for clients in other languages or processes.
//!
//! # The clock
//!
//! With `#[tokio::test(start_paused = true)]` time stands still while anyone has work to do, and else jumps to what is due next. A client on tokio's
//! clock, as `bennu-client` is, thus waits for its heartbeats, timeouts and reconnects in no time, and an expectation waits with it: a test that expects the
//! rejoin after 2 s just expects it. [`advance`] lets time pass where nothing is expected.

mod came;
mod connection;
mod link;
mod listen;
mod message;
mod server;
mod transport;

use std::time::Duration;

pub use connection::ScriptedConnection;
pub use message::ScriptedMessage;
pub use server::ScriptedServer;
pub use transport::ScriptedTransport;

/// How long expectations wait unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lets time pass on tokio's clock, all that is due on the way in its time. On a paused clock this takes none.
///
/// Unlike `tokio::time::advance`, which jumps to the end, it lets a client do at 10, 50 and 100 ms what it does then.
#[doc(alias = "sleep")]
pub async fn advance(time: Duration) {
    tokio::time::sleep(time).await;
}
