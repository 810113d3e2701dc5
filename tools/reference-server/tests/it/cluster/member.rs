//! A client at one node that keeps account of what it was sent: who is there, as the official client would merge it,
//! and whatever a client should never be sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};

use super::nodes::Node;
use crate::client::{Client, V2};
use crate::wire::{self, PATIENCE, Received, Wire};

/// How often something is asked for that may get lost.
const AGAIN: Duration = Duration::from_millis(200);

/// How long an answer may take: longer than any period of the tests.
const BOUND: Duration = Duration::from_secs(40);

/// A user of a topic.
pub(crate) struct Member {
    pub(crate) node: &'static str,
    pub(crate) user: String,
    topic: String,
    writer: TcpStream,
    view: Arc<View>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct View {
    seen: Mutex<Seen>,
    changed: Condvar,
}

/// What it was sent.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The `phx_ref`s of each key, as they are now.
    pub(crate) present: BTreeMap<String, BTreeSet<String>>,
    /// Each key and `phx_ref` that came or went, in order.
    pub(crate) changes: Vec<Change>,
    /// All other messages, in order.
    pub(crate) messages: Vec<Value>,
    /// What no client should be sent: a leave of what it never saw.
    pub(crate) faults: Vec<String>,
    pub(crate) is_synced: bool,
    pub(crate) ended: Option<Received>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: Instant,
    pub(crate) is_join: bool,
    pub(crate) key: String,
    pub(crate) reference: String,
}

impl Member {
    /// Connects to a node's application `clients` and joins, which tracks `user`.
    pub(crate) fn join(node: &Node, topic: &str, user: &str) -> Member {
        let member = Member::open(node, V2, topic, user);
        member.send(json!(["1", "1", topic, "phx_join", {"user": user}]));
        member.wait("the presence state", |seen| seen.is_synced.then_some(()));
        member
    }

    /// Connects only.
    pub(crate) fn open(node: &Node, path: &str, topic: &str, user: &str) -> Member {
        let wire = Client::connect_to(node.server.address, path).wire;
        let writer = wire.writer();
        let view = Arc::<View>::default();
        let reader = std::thread::spawn({
            let view = view.clone();
            move || view.read(wire)
        });
        let (user, topic) = (user.to_owned(), topic.to_owned());
        Member { node: node.name, user, topic, writer, view, reader: Some(reader) }
    }

    pub(crate) fn push(&self, reference: &str, event: &str, payload: Value) {
        self.send(json!(["1", reference, self.topic, event, payload]));
    }

    pub(crate) fn send(&self, message: Value) {
        use std::io::Write as _;
        let frame = wire::frame(true, wire::TEXT, message.to_string().as_bytes());
        (&self.writer).write_all(&frame).expect("the server reads what it is sent");
    }

    /// Waits until `find` finds something in what this client was sent.
    #[track_caller]
    pub(crate) fn wait<T>(&self, what: &str, find: impl FnMut(&Seen) -> Option<T>) -> T {
        self.wait_asking(what, || (), find)
    }

    /// The same, and asks for it now and then.
    #[track_caller]
    pub(crate) fn wait_asking<T>(
        &self,
        what: &str,
        mut ask: impl FnMut(),
        mut find: impl FnMut(&Seen) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + BOUND;
        loop {
            let mut seen = self.view.seen.lock();
            if let Some(found) = find(&seen) {
                return found;
            }
            drop(seen);
            ask();
            seen = self.view.seen.lock();
            if let Some(found) = find(&seen) {
                return found;
            }
            let present = || format!("{:?}, ended {:?}", seen.present, seen.ended);
            assert!(
                Instant::now() < deadline,
                "{} at {}: {what}; there are {}",
                self.user,
                self.node,
                present()
            );
            self.view.changed.wait_for(&mut seen, AGAIN);
        }
    }

    /// Waits until exactly these users are there.
    #[track_caller]
    pub(crate) fn wait_for_users(&self, users: &[&str]) {
        self.wait(&format!("exactly {users:?}"), |seen| {
            seen.present.keys().map(String::as_str).eq(users.iter().copied()).then_some(())
        });
    }

    /// What it was sent so far.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.view.seen.lock())
    }

    /// Who is there: each key with its `phx_ref`s.
    pub(crate) fn present(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.look(|seen| seen.present.clone())
    }

    /// What came and went of one key.
    pub(crate) fn changes_of(&self, key: &str) -> Vec<Change> {
        self.look(|seen| seen.changes.iter().filter(|change| change.key == key).cloned().collect())
    }

    /// It was never sent a leave of what it did not see.
    #[track_caller]
    pub(crate) fn expect_no_fault(&self) {
        self.look(|seen| {
            assert!(seen.faults.is_empty(), "{} at {}: {:?}", self.user, self.node, seen.faults)
        });
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Fails when the server has closed it already.
        let _ = self.writer.shutdown(std::net::Shutdown::Both);
        if let Some(Err(panic)) = self.reader.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl View {
    fn read(&self, mut wire: Wire) {
        loop {
            let Some(received) = wire.receive_within(PATIENCE) else { continue };
            let mut seen = self.seen.lock();
            let has_ended = match received {
                Received::Text(text) => {
                    seen.take(serde_json::from_str(&text).expect("text frames are JSON"));
                    false
                }
                Received::End | Received::Close(_) => {
                    seen.ended = Some(received);
                    true
                }
                Received::Binary(_) | Received::Ping(_) | Received::Pong(_) => false,
            };
            drop(seen);
            self.changed.notify_all();
            if has_ended {
                return;
            }
        }
    }
}

impl Seen {
    fn take(&mut self, message: Value) {
        match message[3].as_str() {
            Some("presence_state") => self.state(&message[4]),
            Some("presence_diff") => self.diff(&message[4]),
            _ => self.messages.push(message),
        }
    }

    fn state(&mut self, state: &Value) {
        self.is_synced = true;
        self.present.clear();
        for (key, reference) in references(state) {
            self.present.entry(key).or_default().insert(reference);
        }
    }

    fn diff(&mut self, diff: &Value) {
        if !self.is_synced {
            self.faults.push("a diff before the state".to_owned());
        }
        let at = Instant::now();
        // As clients do it: those who come first.
        for (key, reference) in references(&diff["joins"]) {
            self.present.entry(key.clone()).or_default().insert(reference.clone());
            self.changes.push(Change { at, is_join: true, key, reference });
        }
        for (key, reference) in references(&diff["leaves"]) {
            let references = self.present.get_mut(&key);
            if !references.is_some_and(|references| references.remove(&reference)) {
                self.faults.push(format!("a leave of {key} {reference}, which was not there"));
            }
            self.present.retain(|_, references| !references.is_empty());
            self.changes.push(Change { at, is_join: false, key, reference });
        }
    }
}

/// The keys and `phx_ref`s of a state, or of one half of a diff.
fn references(presences: &Value) -> Vec<(String, String)> {
    let presences = presences.as_object().expect("presences are an object").iter();
    let metas = presences.flat_map(|(key, entry)| {
        let metas = entry["metas"].as_array().expect("metas are a list").iter();
        metas.map(move |meta| (key.clone(), meta["phx_ref"].as_str().expect("a phx_ref").to_owned()))
    });
    metas.collect()
}
