//! Channel types of the application: who gets a channel's messages in place of its owner.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bennu_protocol::{Payload, Topic};
use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::channel::{Channel, Core, Guard};
use crate::error::{ChannelEnd, RecvError};
use crate::mailbox::{Mailbox, MailboxLimits};
use crate::message::Message;
use crate::shared::Shared;
use crate::socket::Socket;

/// How often a channel type may be restarted within [`RESTART_PERIOD`], as Erlang's supervisors do it.
pub const MAX_RESTARTS: usize = 3;

/// The period in which [`MAX_RESTARTS`] are counted.
pub const RESTART_PERIOD: Duration = Duration::from_secs(5);

/// A type of channels: it gets the messages of a channel, in order and one at a time, in place of the channel's owner.
///
/// [`SocketConfig::topic_channel`](crate::SocketConfig::topic_channel) says which topics have which type,
/// [`default_channel`](crate::SocketConfig::default_channel) which one all others have, and
/// [`Socket::start_channel`](crate::Socket::start_channel) gives one channel a type. All of them take a function of the socket, the topic and the params
/// that makes the value; it is called as soon as the join is on its way.
///
/// While it handles a message it keeps the channel, and so the topic joined, whoever drops their handles.
///
/// A channel's value lives on a task of its own. If it panics, there or while it is made, it alone is dropped, the topic is left and joined anew with the
/// channel's params, and another value is made; what the old one had not handled is dropped with it. After more than [`MAX_RESTARTS`] within
/// [`RESTART_PERIOD`] the channel is left for good: its status is [`Failed`](crate::ChannelStatus::Failed), its end [`ChannelEnd::Panicked`].
///
/// ```
/// use bennu_client::{Channel, CustomChannel, Handled, Payload, Socket, SocketConfig, Topic};
/// use serde_json::json;
///
/// struct Greeter {
///     greeted: u32,
/// }
///
/// impl Greeter {
///     fn init(_: &Socket, _: &Topic, _: &Payload) -> Self {
///         Greeter { greeted: 0 }
///     }
/// }
///
/// impl CustomChannel for Greeter {
///     async fn handle_in(&mut self, event: &str, _: &Payload, channel: &Channel) -> Handled {
///         if event == "user:joined" {
///             self.greeted += 1;
///             // Who is gone again needs no greeting.
///             let _ = channel.push("new_msg", json!({"body": "Welcome!"})).await;
///         }
///         Handled::NoReply
///     }
/// }
///
/// let config = SocketConfig::new("ws://localhost:4000/socket").topic_channel("rooms:lobby", Greeter::init);
/// ```
#[doc(alias = "Phoenix.SocketClient.Channel")]
pub trait CustomChannel: Send + 'static {
    /// A message came that no hook takes. By default it goes to [`handle_in`](Self::handle_in).
    fn handle_message(
        &mut self,
        message: Message,
        channel: &Channel,
    ) -> impl Future<Output = Handled> + Send {
        async move { self.handle_in(message.event.as_str(), &message.payload, channel).await }
    }

    /// An event came. By default nothing happens.
    fn handle_in(
        &mut self,
        event: &str,
        payload: &Payload,
        channel: &Channel,
    ) -> impl Future<Output = Handled> + Send {
        let _ = (event, payload, channel);
        async { Handled::NoReply }
    }
}

/// What becomes of a channel after one of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handled {
    /// It goes on.
    #[doc(alias = "noreply")]
    NoReply,
    /// It is left.
    Stop,
}

/// How the values of one type are made.
#[derive(Clone)]
pub(crate) struct ChannelType(Arc<Init>);

type Init = dyn Fn(&Socket, &Topic, &Payload) -> Box<dyn Handler> + Send + Sync;

impl ChannelType {
    pub(crate) fn new<C: CustomChannel>(
        init: impl Fn(&Socket, &Topic, &Payload) -> C + Send + Sync + 'static,
    ) -> Self {
        ChannelType(Arc::new(move |socket, topic, params| Box::new(init(socket, topic, params))))
    }
}

impl fmt::Debug for ChannelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelType")
    }
}

/// [`CustomChannel`] behind a pointer.
trait Handler: Send {
    fn handle<'a>(
        &'a mut self,
        message: Message,
        channel: &'a Channel,
    ) -> Pin<Box<dyn Future<Output = Handled> + Send + 'a>>;
}

impl<C: CustomChannel> Handler for C {
    fn handle<'a>(
        &'a mut self,
        message: Message,
        channel: &'a Channel,
    ) -> Pin<Box<dyn Future<Output = Handled> + Send + 'a>> {
        Box::pin(self.handle_message(message, channel))
    }
}

