//! `bennu repl`, with lines from a pipe and at a terminal.

use std::process::Command;

use crate::program::{Run, Running, command, run};
use crate::server::Server;

fn repl(server: &Server, lines: &[&str]) -> Run {
    run(&mut command(&["repl", &server.url()]), &lines.join("\n"))
}

#[test]
fn a_conversation() {
    let server = Server::start();
    let ran = repl(
        &server,
        &[
            "# a comment, and an empty line",
            "",
            r#"join room:1 {"user": "ada"}"#,
            r#"push room:1 echo {"a": "b c"}"#,
            r#"push room:1 shout {"body": "hi"}"#,
            "wait shout",
            "send room:1 silent",
            "topics",
            "presence room:1",
            "ping",
            "leave room:1",
            "topics",
            "quit",
            "push room:1 echo",
        ],
    );
    let said = ran.ok();
    for expected in [
        "joined room:1: {\"joined\":\"room:1\"}\n",
        "ok: {\"a\": \"b c\"}\n",
        "room:1  shout  {\"body\": \"hi\"}\n",
        "room:1  presence_state  {",
        "sent\n",
        "room:1  joined\n",
        "  ada  {\"online_at\":",
        "1 there\n",
        "answered in ",
        "left room:1\n",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
    assert_eq!(said.matches("room:1  joined").count(), 1, "it was left: {said}");
    assert!(said.ends_with("left room:1\n"), "nothing after quit: {said}");
}

#[test]
fn the_first_command_that_fails_gives_the_number_and_the_others_go_on() {
    let server = Server::start();
    for (line, code, complaint) in [
        ("join room:deny", 4, "unauthorized"),
        ("push room:1 fail", 5, "nope"),
        ("wait never 50ms", 6, "no never came within 50 ms"),
        ("push room:2 echo", 2, "room:2 is not joined"),
        ("dance", 2, "no command \"dance\""),
        ("push room:1 echo {", 2, "no JSON"),
    ] {
        let ran = repl(&server, &["join room:1", line, "leave nothing", "push room:1 echo {\"n\":7}"]);
        assert!(ran.stdout.contains("ok: {\"n\":7}"), "{line}: {ran:?}");
        assert!(ran.failed(code).contains(complaint), "{line}");
    }
}

#[test]
fn help_names_all_commands() {
    let said = repl(&Server::start(), &["help"]).ok();
    for word in ["join", "leave", "push", "send", "presence", "topics", "ping", "wait", "help", "quit"] {
        assert!(said.lines().any(|line| line.starts_with(word)), "{word}: {said}");
    }
}

/// `script` gives it a terminal.
#[test]
fn at_a_terminal_topics_are_completed_and_events_shown_above_the_line() {
    let server = Server::start();
    let program = format!("{} repl {}", env!("CARGO_BIN_EXE_bennu"), server.url());
    let mut repl = Running::start(Command::new("script").args(["-qec", &program, "/dev/null"]));
    repl.stdout.with("Ctrl-D ends");
    repl.says("join room:1");
    repl.stdout.with("joined room:1");
    // The tab key completes both words.
    repl.says("pus\tro\techo {\"a\":1}");
    repl.stdout.with("ok: {\"a\":1}");
    server.endpoint.broadcast("room:1", "shout", serde_json::json!({"n": 7})).unwrap();
    repl.stdout.with("{\"n\":7}");
    repl.says("push room:1 fail");
    repl.stdout.with("nope");
    repl.says("quit");
    assert_eq!(repl.code(), 0, "people have seen what failed");
}
