//! A joined channel: its state, the handler that waits, and what waits behind it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Instant;

use bennu_protocol::{Broadcast, EncodeError, Frame, Name, Payload, Ref, Topic};
use bennu_pubsub::Delivery;
use futures_util::future::BoxFuture;

use crate::channel::{
    Channel, ChannelError, Handled, HandlerResult, JoinRefusal, Reply, StopReason, TerminateReason,
    UnknownEvent,
};
use crate::context::{Context, ContextCore};
use crate::history::Replay;
use crate::info::Info;
use crate::mailbox::Item;
use crate::router::JoinOutcome;

/// A channel and its context, as they move into a handler's future and back.
pub(crate) struct Active<C: Channel> {
    pub(crate) channel: C,
    pub(crate) cx: Context<C::Assigns>,
}

/// An [`Active`] of any type.
pub(crate) trait AnyChannel: Send {
    /// Runs one handler. The channel comes back with the result.
    fn handle(self: Box<Self>, input: Input) -> BoxFuture<'static, (Box<dyn AnyChannel>, HandlerResult)>;

    /// Runs `terminate` and drops the channel.
    fn terminate(self: Box<Self>, reason: TerminateReason) -> BoxFuture<'static, ()>;

    fn core(&mut self) -> &mut ContextCore;
}

/// What a handler can be run for.
pub(crate) enum Input {
    AfterJoin,
    In { event: Name, payload: Payload, reference: Option<Ref> },
    Out(Delivery),
    Info(Info),
}

impl<C: Channel> AnyChannel for Active<C> {
    fn handle(mut self: Box<Self>, input: Input) -> BoxFuture<'static, (Box<dyn AnyChannel>, HandlerResult)> {
        Box::pin(async move {
            let result = self.run(input).await;
            self.cx.core.reference = None;
            (self as Box<dyn AnyChannel>, result)
        })
    }

    fn terminate(mut self: Box<Self>, reason: TerminateReason) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.cx.core.unsubscribe_all();
            self.channel.terminate(&reason, &mut self.cx).await;
        })
    }

    fn core(&mut self) -> &mut ContextCore {
        &mut self.cx.core
    }
}

impl<C: Channel> Active<C> {
    async fn run(&mut self, input: Input) -> HandlerResult {
        let Active { channel, cx } = self;
        match input {
            Input::AfterJoin => channel.after_join(cx).await.map(|()| Handled::NoReply),
            Input::In { event, payload, reference } => {
                cx.core.reference = reference;
                let Some(event) = event.as_text() else {
                    return Err(UnknownEvent(format!("{event:?}")).into());
                };
                let started = Instant::now();
                let result = channel.handle_in(event, payload, cx).await;
                let duration = started.elapsed();
                cx.core.metrics().handle_in_took(duration);
                tracing::debug!(connection = cx.connection_id(), topic = ?&**cx.topic(), ?event, ?duration, "handled");
                result
            }
            Input::Out(delivery) => match delivery.get::<Broadcast>() {
                Some(broadcast) => {
                    channel.handle_out(broadcast.event(), broadcast.payload().clone(), cx).await
                }
                None => Handled::no_reply(),
            },
            Input::Info(info) => channel.handle_info(info, cx).await,
        }
    }
}

/// One channel of a connection.
pub(crate) struct Joined {
    pub(crate) generation: u32,
    /// Index of its route in the mount.
    pub(crate) route: u32,
    pub(crate) topic: Topic,
    run: Run,
    /// What the client missed; comes before all that waits.
    replay: Option<Replay>,
    waiting: VecDeque<Waiting>,
    /// Bytes of client messages in `waiting`.
    waiting_bytes: usize,
    /// Bytes in `waiting` that the mailbox's backlog counts.
    backlog_bytes: usize,
    /// Ref of the message whose handler runs or waits.
    reference: Option<Ref>,
    /// Whether broadcasts have to wait behind what is in `waiting` or runs: what the client
    /// missed, `after_join`, and, where clients count broadcasts, `handle_out`.
    holds_broadcasts: bool,
    /// Whether clients count them.
    numbered: bool,
}

