//! Who is there on a channel.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bennu_protocol::Payload;
use bennu_protocol::presence::{DIFF, Entry, PresenceChange, PresenceList, Presences, STATE};
use futures_util::Stream;
use parking_lot::{Mutex, MutexGuard};

use crate::channel::Channel;
use crate::error::RecvError;
use crate::message::Message;

/// Changes that may wait in one stream.
const WAITING: usize = 10_000;

/// Who is there on a channel, kept up to date by what the server sends. Clones are the same list, and keep the channel joined.
///
/// ```no_run
/// # async fn of(channel: bennu_client::Channel) {
/// let presence = channel.presence();
/// presence.on_join(|user, current, _| {
///     if current.is_none() {
///         println!("{user} is here");
///     }
/// });
/// presence.on_sync(|everyone| println!("{} users", everyone.len()));
/// # }
/// ```
///
/// It takes the channel's `presence_state` and `presence_diff` from the moment it is made, and those that wait to be received; so make it before anything is
/// received. On a rejoin the list stays as it is until the new state comes.
#[doc(alias = "Phoenix.Presence")]
#[derive(Clone)]
pub struct Presence {
    channel: Channel,
    tracker: Arc<Tracker>,
}

type OnJoin = dyn Fn(&str, Option<&Entry>, &Entry) + Send + Sync;
type OnLeave = dyn Fn(&str, &Entry, &Entry) + Send + Sync;
type OnSync = dyn Fn(&Presences) + Send + Sync;

impl Channel {
    /// Who is there, by the events that Phoenix has for that. It is the same list each time.
    #[must_use]
    pub fn presence(&self) -> Presence {
        self.presence_of(STATE, DIFF)
    }

    /// Who is there, by events that the application has named.
    #[must_use]
    pub fn presence_of(&self, state: &str, diff: &str) -> Presence {
        let tracker = self.core().track(state, diff);
        Presence { channel: self.clone(), tracker }
    }
}

impl Presence {
    /// Who is there now: keys with their metas. What is returned does not change any more.
    #[must_use]
    pub fn list(&self) -> Arc<Presences> {
        Arc::clone(self.tracker.inner.lock().list.presences())
    }

    /// What is known of one key, if it is there.
    #[doc(alias = "get_by_key")]
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Entry> {
        self.tracker.inner.lock().list.presences().get(key).cloned()
    }

    /// Whether the server has sent its state since the channel was last joined. Before, the list is empty or that of the last join.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.tracker.inner.lock().list.is_synced()
    }

    /// The channel that it is about.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Has a function called whenever a key joins, joins once more, or has its meta updated: with the key, what was known of it before, and what is new. Of those who
    /// are there already it is told at once. It replaces the one that there is.
    ///
    /// It runs on the socket's task, so it should be quick, and must not block. One that panics is taken off.
    #[doc(alias = "onJoin")]
    pub fn on_join(&self, hook: impl Fn(&str, Option<&Entry>, &Entry) + Send + Sync + 'static) -> &Self {
        let hook: Arc<OnJoin> = Arc::new(hook);
        let mut inner = self.tracker.inner.lock();
        inner.tell_present(|change| Call::Join(Arc::clone(&hook), change));
        let replaced = inner.hooks.join.replace(hook);
        self.tracker.tell(inner);
        drop(replaced);
        self
    }

    /// Has a function called whenever metas of a key are gone: with the key, what is left of it, and what is gone. A key of which no metas are left is not there
    /// any more. It replaces the one that there is; otherwise it is as with [`on_join`](Self::on_join).
    #[doc(alias = "onLeave")]
    pub fn on_leave(&self, hook: impl Fn(&str, &Entry, &Entry) + Send + Sync + 'static) -> &Self {
        let replaced = self.tracker.inner.lock().hooks.leave.replace(Arc::new(hook));
        drop(replaced);
        self
    }

    /// Has a function called with the list, whenever that is whole again: once for each state, and once for each further diff; and at once, if it is whole now. It
    /// replaces the one that there is; otherwise it is as with [`on_join`](Self::on_join).
    #[doc(alias = "onSync")]
    pub fn on_sync(&self, hook: impl Fn(&Presences) + Send + Sync + 'static) -> &Self {
        let hook: Arc<OnSync> = Arc::new(hook);
        let mut inner = self.tracker.inner.lock();
        if inner.list.is_synced() {
            inner.calls.push_back(Call::Sync(Arc::clone(&hook)));
        }
        let replaced = inner.hooks.sync.replace(hook);
        self.tracker.tell(inner);
        drop(replaced);
        self
    }

    /// Takes off all functions that are called.
    pub fn off(&self) {
        let hooks = std::mem::take(&mut self.tracker.inner.lock().hooks);
        drop(hooks);
    }

    /// Who is there now, as joins, and then each change. It ends with the channel, and does not keep it joined.
    #[must_use]
    pub fn changes(&self) -> PresenceChanges {
        let mut inner = self.tracker.inner.lock();
        let mut present = VecDeque::from(inner.present());
        if inner.list.is_synced() {
            present.push_back(PresenceChange::Synced);
        }
        let lane = Arc::new(Lane::default());
        lane.0.lock().has_ended = inner.has_ended;
        if !inner.has_ended {
            inner.subscribers.push(Arc::clone(&lane));
        }
        PresenceChanges { present, lane }
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.tracker.inner.lock();
        f.debug_struct("Presence")
            .field("topic", self.channel.topic())
            .field("list", &inner.list)
            .finish_non_exhaustive()
    }
}

