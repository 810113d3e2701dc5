//! A client session against the server session of this crate, over a link that delays, closes, and loses what is under way then; and, where a test says
//! so, loses, repeats and reorders single frames.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::message::{Body, ServerMessage};
use crate::refs::Ref;
use crate::serializer::Serializer;
use crate::session::client::SendBuffer;
use crate::session::{self, JoinRefRule, ServerSession, SessionConfig, SessionEvent};

/// What the application, the server or the link may do next; topics are three.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Join(u8),
    Replace(u8),
    Leave(u8),
    Push(u8, Kind),
    Raw,
    Ping,
    Connect,
    Disconnect,
    /// The application has the params of the join that is due the longest.
    Params,
    /// The transport takes so many frames.
    Take(u8),
    /// So many frames arrive at the server.
    Up(u8),
    /// So many frames arrive at the client.
    Down(u8),
    Accept,
    Refuse,
    Answer,
    /// The server pushes on the channel that is joined the longest.
    Say,
    Stop,
    Crash,
    Opens,
    Closes(u16),
    Breaks,
    Pass(u16),
    /// Something happens to one of the frames that are under way.
    Fault(Way, Fault, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It never arrives.
    Lose,
    /// It arrives twice, the second time behind all that are under way.
    Repeat,
    /// All that are under way overtake it.
    Overtake,
    /// It does not arrive before `Release`.
    Hold,
    /// All that were held are behind those that are under way.
    Release,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Hasty,
    WithoutReply,
    Retried,
}

pub(super) fn act() -> impl Strategy<Value = Act> {
    let kind =
        prop_oneof![Just(Kind::Plain), Just(Kind::Hasty), Just(Kind::WithoutReply), Just(Kind::Retried)];
    prop_oneof![
        4 => (0..3u8).prop_map(Act::Join),
        1 => (0..3u8).prop_map(Act::Replace),
        1 => (0..3u8).prop_map(Act::Leave),
        8 => (0..3u8, kind).prop_map(|(topic, kind)| Act::Push(topic, kind)),
        1 => prop_oneof![Just(Act::Raw), Just(Act::Ping), Just(Act::Disconnect)],
        1 => Just(Act::Connect),
        5 => Just(Act::Params),
        5 => (1..6u8).prop_map(Act::Take),
        5 => (1..6u8).prop_map(Act::Up),
        5 => (1..6u8).prop_map(Act::Down),
        4 => Just(Act::Accept),
        1 => Just(Act::Refuse),
        4 => Just(Act::Answer),
        2 => Just(Act::Say),
        1 => prop_oneof![Just(Act::Stop), Just(Act::Crash)],
        5 => Just(Act::Opens),
        1 => prop_oneof![Just(1000), Just(1001), Just(1012)].prop_map(Act::Closes),
        1 => Just(Act::Breaks),
        3 => (0..4_000u16).prop_map(Act::Pass),
    ]
}

/// The server's end of one connection, and what is under way.
struct Server {
    session: ServerSession,
    up: VecDeque<Frame>,
    down: VecDeque<Frame>,
    joining: VecDeque<session::ChannelId>,
    joined: VecDeque<session::ChannelId>,
    unanswered: VecDeque<(session::ChannelId, Option<Ref>, Payload)>,
    held: Vec<(Way, Frame)>,
    /// Topics and refs of the joins that it has let in.
    accepted: HashSet<(String, Ref)>,
    /// Topics and refs of the joins that were left.
    left: HashSet<(String, Ref)>,
    /// Topics and refs of the joins whose end, `phx_close` or `phx_error`, was lost.
    lost_ends: HashSet<(String, Ref)>,
    is_faultless: bool,
}

