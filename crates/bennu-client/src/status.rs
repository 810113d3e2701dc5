//! Where a socket and its channels stand, as values and as streams.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bennu_protocol::client;
use futures_util::Stream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::SocketEnd;

/// Where a socket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketStatus {
    /// There is no connection, and none is being made.
    Disconnected,
    /// A connection is being made.
    Connecting {
        /// Which reconnect this is since the socket was last connected; 0 when it was asked for.
        attempt: u32,
    },
    /// Messages can travel.
    Connected,
    /// The connection is being closed.
    Disconnecting,
    /// The next connection is made by itself.
    Reconnecting {
        /// Which reconnect that will be.
        attempt: u32,
        /// When.
        at: Instant,
    },
    /// It has ended for good.
    Ended(SocketEnd),
}

impl SocketStatus {
    pub(crate) fn new(status: client::SocketStatus, epoch: Instant) -> Self {
        match status {
            client::SocketStatus::Connecting { attempt } => SocketStatus::Connecting { attempt },
            client::SocketStatus::Open => SocketStatus::Connected,
            client::SocketStatus::Closing => SocketStatus::Disconnecting,
            client::SocketStatus::Reconnecting { attempt, at } => {
                SocketStatus::Reconnecting { attempt, at: moment(epoch, at) }
            }
            _ => SocketStatus::Disconnected,
        }
    }

    /// Whether messages can travel.
    #[must_use]
    pub fn is_connected(self) -> bool {
        self == SocketStatus::Connected
    }

    /// The status in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SocketStatus::Disconnected => "disconnected",
            SocketStatus::Connecting { .. } => "connecting",
            SocketStatus::Connected => "connected",
            SocketStatus::Disconnecting => "disconnecting",
            SocketStatus::Reconnecting { .. } => "reconnecting",
            SocketStatus::Ended(_) => "ended",
        }
    }
}

impl fmt::Display for SocketStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a channel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelStatus {
    /// It waits for the connection, or for the server's answer.
    Joining,
    /// It is joined.
    Joined,
    /// It is not joined, and is joined again by itself.
    Errored {
        /// When the next attempt is; none while there is no connection, as it then follows the next one at once.
        retry_at: Option<Instant>,
    },
    /// It is being left.
    Leaving,
    /// It has ended for good.
    Left,
    /// It has ended for good because its [type](crate::CustomChannel) panicked too often.
    Failed,
}

impl ChannelStatus {
    pub(crate) fn new(status: client::ChannelStatus, epoch: Instant) -> Self {
        match status {
            client::ChannelStatus::Joining => ChannelStatus::Joining,
            client::ChannelStatus::Joined => ChannelStatus::Joined,
            client::ChannelStatus::Errored { retry_at } => {
                ChannelStatus::Errored { retry_at: retry_at.map(|at| moment(epoch, at)) }
            }
            client::ChannelStatus::Leaving => ChannelStatus::Leaving,
            _ => ChannelStatus::Left,
        }
    }

    /// The status in one word; that of a channel that failed is `errored`, too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ChannelStatus::Joining => "joining",
            ChannelStatus::Joined => "joined",
            ChannelStatus::Errored { .. } | ChannelStatus::Failed => "errored",
            ChannelStatus::Leaving => "leaving",
            ChannelStatus::Left => "left",
        }
    }
}

impl fmt::Display for ChannelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A moment of the session, whose times count from `epoch`.
pub(crate) fn moment(epoch: Instant, at: Duration) -> Instant {
    // What lies beyond the clock's end never comes.
    epoch.checked_add(at).unwrap_or_else(|| epoch + Duration::from_secs(86_400 * 365 * 30))
}

/// A status and then each newer one, the last one first if several came meanwhile. It ends with the socket or channel.
///
/// It holds nothing up and keeps nothing alive.
pub struct Statuses<T> {
    changes: Pin<Box<dyn Stream<Item = T> + Send>>,
}

impl<T: Copy + Send + Sync + 'static> Statuses<T> {
    pub(crate) fn new(receiver: watch::Receiver<T>, is_last: fn(T) -> bool) -> Self {
        let start = Some((receiver, true));
        let changes = futures_util::stream::unfold(start, move |state| async move {
            let (mut receiver, is_first) = state?;
            let status = match is_first {
                true => *receiver.borrow_and_update(),
                false => {
                    receiver.changed().await.ok()?;
                    *receiver.borrow_and_update()
                }
            };
            Some((status, (!is_last(status)).then_some((receiver, false))))
        });
        Statuses { changes: Box::pin(changes) }
    }

    /// The next status; none after the last.
    pub async fn next(&mut self) -> Option<T> {
        futures_util::StreamExt::next(&mut self.changes).await
    }
}

impl<T> Stream for Statuses<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.changes.as_mut().poll_next(cx)
    }
}

impl<T> fmt::Debug for Statuses<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statuses").finish_non_exhaustive()
    }
}