/// Changes of who is there, as a stream.
pub struct PresenceChanges {
    present: VecDeque<PresenceChange>,
    lane: Arc<Lane>,
}

/// What came and was not yet received, between a list and one stream.
#[derive(Default)]
struct Lane(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    changes: VecDeque<PresenceChange>,
    /// How many came behind these and found no room. Nothing is put behind the hole until it has been told.
    missed: u64,
    has_ended: bool,
    /// The stream was dropped.
    is_deserted: bool,
    receiver: Option<Waker>,
}

impl PresenceChanges {
    /// The next change; none once the channel has ended.
    ///
    /// # Errors
    ///
    /// [`RecvError::Missed`] when more than 10,000 waited. What comes next came later; [`Presence::list`] knows it all.
    pub async fn next(&mut self) -> Option<Result<PresenceChange, RecvError>> {
        futures_util::StreamExt::next(self).await
    }
}

impl Stream for PresenceChanges {
    type Item = Result<PresenceChange, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(present) = self.present.pop_front() {
            return Poll::Ready(Some(Ok(present)));
        }
        let mut waiting = self.lane.0.lock();
        if let Some(change) = waiting.changes.pop_front() {
            return Poll::Ready(Some(Ok(change)));
        }
        match std::mem::take(&mut waiting.missed) {
            0 if waiting.has_ended => Poll::Ready(None),
            0 => {
                waiting.receiver = Some(cx.waker().clone());
                Poll::Pending
            }
            count => Poll::Ready(Some(Err(RecvError::Missed { count }))),
        }
    }
}

impl Drop for PresenceChanges {
    fn drop(&mut self) {
        self.lane.0.lock().is_deserted = true;
    }
}

impl fmt::Debug for PresenceChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresenceChanges").finish_non_exhaustive()
    }
}

/// The lists of one channel, one for each pair of events.
#[derive(Default)]
pub(crate) struct Trackers(Mutex<All>);

#[derive(Default)]
struct All {
    trackers: Vec<Arc<Tracker>>,
    /// So has the channel.
    have_ended: bool,
}

/// One list, and who is told of its changes.
pub(crate) struct Tracker {
    state: Box<str>,
    diff: Box<str>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    list: PresenceList,
    hooks: Hooks,
    subscribers: Vec<Arc<Lane>>,
    /// What hooks are to be told, in order.
    calls: VecDeque<Call>,
    /// Somebody is at it.
    is_telling: bool,
    has_ended: bool,
}

#[derive(Default)]
struct Hooks {
    join: Option<Arc<OnJoin>>,
    leave: Option<Arc<OnLeave>>,
    sync: Option<Arc<OnSync>>,
}

/// One call of one hook.
enum Call {
    Join(Arc<OnJoin>, PresenceChange),
    Leave(Arc<OnLeave>, PresenceChange),
    Sync(Arc<OnSync>),
}

impl Trackers {
    /// The list for these events. `waiting` gives what has come of them before, and nothing comes meanwhile.
    pub(crate) fn track(
        &self,
        state: &str,
        diff: &str,
        waiting: impl FnOnce(&dyn Fn(&str) -> bool) -> Vec<Message>,
    ) -> Arc<Tracker> {
        let mut all = self.0.lock();
        if let Some(known) = all.trackers.iter().find(|known| *known.state == *state && *known.diff == *diff)
        {
            return Arc::clone(known);
        }
        let inner = Mutex::new(Inner { has_ended: all.have_ended, ..Inner::default() });
        let tracker = Arc::new(Tracker { state: state.into(), diff: diff.into(), inner });
        for message in waiting(&|event| tracker.wants(event)) {
            tracker.inner.lock().handle(&tracker, message.event.as_str(), &message.payload);
        }
        all.trackers.push(Arc::clone(&tracker));
        tracker
    }

    /// Has the lists take in a message, or something else be done with it that must not be overtaken by a new list.
    pub(crate) fn handle(&self, message: Message, otherwise: impl FnOnce(Message)) {
        let all = self.0.lock();
        let event = message.event.as_str();
        let wanting = Vec::from_iter(all.trackers.iter().filter(|tracker| tracker.wants(event)).cloned());
        if wanting.is_empty() {
            return otherwise(message);
        }
        drop(all);
        for tracker in wanting {
            let mut inner = tracker.inner.lock();
            inner.handle(&tracker, event, &message.payload);
            tracker.tell(inner);
        }
    }