impl Server {
    fn new(serializer: Serializer) -> Self {
        let config = SessionConfig {
            patterns: vec!["room:*".parse().unwrap()],
            max_channels: 10,
            join_ref_rule: JoinRefRule::Strict,
            idle_timeout: None,
            errors_unmatched: false,
        };
        Server {
            session: ServerSession::new(serializer, Arc::new(config), Instant::now()),
            up: VecDeque::new(),
            down: VecDeque::new(),
            joining: VecDeque::new(),
            joined: VecDeque::new(),
            unanswered: VecDeque::new(),
            held: Vec::new(),
            accepted: HashSet::new(),
            left: HashSet::new(),
            lost_ends: HashSet::new(),
            is_faultless: true,
        }
    }

    /// Takes in one frame, and returns the numbers of the pushes that it brought.
    fn receive(&mut self) -> Vec<u64> {
        let Some(frame) = self.up.pop_front() else { return Vec::new() };
        self.session.handle_frame(frame).unwrap();
        self.hear()
    }

    fn hear(&mut self) -> Vec<u64> {
        let mut brought = Vec::new();
        while let Some(event) = self.session.poll_event() {
            match event {
                SessionEvent::Join { channel, .. } => self.joining.push_back(channel),
                SessionEvent::Leave { channel, reference } => {
                    self.left.extend(named(&self.session, channel));
                    self.session.left(channel, reference.as_ref()).unwrap();
                }
                SessionEvent::Message { channel, payload, reference, .. } => {
                    brought.push(number(&payload));
                    self.unanswered.push_back((channel, reference, payload));
                }
                SessionEvent::Replaced { .. } | SessionEvent::Renew { .. } | SessionEvent::Idle => {}
            }
        }
        self.down.extend(std::iter::from_fn(|| self.session.poll_transmit()));
        brought
    }

    /// Answers the join that waits the longest; what was parked behind it comes out.
    fn answer_join(&mut self, is_let_in: bool) -> Vec<u64> {
        let Some(channel) = self.joining.pop_front() else { return Vec::new() };
        if is_let_in {
            self.accepted.extend(named(&self.session, channel));
            self.session.accept_join(channel, &Payload::empty()).unwrap();
            self.joined.push_back(channel);
        } else {
            self.session.refuse_join(channel, &Payload::empty()).unwrap();
        }
        self.hear()
    }

    /// Answers the message that waits the longest with its own payload.
    fn answer(&mut self) -> bool {
        let Some((channel, reference, payload)) = self.unanswered.pop_front() else { return false };
        if let Some((topic, join_ref)) = self.session.names(channel) {
            let encoding = self.session.encoding();
            let reply =
                encoding.encode_reply(join_ref.as_ref(), reference.as_ref(), topic, &Status::Ok, &payload);
            self.down.push_back(reply.unwrap());
        }
        true
    }

    /// Pushes the ref of a channel's join on it.
    fn say(&mut self) {
        let joined = self.joined.iter().find_map(|channel| named(&self.session, *channel));
        let Some((topic, join_ref)) = joined else { return };
        let payload = Payload::json(&serde_json::json!({"join_ref": join_ref})).unwrap();
        let push = self.session.encoding().encode_push(Some(&join_ref), &topic, "said", &payload);
        self.down.push_back(push.unwrap());
    }

    /// The channels that it has, with the refs of their joins.
    fn channels(&self) -> BTreeMap<String, Ref> {
        self.joined.iter().filter_map(|channel| named(&self.session, *channel)).collect()
    }

