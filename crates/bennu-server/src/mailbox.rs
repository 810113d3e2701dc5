//! What other threads hand to a connection.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::time::SystemTime;

use bennu_protocol::{Broadcast, ChannelId, Encoding, Frame, Topic};
use bennu_pubsub::{Delivery, Place, PubSub, Subscriber, SubscriberId};
use parking_lot::{Mutex, MutexGuard};

use crate::info::Info;
use crate::joined::discard;
use crate::mount::Mount;
use crate::revocations::HeardLate;
use crate::transport::shard::{Audience, Missed, Pulled, Seat};

/// How many times the bound of the backlog replays may take: what a client misses that was
/// disconnected for reading too slowly is a whole backlog, and what came since.
const REPLAY_BACKLOGS: usize = 4;

/// The part of a connection that is shared: a queue in order of arrival.
///
/// It is bounded together with the connection's outbox, whose own bounds come first. When a message finds
/// twice the bound waiting, everything that waits is dropped, nothing is taken in any more, and the connection
/// closes with 1013.
pub(crate) struct Mailbox {
    pub(crate) id: SubscriberId,
    pub(crate) encoding: Encoding,
    pub(crate) mount: Arc<Mount>,
    pubsub: PubSub,
    queue: Mutex<Queue>,
    /// Whether the queue has something for a drain; written while it is locked.
    is_filled: AtomicBool,
    /// Bytes in the queue and in the connection's outbox.
    backlog: AtomicUsize,
    /// Of these, bytes that channels hold back.
    held: AtomicUsize,
    /// Bytes of replays, which are in the queue or the outbox only in part.
    replaying: AtomicUsize,
    /// If it is a shard's.
    seat: OnceLock<Seat>,
}

#[derive(Default)]
struct Queue {
    /// Each with the number of the shard's broadcasts that came before it.
    items: VecDeque<(u64, Item)>,
    state: State,
    turn: Turn,
    /// Of the task that runs the connection, if no shard does.
    waker: Option<Waker>,
}

/// Where a connection of a shard is on its way to being polled.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Turn {
    #[default]
    Resting,
    Scheduled,
    Running,
    /// Running, and woken meanwhile.
    Again,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// More came than fits; the connection has yet to hear of it.
    Overflowed,
    Closed,
}

/// One thing for a connection to do.
pub(crate) enum Item {
    /// A broadcast, encoded, for a channel that does not intercept it; in full as well if the channel's
    /// policy for slow readers may have to look at it.
    Fastlane { channel: ChannelId, frame: Frame, place: Option<Place>, delivery: Option<Delivery> },
    /// A frame of a channel or about one; sent whatever became of the channel.
    Frame(Frame),
    /// What was pushed to a channel's client last includes all broadcasts up to this place.
    Included { channel: ChannelId, place: Place },
    /// An answer of a channel; dropped if the channel has ended.
    Reply { channel: ChannelId, frame: Frame },
    /// An intercepted broadcast.
    Out { channel: ChannelId, delivery: Delivery },
    /// Some of what was broadcast to a channel was lost.
    Missed { channel: ChannelId },
    /// Anything else for a channel.
    Info { channel: ChannelId, info: Info },
    /// Handle what has been read, then close with 1012.
    Drain,
    /// Close the connection if its credential was issued by then, or nobody knows when.
    Revoked(SystemTime),
    /// Close the connection with this code.
    Close(u16),
}

impl Item {
    pub(crate) fn size(&self) -> usize {
        match self {
            Item::Fastlane { frame, .. } | Item::Frame(frame) | Item::Reply { frame, .. } => frame.len(),
            Item::Out { delivery, .. } => delivery.size(),
            Item::Info { info, .. } => info.size(),
            Item::Missed { .. } | Item::Included { .. } => 0,
            Item::Drain | Item::Revoked(_) | Item::Close(_) => 0,
        }
    }
}

/// What a drain found.
pub(crate) enum Drained {
    /// Each with a number that is no longer needed.
    Items(VecDeque<(u64, Item)>),
    /// So many items were dropped.
    Overflowed(usize),
}

impl Mailbox {
    pub(crate) fn new(encoding: impl Into<Encoding>, mount: Arc<Mount>, pubsub: PubSub) -> Arc<Self> {
        Arc::new(Mailbox {
            id: SubscriberId::unique(),
            encoding: encoding.into(),
            mount,
            pubsub,
            queue: Mutex::default(),
            is_filled: AtomicBool::new(false),
            backlog: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            replaying: AtomicUsize::new(0),
            seat: OnceLock::new(),
        })
    }

    /// The connection is a shard's from now on.
    pub(crate) fn sit_down(&self, seat: Seat) {
        // A connection is given to one shard, once.
        let _ = self.seat.set(seat);
    }

