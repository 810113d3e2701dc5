//! A joined channel: its state, the handler that waits, and what waits behind it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bennu_protocol::{Broadcast, ChannelId, EncodeError, Frame, Name, Payload, Ref, ServerSession, Topic};
use bennu_pubsub::{Delivery, Place, PubSub, Reading};
use futures_util::future::BoxFuture;

use crate::broadcast::settle;
use crate::channel::{
    Channel, ChannelError, Handled, HandlerResult, JoinRefusal, Reply, StopReason, TerminateReason,
    UnknownEvent,
};
use crate::context::{Client, Context, ContextCore, Extras, Kept};
use crate::history::{Following, Replay};
use crate::info::Info;
use crate::mailbox::Item;
use crate::router::JoinOutcome;

/// A channel of any type.
pub(crate) trait AnyChannel: Send {
    /// Runs one handler. The channel comes back with the result.
    fn handle(self: Box<Self>, input: Input, core: ContextCore) -> Handling;

    /// Runs `terminate` and drops the channel.
    fn terminate(self: Box<Self>, reason: TerminateReason, core: ContextCore) -> BoxFuture<'static, ()>;
}

/// A handler that runs. If it is dropped or panics, the channel's subscriptions end.
pub(crate) type Handling = BoxFuture<'static, Finished>;

/// What comes back from a handler.
pub(crate) struct Finished {
    channel: Box<dyn AnyChannel>,
    kept: Kept,
    /// Ref of the message that was handled.
    reference: Option<Ref>,
    result: HandlerResult,
}

/// What a handler can be run for.
pub(crate) enum Input {
    AfterJoin,
    In { event: Name, payload: Payload, reference: Option<Ref> },
    Out(Delivery),
    Info(Info),
}

impl<C: Channel> AnyChannel for C {
    fn handle(self: Box<Self>, input: Input, core: ContextCore) -> Handling {
        Box::pin(async move {
            let mut cx = Context::new(core);
            // After a panic it is dropped before the context: the client sees what its drop broadcasts.
            let mut channel = self;
            let result = run(&mut *channel, input, &mut cx).await;
            let reference = cx.core.reference.take();
            Finished { channel, kept: cx.core.into_kept(), reference, result }
        })
    }

    fn terminate(mut self: Box<Self>, reason: TerminateReason, core: ContextCore) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut cx = Context::new(core);
            cx.core.unsubscribe_all();
            Channel::terminate(&mut *self, &reason, &mut cx).await;
        })
    }
}

async fn run<C: Channel>(channel: &mut C, input: Input, cx: &mut Context<C::Assigns>) -> HandlerResult {
    match input {
        Input::AfterJoin => {
            // Of the broadcasts that wait for it, those are no news which are in what the channel reads and pushes.
            let topic = cx.topic().clone();
            Reading::of(topic, channel.after_join(cx)).await.map(|()| Handled::NoReply)
        }
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
            Some(broadcast) => channel.handle_out(broadcast.event(), broadcast.payload().clone(), cx).await,
            None => Handled::no_reply(),
        },
        Input::Info(info) => channel.handle_info(info, cx).await,
    }
}

/// One channel of a connection. Its topic and refs are the session's to keep.
pub(crate) struct Joined {
    /// The channel, while no handler has it.
    channel: Option<Box<dyn AnyChannel>>,
    /// While there is anything in it.
    busy: Option<Box<Busy>>,
    pub(crate) generation: u32,
    /// Index of its route in the mount.
    pub(crate) route: u16,
    subscribed: bool,
    /// Whether clients count broadcasts.
    numbered: bool,
}