    fn queue(&mut self, way: Way) -> &mut VecDeque<Frame> {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// Returns the number of the push that will arrive once more.
    fn fault(&mut self, way: Way, fault: Fault, place: u8) -> Option<u64> {
        self.is_faultless = false;
        if fault == Fault::Release {
            self.release();
            return None;
        }
        let count = self.queue(way).len();
        let frame = self.queue(way).remove(usize::from(place).checked_rem(count)?)?;
        match fault {
            Fault::Lose => self.lost_ends.extend(end(way, self.session.encoding().serializer(), &frame)),
            Fault::Hold => self.held.push((way, frame)),
            Fault::Overtake => self.queue(way).push_back(frame),
            Fault::Repeat => {
                let place = usize::from(place).checked_rem(count)?;
                self.queue(way).insert(place, frame.clone());
                self.queue(way).push_back(frame.clone());
                let message = self.session.encoding().serializer().decode(frame).ok()?;
                return message.payload.parse::<serde_json::Value>().ok()?["n"].as_u64();
            }
            Fault::Release => {}
        }
        None
    }

    fn release(&mut self) -> bool {
        let held = std::mem::take(&mut self.held);
        let is_any = !held.is_empty();
        for (way, frame) in held {
            self.queue(way).push_back(frame);
        }
        is_any
    }

    fn end(&mut self, end: fn(&mut ServerSession, session::ChannelId) -> Result<(), session::SessionError>) {
        let Some(channel) = self.joined.pop_front() else { return };
        end(&mut self.session, channel).unwrap();
        self.hear();
    }
}

/// The topic of a channel, and the ref of its join.
fn named(session: &ServerSession, channel: session::ChannelId) -> Option<(String, Ref)> {
    let (topic, join_ref) = session.names(channel)?;
    Some((topic.to_string(), join_ref?))
}

/// Topic and join of the channel whose end a server's frame tells.
fn end(way: Way, serializer: Serializer, frame: &Frame) -> Option<(String, Ref)> {
    if way == Way::Up {
        return None;
    }
    let ServerMessage { join_ref, topic, body, .. } = serializer.decode_server(frame.clone()).unwrap();
    match body {
        Body::Event { event, .. } if matches!(event.as_str(), "phx_close" | "phx_error") => {
            Some((topic.as_str().to_owned(), join_ref?))
        }
        Body::Event { .. } | Body::Reply { .. } => None,
    }
}

fn number(payload: &Payload) -> u64 {
    payload.parse::<serde_json::Value>().unwrap()["n"].as_u64().unwrap()
}

enum Link {
    None,
    Connecting,
    Open(Box<Server>),
}

/// What the application knows of a push.
pub(super) struct Asked {
    /// What its payload says; none for pings and leaves, which have none of their own.
    pub(super) number: Option<u64>,
    kind: Kind,
}

pub(super) struct World {
    pub(super) session: ClientSession,
    serializer: Serializer,
    pub(super) now: Duration,
    link: Link,
    /// The client has asked for a close.
    is_closing: bool,
    due: VecDeque<ChannelId>,
    pub(super) asked: BTreeMap<PushId, Asked>,
    pub(super) ended: BTreeMap<PushId, PushOutcome>,
    /// How often the server has seen each push.
    seen: BTreeMap<u64, u32>,
    /// How often the link has repeated it.
    repeated: BTreeMap<u64, u32>,
    pub(super) numbers: u64,
    status: SocketStatus,
    statuses: BTreeMap<ChannelId, ChannelStatus>,
}

impl World {
    pub(super) fn new(config: ClientConfig, serializer: Serializer) -> Self {
        World {
            session: ClientSession::new(config.serializer(serializer)),
            serializer,
            now: Duration::ZERO,
            link: Link::None,
            is_closing: false,
            due: VecDeque::new(),
            asked: BTreeMap::new(),
            ended: BTreeMap::new(),
            seen: BTreeMap::new(),
            repeated: BTreeMap::new(),
            numbers: 0,
            status: SocketStatus::Closed,
            statuses: BTreeMap::new(),
        }
    }