    /// Begins to receive what is broadcast to a topic. Returns it in the memory that all share who receive it.
    pub(crate) fn subscribe(self: &Arc<Self>, topic: Topic, subscription: Subscription) -> Topic {
        let token = subscription.to_token();
        match self.seat.get() {
            Some(seat) => {
                let audience = subscription.route.map(|route| self.audience(route));
                seat.subscribe(&self.pubsub, topic, token, audience)
            }
            None => self.pubsub.add_subscriber(topic, self.id.with_token(token), self.clone()).into(),
        }
    }

    /// Who gets the same frames as a channel of this route.
    pub(crate) fn audience(&self, route: usize) -> Audience {
        Audience { mount: self.mount.clone(), route, encoding: self.encoding }
    }

    /// Ends what [`subscribe`](Self::subscribe) began.
    pub(crate) fn unsubscribe(&self, topic: &str, subscription: Subscription) {
        let token = subscription.to_token();
        match self.seat.get() {
            // What was broadcast before still counts.
            Some(seat) => seat.unsubscribe(&self.pubsub, topic, token, self.id.owner()).into_iter().for_each(
                |broadcast| {
                    let number = broadcast.number;
                    if let Some(item) = self.pulled(broadcast) {
                        self.insert(number, item);
                    }
                },
            ),
            None => self.pubsub.remove_subscriber(topic, self.id.with_token(token)),
        }
    }

    /// Queues an item and wakes the connection.
    pub(crate) fn send(&self, item: Item) {
        let size = item.size();
        let mut queue = self.queue.lock();
        if queue.state != State::Open {
            return;
        }
        let ends = matches!(item, Item::Drain | Item::Revoked(_) | Item::Close(_));
        if self.is_overrun(queue.items.len()) && !ends {
            // What waits is dropped by the connection: here the broadcaster holds locks.
            queue.state = State::Overflowed;
        } else {
            self.backlog.fetch_add(size, Ordering::Relaxed);
            let number = self.seat.get().map_or(0, Seat::delivered);
            queue.items.push_back((number, item));
        }
        self.is_filled.store(true, Ordering::Release);
        if queue.turn == Turn::Running {
            // Who runs it looks into the queue before it rests.
            return;
        }
        self.wake_with(queue);
    }

    fn wake_with(&self, mut queue: MutexGuard<'_, Queue>) {
        let Some(seat) = self.seat.get() else {
            let waker = queue.waker.take();
            drop(queue);
            return waker.into_iter().for_each(Waker::wake);
        };
        let before = queue.turn;
        queue.turn = match before {
            Turn::Resting | Turn::Scheduled => Turn::Scheduled,
            Turn::Running | Turn::Again => Turn::Again,
        };
        drop(queue);
        if before == Turn::Resting {
            seat.schedule();
        }
    }

    /// The shard polls the connection now.
    pub(crate) fn begin_turn(&self) {
        self.queue.lock().turn = Turn::Running;
    }

    /// The shard has polled it; true if it has to be polled again.
    pub(crate) fn end_turn(&self) -> bool {
        let mut queue = self.queue.lock();
        let again = queue.turn == Turn::Again || !queue.items.is_empty() || queue.state == State::Overflowed;
        queue.turn = if again { Turn::Scheduled } else { Turn::Resting };
        again
    }

    /// Whether a drain would find anything.
    pub(crate) fn is_filled(&self) -> bool {
        self.is_filled.load(Ordering::Acquire) || self.seat.get().is_some_and(Seat::may_pull)
    }

    /// Takes all that waits, in order. What goes to the outbox stays counted until [`sent`](Self::sent).
    pub(crate) fn drain(&self) -> Drained {
        let mut items = VecDeque::new();
        if self.is_filled.load(Ordering::Acquire) {
            let mut queue = self.queue.lock();
            items = std::mem::take(&mut queue.items);
            if queue.state == State::Overflowed {
                return Drained::Overflowed(items.len());
            }
            self.is_filled.store(false, Ordering::Relaxed);
        }
        // In this order: what was broadcast before an item was sent is found now.
        let pulled = self.seat.get().map(|seat| seat.pull(self.id.owner())).unwrap_or_default();
        let Some(last) = pulled.last().map(|pulled| pulled.number) else { return Drained::Items(items) };
        // What was sent meanwhile, and before one of these was broadcast.
        let mut queue = self.queue.lock();
        while let Some(item) = queue.items.pop_front_if(|(number, _)| *number <= last) {
            items.push_back(item);
        }
        drop(queue);
        let mut all = VecDeque::with_capacity(items.len() + pulled.len());
        let mut items = items.into_iter().peekable();
        for broadcast in pulled {
            let number = broadcast.number;
            while let Some(item) = items.next_if(|(other, _)| *other <= number) {
                all.push_back(item);
            }
            if let Some(item) = self.pulled(broadcast) {
                self.backlog.fetch_add(item.size(), Ordering::Relaxed);
                all.push_back((number, item));
            }
        }
        all.extend(items);
        Drained::Items(all)
    }

