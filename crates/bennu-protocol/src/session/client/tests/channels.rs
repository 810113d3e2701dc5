//! Channels.

use super::*;
use crate::serializer::Serializer;
use crate::session::client::{ChannelEnd, ChannelFault, JoinError, JoinFailure, SendJoinError};

fn statuses(talk: &mut Conversation) -> Vec<ChannelStatus> {
    let told = talk.told().into_iter();
    told.filter_map(|event| match event {
        ClientEvent::ChannelStatus { new, .. } => Some(new),
        _ => None,
    })
    .collect()
}

fn messages(talk: &mut Conversation) -> Vec<String> {
    let told = talk.told().into_iter();
    told.filter_map(|event| match event {
        ClientEvent::Message { event, .. } => Some(event.as_str().to_owned()),
        _ => None,
    })
    .collect()
}

#[test]
fn check_143_a_join_before_open_is_sent_right_after_it_with_its_ref_as_join_ref() {
    let mut talk = Conversation::new();
    talk.connect();
    let channel = talk.join("room:a");
    assert_eq!(talk.sent(), Vec::<String>::new());
    talk.opens();
    assert_eq!(talk.sent(), [r#"["1","1","room:a","phx_join",{"join":1}]"#]);
    talk.told();
    talk.pass(40);
    talk.receive(r#"["1","1","room:a","phx_reply",{"response":{"n":1},"status":"ok"}]"#);
    let response = Payload::Json(r#"{"n":1}"#.into());
    let (old, new) = (ChannelStatus::Joining, ChannelStatus::Joined);
    let joined = ClientEvent::Joined { channel, attempt: 1, response, took: ms(40) };
    assert_eq!(talk.told(), [joined, ClientEvent::ChannelStatus { channel, old, new }]);
}

#[test]
fn check_145_a_join_without_reply_is_left_and_tried_again_with_a_new_ref() {
    let mut talk = Conversation::open_with(Conversation::config().heartbeat_interval(None));
    let channel = talk.join("room:a");
    talk.sent();
    let mut join_ref = 1;
    for (attempt, delay) in (1..).zip([1_000, 2_000, 5_000, 10_000, 10_000]) {
        talk.pass(9_999);
        assert_eq!(talk.sent(), Vec::<String>::new());
        talk.told();
        talk.pass(1);
        let failed = ClientEvent::JoinFailed { channel, attempt, failure: JoinFailure::TimedOut };
        assert_eq!(talk.told()[0], failed);
        assert_eq!(talk.sent(), [format!(r#"["{join_ref}","{}","room:a","phx_leave",{{}}]"#, join_ref + 1)]);
        // An answer that comes too late changes nothing.
        talk.accept("room:a", join_ref);
        talk.pass(delay - 1);
        assert!(matches!(talk.session.channel_status(channel), ChannelStatus::Errored { retry_at: Some(_) }));
        talk.pass(1);
        join_ref += 2;
        let sent = talk.sent();
        assert!(
            sent.len() == 1 && sent[0].starts_with(&format!(r#"["{join_ref}","{join_ref}","#)),
            "{sent:?}"
        );
    }
    talk.accept("room:a", join_ref);
    assert_eq!(talk.session.channel_status(channel), ChannelStatus::Joined);
}

#[test]
fn check_146_a_join_that_is_refused_is_tried_again_until_it_is_left() {
    let mut talk = Conversation::open_with(Conversation::config().heartbeat_interval(None));
    let channel = talk.join("room:a");
    let mut join_ref = 1;
    for (attempt, delay) in (1..).zip([1_000, 2_000, 5_000, 10_000]) {
        talk.sent();
        talk.told();
        talk.receive(&reply(join_ref, join_ref, "room:a", "error"));
        let failure = JoinFailure::Refused { status: Status::Error, response: Payload::empty() };
        assert_eq!(talk.told()[0], ClientEvent::JoinFailed { channel, attempt, failure });
        assert_eq!(
            talk.session.channel_status(channel),
            ChannelStatus::Errored { retry_at: Some(talk.now + ms(delay)) }
        );
        talk.pass(delay);
        assert_eq!(talk.session.channel_status(channel), ChannelStatus::Joining);
        join_ref += 1;
    }
    talk.sent();
    talk.receive(&reply(join_ref, join_ref, "room:a", "error"));
    assert_eq!(talk.leave(channel), None);
    talk.pass(25_000);
    assert_eq!(talk.sent(), Vec::<String>::new());
}

#[test]
fn check_147_a_crash_is_followed_by_a_rejoin_and_a_close_is_not() {
    let (mut talk, channel) = Conversation::joined();
    talk.receive(r#"["1","1","room:a","phx_error",{"reason":"channel_crash"}]"#);
    let fault = ChannelFault::Crashed(Payload::Json(r#"{"reason":"channel_crash"}"#.into()));
    assert_eq!(talk.told()[0], ClientEvent::ChannelErrored { channel, attempt: 1, fault });
    assert_eq!(talk.session.channel_status(channel), errored(1_000));
    talk.pass(999);
    assert_eq!(talk.sent(), Vec::<String>::new());
    talk.pass(1);
    assert_eq!(talk.sent(), [r#"["2","2","room:a","phx_join",{"join":2}]"#]);
    talk.accept("room:a", 2);
    talk.told();
    talk.receive(r#"["2","2","room:a","phx_close",{}]"#);
    let reason = ChannelEnd::ByServer(Payload::empty());
    assert_eq!(talk.told()[0], ClientEvent::ChannelClosed { channel, reason });
    assert_eq!(talk.session.channel_status(channel), ChannelStatus::Closed);
    talk.pass(25_000);
    assert_eq!((talk.sent(), talk.session.channel("room:a")), (Vec::new(), None));
}

#[test]
fn a_channel_that_crashes_while_it_joins_is_tried_again() {
    let mut talk = Conversation::open();
    let channel = talk.join("room:a");
    talk.sent();
    talk.receive(r#"["1","1","room:a","phx_error",{}]"#);
    assert_eq!(talk.session.channel_status(channel), errored(1_000));
}

#[test]
fn check_148_messages_of_another_join_are_not_delivered_and_those_of_none_are() {
    let (mut talk, _) = Conversation::joined();
    for (join_ref, delivered) in
        [(r#""1""#, 1), ("null", 1), (r#""""#, 1), (r#""0""#, 0), (r#""2""#, 0), ("1", 0)]
    {
        talk.receive(&format!(r#"[{join_ref},null,"room:a","news",{{}}]"#));
        assert_eq!(messages(&mut talk).len(), delivered, "{join_ref}");
    }
    talk.receive(r#"[null,null,"room:b","news",{}]"#);
    talk.receive(r#"["0","0","room:a","phx_close",{}]"#);
    talk.receive(r#"["0","0","room:a","phx_error",{}]"#);
    assert_eq!(talk.told(), []);
}

#[test]
fn an_errored_channel_hears_nothing_and_a_joining_one_does() {
    let mut talk = Conversation::open();
    talk.join("room:a");
    talk.receive(r#"[null,null,"room:a","too early",{}]"#);
    talk.sent();
    talk.receive(r#"[null,null,"room:a","early",{}]"#);
    talk.receive(&reply(1, 1, "room:a", "error"));
    talk.receive(r#"[null,null,"room:a","late",{}]"#);
    assert_eq!(messages(&mut talk), ["early"]);
}

#[test]
fn check_154_a_leave_closes_the_channel_at_once_and_tells_the_server() {
    let (mut talk, channel) = Conversation::joined();
    let leave = talk.leave(channel).unwrap();
    assert_eq!(statuses(&mut talk), [ChannelStatus::Leaving, ChannelStatus::Closed]);
    assert_eq!(talk.session.channel_status(channel), ChannelStatus::Closed);
    assert_eq!(talk.sent(), [r#"["1","2","room:a","phx_leave",{}]"#]);
    talk.receive(r#"["1",null,"room:a","news",{}]"#);
    talk.receive(&reply(1, 2, "room:a", "ok"));
    talk.receive(r#"["1","1","room:a","phx_close",{}]"#);
    assert_eq!(talk.ended(), [(leave, ok())]);
    assert_eq!((talk.leave(channel), talk.sent()), (None, Vec::new()));
}

#[test]
fn what_the_server_does_not_know_is_left_without_telling_it() {
    let mut talk = Conversation::new();
    let waiting = talk.join("room:a");
    assert_eq!(talk.leave(waiting), None);
    talk.connect();
    talk.opens();
    // The transport has not taken the join.
    let unsent = talk.join("room:a");
    assert_eq!((talk.leave(unsent), talk.sent()), (None, Vec::new()));
    let sent = talk.join("room:a");
    assert_eq!(talk.sent(), [r#"["2","2","room:a","phx_join",{"join":2}]"#]);
    assert!(talk.leave(sent).is_some());
}

#[test]
fn a_second_join_of_a_topic_is_refused_with_its_channel() {
    let mut talk = Conversation::new();
    let channel = talk.join("room:a");
    let refused = Err(JoinError::AlreadyJoined { channel });
    assert_eq!(talk.session.join("room:a", None, talk.now), refused, "waiting");
    talk.connect();
    talk.opens();
    assert_eq!(talk.session.join("room:a", None, talk.now), refused, "joining");
    talk.sent();
    talk.accept("room:a", 1);
    assert_eq!(talk.session.join("room:a", None, talk.now), refused, "joined");
    talk.leave(channel);
    assert_ne!(talk.join("room:a"), channel);
}

#[test]
fn a_join_of_an_errored_topic_tries_again_at_once() {
    let mut talk = Conversation::open();
    let channel = talk.join("room:a");
    talk.sent();
    talk.receive(&reply(1, 1, "room:a", "error"));
    assert_eq!(talk.join("room:a"), channel);
    assert_eq!(talk.sent(), [r#"["2","2","room:a","phx_join",{"join":2}]"#]);
}

#[test]
fn check_155_join_replacing_leaves_the_channel_that_has_the_topic() {
    let (mut talk, old) = Conversation::joined();
    let new = talk.session.join_replacing("room:a", None, talk.now);
    talk.hear();
    let closed = ClientEvent::ChannelClosed { channel: old, reason: ChannelEnd::Replaced };
    assert!(talk.told().contains(&closed));
    let sent = [r#"["1","2","room:a","phx_leave",{}]"#, r#"["3","3","room:a","phx_join",{"join":2}]"#];
    assert_eq!(talk.sent(), sent);
    talk.receive(&reply(1, 2, "room:a", "ok"));
    talk.receive(r#"["1","1","room:a","phx_close",{}]"#);
    talk.accept("room:a", 3);
    assert_eq!(talk.session.channel_status(new), ChannelStatus::Joined);
}

#[test]
fn a_rejoin_leaves_and_joins_at_once_and_keeps_the_channel() {
    let (mut talk, channel) = Conversation::joined();
    let unanswered = talk.push(channel, "first");
    talk.sent();
    let queued = talk.push(channel, "second");
    assert!(talk.session.rejoin(channel, talk.now));
    talk.hear();
    assert_eq!(
        talk.sent(),
        [r#"["1","4","room:a","phx_leave",{}]"#, r#"["5","5","room:a","phx_join",{"join":2}]"#]
    );
    let told = talk.told();
    assert!(told.contains(&ClientEvent::PushEnded {
        push: unanswered,
        outcome: PushOutcome::Unconfirmed,
        took: ms(0)
    }));
    assert!(told.contains(&ClientEvent::ChannelErrored {
        channel,
        attempt: 1,
        fault: ChannelFault::Rejoined
    }));
    let (old, new) = (ChannelStatus::Joined, ChannelStatus::Joining);
    assert!(told.contains(&ClientEvent::ChannelStatus { channel, old, new }));
    // The end of the old join is none of the new one's business, and neither is a second wish.
    talk.receive(r#"["1","1","room:a","phx_close",{}]"#);
    assert!(!talk.session.rejoin(channel, talk.now));
    talk.hear();
    talk.accept("room:a", 5);
    assert_eq!(talk.session.channel_status(channel), ChannelStatus::Joined);
    assert_eq!(talk.sent(), [format!(r#"["5",{:?},"room:a","second",{{}}]"#, queued.reference())]);
}

#[test]
fn a_join_that_is_not_due_is_not_sent() {
    let mut session = ClientSession::new(Conversation::config());
    let (now, params) = (ms(0), Payload::empty);
    session.connect(now);
    let channel = session.join("room:a", None, now).unwrap();
    assert_eq!(session.send_join(channel, params(), now), Err(SendJoinError::NotDue), "no connection");
    session.handle_open(now);
    session.handle_close(ConnectionEnd::lost(), now);
    assert_eq!(session.send_join(channel, params(), now), Err(SendJoinError::NotDue), "the connection ended");
    session.handle_timeout(ms(10));
    session.handle_open(ms(10));
    session.send_join(channel, params(), ms(10)).unwrap();
    assert_eq!(session.send_join(channel, params(), ms(10)), Err(SendJoinError::NotDue), "sent already");
}

#[test]
fn params_that_never_come_fail_the_attempt() {
    let mut session = ClientSession::new(Conversation::config().heartbeat_interval(None));
    session.connect(ms(0));
    session.handle_open(ms(0));
    let channel = session.join("room:a", Some(ms(3_000)), ms(0)).unwrap();
    session.handle_timeout(ms(3_000));
    assert_eq!(session.channel_status(channel), errored(4_000));
    assert!(session.poll_transmit().is_none());
}

#[test]
fn params_that_cannot_be_written_leave_the_join_due() {
    let mut session = ClientSession::new(Conversation::config().serializer(Serializer::V1));
    session.connect(ms(0));
    session.handle_open(ms(0));
    let channel = session.join("room:a", None, ms(0)).unwrap();
    let refused = session.send_join(channel, Payload::binary(vec![1]), ms(0));
    assert!(matches!(refused, Err(SendJoinError::Encode(_))));
    session.send_join(channel, Payload::empty(), ms(0)).unwrap();
    let join = session.poll_transmit().unwrap();
    let expected = r#"{"topic":"room:a","event":"phx_join","payload":{},"ref":"1","join_ref":"1"}"#;
    assert_eq!(join.payload(), expected);
}

#[test]
fn a_join_without_a_connection_tells_when_its_time_is_over_and_stays_wanted() {
    let mut talk = Conversation::new();
    let channel = talk.join("room:a");
    talk.told();
    talk.pass(10_000);
    assert_eq!(
        talk.told()[0],
        ClientEvent::JoinFailed { channel, attempt: 1, failure: JoinFailure::TimedOut }
    );
    assert_eq!(talk.session.channel_status(channel), errored(None));
    talk.connect();
    talk.opens();
    assert_eq!(talk.sent(), [r#"["1","1","room:a","phx_join",{"join":1}]"#]);
}

#[test]
fn the_count_of_rejoins_starts_anew_when_the_socket_opens() {
    let mut talk = Conversation::open();
    talk.join("room:a");
    for (join_ref, delay) in [(1, 1_000), (2, 2_000)] {
        talk.sent();
        talk.receive(&reply(join_ref, join_ref, "room:a", "error"));
        talk.pass(delay);
    }
    assert_eq!(talk.session.snapshot().channels[0].rejoins, 2);
    talk.closes(ConnectionEnd::lost());
    talk.pass(10);
    talk.opens();
    assert_eq!(talk.session.snapshot().channels[0].rejoins, 0);
}

#[test]
fn version_1_knows_a_crash_and_a_close_by_the_ref_of_the_join() {
    let end = |event: &str, join: &str| {
        format!(r#"{{"event":"{event}","payload":{{}},"ref":{join},"topic":"room:a"}}"#)
    };
    for (event, join, status) in [
        ("phx_close", r#""1""#, ChannelStatus::Closed),
        ("phx_close", r#""0""#, ChannelStatus::Joined),
        ("phx_close", "null", ChannelStatus::Closed),
        ("phx_error", r#""1""#, errored(1_000)),
        ("phx_error", r#""0""#, ChannelStatus::Joined),
    ] {
        let mut talk = Conversation::open_with(Conversation::config().serializer(Serializer::V1));
        let channel = talk.join("room:a");
        talk.sent();
        talk.receive(
            r#"{"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"1","topic":"room:a"}"#,
        );
        assert_eq!(talk.session.channel_status(channel), ChannelStatus::Joined);
        talk.receive(&end(event, join));
        assert_eq!(talk.session.channel_status(channel), status, "{event} {join}");
    }
}
