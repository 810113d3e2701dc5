//! Conversations with a server session, without a runtime and with a clock of their own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{ChannelId, JoinRefRule, ServerSession, SessionConfig, SessionEvent};
use crate::frame::Frame;
use crate::message::Status;
use crate::payload::Payload;
use crate::refs::Ref;
use crate::serializer::Serializer;

const OK: &str = r#"{"response":{},"status":"ok"}"#;

/// A session and the moment at which it began.
struct Conversation {
    session: ServerSession,
    start: Instant,
}

impl Conversation {
    fn new() -> Self {
        Conversation::with(Serializer::V2, JoinRefRule::Lenient)
    }

    fn with(serializer: Serializer, join_ref_rule: JoinRefRule) -> Self {
        let config = SessionConfig { join_ref_rule, ..Conversation::config() };
        Conversation::configured(serializer, config)
    }

    fn config() -> SessionConfig {
        SessionConfig {
            patterns: vec!["room:*".parse().unwrap(), "exact".parse().unwrap()],
            max_channels: 2,
            join_ref_rule: JoinRefRule::Lenient,
            idle_timeout: Some(Duration::from_secs(60)),
            errors_unmatched: false,
        }
    }

    fn configured(serializer: Serializer, config: SessionConfig) -> Self {
        let start = Instant::now();
        Conversation { session: ServerSession::new(serializer, Arc::new(config), start), start }
    }

    /// Sends, and returns what the server should know.
    fn send(&mut self, text: &str) -> Vec<SessionEvent> {
        self.session.handle_frame(Frame::text(text.to_owned())).unwrap();
        self.events()
    }

    fn events(&mut self) -> Vec<SessionEvent> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    /// All frames that are due, as text.
    fn received(&mut self) -> Vec<String> {
        let frames = std::iter::from_fn(|| self.session.poll_transmit());
        frames.map(|frame| String::from_utf8(frame.payload().to_vec()).unwrap()).collect()
    }

    /// Starts a join and returns the channel.
    fn begin_join(&mut self, text: &str) -> ChannelId {
        joined(&self.send(text))
    }

    /// Joins and returns the channel, having thrown the reply away.
    fn join(&mut self, text: &str) -> ChannelId {
        let channel = self.begin_join(text);
        self.session.accept_join(channel, &Payload::empty()).unwrap();
        self.received();
        channel
    }
}

fn joined(events: &[SessionEvent]) -> ChannelId {
    match events.last() {
        Some(SessionEvent::Join { channel, .. }) => *channel,
        other => panic!("expected a join, got {other:?}"),
    }
}

fn event_of(event: &SessionEvent) -> &str {
    match event {
        SessionEvent::Message { event, .. } => event.as_text().unwrap(),
        other => panic!("expected a message, got {other:?}"),
    }
}