    fn pulled(&self, Pulled { token, delivery, .. }: Pulled) -> Option<Item> {
        self.item(Subscription::from_token(token)?, &delivery)
    }

    /// Puts a broadcast where it belongs among what waits.
    fn insert(&self, number: u64, item: Item) {
        let mut queue = self.queue.lock();
        if queue.state != State::Open {
            drop(queue);
            return discard(item);
        }
        self.backlog.fetch_add(item.size(), Ordering::Relaxed);
        let at = queue.items.partition_point(|(other, _)| *other <= number);
        queue.items.insert(at, (number, item));
        self.is_filled.store(true, Ordering::Release);
    }

    /// Takes nothing in any more.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.state = State::Closed;
        let waiting = std::mem::take(&mut queue.items);
        drop(queue);
        waiting.into_iter().for_each(discard);
    }

    /// Counts bytes that the connection itself put into its outbox.
    pub(crate) fn queued(&self, bytes: usize) {
        self.backlog.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that left the outbox, or items that were not for it.
    pub(crate) fn sent(&self, bytes: usize) {
        let held = self.replaying.load(Ordering::Relaxed) > 0 && self.holds_replays();
        self.backlog.fetch_sub(bytes, Ordering::Relaxed);
        if held && !self.holds_replays() {
            self.wake_with(self.queue.lock());
        }
    }

    /// Bytes that wait for the client.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Whether more waits than the connection itself would let wait, and so it does not get to run. What finds
    /// less waiting is for the connection to judge, which knows the policies of its channels.
    fn is_overrun(&self, queued: usize) -> bool {
        let options = &self.mount.options;
        self.backlog() > options.max_backlog.saturating_mul(2) || queued > options.max_backlog_frames
    }

    /// Counts bytes that a channel of the connection holds back from the outbox.
    pub(crate) fn held(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that were held back and leave with the rest after all.
    pub(crate) fn unheld(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that are held back from the outbox.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Counts bytes that a channel held back and took, or dropped.
    pub(crate) fn released(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.sent(bytes);
    }

    /// Whether so many bytes more may be on their way to a client that missed them.
    pub(crate) fn begin_replay(&self, bytes: usize) -> bool {
        let waiting = self.replaying.load(Ordering::Relaxed);
        let fits = bytes <= (REPLAY_BACKLOGS * self.mount.options.max_backlog).saturating_sub(waiting);
        self.replaying.fetch_add(if fits { bytes } else { 0 }, Ordering::Relaxed);
        fits
    }

    pub(crate) fn end_replay(&self, bytes: usize) {
        self.replaying.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether replays have to wait, to leave half of the bound for what is broadcast meanwhile.
    /// What waits behind them does not count: it cannot leave before they have.
    pub(crate) fn holds_replays(&self) -> bool {
        let outbox = self.backlog().saturating_sub(self.held.load(Ordering::Relaxed));
        outbox > self.mount.options.max_backlog / 2
    }

    /// Notes whom to wake.
    pub(crate) fn register(&self, waker: &Waker) {
        if self.seat.get().is_some() {
            return;
        }
        let mut queue = self.queue.lock();
        if queue.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            queue.waker = Some(waker.clone());
        }
    }
}

/// A shard's connections are woken through their mailboxes.
impl Wake for Mailbox {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_with(self.queue.lock());
    }
}

impl Subscriber for Mailbox {
    /// Runs on the broadcaster's thread, so that its encoding error is the broadcaster's.
    fn deliver(&self, id: SubscriberId, delivery: &Delivery, _: Option<SubscriberId>) {
        let Some(subscription) = Subscription::from_token(id.token) else {
            return self.deliver_to_socket(delivery);
        };
        if let Some(item) = self.item(subscription, delivery) {
            self.send(item);
        }
    }
}

impl Mailbox {
    /// What a delivery is for one of the connection's channels; `None` when this client's
    /// version cannot carry it.
    pub(crate) fn item(&self, subscription: Subscription, delivery: &Delivery) -> Option<Item> {
        let Subscription { channel, route } = subscription;
        let Some(broadcast) = delivery.get::<Broadcast>().filter(|_| route.is_some()) else {
            return match delivery.get::<Missed>() {
                Some(Missed) => Some(Item::Missed { channel }),
                // For connections of this id, whose name the channel's topic has by chance.
                None if delivery.get::<HeardLate>().is_some() => None,
                None => Some(Item::Info { channel, info: Info::delivery(delivery.clone()) }),
            };
        };
        let route = route.and_then(|route| self.mount.routes.get(route));
        if route.is_some_and(|route| route.intercept.contains(&broadcast.event())) {
            return Some(Item::Out { channel, delivery: delivery.clone() });
        }
        // An error stays in the broadcast, where the broadcaster looks for it.
        let frame = broadcast.frame(self.encoding).ok()?;
        let has_policy = route.is_some_and(|route| route.slow_reader.is_some());
        let (place, delivery) = (delivery.place(), has_policy.then(|| delivery.clone()));
        Some(Item::Fastlane { channel, frame: frame.clone(), place, delivery })
    }

    /// On a socket's id only `disconnect` has a meaning, and what this node heard late of a revocation.
    fn deliver_to_socket(&self, delivery: &Delivery) {
        if let Some(HeardLate(revocation)) = delivery.get() {
            return self.send(Item::Revoked(revocation.at()));
        }
        if delivery.get::<Broadcast>().is_some_and(|broadcast| broadcast.event() == "disconnect") {
            self.send(Item::Close(bennu_protocol::websocket::close::GOING_AWAY));
        }
    }
}

/// Which subscription of a connection a delivery is for, packed into 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) channel: ChannelId,
    /// The channel's route on its own topic; `None` on topics it subscribed to by itself.
    pub(crate) route: Option<usize>,
}