    pub(crate) fn begin_join(&self) {
        for tracker in &self.0.lock().trackers {
            tracker.inner.lock().list.begin_join();
        }
    }

    /// Nothing more comes; what was known stays known.
    pub(crate) fn end(&self) {
        let trackers = {
            let mut all = self.0.lock();
            all.have_ended = true;
            all.trackers.clone()
        };
        for tracker in trackers {
            let mut inner = tracker.inner.lock();
            inner.has_ended = true;
            let dropped = (std::mem::take(&mut inner.hooks), std::mem::take(&mut inner.calls));
            let subscribers = std::mem::take(&mut inner.subscribers);
            drop(inner);
            for lane in subscribers {
                lane.end();
            }
            drop(dropped);
        }
    }
}

impl Tracker {
    fn wants(&self, event: &str) -> bool {
        *event == *self.state || *event == *self.diff
    }

    /// Makes the calls that are due, in order, without the lock: a hook may do what it likes. One who is at it already makes them all.
    fn tell<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) {
        if std::mem::replace(&mut inner.is_telling, true) {
            return;
        }
        while let Some(call) = inner.calls.pop_front() {
            let list = Arc::clone(inner.list.presences());
            drop(inner);
            let panicked = catch_unwind(AssertUnwindSafe(|| call.make(&list))).is_err();
            let removed = panicked.then(|| self.inner.lock().hooks.remove(&call));
            if removed.is_some() {
                tracing::error!("a hook of presence panicked, and was taken off");
            }
            drop((list, removed, call));
            inner = self.inner.lock();
        }
        inner.is_telling = false;
    }
}

impl Inner {
    fn handle(&mut self, tracker: &Tracker, event: &str, payload: &Payload) {
        let handled = match *event == *tracker.state {
            true => self.list.handle_state(payload),
            false => self.list.handle_diff(payload),
        };
        match handled {
            Ok(changes) => changes.into_iter().for_each(|change| self.change(change)),
            Err(error) => tracing::warn!(event, %error, "presence was sent what it cannot take in"),
        }
    }

    fn change(&mut self, change: PresenceChange) {
        self.subscribers.retain(|lane| lane.send(&change));
        self.calls.extend(self.hooks.call(change));
    }

    /// All that are there, as if they had just joined.
    fn present(&self) -> Vec<PresenceChange> {
        let entries = self.list.presences().iter();
        let joined = entries.map(|(key, entry)| PresenceChange::Joined {
            key: key.clone(),
            current: None,
            new: entry.clone(),
        });
        joined.collect()
    }

    fn tell_present(&mut self, call: impl Fn(PresenceChange) -> Call) {
        let present = self.present();
        self.calls.extend(present.into_iter().map(call));
    }
}

impl Hooks {
    fn call(&self, change: PresenceChange) -> Option<Call> {
        match change {
            PresenceChange::Joined { .. } => Some(Call::Join(Arc::clone(self.join.as_ref()?), change)),
            PresenceChange::Left { .. } => Some(Call::Leave(Arc::clone(self.leave.as_ref()?), change)),
            PresenceChange::Synced => Some(Call::Sync(Arc::clone(self.sync.as_ref()?))),
            _ => None,
        }
    }

    /// Takes off the hook that was called, unless another one is in its place.
    fn remove(&mut self, call: &Call) -> Hooks {
        let mut removed = Hooks::default();
        match call {
            Call::Join(hook, _) => removed.join = self.join.take_if(|it| Arc::ptr_eq(it, hook)),
            Call::Leave(hook, _) => removed.leave = self.leave.take_if(|it| Arc::ptr_eq(it, hook)),
            Call::Sync(hook) => removed.sync = self.sync.take_if(|it| Arc::ptr_eq(it, hook)),
        }
        removed
    }
}

impl Call {
    fn make(&self, list: &Presences) {
        match self {
            Call::Join(hook, PresenceChange::Joined { key, current, new }) => {
                hook(key, current.as_ref(), new)
            }
            Call::Leave(hook, PresenceChange::Left { key, current, left }) => hook(key, current, left),
            Call::Sync(hook) => hook(list),
            // A hook is called with changes of its own kind.
            Call::Join(..) | Call::Leave(..) => {}
        }
    }
}

impl Lane {
    /// False when nobody receives any more.
    fn send(&self, change: &PresenceChange) -> bool {
        let receiver = {
            let mut waiting = self.0.lock();
            if waiting.is_deserted {
                return false;
            }
            if waiting.missed == 0 && waiting.changes.len() < WAITING {
                waiting.changes.push_back(change.clone());
            } else {
                waiting.missed += 1;
            }
            waiting.receiver.take()
        };
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        true
    }

    /// The channel has ended.
    fn end(&self) {
        let receiver = {
            let mut waiting = self.0.lock();
            waiting.has_ended = true;
            waiting.receiver.take()
        };
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }
}
