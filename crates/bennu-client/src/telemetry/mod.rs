//! What the sockets of this process do, told to whoever asks.
//!
//! Handlers are attached for the whole process, by an id of their own, to one or more [`Group`]s. They run where the event
//! happens, one after the other: keep them short. One that panics is detached, and the socket goes on. Without a handler an
//! event costs one atomic load.
//!
//! ```
//! use bennu_client::telemetry::{self, Group, SocketAction, TelemetryEvent};
//!
//! telemetry::attach("connects", Group::Socket, |event| {
//!     if let TelemetryEvent::Socket(socket) = event
//!         && let SocketAction::Connected = socket.action
//!     {
//!         println!("{} is connected to {}", socket.socket, socket.url);
//!     }
//! })?;
//! telemetry::attach_debug_handler(); // or: log everything
//! # telemetry::detach_debug_handler();
//! # assert!(telemetry::detach("connects"));
//! # Ok::<(), telemetry::AlreadyAttached>(())
//! ```

mod emit;
mod event;
mod handlers;

pub(crate) use emit::without_secrets;
pub use emit::{
    channel_event, channel_join_duration, channel_join_error, channel_joined, channel_leave_duration,
    channel_left, channel_status_changed, emit_event, heartbeat_sent, message_event, message_received,
    message_sent, reconnecting, socket_connected, socket_connecting, socket_connection_duration,
    socket_connection_error, socket_disconnected, socket_event, socket_status_changed, state_change_event,
};
pub use event::{
    ChannelAction, ChannelTelemetry, Group, MessageAction, MessageTelemetry, SocketAction, SocketId,
    SocketTelemetry, StateOf, StateTelemetry, TelemetryEvent,
};
pub use handlers::{
    AlreadyAttached, Groups, attach, attach_debug_handler, detach, detach_debug_handler, is_listened_to,
};