/// The connection's subscription to its own id.
pub(crate) const SOCKET_TOKEN: u64 = u64::MAX;

/// Stands for "no route" in a token.
const NO_ROUTE: u64 = 0xffff;

impl Subscription {
    pub(crate) fn to_token(self) -> u64 {
        let route = self.route.map_or(NO_ROUTE, |route| route as u64);
        u64::from(self.channel.generation) << 32 | u64::from(self.channel.index) << 16 | route
    }

    pub(crate) fn from_token(token: u64) -> Option<Self> {
        if token == SOCKET_TOKEN {
            return None;
        }
        let route = token & 0xffff;
        Some(Subscription {
            channel: ChannelId { index: (token >> 16) as u32 & 0xffff, generation: (token >> 32) as u32 },
            route: (route != NO_ROUTE).then_some(route as usize),
        })
    }
}

#[cfg(test)]
mod tests {
    use bennu_protocol::Serializer;

    use super::*;
    use crate::config::SocketOptions;
    use crate::endpoint::mount;
    use crate::socket::AllowAnonymous;

    fn mailbox(max_backlog: usize) -> Arc<Mailbox> {
        let options = SocketOptions::default().max_backlog(max_backlog);
        let mount = mount("/socket", AllowAnonymous, Vec::new(), options).unwrap();
        Mailbox::new(Serializer::V2, Arc::new(mount), PubSub::local())
    }

    #[test]
    fn tokens_keep_what_they_are_made_of() {
        for (index, generation, route) in [(0, 0, None), (99, 7, Some(3)), (65_534, u32::MAX, Some(0xfffe))] {
            let subscription = Subscription { channel: ChannelId { index, generation }, route };
            assert_eq!(Subscription::from_token(subscription.to_token()), Some(subscription));
        }
        assert_eq!(Subscription::from_token(SOCKET_TOKEN), None);
    }

    #[test]
    fn what_finds_too_much_waiting_drops_it_all_and_says_so() {
        let mailbox = mailbox(10);
        for _ in 0..5 {
            mailbox.send(Item::Frame(Frame::text("123456")));
        }
        assert!(matches!(mailbox.drain(), Drained::Overflowed(_)));
    }

    #[test]
    fn a_turn_in_which_too_much_came_is_followed_by_another() {
        let mailbox = mailbox(10);
        mailbox.queued(100);
        mailbox.begin_turn();
        mailbox.send(Item::Frame(Frame::text("1")));
        assert!(mailbox.end_turn(), "it has yet to hear that it was overrun");
        assert!(matches!(mailbox.drain(), Drained::Overflowed(_)));
        mailbox.close();
        mailbox.begin_turn();
        mailbox.send(Item::Frame(Frame::text("2")));
        assert!(!mailbox.end_turn(), "nothing comes any more");
    }

    #[test]
    fn one_message_larger_than_the_bound_passes_when_nothing_waits() {
        let mailbox = mailbox(10);
        mailbox.send(Item::Frame(Frame::text("x".repeat(100))));
        let Drained::Items(items) = mailbox.drain() else { panic!("overflowed") };
        assert_eq!(items.len(), 1);
    }
}
