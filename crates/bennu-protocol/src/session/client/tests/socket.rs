//! The socket itself.

use super::*;
use crate::session::client::{Heartbeat, ReconnectRule};

const BEAT: &str = r#"[null,"1","phoenix","heartbeat",{}]"#;
const PONG: &str = r#"[null,"1","phoenix","phx_reply",{"response":{},"status":"ok"}]"#;

fn closed(code: u16) -> ConnectionEnd {
    ConnectionEnd::clean(code, "")
}

#[test]
fn a_connection_is_asked_for_once() {
    let mut talk = Conversation::new();
    talk.connect();
    talk.connect();
    let connects = |talk: &mut Conversation| {
        let told = talk.told();
        told.iter().filter(|event| matches!(event, ClientEvent::Connect { .. })).count()
    };
    assert_eq!(connects(&mut talk), 1);
    talk.opens();
    talk.connect();
    assert_eq!((connects(&mut talk), talk.session.status()), (0, SocketStatus::Open));
}

#[test]
fn check_151_a_heartbeat_is_sent_an_interval_after_each_reply() {
    let mut talk = Conversation::open();
    talk.pass(29_999);
    assert_eq!(talk.sent(), Vec::<String>::new());
    talk.pass(1);
    assert_eq!(talk.sent(), [BEAT]);
    talk.pass(2_000);
    talk.receive(PONG);
    let beats = [Heartbeat::Sent, Heartbeat::Answered(ms(2_000))].map(ClientEvent::Heartbeat);
    assert_eq!(talk.told(), beats);
    talk.pass(29_999);
    assert_eq!(talk.sent(), Vec::<String>::new());
    talk.pass(1);
    assert_eq!(talk.sent(), [BEAT.replace('1', "2")]);
}

