//! `bennu push`.

use bennu_testkit::ScriptedServer;
use serde_json::{Value, json};

use crate::program::{Run, Running, bennu, command, run};
use crate::server::Server;

fn push(server: &Server, arguments: &[&str]) -> Run {
    bennu(&[&["push", &server.url(), "room:1"], arguments].concat())
}

#[test]
fn the_reply_is_printed_as_it_came() {
    let server = Server::start();
    assert_eq!(
        push(&server, &["echo", r#"{"b": 1.50, "a": [null]}"#]).ok(),
        "{\"b\": 1.50, \"a\": [null]}\n"
    );
    assert_eq!(push(&server, &["echo"]).ok(), "{}\n");
    let line: Value = serde_json::from_str(&push(&server, &["echo", "[1]", "--json"]).ok()).unwrap();
    assert_eq!(line, json!({"status": "ok", "payload": [1]}));
}

#[test]
fn payloads_come_from_standard_input_too() {
    let server = Server::start();
    let url = server.url();
    assert_eq!(run(&mut command(&["push", &url, "room:1", "echo", "-"]), "{\"a\":1}\n").ok(), "{\"a\":1}\n");
}

#[test]
fn bytes_are_pushed_and_shown() {
    let server = Server::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [0, 1, 255]).unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(push(&server, &["echo", "--binary", path]).ok(), "<3 bytes: 00 01 ff>\n");
    let line: Value =
        serde_json::from_str(&push(&server, &["echo", "--json", "--binary", path]).ok()).unwrap();
    assert_eq!(line, json!({"status": "ok", "binary": "AAH/", "length": 3}));
    push(&server, &["echo", "--binary", "/nowhere"]).failed(1);
    push(&server, &["echo", "{}", "--binary", path]).failed(2);
}

#[test]
fn each_way_to_fail_has_its_number() {
    let server = Server::start();
    let refused = push(&server, &["fail"]);
    assert_eq!(refused.stdout, "{\"reason\":\"nope\"}\n", "an error reply is a reply");
    assert!(refused.failed(5).contains("replied error"));
    let complaint = push(&server, &["silent", "--timeout", "300ms"]).failed(6);
    assert!(complaint.contains("may have handled"), "{complaint}");
    let complaint = push(&server, &["drop_me"]).failed(7);
    assert!(complaint.contains("may have handled"), "{complaint}");
    push(&server, &["crash"]).failed(7);
    push(&server, &["echo", "{"]).failed(2);
    push(&server, &["phx_leave"]).failed(2);
    bennu(&["push", &server.url(), "room:deny", "echo"]).failed(4);
    bennu(&["push", &server.url(), "room:1", "echo", "--token", "bad"]).failed(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_reply_it_waits_until_it_is_sent_and_leaves() {
    let (server, url) = ScriptedServer::listen().await.unwrap();
    let mut program =
        Running::start(&mut command(&["push", &url, "room:1", "notice", r#"{"a":1}"#, "--no-reply"]));
    let connection = server.accept().await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    assert_eq!(connection.expect_push("room:1", "notice").await["a"], 1);
    connection.expect_leave("room:1").await.reply_ok(json!({}));
    assert_eq!(connection.expect_closed().await.code, 1000);
    assert_eq!(program.code(), 0);
    assert!(program.stdout.rest().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_joins_params_reach_the_server() {
    let (server, url) = ScriptedServer::listen().await.unwrap();
    let arguments = ["push", &url, "room:1", "echo", "--join-params", r#"{"user":"ada"}"#];
    let mut program = Running::start(&mut command(&arguments));
    let connection = server.accept().await;
    let join = connection.expect_join("room:1").await;
    assert_eq!(join["user"], "ada");
    join.reply_ok(json!({}));
    connection.expect_push("room:1", "echo").await.reply("maybe", json!({"a": 1}));
    connection.expect_leave("room:1").await.reply_ok(json!({}));
    assert_eq!(program.stdout.next(), r#"{"a":1}"#);
    assert!(program.stderr.with("bennu:").contains("replied maybe"));
    assert_eq!(program.code(), 5);
}
