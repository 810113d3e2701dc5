//! A channel: what was joined, what can be pushed to it, and what comes from it.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bennu_protocol::client::{ChannelId, ChannelSnapshot};
use bennu_protocol::{IntoPayload, Payload, Topic};
use futures_util::Stream;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};

use crate::behaviour::Inbox;
use crate::error::{ChannelEnd, JoinError, PushError, RecvError};
use crate::hooks::{Hook, Hooks};
use crate::mailbox::{Mailbox, MailboxLimits};
use crate::message::Message;
use crate::presence::{Tracker, Trackers};
use crate::push::{Leave, Push, Sending};
use crate::shared::{Handle, Shared};
use crate::state::ChannelState;
use crate::status::{ChannelStatus, Statuses};

/// A topic that is wanted joined, from its join until [`leave`](Self::leave): through failures and reconnects.
///
/// Clones stand for the same channel; when the last one is dropped, the channel is left. It keeps its socket alive.
#[derive(Clone)]
pub struct Channel {
    core: Arc<Core>,
    guard: Arc<Guard>,
    /// Of all but those that the socket itself holds: they keep it alive.
    _handle: Option<Arc<Handle>>,
}

/// What the driver needs of a channel.
pub(crate) struct Core {
    pub(crate) id: ChannelId,
    pub(crate) topic: Topic,
    pub(crate) hooks: Hooks,
    presences: Trackers,
    mailbox: Mailbox,
    /// Where messages go in place of the mailbox when the channel has a type.
    pub(crate) inbox: Option<Arc<Inbox>>,
    join: Mutex<JoinState>,
    status: watch::Sender<ChannelStatus>,
    end: OnceLock<ChannelEnd>,
    has_ended: Notify,
}

/// How the joins of a channel went.
#[derive(Default)]
struct JoinState {
    /// What the server said to the attempt that it let in last, as long as that holds.
    response: Option<(u32, Payload)>,
    /// How the last attempt failed that did.
    failure: Option<(u32, JoinError)>,
    /// Who waits for which attempt, or a later one.
    waiters: Vec<(u32, oneshot::Sender<Result<Payload, JoinError>>)>,
}

/// Its drop leaves the channel.
pub(crate) struct Guard {
    pub(crate) shared: Arc<Shared>,
    id: ChannelId,
}

impl Core {
    pub(crate) fn new(id: ChannelId, topic: Topic, limits: MailboxLimits, inbox: Option<Arc<Inbox>>) -> Self {
        Core {
            id,
            topic,
            hooks: Hooks::default(),
            presences: Trackers::default(),
            mailbox: Mailbox::new(limits),
            inbox,
            join: Mutex::default(),
            status: watch::Sender::new(ChannelStatus::Joining),
            end: OnceLock::new(),
            has_ended: Notify::new(),
        }
    }

    /// A message came: its hook has it, or presence, or the channel's type, or the mailbox.
    pub(crate) fn deliver(&self, message: Message) {
        let is_hooked = self.hooks.call(message.event.as_str(), &message.payload);
        self.presences.handle(message, |message| {
            if !is_hooked {
                self.mailbox().deliver(message);
            }
        });
    }

    /// Where messages wait.
    fn mailbox(&self) -> &Mailbox {
        self.inbox.as_ref().map_or(&self.mailbox, |inbox| &inbox.mailbox)
    }

    /// Who is there, by these events; those that wait to be received count.
    pub(crate) fn track(&self, state: &str, diff: &str) -> Arc<Tracker> {
        self.presences.track(state, diff, |is_wanted| self.mailbox().take_where(is_wanted))
    }

    pub(crate) fn joined(&self, attempt: u32, response: &Payload) {
        let waiters = {
            let mut join = self.join.lock();
            join.response = Some((attempt, response.clone()));
            join.failure = None;
            join.take_waiters(attempt)
        };
        for waiter in waiters {
            // Who asked need not wait any more.
            let _ = waiter.send(Ok(response.clone()));
        }
    }

    pub(crate) fn join_failed(&self, attempt: u32, error: &JoinError) {
        let waiters = {
            let mut join = self.join.lock();
            join.failure = Some((attempt, error.clone()));
            join.take_waiters(attempt)
        };
        for waiter in waiters {
            // Who asked need not wait any more.
            let _ = waiter.send(Err(error.clone()));
        }
    }

