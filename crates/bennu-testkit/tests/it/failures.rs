//! What a test says when it fails.

use std::panic::AssertUnwindSafe;

use bennu_testkit::{
    assert_broadcast, assert_closed, assert_push, assert_reply, connect, refute_broadcast, refute_closed,
    refute_push, refute_reply,
};
use futures_util::FutureExt as _;
use serde_json::json;

use crate::room::{endpoint, joined};

/// The message with which an assertion fails.
async fn failure(assertion: impl Future<Output = ()>) -> String {
    let panic = AssertUnwindSafe(assertion).catch_unwind().await.expect_err("the assertion must fail");
    panic.downcast_ref::<String>().expect("a message").clone()
}

#[tokio::test(start_paused = true)]
async fn a_push_that_did_not_come_shows_what_did() {
    let (_, room) = joined().await;
    room.push("push", json!({"body": "hallo", "id": 1}));
    assert_push!(room, "pushed");
    room.push("push", json!({"body": "hallo", "id": 2}));
    room.push("push", bennu::Payload::binary(&b"\x00\x01"[..]));
    let refused = room.push("refuse", json!({}));
    room.push("broadcast", json!({"n": 1}));
    assert_reply!(room, refused, "error");
    let message = failure(async {
        assert_push!(room, "pushed", {"body": "hello"});
    });
    let expected = r#"expected a push "pushed" on "room:1" with {"body":"hello"} within 100ms
what arrived, in order:
  reply      room:1  ok to phx_join (ref 1)  {}  (taken by an earlier assertion)
  push       room:1  pushed  {"body":"hallo","id":1}  (taken by an earlier assertion)
  broadcast  room:1  said  {"n":1}
  push       room:1  pushed  {"body":"hallo","id":2}  <- body is "hallo", not "hello"
  push       room:1  pushed  b"\0\x01"  <- expected JSON, got binary
  reply      room:1  error to refuse (ref 5)  {"errors":{"body":["is empty"]}}  (taken by an earlier assertion)
  push       room:1  said  {"n":1}
  reply      room:1  ok to broadcast (ref 6)  {}"#;
    assert_eq!(message.await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_another_status_or_shape_is_pointed_at() {
    let (_, room) = joined().await;
    let [one, two] = [room.push("refuse", json!({})), room.push("echo", json!({"id": 1}))];
    let status = failure(async {
        assert_reply!(room, one, "ok");
    });
    let expected = r#"expected a reply "ok" to ref 2 on "room:1" with any payload within 100ms
what arrived, in order:
  reply      room:1  ok to phx_join (ref 1)  {}  (taken by an earlier assertion)
  reply      room:1  error to refuse (ref 2)  {"errors":{"body":["is empty"]}}  <- the status is error, not ok
  reply      room:1  ok to echo (ref 3)  {"id":1}"#;
    assert_eq!(status.await, expected);
    let shape = failure(async {
        assert_reply!(room, two, "ok", |id: u64| id == 1);
    });
    let shape = shape.await;
    assert!(
        shape.starts_with(r#"expected a reply "ok" to ref 3 on "room:1" with |id: u64| id == 1 within"#),
        "{shape}"
    );
    assert!(shape.contains("<- invalid type: map, expected u64"), "{shape}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_called_nothing_and_an_end_is_shown() {
    let socket = connect(&endpoint(), "/socket", json!({"user": "ada"})).await.unwrap();
    let message = failure(async {
        assert_closed!(socket, 1001);
    });
    let expected = "the connection should have been closed with 1001 within 100ms\nnothing arrived";
    assert_eq!(message.await, expected);
    socket.close().await;
    let message = failure(async {
        assert_closed!(socket, 1001);
    });
    let expected = "the connection should have been closed with 1001 within 100ms\n\
                    what arrived, in order:\n  closed     1000  <- the code differs";
    assert_eq!(message.await, expected);
    let message = failure(async {
        refute_closed!(socket);
    });
    let expected = "the connection should have stayed open\nwhat arrived, in order:\n  closed     1000";
    assert_eq!(message.await, expected);
}

#[tokio::test(start_paused = true)]
async fn what_should_not_have_come_is_shown() {
    let (_, room) = joined().await;
    let reference = room.push("broadcast", json!({"n": 1}));
    let start = "expected no push \"said\" on \"room:1\" with {\"n\":1}, but it came: {\"n\":1}\nwhat arrived, in order:\n";
    let push = failure(async { refute_push!(room, "said", {"n": 1}) }).await;
    assert!(push.starts_with(start), "{push}");
    let broadcast = failure(async { refute_broadcast!(room, "said", {"n": 1}) }).await;
    assert!(broadcast.starts_with(&start.replace("push", "broadcast")), "{broadcast}");
    let reply = failure(async { refute_reply!(room, reference) }).await;
    let start = "expected no reply to ref 2 on \"room:1\" with any payload, but it came: {}\n";
    assert!(reply.starts_with(start), "{reply}");
}

#[tokio::test(start_paused = true)]
async fn a_refutation_ignores_what_does_not_match() {
    let (_, room) = joined().await;
    let reference = room.push("broadcast", json!({"n": 1}));
    refute_push!(room, "said", {"n": 2});
    refute_broadcast!(room, "said", {"n": 2});
    refute_reply!(room, reference, "error");
    refute_reply!(room, reference, "ok", {"n": 1});
}

#[tokio::test(start_paused = true)]
async fn a_missing_subscription_is_named() {
    let (_, room) = joined().await;
    let (_, deaf) = room.socket().join("room:2", json!({})).await.unwrap();
    let message = failure(async {
        assert_broadcast!(deaf, "said");
    });
    assert_eq!(message.await, "room:2 was joined with `join`: join it with `subscribe_and_join`");
}

#[tokio::test(start_paused = true)]
async fn a_join_that_nobody_answers_says_so() {
    let socket = connect(&endpoint(), "/socket", json!({"user": "ada"})).await.unwrap();
    let message = failure(async {
        drop(socket.join("room:never", json!({})).await);
    });
    assert_eq!(message.await, "the join of \"room:never\" was not answered within 5s\nnothing arrived");
}