#[test]
fn check_151_a_heartbeat_without_reply_closes_with_1000_and_reconnects() {
    let (mut talk, _) = Conversation::joined();
    talk.pass(30_000);
    // Other messages do not stand for the reply.
    talk.receive(r#"[null,null,"room:a","news",{}]"#);
    talk.pass(29_999);
    assert_eq!(talk.session.status(), SocketStatus::Open);
    talk.told();
    talk.pass(1);
    let told = talk.told();
    assert_eq!(told[0], ClientEvent::Heartbeat(Heartbeat::TimedOut));
    assert!(
        matches!(&told[1], ClientEvent::ChannelErrored { fault, .. } if *fault == super::super::ChannelFault::HeartbeatTimeout)
    );
    let close = ClientEvent::Close { code: 1000, reason: "heartbeat timeout".to_owned() };
    assert_eq!(told.last(), Some(&close));
    talk.closes(closed(1000));
    assert_eq!(talk.session.status(), reconnecting(1, 60_010));
    talk.pass(10);
    assert_eq!(talk.session.status(), SocketStatus::Connecting { attempt: 1 });
}

#[test]
fn without_an_interval_there_are_no_heartbeats() {
    let talk = Conversation::open_with(Conversation::config().heartbeat_interval(None));
    assert_eq!(talk.session.poll_timeout(), None);
}

#[test]
fn a_transport_that_does_not_close_is_given_up() {
    let mut talk = Conversation::open();
    talk.pass(60_000);
    assert_eq!(talk.session.status(), SocketStatus::Closing);
    talk.pass(1_499);
    assert_eq!(talk.session.status(), SocketStatus::Closing);
    talk.told();
    talk.pass(1);
    assert_eq!(talk.told()[0], ClientEvent::Closed(ConnectionEnd::lost()));
    assert_eq!(talk.session.status(), reconnecting(1, 61_510));
    // What it still says is not heard.
    talk.closes(closed(1000));
    assert_eq!(talk.session.status(), reconnecting(1, 61_510));
}

#[test]
fn check_152_the_code_of_a_close_decides_about_reconnecting() {
    use ReconnectRule::{Always, Never, UnlessNormal};
    let connecting = [1001, 1005, 1006, 1011, 1012, 4401].map(|code| (UnlessNormal, code, true));
    let others =
        [(UnlessNormal, 1000, false), (Always, 1000, true), (Never, 1006, false), (Never, 1000, false)];
    for (rule, code, reconnects) in connecting.into_iter().chain(others) {
        let mut talk = Conversation::open_with(Conversation::config().reconnect(rule));
        talk.closes(closed(code));
        let expected = if reconnects { reconnecting(1, 10) } else { SocketStatus::Closed };
        assert_eq!(talk.session.status(), expected, "{rule:?} {code}");
    }
}

#[test]
fn check_152_reconnects_follow_the_table_which_starts_anew_after_an_open() {
    let mut talk = Conversation::open();
    for _ in 0..2 {
        for (n, delay) in
            [10, 50, 100, 150, 200, 250, 500, 1_000, 2_000, 5_000, 5_000].into_iter().enumerate()
        {
            talk.closes(ConnectionEnd::lost());
            let attempt = n as u32 + 1;
            assert_eq!(
                talk.session.status(),
                SocketStatus::Reconnecting { attempt, at: talk.now + ms(delay) }
            );
            talk.pass(delay - 1);
            talk.told();
            talk.pass(1);
            assert_eq!(talk.told().last(), Some(&ClientEvent::Connect { attempt }));
        }
        talk.opens();
    }
}

#[test]
fn an_interval_takes_the_place_of_the_table() {
    let mut talk = Conversation::open_with(Conversation::config().reconnect_interval(ms(60_000)));
    for attempt in 1..4 {
        talk.closes(ConnectionEnd::lost());
        assert_eq!(talk.session.status(), SocketStatus::Reconnecting { attempt, at: talk.now + ms(60_000) });
        talk.pass(60_000);
    }
}

#[test]
fn a_server_that_asks_to_be_left_alone_is() {
    let mut talk = Conversation::new();
    talk.connect();
    talk.closes(ConnectionEnd { retry_after: Some(ms(7_000)), ..ConnectionEnd::lost() });
    assert_eq!(talk.session.status(), reconnecting(1, 7_000));
}

/// A session that could not connect, as a server asked to be left alone so long.
fn left_alone(config: ClientConfig, retry_after: Duration) -> Conversation {
    let mut talk = Conversation::with(config);
    talk.connect();
    talk.closes(ConnectionEnd { retry_after: Some(retry_after), ..ConnectionEnd::lost() });
    talk
}

#[test]
fn a_server_is_left_alone_no_longer_than_the_settings_allow() {
    for asked in [ms(300_001), ms(86_400_000), Duration::MAX] {
        let talk = left_alone(Conversation::config(), asked);
        assert_eq!(talk.session.status(), reconnecting(1, 300_000), "{asked:?}");
        let talk = left_alone(Conversation::config().max_retry_after(ms(20_000)), asked);
        assert_eq!(talk.session.status(), reconnecting(1, 20_000), "{asked:?}");
    }
    let talk = left_alone(Conversation::config().max_retry_after(Duration::ZERO), ms(7_000));
    assert_eq!(talk.session.status(), reconnecting(1, 10));
}

#[test]
fn clients_that_are_told_the_same_time_return_at_other_times_and_none_before_it() {
    let times = (0..50).map(|seed| {
        let config =
            ClientConfig::default().seed(seed).reconnect_backoff(Backoff::constant(ms(10)).jitter(50));
        left_alone(config, ms(10_000)).session.poll_timeout().unwrap()
    });
    let mut times = Vec::from_iter(times);
    assert!(times.iter().all(|at| (ms(10_000)..=ms(15_000)).contains(at)), "{times:?}");
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), 50);
}

