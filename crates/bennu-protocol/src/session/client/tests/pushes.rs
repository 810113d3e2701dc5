//! Pushes.

use super::*;
use crate::error::EncodeError;
use crate::refs::Ref;
use crate::serializer::Serializer;
use crate::session::client::{PushError, SendBuffer};

fn timed_out(was_sent: bool) -> PushOutcome {
    PushOutcome::TimedOut { was_sent }
}

fn hello() -> Push {
    Push::new("hello", Payload::empty())
}

#[test]
fn check_144_pushes_before_the_join_are_held_and_go_in_order_with_its_ref_as_join_ref() {
    let mut talk = Conversation::new();
    let channel = talk.join("room:a");
    talk.push(channel, "one");
    talk.connect();
    talk.push(channel, "two");
    talk.opens();
    talk.push(channel, "three");
    assert_eq!(talk.sent(), [r#"["3","3","room:a","phx_join",{"join":1}]"#]);
    talk.accept("room:a", 3);
    talk.push(channel, "four");
    let pushes = [("1", "one"), ("2", "two"), ("4", "three"), ("5", "four")];
    assert_eq!(talk.sent(), pushes.map(|(n, event)| format!(r#"["3","{n}","room:a","{event}",{{}}]"#)));
}

#[test]
fn pushes_are_held_through_joins_that_fail() {
    let mut talk = Conversation::open();
    let channel = talk.join("room:a");
    talk.sent();
    let push = talk.push(channel, "hello");
    talk.receive(&reply(1, 1, "room:a", "error"));
    talk.pass(1_000);
    assert_eq!(talk.sent(), [r#"["3","3","room:a","phx_join",{"join":2}]"#]);
    talk.accept("room:a", 3);
    assert_eq!(talk.sent(), [r#"["3","2","room:a","hello",{}]"#]);
    talk.receive(&reply(3, 2, "room:a", "ok"));
    assert_eq!(talk.ended(), [(push, ok())]);
}

#[test]
fn a_reply_ends_its_push_whatever_its_status_and_tells_how_long_it_took() {
    for (status, expected) in [("ok", Status::Ok), ("error", Status::Error), ("busy", Status::from("busy"))] {
        let (mut talk, channel) = Conversation::joined();
        let push = talk.push(channel, "hello");
        talk.sent();
        talk.pass(70);
        talk.receive(&reply(1, 2, "room:a", status));
        let outcome = PushOutcome::Reply { status: expected, response: Payload::empty() };
        assert_eq!(talk.told(), [ClientEvent::PushEnded { push, outcome, took: ms(70) }]);
    }
}

#[test]
fn check_149_a_reply_that_nobody_waits_for_is_ignored() {
    let (mut talk, channel) = Conversation::joined();
    let push = talk.push(channel, "hello");
    let answers = reply(1, 2, "room:a", "ok");
    talk.receive(&answers);
    assert_eq!(talk.told(), [], "it is not sent yet");
    talk.sent();
    for other in [
        reply(1, 77, "room:a", "ok"),
        reply(1, 2, "room:b", "ok"),
        reply(7, 2, "room:a", "ok"),
        // The join was answered before.
        reply(1, 1, "room:a", "error"),
        r#"["1",null,"room:a","phx_reply",{"response":{},"status":"ok"}]"#.to_owned(),
        r#"["1",2,"room:a","phx_reply",{"response":{},"status":"ok"}]"#.to_owned(),
    ] {
        talk.receive(&other);
        assert_eq!(talk.told(), [], "{other}");
    }
    talk.receive(&answers);
    talk.receive(&answers);
    assert_eq!(talk.ended(), [(push, ok())]);
}

#[test]
fn a_reply_without_a_join_ref_is_taken() {
    let (mut talk, channel) = Conversation::joined();
    let push = talk.push(channel, "hello");
    talk.sent();
    talk.receive(r#"[null,"2","room:a","phx_reply",{"response":{},"status":"ok"}]"#);
    assert_eq!(talk.ended(), [(push, ok())]);
}

#[test]
fn check_150_a_push_without_reply_times_out_and_a_late_one_is_ignored() {
    let (mut talk, channel) = Conversation::joined();
    let push = talk.push(channel, "hello");
    let hasty = talk.push_with(channel, hello().timeout(ms(500)));
    talk.sent();
    talk.pass(500);
    assert_eq!(talk.ended(), [(hasty, timed_out(true))]);
    talk.pass(9_499);
    assert_eq!(talk.ended(), []);
    talk.pass(1);
    assert_eq!(talk.ended(), [(push, timed_out(true))]);
    talk.receive(&reply(1, 2, "room:a", "ok"));
    assert_eq!(talk.told(), []);
}

#[test]
fn the_time_of_a_push_runs_while_it_is_held() {
    let mut talk = Conversation::new();
    let channel = talk.join("room:a");
    let push = talk.push_with(channel, hello().timeout(ms(3_000)));
    talk.pass(3_000);
    assert_eq!(talk.ended(), [(push, timed_out(false))]);
    talk.connect();
    talk.opens();
    talk.sent();
    talk.accept("room:a", 2);
    assert_eq!(talk.sent(), Vec::<String>::new());
}

#[test]
fn check_156_a_binary_push_has_the_observed_layout_and_one_that_cannot_be_written_is_refused() {
    let (mut talk, channel) = Conversation::joined();
    talk.push_with(channel, Push::new("bin", Payload::binary(vec![0, 255])));
    assert_eq!(talk.sent(), ["0001010603".to_owned() + "3132" + "726f6f6d3a61" + "62696e" + "00ff"]);
    let long = "e".repeat(256);
    let refused = talk.session.push(channel, Push::new(&*long, Payload::binary(vec![1])), talk.now);
    let too_long = EncodeError::FieldTooLong { field: "event", length: 256 };
    assert_eq!(refused, Err(PushError::Encode(too_long)));
    assert_eq!((talk.sent(), talk.session.snapshot().last_ref), (Vec::new(), 2));
    talk.push(channel, &long);
    talk.push_with(channel, Push::new(&*"e".repeat(255), Payload::binary(vec![1])));
    assert_eq!(talk.sent().len(), 2);
}

#[test]
fn check_157_a_binary_reply_ends_its_push_and_binary_messages_are_delivered() {
    let (mut talk, channel) = Conversation::joined();
    let push = talk.push(channel, "hello");
    talk.sent();
    talk.receive_frame(Frame::binary(
        [b"\x01\x01\x01\x06\x02".as_slice(), b"12room:aok", b"\x00\xff"].concat(),
    ));
    let response = Payload::binary(vec![0, 255]);
    assert_eq!(talk.ended(), [(push, PushOutcome::Reply { status: Status::Ok, response })]);
    talk.receive_frame(Frame::binary([b"\x02\x06\x04".as_slice(), b"room:abmsg", b"\x01\x02"].concat()));
    talk.receive_frame(Frame::binary([b"\x00\x01\x06\x04".as_slice(), b"1room:apush", b"\x03"].concat()));
    talk.receive_frame(Frame::binary([b"\x00\x01\x06\x04".as_slice(), b"0room:apush", b"\x04"].concat()));
    let message = |event: &str, byte: &[u8]| ClientEvent::Message {
        channel,
        event: event.into(),
        payload: Payload::binary(byte.to_vec()),
    };
    assert_eq!(talk.told(), [message("bmsg", &[1, 2]), message("push", &[3])]);
}

#[test]
fn version_1_refuses_bytes_and_matches_replies_by_their_ref() {
    let mut talk = Conversation::open_with(Conversation::config().serializer(Serializer::V1));
    let channel = talk.join("room:a");
    let refused = talk.session.push(channel, Push::new("bin", Payload::binary(vec![1])), talk.now);
    assert_eq!(refused, Err(PushError::Encode(EncodeError::BinaryPayload)));
    talk.sent();
    let ok_to = |n: u64| {
        format!(
            r#"{{"event":"phx_reply","payload":{{"response":{{}},"status":"ok"}},"ref":"{n}","topic":"room:a"}}"#
        )
    };
    talk.receive(&ok_to(1));
    let push = talk.push(channel, "hello");
    let expected = r#"{"topic":"room:a","event":"hello","payload":{},"ref":"2","join_ref":"1"}"#;
    assert_eq!(talk.sent(), [expected]);
    talk.receive(&ok_to(2));
    assert_eq!(talk.ended(), [(push, ok())]);
}

#[test]
fn a_push_that_was_sent_and_not_answered_is_unconfirmed_when_the_connection_or_its_channel_ends() {
    let ends: [(&str, Step); 4] = [
        ("connection", |talk| talk.closes(ConnectionEnd::lost())),
        ("crash", |talk| talk.receive(r#"["1","1","room:a","phx_error",{}]"#)),
        ("close", |talk| talk.receive(r#"["1","1","room:a","phx_close",{}]"#)),
        ("heartbeat", |talk| talk.pass(60_000)),
    ];
    for (name, end) in ends {
        let (mut talk, channel) = Conversation::joined();
        let push = talk.push_with(channel, hello().timeout(ms(1_000_000)));
        talk.sent();
        end(&mut talk);
        assert_eq!(talk.ended(), [(push, PushOutcome::Unconfirmed)], "{name}");
    }
}

#[test]
fn what_the_transport_has_not_taken_goes_out_on_the_next_connection_in_order() {
    let (mut talk, channel) = Conversation::joined();
    let sent = talk.push(channel, "one");
    talk.sent();
    talk.push(channel, "two");
    talk.push(channel, "three");
    talk.closes(ConnectionEnd::lost());
    assert_eq!(talk.ended(), [(sent, PushOutcome::Unconfirmed)]);
    talk.pass(10);
    talk.opens();
    talk.push(channel, "four");
    assert_eq!(talk.sent(), [r#"["5","5","room:a","phx_join",{"join":2}]"#]);
    talk.accept("room:a", 5);
    let pushes = [("3", "two"), ("4", "three"), ("6", "four")];
    assert_eq!(talk.sent(), pushes.map(|(n, event)| format!(r#"["5","{n}","room:a","{event}",{{}}]"#)));
}

#[test]
fn what_the_transport_has_not_taken_when_a_channel_crashes_waits_for_the_rejoin() {
    let (mut talk, channel) = Conversation::joined();
    talk.push(channel, "hello");
    talk.receive(r#"["1","1","room:a","phx_error",{}]"#);
    assert_eq!((talk.sent(), talk.ended()), (Vec::new(), Vec::new()));
    talk.pass(1_000);
    assert_eq!(talk.sent(), [r#"["3","3","room:a","phx_join",{"join":2}]"#]);
    talk.accept("room:a", 3);
    assert_eq!(talk.sent(), [r#"["3","2","room:a","hello",{}]"#]);
}

#[test]
fn a_push_is_retried_where_it_asked_for_it() {
    let (mut talk, channel) = Conversation::joined();
    let push = talk.push_with(channel, hello().retry_unconfirmed());
    assert_eq!(talk.sent(), [r#"["1","2","room:a","hello",{}]"#]);
    talk.receive(r#"["1","1","room:a","phx_error",{}]"#);
    assert_eq!(talk.ended(), []);
    talk.pass(1_000);
    talk.sent();
    talk.accept("room:a", 3);
    assert_eq!(talk.sent(), [r#"["3","2","room:a","hello",{}]"#]);
    // Of the join before; the push is now the new one's.
    talk.receive(&reply(1, 2, "room:a", "error"));
    talk.receive(&reply(3, 2, "room:a", "ok"));
    assert_eq!(talk.ended(), [(push, ok())]);
}

#[test]
fn a_push_that_waits_to_be_retried_never_counts_as_not_sent() {
    let full = Conversation::config().send_buffer(SendBuffer::default().max_pushes(1).drop_oldest());
    type StepOn = fn(&mut Conversation, ChannelId);
    let ends: [(&str, StepOn, PushOutcome); 4] = [
        ("left", |talk, channel| assert_eq!(talk.leave(channel), None), PushOutcome::Unconfirmed),
        ("driven out", |talk, channel| assert!(talk.push(channel, "next").0 > 2), PushOutcome::Unconfirmed),
        ("taken", |talk, _| drop(talk.session.take_buffered(talk.now)), PushOutcome::Unconfirmed),
        ("late", |talk, _| talk.pass(10_000), timed_out(true)),
    ];
    for (name, end, outcome) in ends {
        let (mut talk, channel) = Conversation::joined_with(full.clone());
        let push = talk.push_with(channel, hello().retry_unconfirmed());
        talk.sent();
        talk.closes(ConnectionEnd::lost());
        assert_eq!(talk.ended(), [], "{name}");
        end(&mut talk, channel);
        talk.hear();
        assert_eq!(talk.ended(), [(push, outcome)], "{name}");
    }
}

#[test]
fn a_retry_that_finds_no_room_is_unconfirmed() {
    let small = Conversation::config().send_buffer(SendBuffer::default().max_pushes(1));
    let (mut talk, channel) = Conversation::joined_with(small);
    let sent = talk.push_with(channel, hello().retry_unconfirmed());
    talk.sent();
    talk.push(channel, "waits");
    talk.closes(ConnectionEnd::lost());
    assert_eq!(talk.ended(), [(sent, PushOutcome::Unconfirmed)]);
}

#[test]
fn a_push_that_waits_for_no_reply_ends_when_the_transport_takes_it() {
    let (mut talk, channel) = Conversation::joined();
    let push = talk.push_with(channel, hello().without_reply());
    assert_eq!(talk.ended(), []);
    assert_eq!(talk.sent().len(), 1);
    assert_eq!(talk.ended(), [(push, PushOutcome::Sent)]);
    talk.receive(&reply(1, 2, "room:a", "ok"));
    talk.pass(20_000);
    assert_eq!(talk.ended(), []);
}

#[test]
fn what_was_pushed_before_a_leave_goes_first_and_is_still_answered() {
    let (mut talk, channel) = Conversation::joined();
    let (answered, unanswered) = (talk.push(channel, "one"), talk.push(channel, "two"));
    let leave = talk.leave(channel).unwrap();
    let sent = [
        r#"["1","2","room:a","one",{}]"#,
        r#"["1","3","room:a","two",{}]"#,
        r#"["1","4","room:a","phx_leave",{}]"#,
    ];
    assert_eq!(talk.sent(), sent);
    talk.receive(&reply(1, 2, "room:a", "ok"));
    assert_eq!(talk.ended(), [(answered, ok())]);
    talk.receive(&reply(1, 4, "room:a", "ok"));
    assert_eq!(talk.ended(), [(leave, ok()), (unanswered, PushOutcome::Unconfirmed)]);
}

#[test]
fn what_is_held_for_a_channel_that_ends_is_closed() {
    let mut talk = Conversation::open();
    let channel = talk.join("room:a");
    let held = talk.push(channel, "held");
    talk.sent();
    assert!(talk.leave(channel).is_some());
    assert_eq!(talk.ended(), [(held, PushOutcome::Closed)]);
    assert_eq!(talk.session.push(channel, hello(), talk.now), Err(PushError::ChannelClosed));

    let (mut talk, channel) = Conversation::joined();
    let queued = talk.push(channel, "queued");
    talk.receive(r#"["1","1","room:a","phx_close",{}]"#);
    assert_eq!(talk.ended(), [(queued, PushOutcome::Closed)]);
    assert_eq!(talk.sent(), Vec::<String>::new());
}

#[test]
fn a_leave_or_ping_ends_with_its_connection() {
    for (is_taken, outcome) in [(false, PushOutcome::Closed), (true, PushOutcome::Unconfirmed)] {
        let (mut talk, channel) = Conversation::joined();
        let ping = talk.session.ping(talk.now).unwrap();
        let leave = talk.leave(channel).unwrap();
        if is_taken {
            talk.sent();
        }
        talk.closes(ConnectionEnd::lost());
        assert_eq!(talk.ended(), [(ping, outcome.clone()), (leave, outcome)]);
    }
}

/// Else the server would keep the channel, and send on it, for as long as the connection lasts.
#[test]
fn a_leave_whose_time_is_over_before_the_transport_takes_it_is_sent_all_the_same_and_in_its_place() {
    let (mut talk, channel) = Conversation::joined();
    let leave = talk.leave(channel).unwrap();
    talk.join("room:b");
    talk.pass(10_000);
    assert_eq!(talk.ended(), [(leave, PushOutcome::TimedOut { was_sent: false })]);
    assert_eq!(talk.sent(), [r#"["1","2","room:a","phx_leave",{}]"#]);
    talk.session.handle_frame(Frame::text(reply(1, 2, "room:a", "ok")), talk.now).unwrap();
    assert_eq!(talk.ended(), []);
}

#[test]
fn a_full_buffer_refuses_by_count_and_by_bytes() {
    // Topic, event and `{}`.
    let one = "room:a".len() + "hello".len() + 2;
    for (name, buffer, fit) in [
        ("count", SendBuffer::default().max_pushes(3), 3),
        ("bytes", SendBuffer::default().max_bytes(4 * one - 1), 3),
        ("exactly", SendBuffer::default().max_bytes(4 * one), 4),
        ("none", SendBuffer::default().max_pushes(0).drop_oldest(), 0),
        ("too large for any", SendBuffer::default().max_bytes(one - 1).drop_oldest(), 0),
    ] {
        let mut talk = Conversation::with(Conversation::config().send_buffer(buffer));
        let channel = talk.join("room:a");
        for _ in 0..fit {
            talk.push(channel, "hello");
        }
        talk.told();
        assert_eq!(talk.session.push(channel, hello(), talk.now), Err(PushError::BufferFull), "{name}");
        talk.hear();
        assert_eq!(talk.told(), [], "{name}");
        talk.connect();
        talk.opens();
        talk.sent();
        talk.accept("room:a", fit + 1);
        assert_eq!(talk.sent().len(), fit as usize, "{name}");
        assert_eq!(talk.session.snapshot().buffered_bytes, 0, "{name}");
    }
}

#[test]
fn a_full_buffer_may_drop_the_oldest_each_of_which_is_told() {
    let buffer = SendBuffer::default().max_pushes(2).drop_oldest();
    let (mut talk, channel) = Conversation::joined_with(Conversation::config().send_buffer(buffer));
    // The transport takes nothing.
    let pushes = [(); 4].map(|()| talk.push(channel, "hello"));
    let dropped = [(pushes[0], PushOutcome::Dropped), (pushes[1], PushOutcome::Dropped)];
    assert_eq!(talk.ended(), dropped);
    assert_eq!(talk.sent().len(), 2);
    talk.push(channel, "there is room again");
    assert_eq!(talk.ended(), []);
}

#[test]
fn a_large_push_drives_out_as_many_as_it_takes() {
    let buffer = SendBuffer::default().max_bytes(100).drop_oldest();
    let mut talk = Conversation::with(Conversation::config().send_buffer(buffer));
    let channel = talk.join("room:a");
    let small = [(); 7].map(|()| talk.push(channel, "hello"));
    let text = format!(r#"{{"text":"{}"}}"#, "x".repeat(40));
    talk.push_with(channel, Push::new("large", Payload::Json(text.into())));
    let dropped = Vec::from_iter(talk.ended().into_iter().map(|(push, _)| push));
    assert_eq!(dropped, small[..5]);
    assert!(talk.session.snapshot().buffered_bytes <= 100);
}

#[test]
fn a_raw_message_waits_for_the_socket_alone() {
    let mut talk = Conversation::new();
    let raw = talk.session.push_raw("room:a", Some(Ref::from_text("x")), hello(), talk.now).unwrap();
    assert_eq!(raw.reference(), Ref::from_text("1"));
    talk.connect();
    talk.opens();
    assert_eq!(talk.sent(), [r#"["x","1","room:a","hello",{}]"#]);
    talk.told();
    talk.receive(r#"["x","1","room:a","phx_reply",{"response":{},"status":"ok"}]"#);
    assert_eq!(talk.ended(), [(raw, ok())]);
}

#[test]
fn the_protocols_own_events_are_not_pushed_on_channels() {
    let (mut talk, channel) = Conversation::joined();
    for event in ["phx_join", "phx_leave", "phx_reply", "phx_close", "phx_error"] {
        let refused = talk.session.push(channel, Push::new(event, Payload::empty()), talk.now);
        assert_eq!(refused, Err(PushError::ReservedEvent), "{event}");
    }
}

#[test]
fn what_waits_can_be_taken_back() {
    let (mut talk, channel) = Conversation::joined();
    let other = talk.join("room:b");
    let (held, queued) = (talk.push(other, "held"), talk.push(channel, "queued"));
    talk.told();
    let taken = talk.session.take_buffered(talk.now);
    talk.hear();
    let events = Vec::from_iter(taken.iter().map(|(id, topic, push)| (*id, &**topic, push.event().as_str())));
    assert_eq!(events, [(held, "room:b", "held"), (queued, "room:a", "queued")]);
    assert_eq!(talk.ended(), [(held, PushOutcome::Dropped), (queued, PushOutcome::Dropped)]);
    assert_eq!(talk.sent(), [r#"["2","2","room:b","phx_join",{"join":2}]"#]);
}

#[test]
fn what_a_new_version_cannot_carry_is_told() {
    let (mut talk, channel) = Conversation::joined();
    talk.closes(ConnectionEnd::lost());
    talk.told();
    let push = talk.push_with(channel, Push::new("bin", Payload::binary(vec![1])));
    talk.session.reconfigure(Conversation::config().serializer(Serializer::V1));
    talk.pass(10);
    talk.opens();
    talk.sent();
    talk.told();
    talk.receive(
        r#"{"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"3","topic":"room:a"}"#,
    );
    assert_eq!(talk.sent(), Vec::<String>::new());
    assert_eq!(talk.ended(), [(push, PushOutcome::Unsendable(EncodeError::BinaryPayload))]);
}
