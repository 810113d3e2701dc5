//! Whether our answer is the recorded one, given what must differ between two runs.

use std::collections::HashMap;

use super::json::{Json, same_number};
use super::recording::Received;
use crate::wire;

/// Members whose text a server makes up: where the recorded one was `A` and ours is `B`, ours must be `B`
/// wherever the recorded one is `A` again, and nowhere else.
///
/// - `phx_ref`, `phx_ref_prev`: what presence calls an entry;
/// - `token`: what long polling calls a session.
const MADE_UP: &[&str] = &["phx_ref", "phx_ref_prev", "token"];

/// What every recorded long-poll token begins with.
const TOKEN_PREFIX: &str = "SFMyNTY.";

/// Where the recorded server was.
const RECORDED_HOST: &str = "localhost:4100";

/// Headers that say nothing about sockets and channels, and why each is left out.
///
/// - `date`: the time;
/// - `vary`: Bandit's own compression of HTTP bodies;
/// - `x-request-id`: a plug of the recorded application;
/// - `content-length`: the client reads the body by it, so a wrong one makes another body.
const LEFT_OUT: &[&str] = &["date", "vary", "x-request-id", "content-length"];

/// What stands for what, in this run.
#[derive(Debug)]
pub(crate) struct Bindings {
    ours: HashMap<String, String>,
    recorded: HashMap<String, String>,
    host: String,
}

/// What is wrong, and where.
pub(crate) type Verdict = Result<(), String>;

impl Bindings {
    /// For a server at this port.
    pub(crate) fn new(port: u16) -> Bindings {
        Bindings { ours: HashMap::new(), recorded: HashMap::new(), host: format!("localhost:{port}") }
    }

    /// What the client must say here where it said `text` there.
    pub(crate) fn translate(&self, text: &str) -> Result<String, String> {
        let mut text = text.replace(RECORDED_HOST, &self.host);
        for (recorded, ours) in &self.ours {
            text = text.replace(recorded, ours);
        }
        match text.contains(TOKEN_PREFIX) && !self.ours.values().any(|ours| text.contains(ours)) {
            true => Err(format!("a recorded token that no answer had: {text}")),
            false => Ok(text),
        }
    }

    fn bind(&mut self, recorded: &str, ours: &str) -> Verdict {
        let (bound, source) = (self.ours.get(recorded), self.recorded.get(ours));
        match (bound, source) {
            (Some(bound), _) if bound != ours => Err(format!("{recorded} was {bound} and is {ours} now")),
            (_, Some(source)) if source != recorded => {
                Err(format!("{ours} stood for {source} and stands for {recorded} now"))
            }
            _ => {
                self.ours.insert(recorded.to_owned(), ours.to_owned());
                self.recorded.insert(ours.to_owned(), recorded.to_owned());
                Ok(())
            }
        }
    }

    /// Compares two frames.
    pub(crate) fn compare_frame(&mut self, expected: &Received, got: &wire::Received) -> Verdict {
        let same = match (expected, got) {
            (Received::Text(expected), wire::Received::Text(got)) => return self.compare_text(expected, got),
            (Received::Binary(expected), wire::Received::Binary(got))
            | (Received::Pong(expected), wire::Received::Pong(got)) => expected == got,
            (Received::Close(Some(code), reason), wire::Received::Close(Some(got))) => {
                (*code, reason.as_str()) == (got.0, got.1.as_str())
            }
            (Received::Close(None, _), wire::Received::Close(None))
            | (Received::Fin, wire::Received::End) => true,
            _ => false,
        };
        if same { Ok(()) } else { Err("another frame".to_owned()) }
    }

    /// Compares two JSON documents.
    fn compare_text(&mut self, expected: &str, got: &str) -> Verdict {
        let expected = Json::parse(expected).map_err(|error| format!("recorded: {error}"))?;
        let got = Json::parse(got).map_err(|error| format!("ours: {error}"))?;
        self.compare(&expected, &got, "")
    }

    fn compare(&mut self, expected: &Json, got: &Json, path: &str) -> Verdict {
        let same = match (expected, got) {
            (Json::Null, Json::Null) => true,
            (Json::Bool(expected), Json::Bool(got)) => expected == got,
            (Json::Number(expected), Json::Number(got)) => same_number(expected, got),
            (Json::Text(expected), Json::Text(got)) => expected.replace(RECORDED_HOST, &self.host) == *got,
            (Json::List(expected), Json::List(got)) => return self.compare_lists(expected, got, path),
            (Json::Object(expected), Json::Object(got)) => return self.compare_objects(expected, got, path),
            _ => false,
        };
        if same { Ok(()) } else { Err(format!("at {path:?}: expected {expected:?}, got {got:?}")) }
    }