    pub(super) fn act(&mut self, act: &Act) {
        let now = self.now;
        match act {
            Act::Join(topic) => {
                // Refused if it is joined already.
                let _ = self.session.join(room(*topic), None, now);
            }
            Act::Replace(topic) => {
                self.session.join_replacing(room(*topic), None, now);
            }
            Act::Leave(topic) => {
                let leave = self.channel(*topic).and_then(|channel| self.session.leave(channel, now));
                self.ask(leave, None, Kind::Plain);
            }
            Act::Push(topic, kind) => self.push(*topic, *kind),
            Act::Raw => {
                let push = Push::new("raw", Payload::empty());
                let raw = self.session.push_raw("elsewhere", None, push, now).ok();
                self.ask(raw, None, Kind::Plain);
            }
            Act::Ping => {
                let ping = self.session.ping(now);
                self.ask(ping, None, Kind::Plain);
            }
            Act::Connect => self.session.connect(now),
            Act::Disconnect => self.session.disconnect(1000, "", now),
            Act::Params => {
                self.give_params();
            }
            Act::Take(count) => {
                self.take(*count);
            }
            Act::Up(count) => {
                self.carry_up(*count);
            }
            Act::Down(count) => {
                self.carry_down(*count);
            }
            Act::Accept | Act::Refuse | Act::Answer | Act::Say | Act::Stop | Act::Crash => {
                self.act_on_server(act)
            }
            Act::Fault(way, fault, place) => self.fault(*way, *fault, *place),
            Act::Opens => {
                self.open();
            }
            Act::Closes(code) => self.close(ConnectionEnd::clean(*code, "")),
            Act::Breaks => {
                self.session.handle_error("broken", now);
                self.close(ConnectionEnd::lost());
            }
            Act::Pass(millis) => self.pass(ms((*millis).into())),
        }
        self.hear();
    }

    fn act_on_server(&mut self, act: &Act) {
        let Link::Open(server) = &mut self.link else { return };
        let mut brought = Vec::new();
        match act {
            Act::Accept => brought = server.answer_join(true),
            Act::Refuse => brought = server.answer_join(false),
            Act::Answer => {
                server.answer();
            }
            Act::Say => server.say(),
            Act::Stop => server.end(ServerSession::stop),
            Act::Crash => server.end(ServerSession::crash),
            other => unreachable!("{other:?}"),
        }
        self.see(brought);
    }

    fn fault(&mut self, way: Way, fault: Fault, place: u8) {
        let Link::Open(server) = &mut self.link else { return };
        if let Some(repeated) = server.fault(way, fault, place) {
            *self.repeated.entry(repeated).or_default() += 1;
        }
    }

    fn push(&mut self, topic: u8, kind: Kind) {
        let Some(channel) = self.channel(topic) else { return };
        self.numbers += 1;
        let payload = Payload::json(&serde_json::json!({"n": self.numbers})).unwrap();
        let push = match kind {
            Kind::Plain => Push::new("plain", payload),
            Kind::Hasty => Push::new("hasty", payload).timeout(ms(300)),
            Kind::WithoutReply => Push::new("cast", payload).without_reply(),
            Kind::Retried => Push::new("retried", payload).retry_unconfirmed(),
        };
        let push = self.session.push(channel, push, self.now).ok();
        self.ask(push, Some(self.numbers), kind);
    }

    fn ask(&mut self, push: Option<PushId>, number: Option<u64>, kind: Kind) {
        if let Some(push) = push {
            assert!(self.asked.insert(push, Asked { number, kind }).is_none(), "an id comes twice");
        }
    }

    pub(super) fn channel(&self, topic: u8) -> Option<ChannelId> {
        self.session.channel(&room(topic))
    }

    fn see(&mut self, brought: Vec<u64>) {
        for number in brought {
            *self.seen.entry(number).or_default() += 1;
        }
    }

    fn give_params(&mut self) -> bool {
        let Some(channel) = self.due.pop_front() else { return false };
        // It may have been left, or have failed, and is due no more then.
        let _ = self.session.send_join(channel, Payload::empty(), self.now);
        true
    }

    fn take(&mut self, count: u8) -> bool {
        let Link::Open(server) = &mut self.link else { return false };
        let before = server.up.len();
        server.up.extend((0..count).map_while(|_| self.session.poll_transmit()));
        server.up.len() > before
    }

    fn carry_up(&mut self, count: u8) -> bool {
        let Link::Open(server) = &mut self.link else { return false };
        let is_due = !server.up.is_empty();
        let brought = Vec::from_iter((0..count).flat_map(|_| server.receive()));
        self.see(brought);
        is_due
    }

