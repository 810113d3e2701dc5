//! Plays the client's half of a recording to our server, and holds our half against the recorded one.

use std::any::Any;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::accepted::{self, Ours};
use super::comparison::{Bindings, Verdict};
use super::recording::{Act, Event, Received, Recording, Sent};
use super::timetable::Timetable;
use crate::client::admin;
use crate::server::Server;
use crate::wire::{self, Wire};

/// From so many milliseconds between two events on, the recording shows a rest, in which the server says nothing.
const REST: f64 = 75.0;

/// How often a conversation is tried on a machine that is too busy to keep the recorded times.
const ATTEMPTS: u32 = 5;

/// How the rests of a recording are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Two pings on every open WebSocket, one after the other, whose pongs must be the next frames: the server
    /// has then dealt with everything that it was sent, and had nothing to say to it. (It may answer the first
    /// before what came with it.) Where nothing happens by time alone, this is all that a rest can show.
    Barriers,
    /// As long as they were, for conversations in which time itself does something.
    Recorded,
}

/// What is to come, and how a failure names it.
#[derive(Debug)]
struct Step {
    name: String,
    event: Event,
}

/// A conversation under way.
#[derive(Debug)]
struct Replay {
    server: Server,
    pace: Pace,
    timetable: Timetable,
    bindings: Bindings,
    connections: HashMap<String, Connection>,
    barriers: u32,
    ticks: u32,
}

#[derive(Debug)]
struct Connection {
    wire: Wire,
    /// The method of the request whose response is to come.
    method: String,
    /// Whether it is a WebSocket on which both sides may still send.
    is_open: bool,
}

/// Plays a whole recording.
#[track_caller]
pub(crate) fn play(file: &str, pace: Pace) {
    play_scenes(file, pace, &[&[1..=u32::MAX]]);
}