    /// The server does not know this attempt any more.
    pub(crate) fn errored(&self, attempt: u32) {
        let mut join = self.join.lock();
        join.response.take_if(|(joined, _)| *joined <= attempt);
    }

    pub(crate) fn tell_status(&self, status: ChannelStatus) {
        if status == ChannelStatus::Joining {
            self.presences.begin_join();
        }
        self.status.send_if_modified(|told| {
            // A channel that has failed stays so.
            let is_new = *told != status && *told != ChannelStatus::Failed;
            if is_new {
                *told = status;
            }
            is_new
        });
    }

    pub(crate) fn end(&self, end: ChannelEnd) {
        self.errored(u32::MAX);
        self.tell_status(match end {
            ChannelEnd::Panicked => ChannelStatus::Failed,
            _ => ChannelStatus::Left,
        });
        self.end.get_or_init(|| end.clone());
        self.has_ended.notify_waiters();
        self.mailbox.end(end.clone());
        if let Some(inbox) = &self.inbox {
            inbox.mailbox.end(end.clone());
        }
        self.join_failed(u32::MAX, &JoinError::Ended(end));
        self.hooks.close();
        self.presences.end();
    }

    /// What it was told last.
    pub(crate) fn status(&self) -> ChannelStatus {
        *self.status.borrow()
    }

    /// How it has ended, if it has.
    pub(crate) fn end_reason(&self) -> Option<ChannelEnd> {
        self.end.get().cloned()
    }

    pub(crate) async fn ended(&self) -> ChannelEnd {
        loop {
            let ended = self.has_ended.notified();
            match self.end.get() {
                Some(end) => return end.clone(),
                None => ended.await,
            }
        }
    }

    /// The outcome of this attempt, or of a later one.
    pub(crate) fn await_join(&self, attempt: u32) -> oneshot::Receiver<Result<Payload, JoinError>> {
        let (sender, receiver) = oneshot::channel();
        let mut join = self.join.lock();
        let known = match (&join.response, &join.failure) {
            (Some((joined, response)), _) if *joined >= attempt => Ok(response.clone()),
            (_, Some((failed, error))) if *failed >= attempt => Err(error.clone()),
            _ => {
                join.waiters.push((attempt, sender));
                return receiver;
            }
        };
        drop(join);
        // The receiver is in hand.
        let _ = sender.send(known);
        receiver
    }
}

impl JoinState {
    /// Those who wait for this attempt or an earlier one.
    fn take_waiters(&mut self, attempt: u32) -> Vec<oneshot::Sender<Result<Payload, JoinError>>> {
        // Who does not wait any more is let go of as well.
        self.waiters.retain(|(_, waiter)| !waiter.is_closed());
        let due = self.waiters.extract_if(.., |(wanted, _)| *wanted <= attempt);
        due.map(|(_, waiter)| waiter).collect()
    }
}

impl Guard {
    pub(crate) fn new(shared: Arc<Shared>, id: ChannelId) -> Self {
        Guard { shared, id }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.call(|state, now| state.session.leave(self.id, now));
    }
}

impl Channel {
    pub(crate) fn new(core: Arc<Core>, guard: Arc<Guard>, handle: Option<Arc<Handle>>) -> Self {
        Channel { core, guard, _handle: handle }
    }

    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.core.topic
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> ChannelStatus {
        if self.core.end_reason().is_some() {
            return self.core.status();
        }
        let status = self.shared().lock().session.channel_status(self.core.id);
        ChannelStatus::new(status, self.shared().epoch)
    }

    /// Where it stands, and each change of that.
    #[must_use]
    pub fn statuses(&self) -> Statuses<ChannelStatus> {
        let is_last = |status| matches!(status, ChannelStatus::Left | ChannelStatus::Failed);
        Statuses::new(self.core.status.subscribe(), is_last)
    }

    /// All that is known of it at this moment; none once it has ended.
    #[must_use]
    pub fn state(&self) -> Option<ChannelState> {
        if self.core.end_reason().is_some() {
            return None;
        }
        let snapshot = self.snapshot()?;
        Some(ChannelState::new(snapshot, self.core.hooks.events(), self.shared().epoch))
    }