#[test]
fn clients_with_other_seeds_reconnect_at_other_times_and_never_later_than_the_table_says() {
    let times = (0..50).map(|seed| {
        let mut talk = Conversation::open_with(
            ClientConfig::default().seed(seed).reconnect_backoff(Backoff::constant(ms(10_000)).jitter(50)),
        );
        talk.closes(ConnectionEnd::lost());
        talk.session.poll_timeout().unwrap()
    });
    let mut times = Vec::from_iter(times);
    assert!(times.iter().all(|at| (ms(5_000)..=ms(10_000)).contains(at)));
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), 50);
}

#[test]
fn a_disconnect_sends_what_is_left_and_stays() {
    let (mut talk, channel) = Conversation::joined();
    talk.push_with(channel, Push::new("bye", Payload::empty()).without_reply());
    talk.session.disconnect(1000, "done", talk.now);
    talk.hear();
    assert_eq!(talk.told().last(), Some(&ClientEvent::Close { code: 1000, reason: "done".to_owned() }));
    assert_eq!(talk.sent(), [r#"["1","2","room:a","bye",{}]"#]);
    talk.closes(ConnectionEnd::lost());
    assert_eq!(talk.session.status(), SocketStatus::Closed);
    assert_eq!(talk.session.channel_status(channel), errored(None));
    talk.pass(1_000_000);
    assert_eq!(talk.session.status(), SocketStatus::Closed);
    talk.connect();
    talk.opens();
    assert_eq!(talk.sent(), [r#"["3","3","room:a","phx_join",{"join":2}]"#]);
}

#[test]
fn connect_and_disconnect_have_their_way_in_every_state() {
    use SocketStatus::{Closed, Closing, Connecting, Open};
    let fresh = Connecting { attempt: 0 };
    let states: [(&str, Step, SocketStatus, SocketStatus); 4] = [
        ("closed", |_| {}, fresh, Closed),
        ("connecting", Conversation::connect, fresh, Closing),
        ("open", |talk| (talk.connect(), talk.opens()).1, Open, Closing),
        (
            "reconnecting",
            |talk| (talk.connect(), talk.closes(ConnectionEnd::lost())).1,
            Connecting { attempt: 1 },
            Closed,
        ),
    ];
    for (name, prepare, connected, disconnected) in states {
        let mut talk = Conversation::new();
        prepare(&mut talk);
        talk.connect();
        assert_eq!(talk.session.status(), connected, "{name}");
        let mut talk = Conversation::new();
        prepare(&mut talk);
        talk.session.disconnect(1000, "", talk.now);
        assert_eq!(talk.session.status(), disconnected, "{name}");
    }
    let last_words: [(&str, Step, SocketStatus); 2] = [
        ("connect", Conversation::connect, fresh),
        ("disconnect", |talk| talk.session.disconnect(1000, "", talk.now), Closed),
    ];
    for (name, last_word, status) in last_words {
        let mut talk = Conversation::open();
        talk.session.disconnect(1000, "", talk.now);
        talk.connect();
        last_word(&mut talk);
        talk.closes(closed(1000));
        assert_eq!(talk.session.status(), status, "{name}");
    }
}

#[test]
fn an_error_fails_the_channels_and_the_close_behind_it_decides() {
    let (mut talk, channel) = Conversation::joined();
    talk.session.handle_error("reset", talk.now);
    talk.hear();
    let error = ClientEvent::ConnectionError { reason: "reset".to_owned(), opened_before: 1 };
    assert_eq!(talk.told()[0], error);
    assert_eq!(talk.session.channel_status(channel), errored(None));
    talk.closes(ConnectionEnd::lost());
    assert_eq!(talk.session.status(), reconnecting(1, 10));
}

#[test]
fn check_153_after_a_reconnect_every_channel_is_joined_with_a_new_ref_and_fresh_params() {
    let (mut talk, _) = Conversation::joined();
    talk.join("room:b");
    assert_eq!(talk.sent(), [r#"["2","2","room:b","phx_join",{"join":2}]"#]);
    talk.closes(ConnectionEnd::lost());
    talk.pass(10);
    assert_eq!(talk.sent(), Vec::<String>::new());
    talk.opens();
    let joins =
        [r#"["3","3","room:a","phx_join",{"join":3}]"#, r#"["4","4","room:b","phx_join",{"join":4}]"#];
    assert_eq!(talk.sent(), joins);
}

#[test]
fn nothing_is_heard_without_a_connection_and_what_is_no_message_does_no_harm() {
    let (mut talk, _) = Conversation::joined();
    assert!(talk.session.handle_frame(Frame::text("nope"), talk.now).is_err());
    talk.receive(r#"[null,null,"room:a","news",{}]"#);
    assert_eq!(talk.told().len(), 1);
    talk.closes(ConnectionEnd::lost());
    talk.told();
    talk.receive(r#"[null,null,"room:a","news",{}]"#);
    talk.session.handle_frame(Frame::text("nope"), talk.now).unwrap();
    assert_eq!(talk.told(), []);
}

#[test]
fn a_ping_tells_the_round_trip_and_needs_an_open_socket() {
    let mut talk = Conversation::new();
    assert_eq!(talk.session.ping(talk.now), None);
    talk.connect();
    talk.opens();
    let ping = talk.session.ping(talk.now).unwrap();
    assert_eq!(talk.sent(), [BEAT]);
    talk.told();
    talk.pass(123);
    talk.receive(PONG);
    assert_eq!(talk.told(), [ClientEvent::PushEnded { push: ping, outcome: ok(), took: ms(123) }]);
}

#[test]
fn every_change_of_status_begins_where_the_last_one_ended() {
    let (mut talk, _) = Conversation::joined();
    let mut status = SocketStatus::Open;
    let mut changes = 0;
    for step in 0..12 {
        match step % 4 {
            0 => talk.closes(ConnectionEnd::lost()),
            1 => talk.pass(3_000),
            2 => talk.opens(),
            _ => talk.pass(70_000),
        }
        for event in talk.told() {
            if let ClientEvent::SocketStatus { old, new } = event {
                assert_eq!(old, status);
                (status, changes) = (new, changes + 1);
            }
        }
        assert_eq!(talk.session.status(), status);
    }
    assert!(changes > 8);
}

#[test]
fn a_snapshot_shows_where_everything_stands() {
    let (mut talk, room) = Conversation::joined();
    talk.pass(100);
    let other = talk.join("room:b");
    let held = talk.push(other, "held");
    let queued = talk.push(room, "queued");
    let shot = talk.session.snapshot();
    assert_eq!((shot.status, shot.since, shot.opened), (SocketStatus::Open, ms(0), 1));
    assert_eq!((shot.connect_started, shot.reconnects, shot.last_ref), (Some(ms(0)), 0, 4));
    assert_eq!((shot.buffered_pushes, shot.buffered_bytes), (2, 2 * 8 + "held".len() + "queued".len()));
    let [a, b] = &shot.channels[..] else { panic!("{shot:?}") };
    assert_eq!((a.status, b.status), (ChannelStatus::Joined, ChannelStatus::Joining));
    assert_eq!((a.channel, b.channel, &*b.topic), (room, other, "room:b"));
    assert_eq!((a.join_started, b.join_started), (ms(0), ms(100)));
    assert_eq!(a.params.as_ref().unwrap().as_json(), Some(&br#"{"join":1}"#[..]));
    assert_eq!((a.pushes[0].push, b.pushes[0].push), (queued, held));
    assert_eq!((b.pushes[0].was_sent, b.pushes[0].times_out_at), (false, Some(ms(10_100))));
    talk.sent();
    let shot = talk.session.snapshot();
    assert!(shot.channels[0].pushes[0].was_sent && !shot.channels[1].pushes[0].was_sent);
    assert_eq!(shot.buffered_pushes, 1);
    let leave = talk.leave(room).unwrap();
    let shot = talk.session.snapshot();
    assert_eq!(shot.pushes.iter().map(|push| push.push).collect::<Vec<_>>(), [queued, leave]);
}
