//! The long-poll transport, against a server that answers as told.

use std::time::Duration;

use bennu_client::transport::{ConnectionEvent, LongPoll, OpenError, OpenRequest, Transport as _};
use bennu_protocol::Frame;
use bennu_protocol::client::ConnectionEnd;

use crate::http_server::{Asked, HttpServer};
use crate::peer::{Driven, open, refusal};

const OPENED: &str = r#"{"status":410,"token":"a+b","messages":[]}"#;

fn request(server: &HttpServer) -> OpenRequest {
    OpenRequest::new(format!("ws://{}/socket/longpoll?vsn=2.0.0", server.address))
}

/// A session, and the first poll of it that is held.
async fn opened(server: &mut HttpServer) -> (Driven, Asked) {
    opened_by(LongPoll::new(), server).await
}

async fn opened_by(transport: LongPoll, server: &mut HttpServer) -> (Driven, Asked) {
    let request = request(server);
    let (connection, ()) =
        tokio::join!(open(&transport, request), async { server.next().await.json(OPENED) });
    (Driven::new(connection.unwrap()), server.next().await)
}

/// An end as the official client names it.
fn ended(code: u16, reason: &str) -> ConnectionEvent {
    let mut end = ConnectionEnd::lost();
    end.code = code;
    end.reason = reason.to_owned();
    ConnectionEvent::Closed(end)
}

fn text(text: &'static str) -> ConnectionEvent {
    ConnectionEvent::Frame(Frame::text(text))
}