    fn compare_lists(&mut self, expected: &[Json], got: &[Json], path: &str) -> Verdict {
        if expected.len() != got.len() {
            return Err(format!("at {path:?}: {} elements, not {}", got.len(), expected.len()));
        }
        for (place, (expected, got)) in expected.iter().zip(got).enumerate() {
            self.compare(expected, got, &format!("{path}/{place}"))?;
        }
        Ok(())
    }

    /// Members have no order, and one that comes twice must come twice.
    fn compare_objects(
        &mut self,
        expected: &[(String, Json)],
        got: &[(String, Json)],
        path: &str,
    ) -> Verdict {
        let sorted = |members: &[(String, Json)]| {
            let mut members = members.to_vec();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            members
        };
        let (expected, got) = (sorted(expected), sorted(got));
        let names =
            |members: &[(String, Json)]| members.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if names(&expected) != names(&got) {
            return Err(format!("at {path:?}: members {:?}, not {:?}", names(&got), names(&expected)));
        }
        for ((name, expected), (_, got)) in expected.iter().zip(&got) {
            let path = format!("{path}/{name}");
            match (expected, got) {
                (Json::Text(expected), Json::Text(got)) if MADE_UP.contains(&name.as_str()) => {
                    self.bind(expected, got)?;
                }
                (Json::List(expected), Json::List(got)) if name == "messages" => {
                    self.compare_messages(expected, got, &path)?;
                }
                _ => self.compare(expected, got, &path)?,
            }
        }
        Ok(())
    }

    /// The answer to a poll holds each message as the text that a frame would hold.
    fn compare_messages(&mut self, expected: &[Json], got: &[Json], path: &str) -> Verdict {
        if expected.len() != got.len() {
            return Err(format!("at {path:?}: {} messages, not {}: {got:?}", got.len(), expected.len()));
        }
        for (expected, got) in expected.iter().zip(got) {
            let (Json::Text(expected), Json::Text(got)) = (expected, got) else {
                return Err(format!("at {path:?}: messages are texts"));
            };
            self.compare_text(expected, got).map_err(|error| format!("in {got}: {error}"))?;
        }
        Ok(())
    }

    /// Compares two responses.
    pub(crate) fn compare_response(
        &mut self,
        status: u16,
        headers: &[(String, String)],
        body: &str,
        got: &wire::Response,
    ) -> Verdict {
        if status != got.status {
            return Err(format!("status {}, not {status}", got.status));
        }
        let (expected, ours) = (headers_that_count(headers), headers_that_count(&got.headers));
        if expected != ours {
            return Err(format!("headers {ours:?}, not {expected:?}"));
        }
        let is_json = |(name, value): &(String, String)| name == "content-type" && value.contains("json");
        match headers.iter().any(is_json) {
            true => self.compare_text(body, &got.body),
            false if body == got.body => Ok(()),
            false => Err(format!("body {:?}, not {body:?}", got.body)),
        }
    }
}

/// Names in lower case, in the order of the names.
fn headers_that_count(headers: &[(String, String)]) -> Vec<(String, String)> {
    let lower = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    let mut counted: Vec<_> = lower.filter(|(name, _)| !LEFT_OUT.contains(&name.as_str())).collect();
    counted.sort();
    counted
}

#[test]
fn what_a_server_makes_up_stands_for_one_thing() {
    let state = |reference: &str| Received::Text(format!(r#"{{"metas":[{{"phx_ref":"{reference}"}}]}}"#));
    let ours =
        |reference: &str| wire::Received::Text(format!(r#"{{"metas":[{{"phx_ref":"{reference}"}}]}}"#));
    let mut bindings = Bindings::new(1);
    assert_eq!(bindings.compare_frame(&state("A"), &ours("x")), Ok(()));
    assert_eq!(bindings.compare_frame(&state("A"), &ours("x")), Ok(()));
    assert!(bindings.compare_frame(&state("A"), &ours("y")).is_err(), "A is x");
    assert!(bindings.compare_frame(&state("B"), &ours("x")).is_err(), "x is A");
    assert_eq!(bindings.compare_frame(&state("B"), &ours("z")), Ok(()));
}

#[test]
fn a_recorded_token_is_sent_as_ours() {
    let mut bindings = Bindings::new(4321);
    let (recorded, ours) = (format!(r#"{{"token":"{TOKEN_PREFIX}A"}}"#), r#"{"token":"mine"}"#);
    assert!(bindings.translate(&format!("/?token={TOKEN_PREFIX}A")).is_err(), "nobody gave it to the client");
    assert_eq!(bindings.compare_text(&recorded, ours), Ok(()));
    assert_eq!(bindings.translate(&format!("/?token={TOKEN_PREFIX}A")), Ok("/?token=mine".to_owned()));
    assert_eq!(bindings.translate("http://localhost:4100"), Ok("http://localhost:4321".to_owned()));
}
