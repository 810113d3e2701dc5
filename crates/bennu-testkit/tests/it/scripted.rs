//! The scripted server, with clients that are nothing but their frames.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::task::Poll;
use std::time::Duration;

use bennu_protocol::client::{
    Connection, ConnectionEnd, ConnectionEvent, OpenError, OpenRequest, Transport as _,
};
use bennu_protocol::{Frame, Payload, Ref};
use bennu_testkit::{ScriptedConnection, ScriptedServer, ScriptedTransport, scripted};
use futures_util::FutureExt as _;
use serde_json::json;

const URL: &str = "ws://localhost/socket/websocket?token=a%20b&vsn=2.0.0";

struct Client(Box<dyn Connection>);

impl Client {
    fn send(&mut self, frame: &str) {
        self.0.send(Frame::text(frame.to_owned()));
    }

    async fn event(&mut self) -> ConnectionEvent {
        poll_fn(|cx| self.0.poll_event(cx)).await
    }

    /// The next thing, which is a message, as text.
    async fn text(&mut self) -> String {
        match self.event().await {
            ConnectionEvent::Frame(frame) => String::from_utf8(frame.payload().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn is_taken(&mut self) -> bool {
        let waker = std::task::Waker::noop();
        self.0.poll_ready(&mut std::task::Context::from_waker(waker)) == Poll::Ready(())
    }
}

async fn open(transport: &ScriptedTransport, url: &str) -> Result<Client, OpenError> {
    transport.open(OpenRequest::new(url)).await.map(Client)
}

async fn connected(url: &str) -> (Client, ScriptedConnection) {
    let (server, transport) = ScriptedServer::new();
    let (client, connection) = tokio::join!(open(&transport, url), server.accept());
    (client.unwrap(), connection)
}

/// With a channel that is joined as 1.
async fn joined() -> (Client, ScriptedConnection) {
    let (mut client, connection) = connected(URL).await;
    client.send(r#"["1","1","room:1","phx_join",{}]"#);
    connection.expect_join("room:1").await.reply_ok(json!({}));
    client.text().await;
    (client, connection)
}

/// The message with which an expectation fails, without the place, which is this file's.
async fn failure(expectation: impl Future) -> String {
    let failed = AssertUnwindSafe(expectation.map(drop)).catch_unwind().await;
    let panic = failed.expect_err("the expectation must fail");
    let message = panic.downcast_ref::<String>().expect("a message");
    let (message, place) = message.rsplit_once("\nat ").expect("a place");
    assert!(place.starts_with(file!()), "{place}");
    message.to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_had_as_scripted() {
    let (mut client, connection) = connected(URL).await;
    client.send(r#"["1","1","room:1","phx_join",{"name":"ada"}]"#);
    let join = connection.expect_join("room:1").await;
    assert_eq!(join["name"], "ada");
    assert_eq!((join.join_ref(), join.reference()), (Some(&Ref::from_text("1")), Some(&Ref::from_text("1"))));
    join.reply_ok(json!({"id": 7}));
    assert_eq!(client.text().await, r#"["1","1","room:1","phx_reply",{"response":{"id":7},"status":"ok"}]"#);
    client.send(r#"["1","2","room:1","say",{"body":"hi"}]"#);
    let push = connection.expect_push("room:1", "say").await;
    assert_eq!(*push, json!({"body": "hi"}));
    push.reply_error(json!({}));
    assert_eq!(client.text().await, r#"["1","2","room:1","phx_reply",{"response":{},"status":"error"}]"#);
    connection.push("room:1", "own", json!({}));
    assert_eq!(client.text().await, r#"["1",null,"room:1","own",{}]"#);
    connection.broadcast("room:1", "all", json!({}));
    assert_eq!(client.text().await, r#"[null,null,"room:1","all",{}]"#);
    connection.error("room:1");
    assert_eq!(client.text().await, r#"["1","1","room:1","phx_error",{}]"#);
    client.send(r#"["3","3","room:1","phx_join",{}]"#);
    connection.expect_join("room:1").await.reply("maybe", json!({}));
    assert_eq!(client.text().await, r#"["3","3","room:1","phx_reply",{"response":{},"status":"maybe"}]"#);
    connection.push("room:1", "own", json!({}));
    assert_eq!(client.text().await, r#"["3",null,"room:1","own",{}]"#);
    connection.push_as(Some(&Ref::from_text("1")), "room:1", "stale", json!({}));
    assert_eq!(client.text().await, r#"["1",null,"room:1","stale",{}]"#);
    client.send(r#"["3","4","room:1","phx_leave",{}]"#);
    connection.expect_leave("room:1").await.reply_ok(json!({}));
    connection.close_channel("room:1");
    assert_eq!(client.text().await, r#"["3","4","room:1","phx_reply",{"response":{},"status":"ok"}]"#);
    assert_eq!(client.text().await, r#"["3","3","room:1","phx_close",{}]"#);
    client.send(r#"[null,"5","phoenix","heartbeat",{}]"#);
    connection.expect_heartbeat().await.reply_ok(json!({}));
    assert_eq!(client.text().await, r#"[null,"5","phoenix","phx_reply",{"response":{},"status":"ok"}]"#);
    connection.expect_nothing(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn bytes_travel_both_ways() {
    let (mut client, connection) = joined().await;
    client.0.send(Frame::binary(b"\x00\x01\x01\x06\x0312room:1bin\x00\xff".as_slice()));
    let push = connection.expect_push("room:1", "bin").await;
    assert_eq!(push.bytes().as_ref(), b"\x00\xff");
    push.reply_ok(Payload::binary(vec![1]));
    connection.push("room:1", "bin", Payload::binary(vec![2]));
    connection.broadcast("room:1", "bin", Payload::binary(vec![3]));
    for expected in [
        b"\x01\x01\x01\x06\x0212room:1ok\x01".as_slice(),
        b"\x00\x01\x06\x031room:1bin\x02",
        b"\x02\x06\x03room:1bin\x03",
    ] {
        let ConnectionEvent::Frame(frame) = client.event().await else { panic!("no frame") };
        assert_eq!(frame.payload(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn version_1_is_spoken_to_those_who_ask_for_it_and_to_those_who_ask_for_none() {
    for url in ["ws://localhost/socket/websocket?vsn=1.0.0", "ws://localhost/socket/websocket"] {
        let (mut client, connection) = connected(url).await;
        client.send(r#"{"topic":"room:1","event":"phx_join","payload":{},"ref":"1"}"#);
        connection.expect_join("room:1").await.reply_ok(json!({}));
        let reply = client.text().await;
        assert!(reply.contains(r#""event":"phx_reply""#) && reply.contains(r#""ref":"1""#), "{reply}");
        connection.error("room:1");
        let error = client.text().await;
        assert!(error.contains(r#""event":"phx_error""#) && error.contains(r#""ref":"1""#), "{error}");
    }
    let (_server, transport) = ScriptedServer::new();
    let Err(refused) = open(&transport, "ws://localhost/socket/websocket?vsn=9.0.0").await else { panic!() };
    assert!(matches!(refused, OpenError::Refused { status: 403, .. }), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_client_asked_for_can_be_looked_at() {
    let (server, transport) = ScriptedServer::new();
    let mut request = OpenRequest::new(URL);
    request.headers.push(("X-Device".to_owned(), "phone".to_owned()));
    request.auth_token = Some("secret".to_owned());
    let (_client, connection) = tokio::join!(transport.open(request), server.accept());
    assert_eq!(connection.request().url, URL);
    assert_eq!(connection.param("token").as_deref(), Some("a b"));
    assert_eq!(connection.param("other"), None);
    assert_eq!(connection.header("x-device"), Some("phone"));
    assert_eq!(connection.request().auth_token.as_deref(), Some("secret"));
    assert!(!format!("{connection:?}").contains("a%20b"));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_refused_failed_ignored_or_let_in() {
    let (server, transport) = ScriptedServer::new();
    let (refused, request) = tokio::join!(open(&transport, URL), server.refuse(403, "no"));
    let expected = OpenError::Refused { status: 403, body: "no".into(), retry_after: None };
    assert_eq!((refused.err(), request.url.as_str()), (Some(expected), URL));
    let (failed, _) = tokio::join!(open(&transport, URL), server.fail("no route"));
    assert_eq!(failed.err(), Some(OpenError::Failed("no route".to_owned())));
    let busy =
        OpenError::Refused { status: 503, body: "busy".into(), retry_after: Some(Duration::from_secs(7)) };
    server.refuse_next(busy.clone());
    assert_eq!(open(&transport, URL).await.err(), Some(busy));
    let waiting = tokio::time::timeout(Duration::from_secs(9), open(&transport, URL));
    let (waited, _) = tokio::join!(waiting, server.ignore());
    assert!(waited.is_err(), "it was answered");
    server.expect_no_connection(Duration::from_secs(9)).await;
    let (client, _) = tokio::join!(open(&transport, URL), server.accept());
    assert!(client.is_ok());
    assert_eq!(server.attempts(), 5);
}

#[tokio::test(start_paused = true)]
async fn one_who_gave_up_is_not_accepted() {
    let (server, transport) = ScriptedServer::new();
    assert!(tokio::time::timeout(Duration::from_secs(1), open(&transport, URL)).await.is_err());
    server.expect_no_connection(Duration::ZERO).await;
    let message = failure(server.accept()).await;
    assert_eq!(
        message,
        format!(
            "expected a client to connect, to be accepted, within 5s\nwho tried to, in order:\n  {URL}  gave up"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_behind_what_was_sent() {
    for (end, expected) in [
        (
            (|connection| connection.close(1012, "restart")) as fn(&ScriptedConnection),
            vec![ConnectionEvent::Closed(ConnectionEnd::clean(1012, "restart"))],
        ),
        (|connection| connection.drop_link(), vec![ConnectionEvent::Closed(ConnectionEnd::lost())]),
        (
            |connection| connection.fail("reset"),
            vec![ConnectionEvent::Error("reset".to_owned()), ConnectionEvent::Closed(ConnectionEnd::lost())],
        ),
    ] {
        let (mut client, connection) = connected(URL).await;
        connection.broadcast("room:1", "last", json!({}));
        end(&connection);
        connection.broadcast("room:1", "too late", json!({}));
        assert_eq!(client.text().await, r#"[null,null,"room:1","last",{}]"#);
        for expected in expected {
            assert_eq!(client.event().await, expected);
        }
    }
    let (mut client, connection) = connected(URL).await;
    drop(connection.clone());
    connection.send_raw(Frame::text("no message"));
    assert_eq!(client.text().await, "no message");
    drop(connection);
    assert_eq!(client.event().await, ConnectionEvent::Closed(ConnectionEnd::lost()));
}

#[tokio::test(start_paused = true)]
async fn the_clients_end_is_seen_and_answered_unless_told_otherwise() {
    let (mut client, connection) = connected(URL).await;
    client.0.close(1000, "bye");
    assert_eq!(connection.expect_closed().await, ConnectionEnd::clean(1000, "bye"));
    assert_eq!(client.event().await, ConnectionEvent::Closed(ConnectionEnd::clean(1000, "bye")));

    let (mut client, connection) = connected(URL).await;
    connection.ignore_close();
    client.0.close(1000, "bye");
    assert!(tokio::time::timeout(Duration::from_secs(9), client.event()).await.is_err());

    let (client, connection) = connected(URL).await;
    drop(client);
    assert_eq!(connection.expect_closed().await, ConnectionEnd::lost());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_read_makes_the_client_wait() {
    let (mut client, connection) = connected(URL).await;
    assert!(client.is_taken());
    connection.stop_reading();
    assert!(!client.is_taken());
    let ready = tokio::spawn(async move {
        poll_fn(|cx| client.0.poll_ready(cx)).await;
    });
    scripted::advance(Duration::from_secs(9)).await;
    assert!(!ready.is_finished());
    connection.resume_reading();
    ready.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_automatically_needs_no_expectation() {
    let (server, transport) = ScriptedServer::new();
    server.answer_heartbeats();
    server.answer_joins();
    let (client, connection) = tokio::join!(open(&transport, URL), server.accept());
    let mut client = client.unwrap();
    client.send(r#"["1","1","room:1","phx_join",{}]"#);
    client.send(r#"[null,"2","phoenix","heartbeat",{}]"#);
    client.send(r#"["1","3","room:1","phx_leave",{}]"#);
    for expected in [
        r#"["1","1","room:1","phx_reply",{"response":{},"status":"ok"}]"#,
        r#"[null,"2","phoenix","phx_reply",{"response":{},"status":"ok"}]"#,
        r#"["1","3","room:1","phx_reply",{"response":{},"status":"ok"}]"#,
        r#"["1","1","room:1","phx_close",{}]"#,
    ] {
        assert_eq!(client.text().await, expected);
    }
    connection.expect_nothing(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_expectation_that_is_not_met_says_what_came_instead_and_before() {
    let (mut client, connection) = joined().await;
    client.send(r#"["1","2","room:1","say",{"body":"hi"}]"#);
    client.send(r#"["1","3","room:2","shout",{}]"#);
    client.send(r#"[null,"4","phoenix","heartbeat",{}]"#);
    client.send("{}");
    let expected = r#"expected a push "shout" on "room:1" within 2s
what came, in order:
  join       room:1  {}  (taken by an earlier expectation)
  push       room:1  say  {"body":"hi"}  <- the event is not "shout"
  push       room:2  shout  {}  <- the topic is not "room:1"
  heartbeat
  unreadable not an array of at least five elements"#;
    let connection = connection.within(Duration::from_secs(2));
    assert_eq!(failure(connection.expect_push("room:1", "shout")).await, expected);
    let message = failure(connection.expect_nothing(Duration::from_secs(1))).await;
    let start = "expected nothing for 1s, but it came: push       room:1  say  {\"body\":\"hi\"}\n";
    assert!(message.starts_with(start), "{message}");
}

#[tokio::test(start_paused = true)]
async fn an_expectation_of_a_connection_that_ends_fails_at_once() {
    let (mut client, connection) = joined().await;
    client.0.close(1001, "");
    let began = tokio::time::Instant::now();
    let expected = "expected a leave of \"room:1\" but the connection has ended\nwhat came, in order:\n  join       room:1  {}  (taken by an earlier expectation)\n  closed     1001 \"\"";
    assert_eq!(failure(connection.expect_leave("room:1")).await, expected);
    assert_eq!(began.elapsed(), Duration::ZERO);
    let (_client, connection) = connected(URL).await;
    let expected = "expected a heartbeat within 5s\nnothing came";
    assert_eq!(failure(connection.expect_heartbeat()).await, expected);
    assert_eq!(began.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the client has not joined \"room:1\" on this connection")]
async fn a_push_on_a_topic_that_nobody_joined_is_an_error_of_the_test() {
    let (_client, connection) = connected(URL).await;
    connection.push("room:1", "own", json!({}));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_nobody_awaits_is_an_error_of_the_test() {
    let (server, transport) = ScriptedServer::new();
    let client = tokio::spawn(async move { open(&transport, URL).await.is_ok() });
    let message = failure(server.expect_no_connection(Duration::from_secs(1))).await;
    let expected = format!("expected no client to connect for 1s\nwho tried to, in order:\n  {URL}  waits");
    assert_eq!(message, expected);
    let _connection = server.accept().await;
    assert!(client.await.unwrap());
}
