//! A page with the official client, in Node.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const TRANSPORTS: [&str; 2] = ["websocket", "longpoll"];

/// An open page; dropping it closes it.
pub(crate) struct Page {
    node: Child,
    lines: Receiver<String>,
}

impl Page {
    /// Opens a page that joins a topic.
    pub(crate) fn open(address: SocketAddr, transport: &str, params: Value, topic: &str) -> Page {
        Page::open_with(address, json!({"transport": transport, "params": params, "topics": [topic]}))
    }

    /// Opens a page. Unless the settings say otherwise notifications have moved.
    pub(crate) fn open_with(address: SocketAddr, settings: Value) -> Page {
        let mut all = json!({"moved": ["notifications:"], "transport": "websocket", "headers": {}});
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/page.mjs");
        let mut node = Command::new("node");
        node.args([script, rooms::PACKAGES, &address.to_string(), &all.to_string()]);
        let mut node = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(node.stdout.take().unwrap());
        // The thread ends with the page.
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Page { node, lines }
    }

    /// What happens next.
    pub(crate) fn next(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("the page says something");
        serde_json::from_str(&line).unwrap()
    }

    /// What the join of its topic is answered.
    #[track_caller]
    pub(crate) fn joined(&self) -> Value {
        let said = self.next();
        assert!(said["ok"].is_object(), "{said}");
        said["ok"].clone()
    }

    /// The page must not get a connection.
    #[track_caller]
    pub(crate) fn refused(&self) {
        let said = self.next();
        let reason = said["refused"].as_str().unwrap_or_default();
        assert!(reason.contains("403"), "{said}");
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.node.stdin.take());
        self.node.wait().unwrap();
    }
}