    fn carry_down(&mut self, count: u8) -> bool {
        let Link::Open(server) = &mut self.link else { return false };
        let arrived = server.down.drain(..server.down.len().min(count.into()));
        let arrived = Vec::from_iter(arrived);
        for frame in &arrived {
            self.session.handle_frame(frame.clone(), self.now).unwrap();
            self.hear();
        }
        !arrived.is_empty()
    }

    fn open(&mut self) -> bool {
        if !matches!(self.link, Link::Connecting) || self.is_closing {
            return false;
        }
        self.link = Link::Open(Box::new(Server::new(self.serializer)));
        self.session.handle_open(self.now);
        true
    }

    /// What is under way is lost.
    fn close(&mut self, end: ConnectionEnd) {
        if !matches!(self.link, Link::None) {
            self.link = Link::None;
            self.session.handle_close(end, self.now);
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            self.hear();
        }
        self.now = until;
    }

    /// Does what events ask for, and holds what they say against what was said before.
    fn hear(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                ClientEvent::Connect { .. } => (self.link, self.is_closing) = (Link::Connecting, false),
                ClientEvent::Close { .. } => self.is_closing = true,
                ClientEvent::Closed(_) => self.link = Link::None,
                ClientEvent::JoinDue { channel, .. } => self.due.push_back(channel),
                ClientEvent::SocketStatus { old, new } => {
                    assert_eq!(std::mem::replace(&mut self.status, new), old);
                }
                ClientEvent::ChannelStatus { channel, old, new } => {
                    let told = self.statuses.insert(channel, new).unwrap_or(ChannelStatus::Closed);
                    assert_eq!(told, old);
                }
                ClientEvent::PushEnded { push, outcome, .. } => {
                    self.check_end(push, &outcome);
                    assert!(self.ended.insert(push, outcome).is_none(), "{push:?} ends twice");
                }
                ClientEvent::Message { channel, payload, .. } => self.check_message(channel, &payload),
                _ => {}
            }
        }
        self.check_joined();
        assert_eq!(self.session.status(), self.status);
        for (channel, status) in &self.statuses {
            assert_eq!(self.session.channel_status(*channel), *status);
            let is_joined = *status == ChannelStatus::Joined;
            assert!(!is_joined || matches!(self.status, SocketStatus::Open | SocketStatus::Closing));
        }
        let may_send = matches!(self.status, SocketStatus::Open | SocketStatus::Closing);
        assert!(may_send || !self.session.wants_to_transmit());
    }

    /// The channels that are joined, as the client sees it, with the refs of their joins.
    fn joined(&self) -> BTreeMap<String, Ref> {
        let channels = self.session.snapshot().channels.into_iter();
        let joined = channels.filter(|channel| channel.status == ChannelStatus::Joined);
        joined.map(|channel| (channel.topic.to_string(), channel.join_ref.unwrap())).collect()
    }

    /// The client believes in no join that the server has not let in, or that it has left; the server believes in none that the client has not sent.
    fn check_joined(&self) {
        let Link::Open(server) = &self.link else { return };
        for join in self.joined() {
            assert!(server.accepted.contains(&join), "{join:?} was not let in");
            assert!(!server.left.contains(&join), "{join:?} was not left");
        }
        let last = self.session.snapshot().last_ref;
        for (topic, join_ref) in server.channels() {
            assert!(join_ref.as_counted().unwrap() <= last, "{topic} was not joined");
        }
    }

    /// What a channel hears was said to its own join. Version 1 does not tell.
    fn check_message(&self, channel: ChannelId, payload: &Payload) {
        let channels = self.session.snapshot().channels;
        let heard = channels.iter().find(|heard| heard.channel == channel);
        if self.serializer == Serializer::V2 {
            let said = payload.parse::<serde_json::Value>().unwrap();
            assert_eq!(said["join_ref"], serde_json::json!(heard.unwrap().join_ref), "heard of another join");
        }
    }

    /// Nothing is under way: both sides have the same channels, but for those whose end was lost, or that only a server has on a link with
    /// faults. Returns whether they are the same.
    pub(super) fn check_agreement(&self) -> bool {
        let Link::Open(server) = &self.link else { return false };
        let (ours, theirs) = (self.joined(), server.channels());
        for (topic, join_ref) in &ours {
            let is_known = theirs.get(topic) == Some(join_ref);
            let was_lost = server.lost_ends.contains(&(topic.clone(), join_ref.clone()));
            assert!(is_known || was_lost, "{topic} of {join_ref:?} is not joined: {theirs:?}");
        }
        assert!(ours == theirs || !server.is_faultless, "{ours:?} is not {theirs:?}");
        ours == theirs
    }

    /// A reply is that of its own push, and what is said of the server is so.
    fn check_end(&self, push: PushId, outcome: &PushOutcome) {
        let Some(Asked { number: Some(asked), kind }) = self.asked.get(&push) else { return };
        let seen = self.seen.get(asked).copied().unwrap_or_default();
        let repeated = self.repeated.get(asked).copied().unwrap_or_default();
        assert!(seen <= 1 + repeated || *kind == Kind::Retried, "{push:?} was sent twice");
        match outcome {
            PushOutcome::Reply { status: Status::Ok, response } => {
                assert_eq!((number(response), seen > 0), (*asked, true), "{push:?}");
            }
            PushOutcome::Reply { response, .. } => {
                assert_eq!(response.as_json(), Some(&br#"{"reason":"unmatched topic"}"#[..]));
            }
            PushOutcome::Dropped | PushOutcome::Closed | PushOutcome::TimedOut { was_sent: false } => {
                assert_eq!(seen, 0, "{push:?} {outcome:?}");
            }
            PushOutcome::Sent => assert_eq!(*kind, Kind::WithoutReply),
            PushOutcome::Unconfirmed | PushOutcome::TimedOut { was_sent: true } => {}
            PushOutcome::Unsendable(error) => panic!("{error}"),
        }
    }

    /// The link works, the server lets everyone in and answers everything, until nothing moves.
    pub(super) fn settle(&mut self) {
        loop {
            let mut moved = self.open();
            if let Link::Open(server) = &mut self.link {
                moved |= server.release();
            }
            if self.is_closing && !matches!(self.link, Link::None) {
                self.close(ConnectionEnd::clean(1000, ""));
                moved = true;
            }
            self.hear();
            moved |= self.give_params() | self.take(u8::MAX) | self.carry_up(u8::MAX);
            if let Link::Open(server) = &mut self.link {
                moved |= !server.joining.is_empty();
                let brought = server.answer_join(true);
                moved |= server.answer();
                self.see(brought);
            }
            moved |= self.carry_down(u8::MAX);
            self.hear();
            if !moved {
                return;
            }
        }
    }

    pub(super) fn is_healed(&self) -> bool {
        let statuses = self.statuses.values();
        self.status == SocketStatus::Open
            && statuses.clone().all(|status| matches!(status, ChannelStatus::Joined | ChannelStatus::Closed))
    }

    /// Lets time pass from deadline to deadline, with everything in order, until `limit`.
    pub(super) fn settle_until(&mut self, limit: Duration, is_done: fn(&World) -> bool) {
        self.settle();
        while !is_done(self) {
            let next = self.session.poll_timeout().filter(|at| *at <= limit);
            let Some(at) = next else { return self.pass(limit.saturating_sub(self.now)) };
            self.pass(at.saturating_sub(self.now));
            self.settle();
        }
    }
}

fn room(topic: u8) -> String {
    format!("room:{topic}")
}

pub(super) fn configs() -> impl Strategy<Value = ClientConfig> {
    let small = SendBuffer::default().max_pushes(3);
    let buffers = prop_oneof![Just(SendBuffer::default()), Just(small), Just(small.drop_oldest())];
    (buffers, any::<u64>()).prop_map(|(buffer, seed)| ClientConfig::default().send_buffer(buffer).seed(seed))
}