/// What a channel does not have that just waits for messages.
#[derive(Default)]
struct Busy {
    running: Option<Running>,
    /// What the client missed; comes before all that waits.
    replay: Option<Replay>,
    /// Whether `after_join` is to be run; comes next.
    is_new: bool,
    waiting: VecDeque<Waiting>,
    /// Bytes of client messages in `waiting`.
    waiting_bytes: usize,
    /// Bytes in `waiting` that the mailbox's backlog counts.
    backlog_bytes: usize,
    /// Whether broadcasts have to wait behind what is in `waiting` or runs: what the client
    /// missed, `after_join`, and, where clients count broadcasts, `handle_out`.
    holds_broadcasts: bool,
    extras: Option<Box<Extras>>,
    /// Whether it is in the list of those that a turn runs.
    is_listed: bool,
}

enum Running {
    Join(BoxFuture<'static, JoinOutcome>),
    /// The join is accepted; it is answered with this, and the wait for other nodes was not in vain if true.
    Reach(BoxFuture<'static, (Payload, bool)>),
    Handler(Handling),
}

/// What contexts of a connection's channels are put together from.
pub(crate) struct Contexts<'a> {
    pub(crate) client: &'a Arc<Client>,
    pub(crate) session: &'a ServerSession,
    pub(crate) channel: ChannelId,
}

impl Contexts<'_> {
    /// `None` if the session does not know the channel.
    fn core(&self, joined: &mut Joined) -> Option<ContextCore> {
        let (topic, join_ref) = self.session.names(self.channel)?;
        Some(joined.core(self.client.clone(), self.channel, topic.clone(), join_ref))
    }
}

/// What waits behind a handler, in order of arrival.
pub(crate) enum Waiting {
    Input(Input),
    /// A broadcast that something in front of it holds up.
    Frame {
        frame: Frame,
        place: Option<Place>,
    },
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
    /// An accepted join can be answered.
    Reached(Payload),
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
    /// A channel that is being joined.
    pub(crate) fn new(
        generation: u32,
        route: u16,
        join: BoxFuture<'static, JoinOutcome>,
        history: Option<Following>,
    ) -> Self {
        let numbered = history.is_some();
        let extras = history.map(|history| Box::new(Extras { history: Some(history), ..Extras::default() }));
        let busy = Busy { running: Some(Running::Join(join)), extras, ..Busy::default() };
        Joined { channel: None, busy: Some(Box::new(busy)), generation, route, subscribed: false, numbered }
    }

    pub(crate) fn push(&mut self, waiting: Waiting) {
        let is_in_order = self.is_in_order(&waiting);
        let busy = self.busy.get_or_insert_default();
        busy.holds_broadcasts |= is_in_order;
        busy.waiting_bytes += waiting.client_bytes();
        busy.backlog_bytes += waiting.backlog_bytes();
        busy.waiting.push_back(waiting);
    }

    /// Drops the broadcasts that wait and take from the client what it was not given, since it has been told up to this place; with
    /// those before them, which would give it what they take. What only adds goes to the client again, as in Phoenix, where who
    /// tracks itself hears of it.
    pub(crate) fn skip(&mut self, included: Place) {
        let Some(busy) = &mut self.busy else { return };
        let told = |waiting: &Waiting| waiting.place().filter(|place| included.includes(*place));
        let takes = |waiting: &Waiting| told(waiting).is_some_and(|place| !place.only_adds());
        let Some(last) = busy.waiting.iter().rposition(takes) else { return };
        let mut index = 0;
        busy.waiting.retain(|waiting| {
            index += 1;
            index > last + 1 || told(waiting).is_none()
        });
        busy.backlog_bytes = busy.waiting.iter().map(Waiting::backlog_bytes).sum();
    }