#[tokio::test]
async fn check_159_the_first_410_opens_and_its_token_goes_with_each_request() {
    let mut server = HttpServer::start().await;
    let mut request = request(&server);
    request.auth_token = Some("raw.tok".to_owned());
    request.headers = vec![("x-tenant".to_owned(), "7".to_owned())];
    let transport = LongPoll::new();
    let (connection, ()) = tokio::join!(open(&transport, request), async {
        let first = server.next().await;
        assert_eq!(first.line(), "GET /socket/longpoll?vsn=2.0.0 HTTP/1.1");
        assert_eq!(first.header("accept"), Some("application/json"));
        assert_eq!(first.header("x-phoenix-authtoken"), Some("raw.tok"));
        assert_eq!(first.header("x-phoenix-longpoll-token"), None);
        first.json(OPENED);
    });
    let driven = Driven::new(connection.unwrap());
    let poll = server.next().await;
    assert_eq!(poll.line(), "GET /socket/longpoll?vsn=2.0.0&token=a%2Bb HTTP/1.1", "as 1.7 reads it");
    assert_eq!(poll.header("x-phoenix-longpoll-token"), Some("a+b"), "as 1.9 reads it");
    assert_eq!(poll.header("x-phoenix-authtoken"), Some("raw.tok"));
    assert_eq!(poll.connection, 0, "the connection is kept");

    driven.send(Frame::text("[1]"));
    let post = server.next().await;
    assert_eq!(post.line(), "POST /socket/longpoll?vsn=2.0.0&token=a%2Bb HTTP/1.1");
    assert_eq!(post.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(post.header("x-phoenix-longpoll-token"), Some("a+b"));
    assert_eq!(post.header("x-phoenix-authtoken"), None, "it is for polls");
    assert_eq!((post.header("x-tenant"), poll.header("x-tenant")), (Some("7"), Some("7")));
    assert_eq!(post.connection, 1, "while the poll is held");
    assert!(!LongPoll::new().needs_heartbeats());
}

#[tokio::test]
async fn a_token_may_stay_out_of_urls() {
    let mut server = HttpServer::start().await;
    let (_driven, poll) = opened_by(LongPoll::new().header_token_only(), &mut server).await;
    assert_eq!(poll.line(), "GET /socket/longpoll?vsn=2.0.0 HTTP/1.1");
    assert_eq!(poll.header("x-phoenix-longpoll-token"), Some("a+b"));
}

#[tokio::test]
async fn check_159_status_200_delivers_in_order_and_polls_again() {
    let mut server = HttpServer::start().await;
    let (mut driven, poll) = opened(&mut server).await;
    poll.json(r#"{"status":200,"token":"next","messages":["[1]","[\"é\"]"]}"#);
    assert_eq!(driven.event().await, text("[1]"));
    assert_eq!(driven.event().await, text("[\"é\"]"));
    let again = server.next().await;
    assert_eq!(again.header("x-phoenix-longpoll-token"), Some("next"), "a token may change");
    again.json(r#"{"status":200,"token":"next","messages":["[3]"]}"#);
    assert_eq!(driven.event().await, text("[3]"));
}

#[tokio::test]
async fn check_159_status_204_polls_again() {
    let mut server = HttpServer::start().await;
    let (_driven, mut poll) = opened(&mut server).await;
    for _ in 0..3 {
        poll.json(r#"{"status":204,"token":"a+b","messages":[]}"#);
        poll = server.next().await;
        assert!(poll.line().starts_with("GET "));
    }
}

#[tokio::test]
async fn check_159_answers_that_end_a_session_and_how() {
    type Answer = fn(Asked);
    let internal = "internal server error";
    let cases: [(&str, Answer, u16, &str); 9] = [
        ("410 with a token", |poll| poll.json(OPENED), 3410, "session_gone"),
        ("410 as servers say it to a post", |poll| poll.json(r#"{"status":410}"#), 3410, "session_gone"),
        ("403", |poll| poll.json(r#"{"status":403}"#), 1008, "forbidden"),
        ("500", |poll| poll.json(r#"{"status":500}"#), 1011, internal),
        ("500 of HTTP", |poll| poll.http("500 Internal Server Error", "oops"), 1011, internal),
        (
            "200 in an error of HTTP",
            |poll| poll.http("502 x", r#"{"status":200,"messages":["[1]"]}"#),
            1011,
            internal,
        ),
        ("what cannot be read", |poll| poll.json("<html>"), 1011, internal),
        ("no answer", |poll| poll.raw("connection: close"), 1011, internal),
        ("another status", |poll| poll.json(r#"{"status":418}"#), 1011, internal),
    ];
    for (name, answer, code, reason) in cases {
        let mut server = HttpServer::start().await;
        let (mut driven, poll) = opened(&mut server).await;
        answer(poll);
        assert!(matches!(driven.event().await, ConnectionEvent::Error(_)), "{name}");
        assert_eq!(driven.event().await, ended(code, reason), "{name}");
        assert!(server.try_next().is_none(), "{name}: nothing is asked any more");
    }
}

#[tokio::test]
async fn check_159_a_poll_or_post_that_takes_too_long_ends_the_session() {
    for is_post in [false, true] {
        let mut server = HttpServer::start().await;
        let transport = LongPoll::new().timeout(Duration::from_secs(15));
        let (mut driven, _poll) = opened_by(transport, &mut server).await;
        let _held = match is_post {
            true => {
                driven.send(Frame::text("[1]"));
                Some(server.next().await)
            }
            false => None,
        };
        // From here on nothing moves but time.
        tokio::time::pause();
        let started = tokio::time::Instant::now();
        assert_eq!(driven.event().await, ConnectionEvent::Error("timeout".to_owned()));
        assert_eq!(driven.event().await, ended(1005, "timeout"));
        assert!(started.elapsed() <= Duration::from_secs(16), "{:?}", started.elapsed());
        tokio::time::resume();
    }
}

#[tokio::test]
async fn what_a_server_says_to_the_first_poll_when_it_does_not_open() {
    type Answer = fn(Asked);
    let refused = |status, body: &'static str, seconds: Option<u64>| OpenError::Refused {
        status,
        body: body.into(),
        retry_after: seconds.map(Duration::from_secs),
    };
    let failed = |reason: &str| OpenError::Failed(reason.to_owned());
    let cases: [(&str, Answer, OpenError); 6] = [
        ("403", |asked| asked.json(r#"{"status":403}"#), refused(403, r#"{"status":403}"#, None)),
        (
            "an error of HTTP",
            |asked| asked.http("503 x\r\nretry-after: 9", "down"),
            refused(503, "down", Some(9)),
        ),
        ("no long polling there", |asked| asked.http("404 Not Found", "?"), refused(404, "?", None)),
        ("no token", |asked| asked.json(r#"{"status":410}"#), refused(410, r#"{"status":410}"#, None)),
        (
            "another status",
            |asked| asked.json(r#"{"status":204}"#),
            failed("the server answers a first poll with status 204"),
        ),
        ("another page", |asked| asked.json("hello"), failed("the server's answer is none of a long poll")),
    ];
    for (name, answer, expected) in cases {
        let mut server = HttpServer::start().await;
        let request = request(&server);
        let transport = LongPoll::new();
        let (error, ()) = tokio::join!(refusal(&transport, request), async { answer(server.next().await) });
        assert_eq!(error, expected, "{name}");
    }
}

#[tokio::test]
async fn what_is_sent_meanwhile_goes_out_together_behind_the_post_in_flight() {
    let mut server = HttpServer::start().await;
    let (driven, _poll) = opened(&mut server).await;
    driven.send(Frame::text("[1]"));
    let first = server.next().await;
    assert_eq!(first.body, "[1]");
    for frame in [Frame::text("[2]"), Frame::binary(vec![0, 255, 1]), Frame::text("[4]")] {
        driven.send(frame);
    }
    assert!(server.try_next().is_none(), "one post at a time");
    first.json(r#"{"status":200}"#);
    let second = server.next().await;
    assert_eq!(second.body, "[2]\nAP8B\n[4]");
    assert_eq!(second.connection, first_post_connection(), "the connection is kept");
}

/// The first connection is that of the polls.
fn first_post_connection() -> usize {
    1
}

#[tokio::test]
async fn a_message_of_version_1_is_a_body_of_its_own() {
    let mut server = HttpServer::start().await;
    let (driven, _poll) = opened(&mut server).await;
    driven.send(Frame::text(r#"{"topic":"t"}"#));
    let post = server.next().await;
    assert_eq!(post.header("content-type"), Some("application/json"));
    assert_eq!(post.body, r#"{"topic":"t"}"#);
}

#[tokio::test]
async fn a_post_that_is_not_taken_ends_the_session() {
    for body in [r#"{"status":410}"#, r#"{"status":408}"#, "", "[]"] {
        let mut server = HttpServer::start().await;
        let (mut driven, _poll) = opened(&mut server).await;
        driven.send(Frame::text("[1]"));
        server.next().await.json(body);
        assert!(matches!(driven.event().await, ConnectionEvent::Error(_)), "{body}");
        assert_eq!(driven.event().await, ended(1011, "internal server error"), "{body}");
    }
}

#[tokio::test]
async fn a_server_that_keeps_no_connections_costs_new_ones_and_nothing_else() {
    // With and without telling so; the server here closes for either.
    for header in ["connection: close", "x-then-connection: close"] {
        let mut server = HttpServer::start().await;
        let (driven, _poll) = opened(&mut server).await;
        for number in 1..=3 {
            driven.send(Frame::text(format!("[{number}]")));
            let post = server.next().await;
            assert_eq!((post.body.as_str(), post.connection), (&*format!("[{number}]"), number));
            post.http(&format!("200 OK\r\n{header}"), r#"{"status":200}"#);
            server.closed().await;
        }
    }
}

#[tokio::test]
async fn a_close_waits_for_what_was_taken_and_tells_the_server_nothing() {
    let mut server = HttpServer::start().await;
    let (mut driven, poll) = opened(&mut server).await;
    driven.send(Frame::text("[\"leave\"]"));
    driven.close(1000, "done");
    let post = server.next().await;
    assert_eq!(post.body, "[\"leave\"]");
    post.json(r#"{"status":200}"#);
    assert_eq!(driven.event().await, ConnectionEvent::Closed(ConnectionEnd::clean(1000, "done")));
    poll.json(r#"{"status":204}"#);
    assert!(server.try_next().is_none());
}

#[tokio::test]
async fn an_answer_larger_than_the_limit_ends_the_session() {
    let mut server = HttpServer::start().await;
    let (mut driven, poll) = opened_by(LongPoll::new().max_answer_size(1_000), &mut server).await;
    poll.json(&format!(r#"{{"status":200,"messages":["{}"]}}"#, "x".repeat(1_000)));
    assert!(matches!(driven.event().await, ConnectionEvent::Error(_)));
    assert_eq!(driven.event().await, ended(1011, "internal server error"));
}