    /// Waits until it is joined, and gives the server's response; at once if it is.
    ///
    /// # Errors
    ///
    /// [`JoinError`] as soon as an attempt fails; the next one comes by itself, and can be waited for in the same way.
    pub async fn joined(&self) -> Result<Payload, JoinError> {
        let attempt = self.shared().lock().session.join_attempt(self.core.id);
        let outcome = self.core.await_join(attempt.unwrap_or(u32::MAX)).await;
        outcome.unwrap_or(Err(JoinError::Ended(ChannelEnd::Left)))
    }

    /// Pushes an event, and waits for the reply. It is sent when this is first polled: now if the channel is joined, else as soon as it is.
    ///
    /// ```no_run
    /// # async fn of(channel: bennu_client::Channel) -> Result<(), bennu_client::PushError> {
    /// use std::time::Duration;
    ///
    /// use serde_json::json;
    ///
    /// let response = channel.push("new_msg", json!({"body": "Hello"})).timeout(Duration::from_secs(1)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn push(&self, event: impl AsRef<str>, payload: impl IntoPayload) -> Push {
        Push::new(self.clone(), event.as_ref(), payload.into_payload())
    }

    /// Pushes an event that the server does not reply to: now if the channel is joined, else as soon as it is. What is returned tells when it was
    /// sent, and need not be awaited.
    ///
    /// # Errors
    ///
    /// [`PushError`] when it can never be sent.
    pub fn push_async(
        &self,
        event: impl AsRef<str>,
        payload: impl IntoPayload,
    ) -> Result<Sending, PushError> {
        Sending::start(self, event.as_ref(), payload.into_payload()?)
    }

    /// The next message that no hook takes. Clones share what comes: each message is received once.
    ///
    /// It can be dropped at any time without losing a message.
    ///
    /// # Errors
    ///
    /// [`RecvError::Missed`] when more came than may wait, [`RecvError::Ended`] once the channel has ended and everything was received.
    pub async fn recv(&self) -> Result<Message, RecvError> {
        self.core.mailbox.recv().await
    }

    /// The next message, if it has come already.
    pub fn try_recv(&self) -> Option<Result<Message, RecvError>> {
        self.core.mailbox.try_recv()
    }

    /// What [`recv`](Self::recv) gives, as a stream, which ends with the channel.
    #[must_use]
    pub fn messages(&self) -> Messages {
        let stream = futures_util::stream::unfold(self.clone(), |channel| async move {
            match channel.recv().await {
                Err(RecvError::Ended(_)) => None,
                next => Some((next, channel)),
            }
        });
        Messages(Box::pin(stream))
    }

    /// Calls a hook for each message of an event from now on, in place of delivering it. It replaces the one that the event has.
    ///
    /// A hook that holds a clone of this channel keeps it joined until [`off`](Self::off).
    pub fn on(&self, event: impl Into<String>, hook: impl Hook) {
        drop(self.core.hooks.set(event.into(), Arc::new(hook)));
    }

    /// Takes the hook of an event off; whether it had one.
    pub fn off(&self, event: &str) -> bool {
        self.core.hooks.remove(event)
    }

    /// Leaves the channel, which is closed at once, whatever clones there are; waits until the server has let go.
    ///
    /// # Errors
    ///
    /// [`PushError`] when the server does not confirm it. The channel is closed all the same.
    pub fn leave(&self) -> Leave {
        Leave::start(self.shared(), self.core.id)
    }

    /// Leaves the channel without waiting for the server.
    pub fn stop(&self) {
        drop(self.leave());
    }

    /// Joins it anew, at once and with its params as they are now: for applications that have lost track of what it sent. Pushes that were sent end
    /// as if the connection had. Without effect while it is not joined.
    #[doc(alias = "update_channel_status")]
    pub fn rejoin(&self) {
        self.shared().call(|state, now| state.session.rejoin(self.core.id, now));
    }

    /// Waits until it has ended for good, and says how.
    pub async fn ended(&self) -> ChannelEnd {
        self.core.ended().await
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.guard.shared
    }

    pub(crate) fn snapshot(&self) -> Option<ChannelSnapshot> {
        self.shared().lock().session.channel_snapshot(self.core.id)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("topic", &self.core.topic)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// Messages of a channel, as a stream.
pub struct Messages(Pin<Box<dyn Stream<Item = Result<Message, RecvError>> + Send>>);

impl Stream for Messages {
    type Item = Result<Message, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}