    /// Bytes in its queue that the mailbox's backlog counts.
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.busy.as_ref().map_or(0, |busy| busy.backlog_bytes)
    }

    /// How many broadcasts wait that go to the client as they are.
    pub(crate) fn waiting_broadcasts(&self) -> usize {
        self.waiting().filter(|waiting| matches!(waiting, Waiting::Frame { .. })).count()
    }

    /// Whether a broadcast has to wait.
    pub(crate) fn holds_broadcasts(&self) -> bool {
        self.busy.as_ref().is_some_and(|busy| busy.holds_broadcasts)
    }

    /// Called when all that a handler sent is out of the mailbox: broadcasts need not wait for
    /// that handler any more, but for those that are in the queue already.
    pub(crate) fn settle(&mut self) {
        if self.holds_broadcasts() && self.channel.is_some() {
            let is_new = self.busy.as_ref().is_some_and(|busy| busy.is_new);
            let holds = is_new || self.waiting().any(|waiting| self.is_in_order(waiting));
            self.busy.iter_mut().for_each(|busy| busy.holds_broadcasts = holds);
        }
        self.tidy();
    }

    /// Whether broadcasts that come later have to wait for this.
    fn is_in_order(&self, waiting: &Waiting) -> bool {
        match waiting {
            Waiting::Frame { .. } | Waiting::Input(Input::AfterJoin) => true,
            Waiting::Input(Input::Out(_)) => self.numbered,
            Waiting::Input(Input::In { .. } | Input::Info(_)) | Waiting::Leave { .. } => false,
        }
    }

    /// Bytes that the client sent and that no handler has taken yet.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.busy.as_ref().map_or(0, |busy| busy.waiting_bytes)
    }

    /// The join is accepted: subscribes, makes what the client missed and `after_join` the first
    /// things to come, and returns the response for the client and the topic in shared memory.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the response cannot carry the client's position.
    pub(crate) fn begin(
        &mut self,
        response: Payload,
        contexts: &Contexts<'_>,
    ) -> Result<(Payload, Option<Topic>), EncodeError> {
        let Some(mut core) = contexts.core(self) else { return Ok((response, None)) };
        let begun = core.subscribe_own(response);
        let topic = core.topic.clone();
        self.keep(core.into_kept());
        let (response, missed) = begun?;
        let busy = self.busy.get_or_insert_default();
        busy.replay = missed;
        busy.holds_broadcasts = true;
        busy.is_new = true;
        Ok((response, Some(topic)))
    }

    /// Has what [`begin`](Self::begin) made the first things to come wait until the engine between the nodes has the subscription: what is
    /// broadcast elsewhere once the client is answered arrives.
    pub(crate) fn reach(&mut self, pubsub: &PubSub, topic: Topic, response: Payload) {
        let pubsub = pubsub.clone();
        self.busy.get_or_insert_default().running = Some(Running::Reach(Box::pin(async move {
            let settled = settle(&pubsub, &topic).await;
            (response, settled)
        })));
    }

    /// Runs the handler that waits, or the next one, until something is to be done or it waits again.
    pub(crate) fn step(&mut self, contexts: &Contexts<'_>, cx: &mut std::task::Context<'_>) -> Step {
        let Some(busy) = &mut self.busy else { return Step::Idle };
        match busy.running.take() {
            Some(Running::Join(join)) => self.poll_join(join, cx),
            Some(Running::Handler(handler)) => self.poll_handler(handler, cx),
            Some(Running::Reach(reach)) => self.poll_reach(reach, cx),
            None if self.channel.is_none() => Step::Idle,
            None => match busy.next() {
                Some(next) => self.run(next, contexts, cx),
                None => {
                    self.tidy();
                    Step::Idle
                }
            },
        }
    }

    /// Runs what came for an idle channel at once.
    pub(crate) fn run(
        &mut self,
        next: Waiting,
        contexts: &Contexts<'_>,
        cx: &mut std::task::Context<'_>,
    ) -> Step {
        match next {
            Waiting::Input(input) => self.start(input, contexts, cx),
            Waiting::Frame { frame, .. } => Step::Frame(frame),
            Waiting::Leave { reference } => Step::Leave { reference },
        }
    }

    /// Takes the channel out to end it; `None` while a handler waits or after a panic.
    pub(crate) fn take_channel(&mut self) -> Option<Box<dyn AnyChannel>> {
        self.busy.take().into_iter().for_each(discard);
        self.channel.take()
    }

    /// The context of a handler, or of the channel's end, which has from now on what the channel kept of it.
    pub(crate) fn core(
        &mut self,
        client: Arc<Client>,
        channel: ChannelId,
        topic: Topic,
        join_ref: Option<Ref>,
    ) -> ContextCore {
        let extras = self.busy.as_mut().and_then(|busy| busy.extras.take());
        let kept = Kept { subscribed: std::mem::take(&mut self.subscribed), extras };
        let route = usize::from(self.route);
        ContextCore { client, channel, topic, join_ref, route, reference: None, kept }
    }

    /// Whether a handler waits that should be given time when the connection ends.
    pub(crate) fn is_running(&self) -> bool {
        self.busy.as_ref().is_some_and(|busy| matches!(busy.running, Some(Running::Handler(_))))
    }

    /// Whether something runs that comes before the channel's end, unless the connection ends with it.
    pub(crate) fn is_at_work(&self) -> bool {
        let running = self.busy.as_ref().and_then(|busy| busy.running.as_ref());
        matches!(running, Some(Running::Handler(_) | Running::Reach(_)))
    }

    /// Whether nothing runs and nothing of the client's waits.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.busy.as_ref().is_none_or(|busy| busy.running.is_none() && busy.waiting_bytes == 0)
    }

    /// Whether a turn has nothing to do about it.
    pub(crate) fn is_idle(&self) -> bool {
        self.busy.as_ref().is_none_or(|busy| busy.is_still())
    }

    /// Notes whether it is in the list of those that a turn runs; true if it was not noted so before.
    pub(crate) fn list(&mut self, is_listed: bool) -> bool {
        let Some(busy) = &mut self.busy else { return is_listed };
        std::mem::replace(&mut busy.is_listed, is_listed) != is_listed
    }

    /// Drops what waits; the connection has ended.
    pub(crate) fn clear_waiting(&mut self) {
        let Some(busy) = &mut self.busy else { return };
        (busy.replay, busy.is_new) = (None, false);
        // Each by itself: two panics at once would end the process.
        std::mem::take(&mut busy.waiting).into_iter().for_each(discard);
        (busy.waiting_bytes, busy.backlog_bytes) = (0, 0);
    }

    fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.busy.iter().flat_map(|busy| &busy.waiting)
    }

    fn start(&mut self, input: Input, contexts: &Contexts<'_>, cx: &mut std::task::Context<'_>) -> Step {
        let Some(channel) = self.channel.take() else { return Step::Idle };
        let Some(core) = contexts.core(self) else {
            self.channel = Some(channel);
            return Step::Idle;
        };
        match guarded(|| channel.handle(input, core)) {
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
            Ok(Poll::Pending) => self.wait(Running::Join(join)),
            Ok(Poll::Ready(Ok((channel, response)))) => {
                self.channel = Some(channel);
                Step::Accepted(response)
            }
            Ok(Poll::Ready(Err(refusal))) => Step::Refused(refusal),
            Err(panic) => {
                discard(join);
                Step::Refused(ChannelError::msg(format!("join panicked: {panic}")).into())
            }
        }
    }

    fn poll_reach(
        &mut self,
        mut reach: BoxFuture<'static, (Payload, bool)>,
        cx: &mut std::task::Context<'_>,
    ) -> Step {
        let Poll::Ready((response, settled)) = reach.as_mut().poll(cx) else {
            return self.wait(Running::Reach(reach));
        };
        let extras = self.busy.as_ref().and_then(|busy| busy.extras.as_ref());
        let history = extras.and_then(|extras| extras.history.as_ref());
        history.filter(|_| !settled).into_iter().for_each(Following::miss);
        Step::Reached(response)
    }

    fn poll_handler(&mut self, mut handler: Handling, cx: &mut std::task::Context<'_>) -> Step {
        match guarded(|| handler.as_mut().poll(cx)) {
            Ok(Poll::Pending) => self.wait(Running::Handler(handler)),
            Ok(Poll::Ready(finished)) => {
                self.channel = Some(finished.channel);
                self.keep(finished.kept);
                handled(finished.result, finished.reference)
            }
            Err(panic) => {
                discard(handler);
                Step::Panicked(panic)
            }
        }
    }

    fn wait(&mut self, running: Running) -> Step {
        self.busy.get_or_insert_default().running = Some(running);
        Step::Pending
    }

    /// Takes back from a context what the channel keeps of it.
    fn keep(&mut self, kept: Kept) {
        self.subscribed = kept.subscribed;
        if kept.extras.is_some() {
            self.busy.get_or_insert_default().extras = kept.extras;
        }
    }

    /// Gives up the room for what is not there.
    fn tidy(&mut self) {
        if self.busy.as_ref().is_some_and(|busy| busy.is_empty()) {
            self.busy = None;
        }
    }
}

