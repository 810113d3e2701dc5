//! `bennu tail`.

use std::fs;

use bennu_testkit::ScriptedServer;
use serde_json::{Value, json};

use crate::doctor::certificate;
use crate::program::{Running, bennu, command, run};
use crate::server::{Server, Way};

fn tail(arguments: &[&str]) -> Running {
    Running::start(&mut command(&[&["tail"], arguments].concat()))
}

/// One that has joined, so that what is broadcast from now on reaches it.
fn joined(arguments: &[&str], topics: &[&str]) -> Running {
    let tail = tail(&[arguments, topics].concat());
    for _ in topics {
        tail.stderr.with("joined room:");
    }
    tail
}

#[test]
fn events_are_printed_as_they_come_a_line_each() {
    let server = Server::start();
    let tail = joined(&[&server.url()], &["room:1", "room:2"]);
    server.endpoint.broadcast("room:1", "shout", json!({"body": "hi"})).unwrap();
    assert_eq!(tail.stdout.with("shout"), r#"room:1  shout  {"body":"hi"}"#);
    server.endpoint.broadcast("room:2", "shout", json!({"body": "ho"})).unwrap();
    assert_eq!(tail.stdout.with("shout"), r#"room:2  shout  {"body":"ho"}"#);
}

#[test]
fn lines_for_programs_are_one_object_each() {
    let server = Server::start();
    let tail = joined(&[&server.url(), "--json", "--event", "shout", "--event", "bytes"], &["room:1"]);
    server.endpoint.broadcast("room:1", "shout", json!({"body": "hi\nho"})).unwrap();
    server.endpoint.broadcast("room:1", "other", json!({})).unwrap();
    server.endpoint.broadcast("room:1", "bytes", bennu::Payload::binary(vec![0, 1, 255])).unwrap();
    let line: Value = serde_json::from_str(&tail.stdout.next()).unwrap();
    assert_eq!(
        (&line["topic"], &line["event"], &line["payload"]),
        (&json!("room:1"), &json!("shout"), &json!({"body": "hi\nho"}))
    );
    assert!(line["at"].as_str().unwrap().ends_with('Z'), "{line}");
    let line: Value = serde_json::from_str(&tail.stdout.next()).unwrap();
    assert_eq!((&line["binary"], &line["length"]), (&json!("AAH/"), &json!(3)));
}

#[test]
fn colours_are_for_terminals_or_whoever_asks() {
    let server = Server::start();
    for (arguments, colour, is_coloured) in
        [(&[][..], None, false), (&["--color", "always"], None, true), (&[], Some("1"), true)]
    {
        let url = server.url();
        let mut command = command(&[&["tail", &url, "room:1", "-n", "1"], arguments].concat());
        if let Some(value) = colour {
            command.env("CLICOLOR_FORCE", value);
        }
        // The first event is the presence_state that follows the join.
        let line = Running::start(&mut command).stdout.next();
        assert_eq!(line.contains('\u{1b}'), is_coloured, "{line:?}");
    }
    let url = server.url();
    let mut command = command(&["tail", &url, "room:1", "-n", "1"]);
    let line = Running::start(command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")).stdout.next();
    assert!(!line.contains('\u{1b}'), "NO_COLOR counts: {line:?}");
}

#[test]
fn it_ends_after_as_many_events_as_it_was_told() {
    let server = Server::start();
    let mut tail = joined(&[&server.url(), "-n", "2", "-e", "shout"], &["room:1"]);
    for number in 1..=3 {
        server.endpoint.broadcast("room:1", "shout", json!({ "n": number })).unwrap();
    }
    assert_eq!(tail.stdout.rest(), [r#"room:1  shout  {"n":1}"#, r#"room:1  shout  {"n":2}"#]);
    assert_eq!(tail.code(), 0);
}

#[test]
fn a_lost_connection_is_said_and_made_again() {
    let server = Server::start();
    let way = Way::to(server.address);
    let tail = joined(&[&way.url(), "-e", "shout"], &["room:1"]);
    way.cut();
    tail.stderr.with("connection lost; trying again");
    tail.stderr.with("no connection: ");
    way.mend();
    tail.stderr.with("room:1: joined again");
    server.endpoint.broadcast("room:1", "shout", json!({"n": "after"})).unwrap();
    assert_eq!(tail.stdout.next(), r#"room:1  shout  {"n":"after"}"#);
}

#[test]
fn a_join_that_is_refused_says_why() {
    let server = Server::start();
    let complaint = bennu(&["tail", &server.url(), "room:1", "room:deny"]).failed(4);
    assert!(
        complaint.contains(r#"bennu: room:deny: the server refused the join: {"reason":"unauthorized"}"#),
        "{complaint}"
    );
    let complaint = bennu(&["tail", &server.url(), "elsewhere:1"]).failed(4);
    assert!(complaint.contains("unmatched topic"), "{complaint}");
}

#[test]
fn no_connection_says_why() {
    let server = Server::start();
    let complaint = bennu(&["tail", &server.url(), "room:1", "--token", "bad"]).failed(3);
    assert!(complaint.contains("refused with 403") && complaint.contains("bennu doctor"), "{complaint}");
    let nowhere = format!("ws://{}/socket", {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    });
    bennu(&["tail", &nowhere, "room:1"]).failed(3);
    bennu(&["tail", "example.com", "room:1"]).failed(2);
    bennu(&["tail", &server.url(), "room:1", "--params", "[1]"]).failed(2);
    bennu(&["tail", &server.url()]).failed(2);
}

#[test]
fn over_tls_it_trusts_what_the_system_trusts() {
    let (config, pem) = certificate(2300);
    let server = Server::secure(config);
    let url = format!("wss://{}/socket", server.address);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), pem).unwrap();
    let arguments = ["tail", &url, "room:1", "-n", "1"];
    let said = run(command(&arguments).env("SSL_CERT_FILE", file.path()), "").ok();
    assert!(said.starts_with("room:1  presence_state  "), "{said}");
    assert!(bennu(&arguments).failed(3).contains("certificate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn params_headers_and_token_reach_the_server() {
    let (server, url) = ScriptedServer::listen().await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "hush\n").unwrap();
    let tail = tail(&[
        &url,
        "room:1",
        "--params",
        r#"{"locale": "de"}"#,
        "--token-file",
        file.path().to_str().unwrap(),
        "-H",
        "X-Tenant: 7",
        "--join-params",
        r#"{"user": "ada"}"#,
    ]);
    let connection = server.accept().await;
    assert_eq!(connection.param("locale").as_deref(), Some("de"));
    assert_eq!(connection.header("x-tenant"), Some("7"));
    assert_eq!(connection.request().auth_token.as_deref(), Some("hush"));
    let join = connection.expect_join("room:1").await;
    assert_eq!(join["user"], "ada");
    join.reply_ok(json!({}));
    tail.stderr.with("joined room:1");

    // A channel that the server closes for good is the end.
    connection.close_channel("room:1");
    let complaint = tail.stderr.with("all topics were closed");
    assert!(complaint.starts_with("bennu: "), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejoin_that_is_refused_is_said_and_tried_again() {
    let (server, url) = ScriptedServer::listen().await.unwrap();
    let tail = tail(&[&url, "room:1"]);
    let connection = server.accept().await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    tail.stderr.with("joined room:1");
    connection.error("room:1");
    tail.stderr.with("room:1: not joined any more");
    connection.expect_join("room:1").await.reply_error(json!({"reason": "full"}));
    tail.stderr.with(r#"room:1: the server refused the join: {"reason":"full"}; trying again"#);
    connection.expect_join("room:1").await.reply_ok(json!({}));
    tail.stderr.with("room:1: joined again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_with_1000_is_connected_to_again() {
    let (server, url) = ScriptedServer::listen().await.unwrap();
    let tail = tail(&[&url, "room:1"]);
    let connection = server.accept().await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    tail.stderr.with("joined room:1");
    connection.close(1000, "bye");
    let connection = server.accept().await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    tail.stderr.with("room:1: joined again");
    connection.broadcast("room:1", "shout", json!({"n": 1}));
    assert_eq!(tail.stdout.with("shout"), r#"room:1  shout  {"n":1}"#);
}