enum Run {
    Joining(BoxFuture<'static, JoinOutcome>),
    Idle(Box<dyn AnyChannel>),
    Busy(BoxFuture<'static, (Box<dyn AnyChannel>, HandlerResult)>),
    /// Only while a step runs, and for good after a panic.
    Gone,
}

/// What waits behind a handler, in order of arrival.
pub(crate) enum Waiting {
    Input(Input),
    /// A broadcast that something in front of it holds up.
    Frame(Frame),
    Leave {
        reference: Option<Ref>,
    },
}

/// What came of running a channel.
pub(crate) enum Step {
    /// A handler waits for something.
    Pending,
    /// Nothing is left to do.
    Idle,
    Accepted(Payload),
    Refused(JoinRefusal),
    Reply {
        reply: Reply,
        reference: Option<Ref>,
    },
    /// Nothing to send, but more may wait.
    Continue,
    Frame(Frame),
    Leave {
        reference: Option<Ref>,
    },
    Stop {
        reason: StopReason,
        reply: Option<(Reply, Option<Ref>)>,
    },
    Crashed(ChannelError),
    Panicked(String),
}

impl Joined {
    pub(crate) fn new(
        generation: u32,
        route: u32,
        topic: Topic,
        join: BoxFuture<'static, JoinOutcome>,
    ) -> Self {
        Joined {
            generation,
            route,
            topic,
            run: Run::Joining(join),
            replay: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            backlog_bytes: 0,
            reference: None,
            holds_broadcasts: false,
            numbered: false,
        }
    }

    pub(crate) fn push(&mut self, waiting: Waiting) {
        self.holds_broadcasts |= self.is_in_order(&waiting);
        self.waiting_bytes += waiting.client_bytes();
        self.backlog_bytes += waiting.backlog_bytes();
        self.waiting.push_back(waiting);
    }

    /// Bytes in its queue that the mailbox's backlog counts.
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }

    /// How many broadcasts wait that go to the client as they are.
    pub(crate) fn waiting_broadcasts(&self) -> usize {
        self.waiting.iter().filter(|waiting| matches!(waiting, Waiting::Frame(_))).count()
    }

    /// Whether a broadcast has to wait.
    pub(crate) fn holds_broadcasts(&self) -> bool {
        self.holds_broadcasts
    }

    /// Called when all that a handler sent is out of the mailbox: broadcasts need not wait for
    /// that handler any more, but for those that are in the queue already.
    pub(crate) fn settle(&mut self) {
        if self.holds_broadcasts && matches!(self.run, Run::Idle(_)) {
            self.holds_broadcasts = self.waiting.iter().any(|waiting| self.is_in_order(waiting));
        }
    }

    /// Whether broadcasts that come later have to wait for this.
    fn is_in_order(&self, waiting: &Waiting) -> bool {
        match waiting {
            Waiting::Frame(_) | Waiting::Input(Input::AfterJoin) => true,
            Waiting::Input(Input::Out(_)) => self.numbered,
            Waiting::Input(Input::In { .. } | Input::Info(_)) | Waiting::Leave { .. } => false,
        }
    }

    /// Bytes that the client sent and that no handler has taken yet.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// The join is accepted: subscribes, makes what the client missed and `after_join` the first
    /// things to come, and returns the response for the client.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the response cannot carry the client's position.
    pub(crate) fn begin(&mut self, response: Payload) -> Result<Payload, EncodeError> {
        let Run::Idle(channel) = &mut self.run else { return Ok(response) };
        let core = channel.core();
        let (response, missed) = core.subscribe_own(response)?;
        self.numbered = core.history.is_some();
        self.replay = missed;
        self.holds_broadcasts = true;
        self.waiting.push_front(Waiting::Input(Input::AfterJoin));
        Ok(response)
    }

    /// Runs the handler that waits, or the next one, until something is to be done or it waits again.
    pub(crate) fn step(&mut self, cx: &mut std::task::Context<'_>) -> Step {
        match std::mem::replace(&mut self.run, Run::Gone) {
            Run::Joining(join) => self.poll_join(join, cx),
            Run::Busy(handler) => self.poll_handler(handler, cx),
            Run::Idle(channel) => self.next(channel, cx),
            Run::Gone => Step::Idle,
        }
    }

    /// Takes the channel out to end it; `None` while a handler waits or after a panic.
    pub(crate) fn into_channel(self) -> Option<Box<dyn AnyChannel>> {
        match self.run {
            Run::Idle(channel) => Some(channel),
            waiting @ (Run::Joining(_) | Run::Busy(_) | Run::Gone) => {
                discard(waiting);
                None
            }
        }
    }

    /// Whether a handler waits that should be given time when the connection ends.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.run, Run::Busy(_))
    }