/// Plays the scenes of a recording, each to a server of its own, at the same time. A scene is some of the events;
/// all of them together must be the whole.
#[track_caller]
pub(crate) fn play_scenes(file: &str, pace: Pace, scenes: &[&[RangeInclusive<u32>]]) {
    let recording = &Recording::read(file);
    for Event { number, .. } in &recording.events {
        let is_played = scenes.iter().any(|scene| scene.iter().any(|events| events.contains(number)));
        assert!(is_played, "{file}: event {number} is in no scene");
    }
    let verdicts: Vec<Verdict> = thread::scope(|scope| {
        let scenes = scenes.iter().map(|scene| scope.spawn(move || play_scene(recording, scene, pace)));
        let scenes: Vec<_> = scenes.collect();
        scenes.into_iter().map(|scene| scene.join().expect("a scene ends with a verdict")).collect()
    });
    let failures: Vec<String> = verdicts.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Plays some of the events of a recording. The error names the recording and the event.
pub(crate) fn play_scene(recording: &Recording, scene: &[RangeInclusive<u32>], pace: Pace) -> Verdict {
    let plays = |step: &Step| scene.iter().any(|events| events.contains(&step.event.number));
    let steps: Vec<Step> = steps(recording).into_iter().filter(plays).collect();
    let file = &recording.file;
    let parts: String = scene.iter().map(|events| format!("-{}", events.start())).collect();
    let mut attempts = 1;
    loop {
        let server = Server::start_with_log("transcripts", &[], &format!("transcripts-{file}{parts}"));
        let mut replay = Replay::new(server, pace, steps[0].event.at);
        let verdict = replay.play(&steps);
        // Where time does something, a machine that is too busy to keep it shows something else.
        let may_try_again = pace == Pace::Recorded && replay.timetable.was_late() && attempts < ATTEMPTS;
        match verdict {
            Err(_) if may_try_again => attempts += 1,
            Err(error) => {
                let note = error.step.and_then(|step| note(recording, step.event.number));
                let (name, event) = error.step.map(|step| (step.name.as_str(), &step.event)).unzip();
                return Err(format!(
                    "{file}: {}: {}\nrecorded: {event:?}\nthe note before: {note:?}",
                    name.unwrap_or("at its end"),
                    error.text
                ));
            }
            Ok(()) => return Ok(()),
        }
    }
}

/// What went wrong, at which step; at none when all had been played.
struct Failure<'a> {
    step: Option<&'a Step>,
    text: String,
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

/// The events of a recording, with our own answers where they differ on purpose.
fn steps(recording: &Recording) -> Vec<Step> {
    let mut steps = Vec::new();
    for event in &recording.events {
        let Some(place) = accepted::at(&recording.file, event.number) else {
            let name = format!("event {}", event.number);
            steps.push(Step { name, event: event.clone() });
            continue;
        };
        if event.number != *place.events.start() {
            continue;
        }
        let name = format!("events {:?}, which differ on purpose", place.events);
        for ours in place.ours {
            let event = instead(recording, event, ours);
            steps.push(Step { name: format!("{name}: {ours:?}"), event });
        }
    }
    steps
}

fn instead(recording: &Recording, first: &Event, ours: &Ours) -> Event {
    let event = |connection: &str, received| {
        let (number, at, connection) = (first.number, first.at, connection.to_owned());
        Event { number, at, connection, act: Act::Received(received) }
    };
    let recorded = |number: u32| recording.events[number as usize - 1].clone();
    match *ours {
        Ours::Recorded(number) => recorded(number),
        Ours::With(number, (name, value)) => {
            let mut event = recorded(number);
            if let Act::Received(Received::Response { headers, .. }) = &mut event.act {
                headers
                    .iter_mut()
                    .filter(|(other, _)| other == name)
                    .for_each(|(_, old)| *old = value.to_owned());
            }
            event
        }
        Ours::Text(connection, text) => event(connection, Received::Text(text.to_owned())),
        Ours::Close(connection, code) => event(connection, Received::Close(Some(code), String::new())),
        Ours::Fin(connection) => event(connection, Received::Fin),
        Ours::Response(accepted::Response { status, headers, body }) => {
            let headers =
                headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            event("", Received::Response { status: *status, headers, body: (*body).to_owned() })
        }
    }
}

/// What was noted of what comes next.
fn note(recording: &Recording, number: u32) -> Option<&str> {
    let before = recording.events.iter().filter(|event| event.number < number);
    before.rev().find_map(|event| match &event.act {
        Act::Note(text) => Some(text.as_str()),
        Act::Sent(_) | Act::Received(_) => None,
    })
}

impl Replay {
    fn new(server: Server, pace: Pace, first: f64) -> Replay {
        let (bindings, timetable) = (Bindings::new(server.address.port()), Timetable::start(first));
        Replay { server, pace, timetable, bindings, connections: HashMap::new(), barriers: 0, ticks: 0 }
    }

    fn play<'a>(&mut self, steps: &'a [Step]) -> Result<(), Failure<'a>> {
        let mut before = f64::MAX;
        for step in steps {
            let at = step.event.at;
            // The raw client panics at what no server may do, such as saying nothing at all.
            let played = catch_unwind(AssertUnwindSafe(|| match at - before >= REST {
                true => self.rest_and_step(step),
                false => self.step(step),
            }));
            let verdict = played.unwrap_or_else(|panic| Err(panic_text(&*panic)));
            verdict.map_err(|text| Failure { step: Some(step), text })?;
            before = at;
        }
        self.quiet().map_err(|text| Failure { step: None, text })
    }

    /// A step of the client with a rest before it, in which nothing may come on any connection.
    fn rest_and_step(&mut self, step: &Step) -> Verdict {
        if !matches!(step.event.act, Act::Received(_)) {
            if self.pace == Pace::Recorded {
                self.timetable.wait(step.event.at);
            }
            self.quiet()?;
        }
        self.step(step)
    }

    fn step(&mut self, step: &Step) -> Verdict {
        let event = &step.event;
        match &event.act {
            Act::Received(received) => self.receive(&event.connection, received),
            Act::Sent(sent) => self.send(&event.connection, sent),
            Act::Note(text) => self.act(text),
        }
    }

    fn quiet(&mut self) -> Verdict {
        match self.pace {
            Pace::Barriers => self.barrier().and_then(|()| self.barrier()),
            Pace::Recorded => self.nothing_came(),
        }
    }

    fn barrier(&mut self) -> Verdict {
        self.barriers += 1;
        let payload = format!("barrier {}", self.barriers).into_bytes();
        for (name, connection) in self.connections.iter_mut().filter(|(_, connection)| connection.is_open) {
            connection.wire.send(wire::PING, &payload);
            let got = connection.wire.receive();
            if got != wire::Received::Pong(payload.clone()) {
                return Err(format!(
                    "before it, connection {name:?} should have been silent and said {got:?}"
                ));
            }
        }
        Ok(())
    }

    fn nothing_came(&mut self) -> Verdict {
        for (name, connection) in self.connections.iter_mut().filter(|(_, connection)| connection.is_open) {
            if let Some(got) = connection.wire.receive_within(Duration::from_millis(1)) {
                return Err(format!(
                    "before it, connection {name:?} should have been silent and said {got:?}"
                ));
            }
        }
        Ok(())
    }

    /// Some notes say that something was done to the server.
    fn act(&mut self, note: &str) -> Verdict {
        match note {
            "SIGTERM" => self.server.signal("TERM"),
            "server process has ended" => {
                let said = self.server.ended();
                if !said.is_empty() {
                    return Err(format!("it still said {said:?}"));
                }
            }
            "server broadcasts tick on room:t" => {
                let body = json!({"topic": "room:t", "event": "tick", "payload": {"i": self.ticks}});
                self.ticks += 1;
                if !admin(self.server.address, "/admin/broadcast", body) {
                    return Err("the broadcast was refused".to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn send(&mut self, name: &str, sent: &Sent) -> Verdict {
        match sent {
            Sent::Request { method, path, headers, body } => {
                let bytes = self.request(method, path, headers, body)?;
                let mut wire = Wire::open(self.server.address);
                wire.write(&bytes);
                let connection = Connection { wire, method: method.clone(), is_open: false };
                self.connections.insert(name.to_owned(), connection);
            }
            Sent::Frame { opcode, fin, rsv, masked, payload } => {
                let connection = self.connection(name)?;
                let first = if *fin { 0x80 } else { 0 } | (rsv << 4) | opcode;
                connection.is_open &= *opcode != wire::CLOSE;
                // The recorded client sent a close frame at the end also where the server had gone before.
                connection.wire.write_if_open(&wire::frame_with(first, *masked, payload));
            }
            Sent::End => {
                let connection = self.connection(name)?;
                connection.is_open = false;
                connection.wire.end();
            }
        }
        Ok(())
    }

    /// The bytes of a request: as they were, but for the port and for what the server makes up.
    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: &str,
    ) -> Result<Vec<u8>, String> {
        let mut head = format!("{method} {} HTTP/1.1\r\n", self.bindings.translate(path)?);
        for (name, value) in headers {
            head += &format!("{name}: {}\r\n", self.bindings.translate(value)?);
        }
        Ok(format!("{head}\r\n{body}").into_bytes())
    }

    fn receive(&mut self, name: &str, expected: &Received) -> Verdict {
        let Received::Response { status, headers, body } = expected else {
            return self.receive_frame(name, expected);
        };
        let connection = self.connection(name)?;
        let got = connection.wire.read_response(&connection.method);
        connection.is_open = got.status == 101;
        let verdict = self.bindings.compare_response(*status, headers, body, &got);
        verdict.map_err(|error| format!("{error}; got {got:?}"))
    }

    fn receive_frame(&mut self, name: &str, expected: &Received) -> Verdict {
        let connection = self.connection(name)?;
        let got = connection.wire.receive();
        if matches!(got, wire::Received::Close(_) | wire::Received::End) {
            connection.is_open = false;
        }
        if got == wire::Received::End && connection.wire.was_reset() {
            return Err("the TCP connection was reset".to_owned());
        }
        let verdict = self.bindings.compare_frame(expected, &got);
        verdict.map_err(|error| format!("{error}; got {got:?}"))
    }

    fn connection(&mut self, name: &str) -> Result<&mut Connection, String> {
        self.connections.get_mut(name).ok_or_else(|| format!("there is no connection {name:?}"))
    }
}