impl Busy {
    /// The next of what waits; none either while what the client missed has to wait.
    fn next(&mut self) -> Option<Waiting> {
        if let Some(replay) = &mut self.replay {
            match replay.poll_next() {
                Poll::Ready(Some(missed)) => return Some(missed),
                Poll::Ready(None) => self.replay = None,
                Poll::Pending => return None,
            }
        }
        if std::mem::take(&mut self.is_new) {
            return Some(Waiting::Input(Input::AfterJoin));
        }
        let Some(next) = self.waiting.pop_front() else {
            self.waiting = VecDeque::new();
            return None;
        };
        self.waiting_bytes -= next.client_bytes();
        self.backlog_bytes -= next.backlog_bytes();
        Some(next)
    }

    /// Whether there is nothing to run.
    fn is_still(&self) -> bool {
        let is_waiting = self.replay.is_some() || self.is_new || !self.waiting.is_empty();
        self.running.is_none() && !is_waiting
    }

    fn is_empty(&self) -> bool {
        self.is_still() && !self.holds_broadcasts && self.extras.is_none() && !self.is_listed
    }
}

fn handled(result: HandlerResult, reference: Option<Ref>) -> Step {
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

impl Waiting {
    /// A broadcast as it waits in a channel's queue.
    pub(crate) fn broadcast(item: Item) -> Option<Self> {
        match item {
            Item::Fastlane { frame, place, .. } => Some(Waiting::Frame { frame, place }),
            Item::Out { delivery, .. } => Some(Waiting::Input(Input::Out(delivery))),
            Item::Frame(_) | Item::Included { .. } | Item::Reply { .. } | Item::Info { .. } => None,
            Item::Missed { .. } | Item::Close(_) | Item::Revoked(_) | Item::Drain => None,
        }
    }

    fn client_bytes(&self) -> usize {
        match self {
            Waiting::Input(Input::In { event, payload, reference }) => {
                size_of::<Waiting>() + event.len() + payload.len() + heap_size(reference)
            }
            Waiting::Leave { reference } => size_of::<Waiting>() + heap_size(reference),
            Waiting::Input(Input::AfterJoin | Input::Out(_) | Input::Info(_)) | Waiting::Frame { .. } => 0,
        }
    }

    pub(crate) fn backlog_bytes(&self) -> usize {
        match self {
            Waiting::Input(Input::Out(delivery)) => delivery.size(),
            Waiting::Input(Input::Info(info)) => info.size(),
            Waiting::Input(Input::AfterJoin | Input::In { .. }) | Waiting::Leave { .. } => 0,
            Waiting::Frame { frame, .. } => frame.len(),
        }
    }

    /// Where a broadcast stands among those that tell how a state changes.
    fn place(&self) -> Option<Place> {
        match self {
            Waiting::Frame { place, .. } => *place,
            Waiting::Input(Input::Out(delivery)) => delivery.place(),
            Waiting::Input(_) | Waiting::Leave { .. } => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_channel_is_small() {
        assert_eq!(size_of::<Option<Joined>>(), 32);
    }
}