/// What a channel has for its type.
pub(crate) struct Inbox {
    pub(crate) mailbox: Mailbox,
    /// Those of the last join that is on its way or was.
    params: watch::Sender<Option<Payload>>,
}

impl Inbox {
    pub(crate) fn new(limits: MailboxLimits) -> Self {
        Inbox { mailbox: Mailbox::new(limits), params: watch::Sender::new(None) }
    }

    pub(crate) fn join_is_sent(&self, params: Payload) {
        self.params.send_replace(Some(params));
    }
}

/// The task of one channel that has a type. It keeps neither the channel nor the socket alive.
pub(crate) struct Task {
    pub(crate) channel_type: ChannelType,
    pub(crate) shared: Arc<Shared>,
    pub(crate) core: Arc<Core>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) guard: Weak<Guard>,
}

impl Task {
    /// Runs the type until the channel ends, restarting it when it panics.
    pub(crate) async fn run(self) {
        let mut params = self.inbox.params.subscribe();
        // The join may be on its way already.
        params.mark_changed();
        let mut restarts = Restarts::default();
        while AssertUnwindSafe(self.live(&mut params)).catch_unwind().await.is_err() {
            let dropped = self.inbox.mailbox.clear();
            let topic = &self.core.topic;
            if !restarts.is_allowed(Instant::now()) {
                tracing::error!(%topic, dropped, "a channel's type panicked too often, and the channel is left");
                self.core.end(ChannelEnd::Panicked);
                self.shared.call(|state, now| state.session.leave(self.core.id, now));
                return;
            }
            tracing::error!(%topic, dropped, "a channel's type panicked, and is restarted");
            let is_joined_anew = self.shared.call(|state, now| {
                params.mark_unchanged();
                state.session.rejoin(self.core.id, now)
            });
            if !is_joined_anew {
                // It is joining or about to: the params that it has are those to begin with.
                params.mark_changed();
            }
        }
    }

    /// One value's life.
    async fn live(&self, params: &mut watch::Receiver<Option<Payload>>) {
        let Some(first) = self.until_end(sent(params)).await.flatten() else { return };
        let Some(mut handler) = self.init(&first) else { return };
        while let Some(message) = self.recv().await {
            let Some(guard) = self.guard.upgrade() else { return };
            let channel = Channel::new(Arc::clone(&self.core), guard, None);
            if handler.handle(message, &channel).await == Handled::Stop {
                channel.stop();
                return;
            }
        }
    }

    fn init(&self, params: &Payload) -> Option<Box<dyn Handler>> {
        let socket = Socket::of(self.shared.handle()?);
        Some((self.channel_type.0)(&socket, &self.core.topic, params))
    }

    /// None once the channel has ended and all that came before was taken.
    async fn recv(&self) -> Option<Message> {
        loop {
            match self.inbox.mailbox.recv().await {
                Ok(message) => return Some(message),
                Err(RecvError::Missed { count }) => {
                    tracing::warn!(topic = %self.core.topic, count, "a channel's type is too slow for its messages");
                }
                Err(RecvError::Ended(_)) => return None,
            }
        }
    }

    async fn until_end<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            _ = self.core.ended() => None,
            output = future => Some(output),
        }
    }
}

/// Waits for the params of the next join that is on its way.
async fn sent(params: &mut watch::Receiver<Option<Payload>>) -> Option<Payload> {
    loop {
        params.changed().await.ok()?;
        if let Some(params) = &*params.borrow_and_update() {
            return Some(params.clone());
        }
    }
}

/// When a type was restarted lately.
#[derive(Default)]
struct Restarts(VecDeque<Instant>);

impl Restarts {
    fn is_allowed(&mut self, now: Instant) -> bool {
        self.0.retain(|at| now.duration_since(*at) < RESTART_PERIOD);
        self.0.push_back(now);
        self.0.len() <= MAX_RESTARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_restarts_within_five_seconds_are_allowed_and_a_fourth_is_not() {
        let start = Instant::now();
        let allowed = |times: &[u64]| {
            let mut restarts = Restarts::default();
            times.iter().map(|at| restarts.is_allowed(start + Duration::from_millis(*at))).collect::<Vec<_>>()
        };
        assert_eq!(allowed(&[0, 1, 2, 3]), [true, true, true, false]);
        assert_eq!(allowed(&[0, 1, 4_999, 5_000]), [true, true, true, true], "the first is forgotten");
        assert_eq!(allowed(&[0, 1, 4_998, 4_999]), [true, true, true, false]);
    }
}
