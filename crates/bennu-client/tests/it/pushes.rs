//! Pushes and what becomes of them.

use std::time::Duration;

use bennu_client::{Message, PushError, SendBuffer, Socket};
use bennu_protocol::{EncodeError, Frame, Payload};
use bennu_testkit::scripted::advance;
use serde_json::json;

use crate::scene::{connected, connected_with, join, joined, server};

#[tokio::test(start_paused = true)]
async fn check_144_pushes_before_the_join_reply_are_held_and_sent_in_order_with_its_ref() {
    let (_server, connection, socket) = connected().await;
    let channel = socket.channel_join("room:1", json!({})).unwrap();
    let join = connection.expect_join("room:1").await;
    let pushes =
        [1, 2, 3].map(|n| tokio::spawn(channel.push(format!("p{n}"), json!({"n": n})).into_future()));
    connection.expect_nothing(Duration::from_secs(1)).await;
    join.reply_ok(json!({}));
    for n in [1, 2, 3] {
        let push = connection.expect_push("room:1", &format!("p{n}")).await;
        assert_eq!(push.join_ref(), join.reference());
        push.reply_ok(json!({"n": n}));
    }
    for push in pushes {
        push.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn check_149_a_reply_with_an_unknown_ref_is_ignored() {
    let (_server, connection, _socket, channel) = joined().await;
    connection.send_raw(Frame::text(r#"[null,"4711","room:1","phx_reply",{"status":"ok","response":{}}]"#));
    let push = tokio::spawn(channel.push("hello", json!({})).into_future());
    connection.expect_push("room:1", "hello").await.reply_ok(json!({"mine": true}));
    assert_eq!(push.await.unwrap().unwrap().as_json().unwrap(), br#"{"mine":true}"#);
    assert!(channel.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn check_150_a_push_without_reply_times_out_and_a_late_one_is_ignored() {
    let (_server, connection, _socket, channel) = joined().await;
    let started = tokio::time::Instant::now();
    let push = tokio::spawn(channel.push("slow", json!({})).timeout(Duration::from_secs(2)).into_future());
    let late = connection.expect_push("room:1", "slow").await;
    assert_eq!(push.await.unwrap(), Err(PushError::TimedOut { was_sent: true }));
    assert_eq!(started.elapsed().as_secs(), 2);
    late.reply_ok(json!({}));
    advance(Duration::from_millis(10)).await;
    assert!(channel.try_recv().is_none());

    let push = tokio::spawn(channel.push("default", json!({})).into_future());
    let started = tokio::time::Instant::now();
    connection.expect_push("room:1", "default").await.ignore();
    assert_eq!(push.await.unwrap(), Err(PushError::TimedOut { was_sent: true }));
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn check_156_a_binary_push_has_the_observed_layout_and_a_long_field_is_refused() {
    let (_server, connection, _socket, channel) = joined().await;
    let push = tokio::spawn(channel.push("bin", Payload::binary(vec![1, 2, 255])).into_future());
    let got = connection.expect_push("room:1", "bin").await;
    assert_eq!(got.bytes(), &[1, 2, 255][..]);
    got.reply_ok(json!({}));
    push.await.unwrap().unwrap();

    let long = "e".repeat(256);
    let refused = channel.push(&long, Payload::binary(vec![1])).await;
    assert!(matches!(refused, Err(PushError::Encode(EncodeError::FieldTooLong { .. }))), "{refused:?}");
    connection.expect_nothing(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn check_157_a_binary_reply_and_binary_messages_are_delivered() {
    let (_server, connection, _socket, channel) = joined().await;
    let push = tokio::spawn(channel.push("bin", Payload::binary(vec![1])).into_future());
    connection.expect_push("room:1", "bin").await.reply_ok(Payload::binary(vec![9, 8]));
    assert_eq!(push.await.unwrap().unwrap().as_binary().unwrap(), &[9, 8][..]);
    connection.broadcast("room:1", "blob", Payload::binary(vec![7]));
    connection.push("room:1", "blob", Payload::binary(vec![6]));
    for byte in [7, 6] {
        let message = channel.recv().await.unwrap();
        assert_eq!(message.payload.as_binary().unwrap(), &[byte][..]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_reply_is_an_error_with_all_that_the_server_says() {
    let (_server, connection, _socket, channel) = joined().await;
    let push = tokio::spawn(channel.push("fail", json!({})).into_future());
    connection.expect_push("room:1", "fail").await.reply_error(json!({"reason": "nope"}));
    let Err(PushError::Refused { status, response }) = push.await.unwrap() else { panic!("it was refused") };
    assert_eq!(status.as_str(), "error");
    assert_eq!(response.as_json().unwrap(), br#"{"reason":"nope"}"#);
}

#[tokio::test(start_paused = true)]
async fn a_push_that_was_sent_is_unconfirmed_when_the_link_breaks_and_sent_again_only_if_asked() {
    let (server, connection, _socket, channel) = joined().await;
    let once = tokio::spawn(channel.push("once", json!({})).into_future());
    connection.expect_push("room:1", "once").await.ignore();
    let twice = tokio::spawn(channel.push("twice", json!({})).retry_unconfirmed().into_future());
    connection.expect_push("room:1", "twice").await.ignore();
    connection.drop_link();
    assert_eq!(once.await.unwrap(), Err(PushError::Unconfirmed));

    let connection = server.accept().await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    connection.expect_push("room:1", "twice").await.reply_ok(json!({"got": "it"}));
    assert_eq!(twice.await.unwrap().unwrap().as_json().unwrap(), br#"{"got":"it"}"#);
    connection.expect_nothing(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_push_to_a_channel_that_was_left_is_refused() {
    let (_server, _connection, _socket, channel) = joined().await;
    channel.stop();
    assert_eq!(channel.push("x", json!({})).await, Err(PushError::ChannelClosed));
    assert!(matches!(channel.push_async("x", json!({})), Err(PushError::ChannelClosed)));
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_refuses_or_drops_the_oldest_and_each_is_told() {
    let (_server, connection, socket) =
        connected_with(|config| config.send_buffer(SendBuffer::default().max_pushes(1))).await;
    let channel = socket.channel_join("room:1", json!({})).unwrap();
    let held = channel.push_async("first", json!({})).unwrap();
    assert!(matches!(channel.push_async("second", json!({})), Err(PushError::BufferFull)));
    let join = connection.expect_join("room:1").await;

    socket
        .reconfigure(|config| config.send_buffer(SendBuffer::default().max_pushes(1).drop_oldest()))
        .unwrap();
    let newer = channel.push_async("third", json!({})).unwrap();
    assert_eq!(held.await, Err(PushError::Dropped));
    join.reply_ok(json!({}));
    connection.expect_push("room:1", "third").await;
    newer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_transport_holds_pushes_back_until_it_takes_them() {
    let (_server, connection, _socket, channel) = joined().await;
    connection.stop_reading();
    let sending = channel.push_async("held", json!({})).unwrap();
    connection.expect_nothing(Duration::from_secs(1)).await;
    connection.resume_reading();
    connection.expect_push("room:1", "held").await;
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_raw_message_is_sent_as_it_is_and_returned_with_its_ref() {
    let (_server, connection, socket) = connected().await;
    let sent = socket.push(Message::push("room:9", "shout", json!({"n": 1})).unwrap()).unwrap();
    let got = connection.expect_push("room:9", "shout").await;
    assert_eq!(got.reference(), sent.reference.as_ref());
    assert_eq!(got.join_ref(), None);
    assert_eq!(got["n"], 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_connection_is_sent_in_order_or_can_be_taken_back() {
    let (server, config) = server();
    let socket = Socket::start(config.auto_connect(false)).unwrap();
    for n in 0..4 {
        socket.push(Message::push("room:1", "note", json!({"n": n})).unwrap()).unwrap();
    }
    let taken = socket.pop_all_to_send();
    assert_eq!(taken.len(), 4);
    assert_eq!(taken[3].payload.as_json().unwrap(), br#"{"n":3}"#);
    for message in taken.into_iter().skip(2) {
        socket.push(message).unwrap();
    }
    socket.connect().unwrap();
    let connection = server.accept().await;
    assert_eq!(connection.expect_push("room:1", "note").await["n"], 2);
    assert_eq!(connection.expect_push("room:1", "note").await["n"], 3);
}

#[tokio::test(start_paused = true)]
async fn pushes_that_are_under_way_when_the_socket_ends_are_told() {
    let (_server, connection, socket, channel) = joined().await;
    let sent = tokio::spawn(channel.push("sent", json!({})).into_future());
    connection.expect_push("room:1", "sent").await.ignore();
    let other = socket.channel_join("room:2", json!({})).unwrap();
    let held = tokio::spawn(other.push("held", json!({})).into_future());
    connection.expect_join("room:2").await.ignore();
    socket.stop();
    assert_eq!(sent.await.unwrap(), Err(PushError::Unconfirmed));
    assert!(matches!(held.await.unwrap(), Err(PushError::SocketEnded(_))));
    assert!(matches!(channel.push("late", json!({})).await, Err(PushError::SocketEnded(_))));
}

#[tokio::test(start_paused = true)]
async fn a_ping_tells_the_round_trip() {
    let (_server, connection, socket) = connected().await;
    let ping = tokio::spawn(async move { socket.ping().await });
    let beat = connection.expect_heartbeat().await;
    advance(Duration::from_millis(40)).await;
    beat.reply_ok(json!({}));
    assert_eq!(ping.await.unwrap().unwrap().as_millis(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_crashes_ends_what_was_sent_and_keeps_what_is_held() {
    let (_server, connection, socket) = connected().await;
    let channel = join(&connection, &socket, "room:1").await;
    let sent = tokio::spawn(channel.push("sent", json!({})).into_future());
    connection.expect_push("room:1", "sent").await.ignore();
    connection.error("room:1");
    assert_eq!(sent.await.unwrap(), Err(PushError::Unconfirmed));
    let held = tokio::spawn(channel.push("held", json!({})).into_future());
    connection.expect_join("room:1").await.reply_ok(json!({}));
    connection.expect_push("room:1", "held").await.reply_ok(json!({}));
    held.await.unwrap().unwrap();
}
