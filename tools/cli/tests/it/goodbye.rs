//! How the program leaves: on signals, when nobody reads, and at its own end.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use bennu_testkit::ScriptedServer;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::program::{Running, command};

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_leaves_the_channels_and_closes_properly() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        for name in ["tail", "presence", "repl", "push"] {
            let (server, url) = ScriptedServer::listen().await.unwrap();
            let arguments: &[&str] = match name {
                "repl" => &[],
                "push" => &["room:1", "never", "--timeout", "60s"],
                _ => &["room:1", "--timeout", "60s"],
            };
            let mut program = Running::start(&mut command(&[&[name, &url], arguments].concat()));
            let connection = server.accept().await;
            if name == "repl" {
                program.says("join room:1");
            }
            connection.expect_join("room:1").await.reply_ok(json!({}));
            match name {
                "push" => connection.expect_push("room:1", "never").await.ignore(),
                "repl" => drop(program.stdout.with("joined")),
                "tail" => drop(program.stderr.with("joined")),
                // It says nothing before a presence_state has come.
                _ => {
                    connection.push("room:1", "presence_state", json!({}));
                    program.stderr.with("nobody is there");
                }
            }
            program.signal(signal);
            connection.expect_leave("room:1").await.reply_ok(json!({}));
            assert_eq!(connection.expect_closed().await.code, 1000, "{name}");
            assert_eq!(program.code(), code, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_let_go_is_left_all_the_same() {
    let (server, url) = ScriptedServer::listen().await.unwrap();
    let mut program = Running::start(&mut command(&["tail", &url, "room:1"]));
    let connection = server.accept().await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    program.stderr.with("joined room:1");
    program.signal(Signal::INT);
    // No answer to this.
    connection.expect_leave("room:1").await.ignore();
    assert_eq!(program.code(), 130);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_does_not_wait() {
    let (server, url) = ScriptedServer::listen().await.unwrap();
    let mut program = Running::start(&mut command(&["tail", &url, "room:1"]));
    let connection = server.accept().await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    program.stderr.with("joined room:1");
    program.signal(Signal::INT);
    connection.expect_leave("room:1").await.ignore();
    program.signal(Signal::INT);
    assert_eq!(connection.expect_closed().await.code, 1006);
    assert_eq!(program.code(), 130);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_reading_has_had_enough() {
    let (server, url) = ScriptedServer::listen().await.unwrap();
    let mut command = command(&["tail", &url, "room:1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // As `| head -0` does.
    drop(child.stdout.take());
    let connection = server.accept().await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    connection.push("room:1", "shout", json!({}));
    connection.expect_leave("room:1").await.reply_ok(json!({}));
    assert_eq!(connection.expect_closed().await.code, 1000);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert!(!String::from_utf8_lossy(&ended.stderr).contains("bennu:"), "{ended:?}");
}

/// As a pager does that shows its first page, or a program that was stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_is_heard_while_nobody_reads() {
    // No pipe holds it.
    let long = || json!({"metas": [{"text": "x".repeat(4_000_000)}]});
    for name in ["tail", "presence", "repl", "push"] {
        let (server, url) = ScriptedServer::listen().await.unwrap();
        let arguments: &[&str] = match name {
            "repl" => &[],
            "push" => &["room:1", "ask"],
            _ => &["room:1"],
        };
        let mut command = command(&[&[name, &url], arguments].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let connection = server.accept().await;
        if name == "repl" {
            stdin.write_all(b"join room:1\n").unwrap();
        }
        connection.expect_join("room:1").await.reply_ok(json!({}));
        match name {
            "push" => connection.expect_push("room:1", "ask").await.reply_ok(long()),
            "presence" => connection.push("room:1", "presence_state", json!({"u1": long()})),
            _ => connection.push("room:1", "shout", long()),
        }
        // The long line has begun, and cannot end.
        let mut begun = Vec::new();
        while begun.len() < 1000 {
            let mut bytes = [0; 1000];
            let read = stdout.read(&mut bytes).unwrap();
            assert!(read > 0, "{name} has ended");
            begun.extend_from_slice(&bytes[..read]);
        }
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        connection.expect_leave("room:1").await.reply_ok(json!({}));
        assert_eq!(connection.expect_closed().await.code, 1000, "{name}");
        assert_eq!(child.wait().unwrap().code(), Some(130), "{name}");
    }
}
