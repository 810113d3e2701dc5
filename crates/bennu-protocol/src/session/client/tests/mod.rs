//! Conversations with a client session, with a clock of their own; the numbers of checks are those of the conformance list.

mod channels;
mod heal;
mod link;
mod pushes;
mod socket;
mod world;

use std::time::Duration;

use super::{
    Backoff, ChannelId, ChannelStatus, ClientConfig, ClientEvent, ClientSession, ConnectionEnd, Push, PushId,
    PushOutcome, SocketStatus,
};
use crate::frame::{Frame, FrameKind};
use crate::message::Status;
use crate::payload::Payload;

/// Something that happens in a conversation, for tables.
type Step = fn(&mut Conversation);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A session, the time, and a caller that answers each due join with the number of that join.
struct Conversation {
    session: ClientSession,
    now: Duration,
    joins: u32,
    told: Vec<ClientEvent>,
}

impl Conversation {
    /// The official tables, without jitter.
    fn config() -> ClientConfig {
        ClientConfig::default()
            .reconnect_backoff(Backoff::reconnect().jitter(0))
            .rejoin_backoff(Backoff::rejoin().jitter(0))
    }

    fn with(config: ClientConfig) -> Self {
        Conversation { session: ClientSession::new(config), now: Duration::ZERO, joins: 0, told: Vec::new() }
    }

    fn new() -> Self {
        Conversation::with(Conversation::config())
    }

    /// With an open socket, of which nothing more is told.
    fn open() -> Self {
        Conversation::open_with(Conversation::config())
    }

    fn open_with(config: ClientConfig) -> Self {
        let mut talk = Conversation::with(config);
        talk.connect();
        talk.opens();
        talk.told();
        talk
    }

    /// With an open socket and one joined channel, whose join had the ref 1; of neither more is told.
    fn joined() -> (Self, ChannelId) {
        Conversation::joined_with(Conversation::config())
    }

    fn joined_with(config: ClientConfig) -> (Self, ChannelId) {
        let mut talk = Conversation::open_with(config);
        let channel = talk.join("room:a");
        talk.sent();
        talk.accept("room:a", 1);
        talk.told();
        (talk, channel)
    }

    fn connect(&mut self) {
        self.session.connect(self.now);
        self.hear();
    }

    fn opens(&mut self) {
        self.session.handle_open(self.now);
        self.hear();
    }

    fn closes(&mut self, end: ConnectionEnd) {
        self.session.handle_close(end, self.now);
        self.hear();
    }

    fn join(&mut self, topic: &str) -> ChannelId {
        let channel = self.session.join(topic, None, self.now).unwrap();
        self.hear();
        channel
    }

    fn leave(&mut self, channel: ChannelId) -> Option<PushId> {
        let leave = self.session.leave(channel, self.now);
        self.hear();
        leave
    }

    fn push(&mut self, channel: ChannelId, event: &str) -> PushId {
        self.push_with(channel, Push::new(event, Payload::empty()))
    }

    fn push_with(&mut self, channel: ChannelId, push: Push) -> PushId {
        let push = self.session.push(channel, push, self.now).unwrap();
        self.hear();
        push
    }

    fn receive(&mut self, text: &str) {
        self.receive_frame(Frame::text(text.to_owned()));
    }

    fn receive_frame(&mut self, frame: Frame) {
        self.session.handle_frame(frame, self.now).unwrap();
        self.hear();
    }

    /// The server lets in the join with this ref.
    fn accept(&mut self, topic: &str, join_ref: u64) {
        self.receive(&reply(join_ref, join_ref, topic, "ok"));
    }

    /// Lets time pass; what becomes due on the way does so in time.
    fn pass(&mut self, millis: u64) {
        let until = self.now + ms(millis);
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            self.hear();
        }
        self.now = until;
    }

    /// What was told since the last time.
    fn told(&mut self) -> Vec<ClientEvent> {
        std::mem::take(&mut self.told)
    }

    /// How the pushes ended of which that was told since the last time.
    fn ended(&mut self) -> Vec<(PushId, PushOutcome)> {
        let ended = self.told().into_iter().filter_map(|event| match event {
            ClientEvent::PushEnded { push, outcome, .. } => Some((push, outcome)),
            _ => None,
        });
        ended.collect()
    }

    /// All frames that are due, as text; binary ones as hexadecimal digits.
    fn sent(&mut self) -> Vec<String> {
        let frames = std::iter::from_fn(|| self.session.poll_transmit());
        let sent = Vec::from_iter(frames.map(|frame| match frame.kind() {
            FrameKind::Text => String::from_utf8(frame.payload().to_vec()).unwrap(),
            FrameKind::Binary => frame.payload().iter().map(|byte| format!("{byte:02x}")).collect(),
        }));
        self.hear();
        sent
    }

    fn hear(&mut self) {
        while let Some(event) = self.session.poll_event() {
            if let ClientEvent::JoinDue { channel, .. } = &event {
                self.joins += 1;
                let params = Payload::json(&serde_json::json!({"join": self.joins})).unwrap();
                self.session.send_join(*channel, params, self.now).unwrap();
            }
            self.told.push(event);
        }
    }
}

fn reply(join_ref: u64, reference: u64, topic: &str, status: &str) -> String {
    format!(r#"["{join_ref}","{reference}","{topic}","phx_reply",{{"response":{{}},"status":"{status}"}}]"#)
}

fn ok() -> PushOutcome {
    PushOutcome::Reply { status: Status::Ok, response: Payload::empty() }
}

fn reconnecting(attempt: u32, at: u64) -> SocketStatus {
    SocketStatus::Reconnecting { attempt, at: ms(at) }
}

fn errored(retry_at: impl Into<Option<u64>>) -> ChannelStatus {
    ChannelStatus::Errored { retry_at: retry_at.into().map(ms) }
}
