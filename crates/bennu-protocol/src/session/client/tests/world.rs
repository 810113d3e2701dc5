//! A client session against the server session of this crate, over a link that delays, closes, and loses what is under way then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::refs::Ref;
use crate::serializer::Serializer;
use crate::session::client::SendBuffer;
use crate::session::{self, JoinRefRule, ServerSession, SessionConfig, SessionEvent};

/// What the application, the server or the link may do next; topics are three.
#[derive(Debug, Clone)]
enum Act {
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
    Stop,
    Crash,
    Opens,
    Closes(u16),
    Breaks,
    Pass(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Hasty,
    WithoutReply,
    Retried,
}

fn act() -> impl Strategy<Value = Act> {
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

    fn end(&mut self, end: fn(&mut ServerSession, session::ChannelId) -> Result<(), session::SessionError>) {
        let Some(channel) = self.joined.pop_front() else { return };
        end(&mut self.session, channel).unwrap();
        self.hear();
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
struct Asked {
    /// What its payload says; none for pings and leaves, which have none of their own.
    number: Option<u64>,
    kind: Kind,
}

struct World {
    session: ClientSession,
    serializer: Serializer,
    now: Duration,
    link: Link,
    /// The client has asked for a close.
    is_closing: bool,
    due: VecDeque<ChannelId>,
    asked: BTreeMap<PushId, Asked>,
    ended: BTreeMap<PushId, PushOutcome>,
    /// How often the server has seen each push.
    seen: BTreeMap<u64, u32>,
    numbers: u64,
    status: SocketStatus,
    statuses: BTreeMap<ChannelId, ChannelStatus>,
}

impl World {
    fn new(config: ClientConfig, serializer: Serializer) -> Self {
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
            numbers: 0,
            status: SocketStatus::Closed,
            statuses: BTreeMap::new(),
        }
    }

    fn act(&mut self, act: &Act) {
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
            Act::Accept | Act::Refuse | Act::Answer | Act::Stop | Act::Crash => self.act_on_server(act),
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
            Act::Stop => server.end(ServerSession::stop),
            Act::Crash => server.end(ServerSession::crash),
            other => unreachable!("{other:?}"),
        }
        self.see(brought);
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

    fn channel(&self, topic: u8) -> Option<ChannelId> {
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
                _ => {}
            }
        }
        assert_eq!(self.session.status(), self.status);
        for (channel, status) in &self.statuses {
            assert_eq!(self.session.channel_status(*channel), *status);
            let is_joined = *status == ChannelStatus::Joined;
            assert!(!is_joined || matches!(self.status, SocketStatus::Open | SocketStatus::Closing));
        }
        let may_send = matches!(self.status, SocketStatus::Open | SocketStatus::Closing);
        assert!(may_send || !self.session.wants_to_transmit());
    }

    /// A reply is that of its own push, and what is said of the server is so.
    fn check_end(&self, push: PushId, outcome: &PushOutcome) {
        let Some(Asked { number: Some(asked), kind }) = self.asked.get(&push) else { return };
        let seen = self.seen.get(asked).copied().unwrap_or_default();
        assert!(seen <= 1 || *kind == Kind::Retried, "{push:?} was sent twice");
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
    fn settle(&mut self) {
        loop {
            let mut moved = self.open();
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

    fn is_healed(&self) -> bool {
        let statuses = self.statuses.values();
        self.status == SocketStatus::Open
            && statuses.clone().all(|status| matches!(status, ChannelStatus::Joined | ChannelStatus::Closed))
    }

    /// Lets time pass from deadline to deadline, with everything in order, until `limit`.
    fn settle_until(&mut self, limit: Duration, is_done: fn(&World) -> bool) {
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

fn configs() -> impl Strategy<Value = ClientConfig> {
    let small = SendBuffer::default().max_pushes(3);
    let buffers = prop_oneof![Just(SendBuffer::default()), Just(small), Just(small.drop_oldest())];
    (buffers, any::<u64>()).prop_map(|(buffer, seed)| ClientConfig::default().send_buffer(buffer).seed(seed))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn every_push_ends_once_with_its_own_reply_and_what_is_wanted_is_joined_once_the_link_heals(
        config in configs(),
        serializer in prop_oneof![3 => Just(Serializer::V2), 1 => Just(Serializer::V1)],
        acts in prop::collection::vec(act(), 0..120),
    ) {
        let mut world = World::new(config, serializer);
        world.act(&Act::Connect);
        for act in &acts {
            world.act(act);
        }
        world.act(&Act::Connect);
        // The socket is open at once, as it was just asked for, so the longest wait for a rejoin is left.
        let limit = world.now + Backoff::rejoin().longest(u32::MAX);
        world.settle_until(limit, World::is_healed);
        prop_assert!(world.is_healed(), "{:?}", world.session.snapshot());
        for topic in 0..3 {
            world.act(&Act::Push(topic, Kind::Plain));
            world.settle();
            let asked = world.asked.iter().find(|(_, asked)| asked.number == Some(world.numbers));
            let outcome = asked.and_then(|(push, _)| world.ended.get(push));
            let is_answered = matches!(outcome, Some(PushOutcome::Reply { status: Status::Ok, .. }));
            prop_assert!(is_answered || world.channel(topic).is_none(), "{:?}", outcome);
        }
        // What the server passed over, as it came for a join that had ended, is told when its time is over.
        let limit = world.now + ms(10_000);
        world.settle_until(limit, |_| false);
        for push in world.asked.keys() {
            prop_assert!(world.ended.contains_key(push), "{:?} {:?}", push, world.session.snapshot());
        }
        let left = world.session.snapshot();
        prop_assert_eq!((left.buffered_pushes, left.buffered_bytes, left.pushes), (0, 0, vec![]));
    }
}
