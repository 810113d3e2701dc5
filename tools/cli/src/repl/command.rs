//! What a line asks for.

use std::time::Duration;

use bennu_protocol::Payload;

use crate::push;
use crate::span;

/// For people.
pub(super) const HELP: &str = "\
join TOPIC [PARAMS]           join a topic; what comes on it is printed
leave TOPIC                   leave it
push TOPIC EVENT [PAYLOAD]    push an event, and print the reply
send TOPIC EVENT [PAYLOAD]    push an event without waiting for a reply
presence TOPIC                who is there
topics                        what is joined
ping                          the time of a heartbeat's round trip
wait EVENT [TIME]             until an event of this name comes
help                          this
quit                          leave and close; Ctrl-D does it too

PARAMS and PAYLOAD are JSON, {} when they are left out.";

/// The words that a line can begin with.
pub(super) const WORDS: [&str; 10] =
    ["help", "join", "leave", "ping", "presence", "push", "quit", "send", "topics", "wait"];

/// One line.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    Join { topic: String, params: Payload },
    Leave { topic: String },
    Push { topic: String, event: String, payload: Payload },
    Send { topic: String, event: String, payload: Payload },
    Presence { topic: String },
    Wait { event: String, time: Option<Duration> },
    Topics,
    Ping,
    Help,
    Quit,
}

impl Command {
    /// Whether a topic follows this word.
    pub(super) fn takes_topic(word: &str) -> bool {
        matches!(word, "leave" | "presence" | "push" | "send" | "join")
    }
}

/// Nothing for a line that is empty or a comment.
pub(super) fn parse(line: &str) -> Result<Option<Command>, String> {
    let mut rest = line.trim();
    if rest.is_empty() || rest.starts_with('#') {
        return Ok(None);
    }
    let word = next(&mut rest, "a command")?;
    let command = match &*word {
        "join" => Command::Join { topic: next(&mut rest, "a topic")?, params: payload(&mut rest)? },
        "leave" => Command::Leave { topic: next(&mut rest, "a topic")? },
        "push" => Command::Push {
            topic: next(&mut rest, "a topic")?,
            event: next(&mut rest, "an event")?,
            payload: payload(&mut rest)?,
        },
        "send" => Command::Send {
            topic: next(&mut rest, "a topic")?,
            event: next(&mut rest, "an event")?,
            payload: payload(&mut rest)?,
        },
        "presence" => Command::Presence { topic: next(&mut rest, "a topic")? },
        "wait" => Command::Wait {
            event: next(&mut rest, "an event")?,
            time: if rest.is_empty() { None } else { Some(span::parse(&next(&mut rest, "a time")?)?) },
        },
        "topics" => Command::Topics,
        "ping" => Command::Ping,
        "help" | "?" => Command::Help,
        "quit" | "exit" => Command::Quit,
        other => return Err(format!("there is no command {other:?}; `help` lists them")),
    };
    if rest.is_empty() { Ok(Some(command)) } else { Err(format!("{word} does not take {rest:?} as well")) }
}

/// The next word.
fn next(rest: &mut &str, what: &str) -> Result<String, String> {
    let (word, left) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    *rest = left.trim_start();
    if word.is_empty() { Err(format!("{what} is missing; `help` shows how")) } else { Ok(word.to_owned()) }
}

/// All that is left, as JSON.
fn payload(rest: &mut &str) -> Result<Payload, String> {
    match std::mem::take(rest) {
        "" => Ok(Payload::empty()),
        text => push::json(text).map_err(|error| format!("{text:?} is no JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let payload = || push::json(r#"{"body": "a b"}"#).unwrap();
        let topic = || "room:1".to_owned();
        for (line, expected) in [
            ("", Ok(None)),
            ("  # a comment", Ok(None)),
            ("join room:1", Ok(Some(Command::Join { topic: topic(), params: Payload::empty() }))),
            (" push  room:1 shout {\"body\": \"a b\"} ", {
                Ok(Some(Command::Push { topic: topic(), event: "shout".to_owned(), payload: payload() }))
            }),
            ("wait shout 2s", {
                Ok(Some(Command::Wait { event: "shout".to_owned(), time: Some(Duration::from_secs(2)) }))
            }),
            ("exit", Ok(Some(Command::Quit))),
            ("push room:1", Err("event")),
            ("push room:1 shout {", Err("no JSON")),
            ("leave room:1 now", Err("does not take")),
            ("dance", Err("no command")),
        ] {
            match (parse(line), expected) {
                (Ok(parsed), Ok(expected)) => assert_eq!(parsed, expected, "{line}"),
                (Err(said), Err(part)) => assert!(said.contains(part), "{line}: {said}"),
                (parsed, expected) => panic!("{line}: {parsed:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn every_word_is_known_and_explained() {
        for word in WORDS {
            assert!(!parse(word).is_err_and(|error| error.contains("no command")), "{word}");
            assert!(HELP.lines().any(|line| line.starts_with(word)), "{word}");
        }
    }
}