    /// Whether nothing runs and nothing of the client's waits.
    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self.run, Run::Idle(_) | Run::Gone) && self.waiting_bytes == 0
    }

    /// Drops what waits; the connection has ended.
    pub(crate) fn clear_waiting(&mut self) {
        self.replay = None;
        discard(std::mem::take(&mut self.waiting));
        (self.waiting_bytes, self.backlog_bytes) = (0, 0);
    }

    fn next(&mut self, channel: Box<dyn AnyChannel>, cx: &mut std::task::Context<'_>) -> Step {
        if let Some(replay) = &mut self.replay {
            match replay.poll_next() {
                Poll::Ready(Some(missed)) => return self.take(channel, missed, cx),
                Poll::Ready(None) => self.replay = None,
                Poll::Pending => {
                    self.run = Run::Idle(channel);
                    return Step::Idle;
                }
            }
        }
        let Some(next) = self.waiting.pop_front() else {
            self.waiting = VecDeque::new();
            self.run = Run::Idle(channel);
            return Step::Idle;
        };
        self.waiting_bytes -= next.client_bytes();
        self.backlog_bytes -= next.backlog_bytes();
        self.take(channel, next, cx)
    }

    fn take(&mut self, channel: Box<dyn AnyChannel>, next: Waiting, cx: &mut std::task::Context<'_>) -> Step {
        match next {
            Waiting::Input(input) => self.start(channel, input, cx),
            Waiting::Frame(frame) => {
                self.run = Run::Idle(channel);
                Step::Frame(frame)
            }
            Waiting::Leave { reference } => {
                self.run = Run::Idle(channel);
                Step::Leave { reference }
            }
        }
    }

    fn start(&mut self, channel: Box<dyn AnyChannel>, input: Input, cx: &mut std::task::Context<'_>) -> Step {
        self.reference = match &input {
            Input::In { reference, .. } => reference.clone(),
            Input::AfterJoin | Input::Out(_) | Input::Info(_) => None,
        };
        match guarded(|| channel.handle(input)) {
            Ok(handler) => self.poll_handler(handler, cx),
            Err(panic) => Step::Panicked(panic),
        }
    }

    fn poll_join(
        &mut self,
        mut join: BoxFuture<'static, JoinOutcome>,
        cx: &mut std::task::Context<'_>,
    ) -> Step {
        match guarded(|| join.as_mut().poll(cx)) {
            Ok(Poll::Pending) => {
                self.run = Run::Joining(join);
                Step::Pending
            }
            Ok(Poll::Ready(Ok((channel, response)))) => {
                self.run = Run::Idle(channel);
                Step::Accepted(response)
            }
            Ok(Poll::Ready(Err(refusal))) => Step::Refused(refusal),
            Err(panic) => {
                discard(join);
                Step::Refused(ChannelError::msg(format!("join panicked: {panic}")).into())
            }
        }
    }

    fn poll_handler(
        &mut self,
        mut handler: BoxFuture<'static, (Box<dyn AnyChannel>, HandlerResult)>,
        cx: &mut std::task::Context<'_>,
    ) -> Step {
        match guarded(|| handler.as_mut().poll(cx)) {
            Ok(Poll::Pending) => {
                self.run = Run::Busy(handler);
                Step::Pending
            }
            Ok(Poll::Ready((channel, result))) => {
                self.run = Run::Idle(channel);
                self.handled(result)
            }
            Err(panic) => {
                discard(handler);
                Step::Panicked(panic)
            }
        }
    }

    fn handled(&mut self, result: HandlerResult) -> Step {
        let reference = self.reference.take();
        match result {
            Ok(Handled::NoReply) => Step::Continue,
            Ok(Handled::Reply(reply)) => Step::Reply { reply, reference },
            Ok(Handled::Stop(reason)) => Step::Stop { reason, reply: None },
            Ok(Handled::StopReply(reason, reply)) => Step::Stop { reason, reply: Some((reply, reference)) },
            Err(error) => match error.as_reply() {
                Some(reply) => Step::Reply { reply, reference },
                None => Step::Crashed(error),
            },
        }
    }
}

impl Waiting {
    /// A broadcast as it waits in a channel's queue.
    pub(crate) fn broadcast(item: Item) -> Option<Self> {
        match item {
            Item::Fastlane { frame, .. } => Some(Waiting::Frame(frame)),
            Item::Out { delivery, .. } => Some(Waiting::Input(Input::Out(delivery))),
            Item::Frame(_) | Item::Reply { .. } | Item::Info { .. } | Item::Close(_) | Item::Drain => None,
        }
    }

    fn client_bytes(&self) -> usize {
        match self {
            Waiting::Input(Input::In { event, payload, reference }) => {
                size_of::<Waiting>() + event.len() + payload.len() + heap_size(reference)
            }
            Waiting::Leave { reference } => size_of::<Waiting>() + heap_size(reference),
            Waiting::Input(Input::AfterJoin | Input::Out(_) | Input::Info(_)) | Waiting::Frame(_) => 0,
        }
    }

    pub(crate) fn backlog_bytes(&self) -> usize {
        match self {
            Waiting::Input(Input::Out(delivery)) => delivery.size(),
            Waiting::Input(Input::Info(info)) => info.size(),
            Waiting::Input(Input::AfterJoin | Input::In { .. }) | Waiting::Leave { .. } => 0,
            Waiting::Frame(frame) => frame.len(),
        }
    }
}

fn heap_size(reference: &Option<Ref>) -> usize {
    reference.as_ref().map_or(0, Ref::heap_size)
}

/// Runs user code; a panic becomes its text.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    // The state that was unwound through is dropped and never looked at again.
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

/// Drops user state, whose own drop may panic as well.
pub(crate) fn discard<T>(value: T) {
    if let Err(panic) = guarded(|| drop(value)) {
        tracing::error!(%panic, "dropping the state of a channel panicked");
    }
}
