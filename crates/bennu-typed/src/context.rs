//! A typed channel's way to the outside.

use std::fmt;
use std::ops::{Deref, DerefMut};

use bennu_protocol::EncodeError;
use bennu_server::{BroadcastError, Context};

use crate::channel::TypedChannel;
use crate::event::ServerEvents;

/// A [`Context`] that sends the events of a channel's [`Out`](TypedChannel::Out), and none other.
///
/// All else is the context's: `topic`, `assigns`, `endpoint`, `handle`, `subscribe`.
///
/// ```
/// # use bennu::typed::{ServerEvents, TypedChannel, TypedContext};
/// # #[derive(ServerEvents)] enum RoomOut { Typing { name: String } }
/// # #[derive(ServerEvents)] enum LobbyOut { Opened }
/// fn greet<C: TypedChannel<Out = RoomOut>>(cx: &TypedContext<'_, C>) -> Result<(), bennu::BroadcastError> {
///     cx.broadcast_from(RoomOut::Typing { name: "ada".to_owned() })
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use bennu::typed::{ServerEvents, TypedChannel, TypedContext};
/// # #[derive(ServerEvents)] enum RoomOut { Typing { name: String } }
/// # #[derive(ServerEvents)] enum LobbyOut { Opened }
/// fn greet<C: TypedChannel<Out = RoomOut>>(cx: &TypedContext<'_, C>) -> Result<(), bennu::BroadcastError> {
///     cx.broadcast_from(LobbyOut::Opened) // of another channel
/// }
/// ```
///
/// ```compile_fail,E0061
/// # use bennu::typed::{ServerEvents, TypedChannel, TypedContext};
/// # #[derive(ServerEvents)] enum RoomOut { Typing { name: String } }
/// # #[derive(ServerEvents)] enum LobbyOut { Opened }
/// fn greet<C: TypedChannel<Out = RoomOut>>(cx: &TypedContext<'_, C>) -> Result<(), bennu::BroadcastError> {
///     cx.broadcast_from("typing", "ada") // untyped
/// }
/// ```
pub struct TypedContext<'a, C: TypedChannel> {
    untyped: &'a mut Context<C::Assigns>,
}

impl<'a, C: TypedChannel> TypedContext<'a, C> {
    pub(crate) fn new(untyped: &'a mut Context<C::Assigns>) -> Self {
        TypedContext { untyped }
    }

    /// Sends an event to this client alone.
    ///
    /// # Errors
    ///
    /// As [`Context::push`].
    pub fn push(&self, event: C::Out) -> Result<(), EncodeError> {
        let (event, payload) = event.into_message()?;
        self.untyped.push(event, payload)
    }

    /// Sends an event to every subscriber of the topic, this client included.
    ///
    /// # Errors
    ///
    /// As [`Context::broadcast`].
    #[doc(alias = "broadcast!")]
    pub fn broadcast(&self, event: C::Out) -> Result<(), BroadcastError> {
        let (event, payload) = event.into_message()?;
        self.untyped.broadcast(event, payload)
    }

    /// Sends an event to every subscriber of the topic but this client.
    ///
    /// # Errors
    ///
    /// As [`Context::broadcast_from`].
    #[doc(alias = "broadcast_from!")]
    pub fn broadcast_from(&self, event: C::Out) -> Result<(), BroadcastError> {
        let (event, payload) = event.into_message()?;
        self.untyped.broadcast_from(event, payload)
    }

    /// The untyped context: for events that the contract does not have.
    #[must_use]
    pub fn untyped(&mut self) -> &mut Context<C::Assigns> {
        self.untyped
    }
}

impl<C: TypedChannel> Deref for TypedContext<'_, C> {
    type Target = Context<C::Assigns>;

    fn deref(&self) -> &Self::Target {
        self.untyped
    }
}

impl<C: TypedChannel> DerefMut for TypedContext<'_, C> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.untyped
    }
}

impl<C: TypedChannel> fmt::Debug for TypedContext<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.untyped, f)
    }
}
