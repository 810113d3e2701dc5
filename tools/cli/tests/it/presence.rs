//! `bennu presence`.

use bennu_testkit::ScriptedServer;
use serde_json::{Value, json};

use crate::program::{Running, bennu, command};
use crate::server::Server;

#[test]
fn it_shows_who_is_there_once() {
    let server = Server::start();
    let url = server.url();
    let other =
        Running::start(&mut command(&["tail", &url, "room:1", "--join-params", r#"{"user": "ben"}"#]));
    other.stdout.with("presence_state");
    let arguments = ["presence", &url, "room:1", "--once", "--join-params", r#"{"user": "ann"}"#];
    let shown = bennu(&arguments).ok();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("  ann  {\"online_at\":") && lines[1].starts_with("  ben  "), "{shown}");
    assert!(!shown.contains("phx_ref"), "{shown}");

    let all: Value = serde_json::from_str(&bennu(&[&arguments[..], &["--json"]].concat()).ok()).unwrap();
    assert!(all["ann"]["metas"][0]["phx_ref"].is_string() && all["ben"].is_object(), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_who_comes_goes_and_changes() {
    for json in [false, true] {
        let (server, url) = ScriptedServer::listen().await.unwrap();
        let arguments = ["presence", &url, "room:1", "--json"];
        let program = Running::start(&mut command(&arguments[..if json { 4 } else { 3 }]));
        let connection = server.accept().await;
        connection.expect_join("room:1").await.reply_ok(json!({}));
        let meta =
            |reference: &str, status: &str| json!({"metas": [{"phx_ref": reference, "status": status}]});
        let diff = |joins: Value, leaves: Value| {
            connection.broadcast("room:1", "presence_diff", json!({"joins": joins, "leaves": leaves}));
        };
        connection.push("room:1", "presence_state", json!({"ann": meta("1", "here")}));
        diff(json!({"ben": meta("2", "here")}), json!({}));
        diff(
            json!({"ann": {"metas": [{"phx_ref": "3", "phx_ref_prev": "1", "status": "away"}]}}),
            json!({"ann": meta("1", "here")}),
        );
        diff(json!({}), json!({"ben": meta("2", "here")}));
        if !json {
            assert_eq!(program.stdout.next(), r#"  ann  {"status":"here"}"#);
            assert_eq!(program.stdout.next(), r#"+ ben  {"status":"here"}"#);
            assert_eq!(program.stdout.next(), r#"~ ann  {"status":"away"}"#);
            assert_eq!(program.stdout.next(), r#"- ben  {"status":"here"}"#);
            continue;
        }
        let next = || serde_json::from_str::<Value>(&program.stdout.next()).unwrap();
        assert_eq!(next()["presences"]["ann"]["metas"][0]["status"], "here");
        for (kind, key, status) in
            [("join", "ben", "here"), ("update", "ann", "away"), ("leave", "ben", "here")]
        {
            let line = next();
            assert_eq!(
                (&line["type"], &line["key"], &line["metas"][0]["status"]),
                (&json!(kind), &json!(key), &json!(status))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_without_presence_is_said() {
    let (server, url) = ScriptedServer::listen().await.unwrap();
    server.answer_joins();
    let mut program = Running::start(&mut command(&["presence", &url, "room:1", "--timeout", "300ms"]));
    let _connection = server.accept().await;
    assert!(program.stderr.with("bennu:").contains("may have no presence"));
    assert_eq!(program.code(), 6);
}

#[test]
fn a_join_that_is_refused_says_why() {
    let server = Server::start();
    let complaint = bennu(&["presence", &server.url(), "room:deny"]).failed(4);
    assert!(complaint.contains("unauthorized"), "{complaint}");
}