#[test]
fn a_heartbeat_is_answered_with_its_ref_and_without_a_join_ref() {
    for (sent, reference) in [
        (r#"[null,"5","phoenix","heartbeat",{}]"#, r#""5""#),
        (r#"["x",7,"phoenix","heartbeat",{}]"#, "7"),
        (r#"[null,null,"phoenix","heartbeat",{}]"#, "null"),
    ] {
        let mut talk = Conversation::new();
        assert_eq!(talk.send(sent), []);
        assert_eq!(talk.received(), [format!(r#"[null,{reference},"phoenix","phx_reply",{OK}]"#)]);
    }
}

#[test]
fn what_no_channel_serves_is_unmatched() {
    let unmatched = r#"{"response":{"reason":"unmatched topic"},"status":"error"}"#;
    for (sent, topic) in [
        (r#"["1","9","nope","phx_join",{}]"#, r#""nope""#),
        (r#"["1","9","exact2","phx_join",{}]"#, r#""exact2""#),
        (r#"["1","9","room:a","echo",{}]"#, r#""room:a""#),
        (r#"["1","9","phoenix","other",{}]"#, r#""phoenix""#),
        (r#"["1","9",5,"phx_join",{}]"#, "5"),
        (r#"["1","9",null,"echo",{}]"#, "null"),
    ] {
        let mut talk = Conversation::new();
        assert_eq!(talk.send(sent), [], "{sent}");
        assert_eq!(talk.received(), [format!(r#"[null,"9",{topic},"phx_reply",{unmatched}]"#)], "{sent}");
    }
}

#[test]
fn where_sessions_get_lost_unseen_a_push_into_the_void_ends_its_channel() {
    let unmatched = r#"{"response":{"reason":"unmatched topic"},"status":"error"}"#;
    let reason = r#"{"reason":"unmatched topic"}"#;
    for (name, sent, ended) in [
        ("a push", r#"["7","9","room:a","echo",{}]"#, Some(r#"["7","7","room:a","phx_error""#)),
        (
            "a push of a client that counts",
            r#"[7,9,"room:a","echo",{}]"#,
            Some(r#"[7,7,"room:a","phx_error""#),
        ),
        ("a push without a join_ref", r#"[null,"9","room:a","echo",{}]"#, None),
        ("a join that no route takes", r#"["7","9","nope","phx_join",{}]"#, None),
    ] {
        let config = SessionConfig { errors_unmatched: true, ..Conversation::config() };
        let mut talk = Conversation::configured(Serializer::V2, config);
        talk.send(sent);
        let received = talk.received();
        assert!(received[0].ends_with(&format!(r#""phx_reply",{unmatched}]"#)), "{name}: {received:?}");
        assert_eq!(received.get(1), ended.map(|start| format!("{start},{reason}]")).as_ref(), "{name}");
    }
}

#[test]
fn a_join_is_answered_with_its_own_refs() {
    let mut talk = Conversation::new();
    let channel = talk.begin_join(r#"["11","1","room:a","phx_join",{}]"#);
    assert_eq!(talk.received(), Vec::<String>::new());
    talk.session.accept_join(channel, &Payload::empty()).unwrap();
    assert_eq!(talk.received(), [format!(r#"["11","1","room:a","phx_reply",{OK}]"#)]);
    assert_eq!(talk.session.names(channel), Some((&"room:a".into(), Some(Ref::from_text("11")))));
}

#[test]
fn a_refused_join_leaves_the_topic_free() {
    let mut talk = Conversation::new();
    let channel = talk.begin_join(r#"["1","1","room:a","phx_join",{}]"#);
    talk.session.refuse_join(channel, &Payload::Json(r#"{"reason":"nope"}"#.into())).unwrap();
    let refused = r#"["1","1","room:a","phx_reply",{"response":{"reason":"nope"},"status":"error"}]"#;
    assert_eq!(talk.received(), [refused]);
    assert!(!talk.session.is_alive(channel));
}

#[test]
fn which_join_refs_reach_a_channel() {
    use JoinRefRule::{Lenient, Strict};
    for (join_ref, lenient, strict) in [
        (r#""1""#, true, true),
        ("null", true, true),
        (r#""2""#, true, false),
        (r#""0""#, false, false),
        ("1", false, false),
        ("1.0", false, false),
    ] {
        for (rule, expected) in [(Lenient, lenient), (Strict, strict)] {
            let mut talk = Conversation::with(Serializer::V2, rule);
            talk.join(r#"["1","2","room:a","phx_join",{}]"#);
            let events = talk.send(&format!(r#"[{join_ref},"9","room:a","echo",{{}}]"#));
            assert_eq!(events.len(), usize::from(expected), "{join_ref} {rule:?}");
            assert_eq!(talk.received(), Vec::<String>::new());
        }
    }
}

#[test]
fn a_channel_joined_without_a_join_ref_answers_with_the_joins_ref() {
    let mut talk = Conversation::new();
    let channel = talk.join(r#"[null,"1","room:a","phx_join",{}]"#);
    assert_eq!(talk.session.names(channel), Some((&"room:a".into(), Some(Ref::from_text("1")))));
    let events = talk.send(r#"[null,"9","room:a","phx_leave",{}]"#);
    assert_eq!(events, [SessionEvent::Leave { channel, reference: Some(Ref::from_text("9")) }]);
    talk.session.left(channel, Some(&Ref::from_text("9"))).unwrap();
    assert_eq!(
        talk.received(),
        [format!(r#"["1","9","room:a","phx_reply",{OK}]"#), r#"[null,null,"room:a","phx_close",{}]"#.into()]
    );
}

#[test]
fn leaving_what_was_never_joined_is_ok_and_closes_nothing() {
    let mut talk = Conversation::new();
    assert_eq!(talk.send(r#"["1","9","room:a","phx_leave",{}]"#), []);
    assert_eq!(talk.received(), [format!(r#"["1","9","room:a","phx_reply",{OK}]"#)]);
}

#[test]
fn a_stale_leave_has_no_effect() {
    let mut talk = Conversation::new();
    let channel = talk.join(r#"["1","1","room:a","phx_join",{}]"#);
    assert_eq!(talk.send(r#"["0","9","room:a","phx_leave",{}]"#), []);
    assert!(talk.session.is_alive(channel));
    assert_eq!(talk.received(), Vec::<String>::new());
}

#[test]
fn messages_to_a_channel_that_is_being_left_vanish() {
    let mut talk = Conversation::new();
    talk.join(r#"["1","1","room:a","phx_join",{}]"#);
    talk.send(r#"["1","2","room:a","phx_leave",{}]"#);
    assert_eq!(talk.send(r#"["1","3","room:a","echo",{}]"#), []);
    assert_eq!(talk.received(), Vec::<String>::new());
}

#[test]
fn a_duplicate_join_is_answered_before_the_old_channel_closes() {
    let mut talk = Conversation::new();
    let old = talk.join(r#"["1","1","room:a","phx_join",{}]"#);
    let events = talk.send(r#"["2","2","room:a","phx_join",{}]"#);
    let (topic, join_ref) = ("room:a".into(), Some(Ref::from_text("1")));
    assert_eq!(events[0], SessionEvent::Replaced { channel: old, topic, join_ref });
    let new = joined(&events);
    assert_ne!(old, new);
    assert_eq!(talk.received(), Vec::<String>::new());
    talk.session.accept_join(new, &Payload::empty()).unwrap();
    assert_eq!(
        talk.received(),
        [format!(r#"["2","2","room:a","phx_reply",{OK}]"#), r#"["1","1","room:a","phx_close",{}]"#.into()]
    );
    // What the old channel still says finds nobody.
    talk.session.stop(old).unwrap();
    assert_eq!(talk.received(), Vec::<String>::new());
}

#[test]
fn a_refused_duplicate_join_closes_the_old_channel_all_the_same() {
    let mut talk = Conversation::new();
    talk.join(r#"["1","1","room:a","phx_join",{}]"#);
    let new = joined(&talk.send(r#"["2","2","room:a","phx_join",{}]"#));
    talk.session.refuse_join(new, &Payload::empty()).unwrap();
    assert_eq!(talk.received().last().unwrap(), r#"["1","1","room:a","phx_close",{}]"#);
    assert_eq!(talk.send(r#"["2","3","room:a","echo",{}]"#), []);
    assert!(talk.received()[0].contains("unmatched topic"));
}

#[test]
fn messages_wait_for_a_join_in_order_and_others_go_on() {
    let mut talk = Conversation::new();
    let slow = talk.begin_join(r#"["1","1","room:slow","phx_join",{}]"#);
    for event in ["first", "second"] {
        assert_eq!(talk.send(&format!(r#"["1","2","room:slow","{event}",{{}}]"#)), []);
    }
    assert!(talk.session.parked_bytes() > 0);
    talk.send(r#"[null,"5","phoenix","heartbeat",{}]"#);
    assert_eq!(talk.received().len(), 1);
    talk.session.accept_join(slow, &Payload::empty()).unwrap();
    let events = talk.events();
    assert_eq!(events.iter().map(event_of).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(talk.session.parked_bytes(), 0);
}

#[test]
fn what_waited_for_a_join_that_is_refused_is_unmatched() {
    let mut talk = Conversation::new();
    let slow = talk.begin_join(r#"["1","1","room:slow","phx_join",{}]"#);
    talk.send(r#"["1","2","room:slow","echo",{}]"#);
    talk.session.refuse_join(slow, &Payload::empty()).unwrap();
    assert_eq!(talk.events(), []);
    let received = talk.received();
    assert!(
        received[1].starts_with(r#"[null,"2","room:slow","phx_reply""#) && received[1].contains("unmatched")
    );
}

#[test]
fn a_join_that_waits_for_a_join_takes_its_place_afterwards() {
    let mut talk = Conversation::new();
    let first = talk.begin_join(r#"["1","1","room:slow","phx_join",{}]"#);
    assert_eq!(talk.send(r#"["2","2","room:slow","phx_join",{}]"#), []);
    assert_eq!(talk.send(r#"["2","3","room:slow","echo",{}]"#), []);
    talk.session.accept_join(first, &Payload::empty()).unwrap();
    let events = talk.events();
    assert!(matches!(events[0], SessionEvent::Replaced { channel, .. } if channel == first));
    talk.session.accept_join(joined(&events), &Payload::empty()).unwrap();
    assert_eq!(event_of(&talk.events()[0]), "echo");
}

#[test]
fn the_channel_limit_counts_what_is_joined_now() {
    let mut talk = Conversation::new();
    let first = talk.join(r#"["1","1","room:1","phx_join",{}]"#);
    talk.join(r#"["2","2","room:2","phx_join",{}]"#);
    assert_eq!(talk.send(r#"["3","3","room:3","phx_join",{}]"#), []);
    let too_many = r#"{"response":{"reason":"too many channels joined"},"status":"error"}"#;
    assert_eq!(talk.received(), [format!(r#"["3","3","room:3","phx_reply",{too_many}]"#)]);
    // A duplicate join frees its own place first.
    talk.join(r#"["4","4","room:2","phx_join",{}]"#);
    talk.session.stop(first).unwrap();
    talk.join(r#"["3","3","room:3","phx_join",{}]"#);
}

#[test]
fn names_that_a_session_keeps_are_bounded() {
    let refused = |join_ref: &str, topic: &str| {
        let reason = r#"{"response":{"reason":"topic or refs too long"},"status":"error"}"#;
        format!(r#"["{join_ref}","1","{topic}","phx_reply",{reason}]"#)
    };
    let (long, longer) = ("x".repeat(4_000), "x".repeat(9_000));
    let mut talk = Conversation::new();
    let topic = format!("room:{longer}");
    assert_eq!(talk.send(&format!(r#"["0","1","{topic}","phx_join",{{}}]"#)), []);
    assert_eq!(talk.received(), [refused("0", &topic)]);
    let first = talk.join(&format!(r#"["{long}","1","room:{long}","phx_join",{{}}]"#));
    assert_eq!(talk.send(&format!(r#"["{long}","1","room:b","phx_join",{{}}]"#)), []);
    assert_eq!(talk.received(), [refused(&long, "room:b")]);
    talk.join(r#"["1","1","room:b","phx_join",{}]"#);
    talk.session.stop(first).unwrap();
    talk.received();
    // The join that is refused has ended the one before.
    let events = talk.send(&format!(r#"["{longer}","1","room:b","phx_join",{{}}]"#));
    assert!(matches!(events[..], [SessionEvent::Replaced { .. }]));
    assert_eq!(
        talk.received(),
        [refused(&longer, "room:b"), r#"["1","1","room:b","phx_close",{}]"#.to_owned()]
    );
}

#[test]
fn ends_of_channels_carry_the_join_ref() {
    let mut talk = Conversation::new();
    let channel = talk.join(r#"["1","1","room:a","phx_join",{}]"#);
    talk.session.crash(channel).unwrap();
    assert_eq!(talk.received(), [r#"["1","1","room:a","phx_error",{"reason":"channel_crash"}]"#]);
    let channel = talk.join(r#"["2","2","room:a","phx_join",{}]"#);
    talk.session.stop(channel).unwrap();
    assert_eq!(talk.received(), [r#"["2","2","room:a","phx_close",{}]"#]);
}

#[test]
fn version_1_never_shows_a_join_ref() {
    let mut talk = Conversation::with(Serializer::V1, JoinRefRule::Lenient);
    let channel = talk.begin_join(r#"{"topic":"room:a","event":"phx_join","payload":{},"ref":"1"}"#);
    talk.session.accept_join(channel, &Payload::empty()).unwrap();
    talk.session.crash(channel).unwrap();
    assert_eq!(
        talk.received(),
        [
            format!(r#"{{"event":"phx_reply","payload":{OK},"ref":"1","topic":"room:a"}}"#),
            r#"{"event":"phx_error","payload":{"reason":"channel_crash"},"ref":null,"topic":"room:a"}"#
                .into(),
        ]
    );
}

#[test]
fn silence_ends_in_idle_and_any_byte_puts_it_off() {
    let mut talk = Conversation::new();
    let later = talk.start + Duration::from_secs(50);
    talk.session.handle_received(later);
    talk.session.handle_timeout(talk.start + Duration::from_secs(60));
    assert_eq!(talk.events(), []);
    assert_eq!(talk.session.poll_timeout(), Some(later + Duration::from_secs(60)));
    talk.session.handle_timeout(later + Duration::from_secs(60));
    assert_eq!(talk.events(), [SessionEvent::Idle]);
}

#[test]
fn what_is_no_message_ends_the_session() {
    for text in ["nope", "", "{}", r#"["1","1","room:a","phx_join"]"#] {
        assert!(Conversation::new().session.handle_frame(Frame::text(text)).is_err(), "{text}");
    }
}

#[test]
fn an_answer_that_has_no_json_form_ends_the_session() {
    let mut talk = Conversation::new();
    let heartbeat = [&[0, 0, 1, 7, 9, 0xff], b"phoenixheartbeat".as_slice()].concat();
    assert!(talk.session.handle_frame(Frame::binary(heartbeat)).is_err());
}

const TOKEN: &str = r#"[null,"9","phoenix","token",{"token":"t"}]"#;
const ACCESS_TOKEN: &str = r#"["1","9","room:a","access_token",{"access_token":"t"}]"#;

#[test]
fn credentials_are_ordinary_messages_unless_renewals_are_accepted() {
    let mut talk = Conversation::new();
    talk.join(r#"["1","1","room:a","phx_join",{}]"#);
    assert_eq!(talk.send(TOKEN), []);
    let unmatched =
        r#"[null,"9","phoenix","phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]"#;
    assert_eq!(talk.received(), [unmatched]);
    assert_eq!(event_of(&talk.send(ACCESS_TOKEN)[0]), "access_token");
}

#[test]
fn a_renewal_is_answered_where_it_came_from() {
    for (sent, answer) in [
        (TOKEN, Some(format!(r#"[null,"9","phoenix","phx_reply",{OK}]"#))),
        (ACCESS_TOKEN, Some(format!(r#"["1","9","room:a","phx_reply",{OK}]"#))),
        // Of an earlier channel on the topic, or of none: as any message.
        (r#"["0","9","room:a","access_token",{"access_token":"t"}]"#, None),
    ] {
        let mut talk = Conversation::new();
        talk.session.accept_renewals();
        talk.join(r#"["1","1","room:a","phx_join",{}]"#);
        if let Some(SessionEvent::Renew { renewal, .. }) = talk.send(sent).pop() {
            talk.session.answer_renewal(&renewal, &Status::Ok, &Payload::empty()).unwrap();
        }
        assert_eq!(talk.received(), Vec::from_iter(answer), "{sent}");
    }
}

#[test]
fn a_renewal_that_waits_keeps_no_more_than_it_is_counted_for() {
    let mut talk = Conversation::new();
    talk.session.accept_renewals();
    let (junk, long_ref) = ("x".repeat(100_000), "r".repeat(1_000));
    let text = format!(r#"[null,"{long_ref}","phoenix","token",{{"token":"t","junk":"{junk}"}}]"#);
    let frame = bytes::Bytes::from(text);
    talk.session.handle_frame(Frame::text(frame.clone())).unwrap();
    let Some(SessionEvent::Renew { renewal, payload }) = talk.session.poll_event() else {
        panic!("no renewal")
    };
    drop(payload);
    assert!(frame.is_unique(), "the frame is kept");
    assert!((1_000..2_000).contains(&renewal.heap_size()));
}

#[test]
fn a_renewal_on_a_channel_that_ended_has_no_answer() {
    let mut talk = Conversation::new();
    talk.session.accept_renewals();
    let channel = talk.join(r#"["1","1","room:a","phx_join",{}]"#);
    let Some(SessionEvent::Renew { renewal, .. }) = talk.send(ACCESS_TOKEN).pop() else {
        panic!("no renewal")
    };
    talk.session.stop(channel).unwrap();
    talk.received();
    talk.session.answer_renewal(&renewal, &Status::Ok, &Payload::empty()).unwrap();
    assert_eq!(talk.received(), Vec::<String>::new());
}

/// What a client or the server may do next, on one of three topics.
#[derive(Debug, Clone)]
enum Act {
    Join(u8),
    Leave(u8),
    Push(u8),
    Accept,
    Refuse,
    Stop,
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..3u8).prop_map(Act::Join),
        1 => (0..3u8).prop_map(Act::Leave),
        3 => (0..3u8).prop_map(Act::Push),
        2 => Just(Act::Accept),
        1 => Just(Act::Refuse),
        1 => Just(Act::Stop),
        1 => Just(Act::Crash),
    ]
}

/// A server that answers joins and leaves when the schedule says so.
#[derive(Default)]
struct Server {
    joining: VecDeque<ChannelId>,
    joined: VecDeque<ChannelId>,
}

impl Server {
    fn hear(&mut self, talk: &mut Conversation) {
        for event in talk.events() {
            match event {
                SessionEvent::Join { channel, .. } => self.joining.push_back(channel),
                SessionEvent::Leave { channel, reference } => {
                    talk.session.left(channel, reference.as_ref()).unwrap();
                    self.joined.retain(|joined| *joined != channel);
                }
                SessionEvent::Replaced { channel, .. } => self.joined.retain(|joined| *joined != channel),
                SessionEvent::Message { .. } | SessionEvent::Renew { .. } | SessionEvent::Idle => {}
            }
        }
    }

    fn act(&mut self, act: &Act, talk: &mut Conversation) {
        match act {
            Act::Accept => {
                let Some(channel) = self.joining.pop_front() else { return };
                talk.session.accept_join(channel, &Payload::empty()).unwrap();
                self.joined.push_back(channel);
            }
            Act::Refuse => {
                let Some(channel) = self.joining.pop_front() else { return };
                talk.session.refuse_join(channel, &Payload::empty()).unwrap();
            }
            Act::Stop => {
                let Some(channel) = self.joined.pop_front() else { return };
                talk.session.stop(channel).unwrap();
            }
            Act::Crash => {
                let Some(channel) = self.joined.pop_front() else { return };
                talk.session.crash(channel).unwrap();
            }
            Act::Join(_) | Act::Leave(_) | Act::Push(_) => {}
        }
        self.hear(talk);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_join_is_answered_once_and_nothing_stays_behind(acts in prop::collection::vec(act(), 0..40)) {
        let (mut talk, mut server, mut received) = (Conversation::new(), Server::default(), Vec::new());
        let mut joins = Vec::new();
        for (n, act) in acts.iter().enumerate() {
            let sent = match act {
                Act::Join(topic) => Some((topic, "phx_join")),
                Act::Leave(topic) => Some((topic, "phx_leave")),
                Act::Push(topic) => Some((topic, "echo")),
                Act::Accept | Act::Refuse | Act::Stop | Act::Crash => None,
            };
            if let Some((topic, event)) = sent {
                let text = format!(r#"["{n}","{n}","room:{topic}","{event}",{{}}]"#);
                talk.session.handle_frame(Frame::text(text)).unwrap();
                joins.extend((event == "phx_join").then_some(n));
            }
            server.hear(&mut talk);
            server.act(act, &mut talk);
            received.extend(talk.received());
        }
        while !server.joining.is_empty() {
            server.act(&Act::Accept, &mut talk);
        }
        received.extend(talk.received());
        for join in joins {
            let prefix = format!(r#"["{join}","{join}","#);
            let answers = received.iter().filter(|frame| frame.starts_with(&prefix) && frame.contains("phx_reply"));
            prop_assert_eq!(answers.count(), 1, "join {} in {:?}", join, received);
        }
        prop_assert_eq!(talk.session.parked_bytes(), 0);
        for channel in server.joined.drain(..) {
            prop_assert!(talk.session.is_alive(channel));
            talk.session.stop(channel).unwrap();
        }
        prop_assert!(talk.session.is_empty());
    }
}
