//! Joining, receiving, leaving.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bennu_client::{ChannelEnd, ChannelStatus, Hook, JoinError, Provider, RecvError, Socket};
use bennu_protocol::Payload;
use bennu_testkit::scripted::advance;
use serde_json::json;

use crate::scene::{connected, connected_with, join, joined, server};

#[tokio::test(start_paused = true)]
async fn check_143_a_join_before_open_is_sent_right_after_it_with_its_ref_as_join_ref() {
    let (server, config) = server();
    let socket = Socket::start(config).unwrap();
    let joining = tokio::spawn(socket.join("room:1", json!({"user": "ada"})).into_future());
    let connection = server.accept().await;
    let join = connection.expect_join("room:1").await;
    assert_eq!(join["user"], "ada");
    assert!(join.reference().is_some());
    assert_eq!(join.reference(), join.join_ref());
    join.reply_ok(json!({"hello": 1}));
    let (response, channel) = joining.await.unwrap().unwrap();
    assert_eq!(response.as_json().unwrap(), br#"{"hello":1}"#);
    assert_eq!(channel.status(), ChannelStatus::Joined);
}

#[tokio::test(start_paused = true)]
async fn check_145_a_join_without_reply_is_left_and_tried_again_with_a_new_ref() {
    let (_server, connection, socket) = connected().await;
    connection.answer_heartbeats();
    let channel = socket.channel_join("room:1", json!({})).unwrap();
    let mut earlier = connection.expect_join("room:1").await;
    for wait in [1, 2, 5, 10, 10] {
        let leave = connection.within(Duration::from_secs(6)).expect_leave("room:1").await;
        assert_eq!(leave.join_ref(), earlier.reference());
        let asked = tokio::time::Instant::now();
        let next = connection.within(Duration::from_secs(11)).expect_join("room:1").await;
        assert_eq!(asked.elapsed().as_secs(), wait);
        assert_ne!(next.reference(), earlier.reference());
        earlier = next;
    }
    assert_eq!(channel.status(), ChannelStatus::Joining);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_heartbeats_and_no_join_is_left_for_a_new_connection() {
    let (server, connection, socket) = connected().await;
    connection.answer_heartbeats();
    let channel = socket.channel_join("room:1", json!({})).unwrap();
    connection.expect_join("room:1").await.ignore();
    let since = tokio::time::Instant::now();
    let end = connection.within(Duration::from_secs(90)).expect_closed().await;
    assert_eq!((end.code, end.reason.as_str()), (1000, "joins unanswered"));
    assert!((60..80).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    let connection = server.accept().await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    channel.joined().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_joins_is_alive() {
    let (server, connection, socket) = connected().await;
    connection.answer_heartbeats();
    let _silent = socket.channel_join("room:1", json!({})).unwrap();
    let _refused = socket.channel_join("room:2", json!({})).unwrap();
    let since = tokio::time::Instant::now();
    while since.elapsed() < Duration::from_secs(120) {
        let join = connection.within(Duration::from_secs(11)).expect_join("room:2").await;
        join.reply_error(json!({"reason": "full"}));
    }
    server.expect_no_connection(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn check_146_a_refused_join_is_told_and_tried_again() {
    let (_server, connection, socket) = connected().await;
    let channel = socket.channel_join("room:1", json!({})).unwrap();
    for wait in [1, 2, 5] {
        let outcome = tokio::spawn({
            let channel = channel.clone();
            async move { channel.joined().await }
        });
        tokio::task::yield_now().await;
        let join = connection.within(Duration::from_secs(11)).expect_join("room:1").await;
        let refused = tokio::time::Instant::now();
        join.reply_error(json!({"reason": "full"}));
        let Err(JoinError::Refused { response, .. }) = outcome.await.unwrap() else {
            panic!("it was refused")
        };
        assert_eq!(response.as_json().unwrap(), br#"{"reason":"full"}"#);
        let ChannelStatus::Errored { retry_at: Some(at) } = channel.status() else { panic!("{channel:?}") };
        assert_eq!((at - refused).as_secs(), wait);
    }
    connection.within(Duration::from_secs(11)).expect_join("room:1").await.reply_ok(json!({}));
    channel.joined().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn check_147_a_crash_is_followed_by_a_rejoin_and_a_close_is_not() {
    let (_server, connection, _socket, channel) = joined().await;
    connection.error("room:1");
    connection.expect_join("room:1").await.reply_ok(json!({}));
    channel.joined().await.unwrap();
    connection.close_channel("room:1");
    assert!(matches!(channel.ended().await, ChannelEnd::Closed(_)));
    assert_eq!(channel.status(), ChannelStatus::Left);
    connection.expect_nothing(Duration::from_secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn check_148_messages_of_another_join_are_not_delivered_and_those_of_none_are() {
    let (_server, connection, socket) = connected().await;
    let channel = socket.channel_join("room:1", json!({})).unwrap();
    let join = connection.expect_join("room:1").await;
    join.reply_ok(json!({}));
    connection.push_as(Some(&bennu_protocol::Ref::from_text("99")), "room:1", "stale", json!({}));
    connection.push_as(join.reference(), "room:1", "mine", json!({}));
    connection.broadcast("room:1", "all", json!({}));
    assert_eq!(channel.recv().await.unwrap().event.as_str(), "mine");
    assert_eq!(channel.recv().await.unwrap().event.as_str(), "all");
    assert!(channel.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn check_153_after_a_reconnect_every_channel_is_joined_again_with_fresh_params() {
    let (server, connection, socket) = connected().await;
    let count = Arc::new(AtomicU32::new(0));
    let params = Provider::from_fn(move || {
        Payload::json(&json!({"try": count.fetch_add(1, Ordering::Relaxed)})).unwrap()
    });
    let fetched = Provider::from_async(|| async {
        tokio::time::sleep(Duration::from_millis(3)).await;
        Ok(Payload::json(&json!({"fetched": true})).unwrap())
    });
    let first = socket.join("room:1", json!({})).params_from(params).start().unwrap();
    let second = socket.join("room:2", json!({})).params_from(fetched).start().unwrap();
    let join = connection.expect_join("room:1").await;
    assert_eq!(join["try"], 0);
    join.reply_ok(json!({}));
    connection.expect_join("room:2").await.reply_ok(json!({}));
    first.joined().await.unwrap();
    second.joined().await.unwrap();
    connection.drop_link();

    let connection = server.accept().await;
    let again = connection.expect_join("room:1").await;
    assert_eq!(again["try"], 1);
    assert_ne!(again.reference(), join.reference());
    again.reply_ok(json!({}));
    let again = connection.expect_join("room:2").await;
    assert_eq!(again["fetched"], true);
    again.reply_ok(json!({}));
    first.joined().await.unwrap();
    second.joined().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn check_154_a_leave_closes_the_channel_at_once_and_tells_the_server() {
    let (_server, connection, socket, channel) = joined().await;
    let leaving = channel.leave();
    assert_eq!(channel.status(), ChannelStatus::Left);
    assert!(socket.channel("room:1").is_none());
    connection.expect_leave("room:1").await.reply_ok(json!({}));
    leaving.await.unwrap();
    assert_eq!(channel.ended().await, ChannelEnd::Left);
    assert_eq!(channel.recv().await, Err(RecvError::Ended(ChannelEnd::Left)));
}

#[tokio::test(start_paused = true)]
async fn check_155_join_replacing_leaves_the_channel_that_has_the_topic() {
    let (_server, connection, socket, old) = joined().await;
    let joining = tokio::spawn(socket.join_replacing("room:1", json!({"second": true})).into_future());
    connection.expect_leave("room:1").await.reply_ok(json!({}));
    let join = connection.expect_join("room:1").await;
    assert_eq!(join["second"], true);
    join.reply_ok(json!({}));
    let (_, new) = joining.await.unwrap().unwrap();
    assert_eq!(old.ended().await, ChannelEnd::Replaced);
    connection.broadcast("room:1", "hello", json!({}));
    assert_eq!(new.recv().await.unwrap().event.as_str(), "hello");
    drop(old);
    connection.expect_nothing(Duration::from_secs(1)).await;
    assert_eq!(new.status(), ChannelStatus::Joined);
}

#[tokio::test(start_paused = true)]
async fn a_second_join_of_a_topic_is_refused_with_the_channel_that_has_it() {
    let (_server, connection, socket, channel) = joined().await;
    let Err(JoinError::AlreadyJoined { channel: had }) = socket.join("room:1", json!({})).await else {
        panic!("it is joined")
    };
    connection.broadcast("room:1", "hello", json!({}));
    assert_eq!(had.recv().await.unwrap().event.as_str(), "hello");

    let joining = socket.channel_join("room:2", json!({})).unwrap();
    assert!(matches!(socket.channel_join("room:2", json!({})), Err(JoinError::AlreadyJoined { .. })));
    drop((channel, had, joining));
}

#[tokio::test(start_paused = true)]
async fn a_join_without_params_sends_an_empty_object() {
    let (_server, connection, socket) = connected().await;
    let _channel = socket.channel_join("room:1", ()).unwrap();
    assert_eq!(*connection.expect_join("room:1").await.json(), json!({}));
}

#[tokio::test(start_paused = true)]
async fn without_a_join_deadline_a_silent_server_is_stayed_with() {
    let (server, connection, socket) = connected_with(|config| config.join_deadline(None)).await;
    connection.answer_heartbeats();
    let _channel = socket.channel_join("room:1", json!({})).unwrap();
    server.expect_no_connection(Duration::from_secs(300)).await;
    assert!(socket.is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_join_that_fails_says_why_and_leaves_nothing_behind() {
    let (_server, connection, socket) = connected().await;
    let joining = tokio::spawn(socket.join("room:1", json!({})).into_future());
    connection.expect_join("room:1").await.reply_error(json!({"reason": "unauthorized", "more": 1}));
    let Err(JoinError::Unauthorized { response }) = joining.await.unwrap() else { panic!("it was refused") };
    assert_eq!(response.as_json().unwrap(), br#"{"more":1,"reason":"unauthorized"}"#);
    assert!(socket.channel("room:1").is_none());

    let joining =
        tokio::spawn(socket.join("room:1", json!({})).timeout(Duration::from_secs(2)).into_future());
    connection.expect_join("room:1").await.ignore();
    assert!(matches!(joining.await.unwrap(), Err(JoinError::TimedOut)));
    connection.expect_leave("room:1").await;

    let joining = tokio::spawn(socket.join("room:1", json!({})).into_future());
    connection.expect_join("room:1").await.ignore();
    joining.abort();
    connection.expect_leave("room:1").await;
    connection.expect_nothing(Duration::from_secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn a_join_without_a_connection_says_so_and_one_on_the_way_to_it_waits() {
    let (server, config) = server();
    let socket = Socket::start(config.auto_connect(false)).unwrap();
    assert!(matches!(socket.join("room:1", json!({})).await, Err(JoinError::NotConnected)));
    let kept = socket.channel_join("room:2", json!({})).unwrap();
    socket.connect().unwrap();
    let joining = tokio::spawn(socket.join("room:1", json!({})).into_future());
    let connection = server.accept().await;
    connection.expect_join("room:2").await.reply_ok(json!({}));
    connection.expect_join("room:1").await.reply_ok(json!({}));
    joining.await.unwrap().unwrap();
    kept.joined().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn params_that_are_not_to_be_had_are_told_and_asked_for_again() {
    let (_server, connection, socket) = connected().await;
    let tries = Arc::new(AtomicU32::new(0));
    let params = Provider::from_async(move || {
        let attempt = tries.fetch_add(1, Ordering::Relaxed);
        async move {
            match attempt {
                0 => Err(bennu_client::ProviderError::new("the vault is shut")),
                1 => panic!("the vault is on fire"),
                _ => Ok(Payload::empty()),
            }
        }
    });
    let channel = socket.join("room:1", json!({})).params_from(params).start().unwrap();
    let Err(JoinError::Params(why)) = channel.joined().await else { panic!("there were no params") };
    assert_eq!(why, "the vault is shut");
    let Err(JoinError::Params(why)) = channel.joined().await else { panic!("there were no params") };
    assert_eq!(why, "the provider panicked");
    connection.within(Duration::from_secs(20)).expect_join("room:1").await.reply_ok(json!({}));
    channel.joined().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_that_is_dropped_leaves_the_channel() {
    let (_server, connection, _socket, channel) = joined().await;
    let clone = channel.clone();
    drop(channel);
    connection.expect_nothing(Duration::from_secs(1)).await;
    drop(clone);
    connection.expect_leave("room:1").await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_keeps_its_socket_alive() {
    let (_server, connection, socket, channel) = joined().await;
    drop(socket);
    connection.broadcast("room:1", "hello", json!({}));
    assert_eq!(channel.recv().await.unwrap().event.as_str(), "hello");
    drop(channel);
    let end = connection.expect_closed().await;
    assert_eq!(end.code, 1000);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_received_in_time_is_counted_where_it_is_missing() {
    let (_server, connection, socket) = connected_with(|config| config.mailbox(2, 1 << 20)).await;
    let channel = join(&connection, &socket, "room:1").await;
    for number in 0..5 {
        connection.broadcast("room:1", &format!("m{number}"), json!({}));
    }
    advance(Duration::from_millis(1)).await;
    assert_eq!(channel.recv().await.unwrap().event.as_str(), "m0");
    connection.broadcast("room:1", "m5", json!({}));
    advance(Duration::from_millis(1)).await;
    assert_eq!(channel.recv().await.unwrap().event.as_str(), "m1");
    assert_eq!(channel.recv().await, Err(RecvError::Missed { count: 3 }));
    assert_eq!(channel.recv().await.unwrap().event.as_str(), "m5");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_came_before_the_end_is_received_before_it() {
    let (_server, connection, _socket, channel) = joined().await;
    connection.broadcast("room:1", "last words", json!({}));
    connection.close_channel("room:1");
    assert!(matches!(channel.ended().await, ChannelEnd::Closed(_)));
    assert_eq!(channel.recv().await.unwrap().event.as_str(), "last words");
    assert!(matches!(channel.recv().await, Err(RecvError::Ended(_))));
    assert!(matches!(channel.recv().await, Err(RecvError::Ended(_))));
}

struct Log(Arc<Mutex<Vec<String>>>);

impl Hook for Log {
    fn handle_in(&self, event: &str, payload: &Payload) {
        let text = String::from_utf8(payload.as_json().unwrap().to_vec()).unwrap();
        self.0.lock().unwrap().push(format!("{event} {text}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_takes_its_event_from_the_owner_until_it_is_off() {
    let (_server, connection, _socket, channel) = joined().await;
    let log = Arc::new(Mutex::new(Vec::new()));
    let first = Arc::clone(&log);
    channel.on("new_msg", move |_: &Payload| first.lock().unwrap().push("first".to_owned()));
    connection.broadcast("room:1", "new_msg", json!({"n": 1}));
    connection.broadcast("room:1", "other", json!({}));
    assert_eq!(channel.recv().await.unwrap().event.as_str(), "other");

    channel.on("new_msg", Log(Arc::clone(&log)));
    connection.broadcast("room:1", "new_msg", json!({"n": 2}));
    connection.broadcast("room:1", "other", json!({}));
    channel.recv().await.unwrap();
    assert_eq!(*log.lock().unwrap(), ["first", r#"new_msg {"n":2}"#]);

    assert!(channel.off("new_msg"));
    assert!(!channel.off("new_msg"));
    connection.broadcast("room:1", "new_msg", json!({"n": 3}));
    assert_eq!(channel.recv().await.unwrap().event.as_str(), "new_msg");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_is_taken_off_and_all_else_goes_on() {
    let (_server, connection, _socket, channel) = joined().await;
    channel.on("bad", |_: &Payload| panic!("a hook of the test panics"));
    connection.broadcast("room:1", "bad", json!({"n": 1}));
    connection.broadcast("room:1", "bad", json!({"n": 2}));
    let message = channel.recv().await.unwrap();
    assert_eq!(message.payload.as_json().unwrap(), br#"{"n":2}"#);
}

#[tokio::test(start_paused = true)]
async fn a_hook_may_push_and_leave() {
    let (_server, connection, _socket, channel) = joined().await;
    let own = channel.clone();
    channel.on("ask", move |payload: &Payload| {
        own.push_async("answer", payload).unwrap();
        own.stop();
    });
    connection.broadcast("room:1", "ask", json!({"n": 1}));
    assert_eq!(connection.expect_push("room:1", "answer").await["n"], 1);
    connection.expect_leave("room:1").await;
    assert_eq!(channel.ended().await, ChannelEnd::Left);
}

#[tokio::test(start_paused = true)]
async fn the_statuses_of_a_channel_are_a_stream_that_ends_with_it() {
    let (_server, connection, socket) = connected().await;
    let channel = socket.channel_join("room:1", json!({})).unwrap();
    let mut statuses = channel.statuses();
    let mut seen = vec![statuses.next().await.unwrap().as_str()];
    connection.expect_join("room:1").await.reply_ok(json!({}));
    seen.push(statuses.next().await.unwrap().as_str());
    connection.error("room:1");
    seen.push(statuses.next().await.unwrap().as_str());
    let again = connection.expect_join("room:1").await;
    seen.push(statuses.next().await.unwrap().as_str());
    again.reply_ok(json!({}));
    seen.push(statuses.next().await.unwrap().as_str());
    channel.stop();
    while let Some(status) = statuses.next().await {
        seen.push(status.as_str());
    }
    seen.retain(|status| *status != "leaving");
    assert_eq!(seen, ["joining", "joined", "errored", "joining", "joined", "left"]);
}
