//! What is to be sent, and to be opened and closed, at the end of a turn.

use bennu_protocol::websocket::{Opcode, encode_into};

use crate::protocol::{Address, Protocol, Purpose};
use crate::topics::Topics;

/// Queues for all connections of a client; written together at the end of each turn of its loop.
#[derive(Debug)]
pub(crate) struct Sends {
    protocol: Protocol,
    purpose: Purpose,
    topics: Topics,
    queues: Vec<Queue>,
    /// Connections whose queue holds something.
    pub(crate) filled: Vec<usize>,
    /// Connections to open, or to close and open anew.
    pub(crate) reopen: Vec<usize>,
    /// Connections to close, without a word.
    pub(crate) close: Vec<usize>,
    message: Vec<u8>,
    mask_state: u64,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// The reference of the last message that has one.
    reference: u32,
    /// The references of its joins, in the order of its topics.
    joins: Vec<u32>,
}

impl Sends {
    pub(crate) fn new(protocol: Protocol, purpose: Purpose, topics: Topics) -> Self {
        Self {
            protocol,
            purpose,
            topics,
            queues: Vec::new(),
            filled: Vec::new(),
            reopen: Vec::new(),
            close: Vec::new(),
            message: Vec::new(),
            mask_state: 0x9e37_79b9_7f4a_7c15,
        }
    }

    pub(crate) fn grow(&mut self, links: usize) {
        self.queues.resize_with(links, Queue::default);
    }

    /// A new connection in the place of an old one.
    pub(crate) fn reset(&mut self, link: usize) {
        self.queues[link] = Queue::default();
    }

    /// Joins the next topic of a connection's list; the reference of the join.
    pub(crate) fn join(&mut self, link: usize) -> u32 {
        let protocol = self.protocol;
        let topic = self.topics.name(link, self.queues[link].joins.len());
        let payload = self.topics.join_payload(link);
        let reference =
            self.with_reference(link, |out, reference| protocol.join(out, reference, &topic, &payload));
        self.queues[link].joins.push(reference);
        reference
    }

    /// Sends an echo on a topic of the connection's list; the reference by which its reply goes.
    pub(crate) fn echo(&mut self, link: usize, topic: usize, payload: impl FnOnce(&mut Vec<u8>)) -> u32 {
        let (protocol, purpose) = (self.protocol, self.purpose);
        let (name, join_reference) = self.joined(link, topic);
        self.with_reference(link, |out, reference| {
            let address = Address { topic: &name, join_reference, reference };
            protocol.echo(out, address, purpose, payload);
        })
    }

    /// Sends a message for all subscribers of a topic of the connection's list.
    pub(crate) fn shout(&mut self, link: usize, topic: usize, payload: impl FnOnce(&mut Vec<u8>)) {
        let (protocol, purpose) = (self.protocol, self.purpose);
        let (name, join_reference) = self.joined(link, topic);
        self.with_reference(link, |out, reference| {
            let address = Address { topic: &name, join_reference, reference };
            protocol.shout(out, address, purpose, payload);
        });
    }

    /// The name of a topic and the reference of its join, if the protocol has such.
    fn joined(&self, link: usize, topic: usize) -> (String, u32) {
        let reference = self.queues[link].joins.get(topic).copied().unwrap_or_default();
        (self.topics.name(link, topic), reference)
    }

    /// Sends the heartbeat of the protocol, or a ping where there is none.
    pub(crate) fn beat(&mut self, link: usize) {
        let protocol = self.protocol;
        if !protocol.has_heartbeat() {
            return self.ping(link);
        }
        self.with_reference(link, |out, reference| protocol.heartbeat(out, reference));
    }

    /// Sends a ping, which the server answers after all that it sent before.
    pub(crate) fn ping(&mut self, link: usize) {
        self.frame(link, Opcode::Ping, b"");
    }

    /// Answers a ping of the server's.
    pub(crate) fn pong(&mut self, link: usize, payload: &[u8]) {
        self.frame(link, Opcode::Pong, payload);
    }

    /// Sends text as it is.
    pub(crate) fn text(&mut self, link: usize, text: &str) {
        self.frame(link, Opcode::Text, text.as_bytes());
    }

    /// What waits for a connection.
    pub(crate) fn queue(&mut self, link: usize) -> &mut Vec<u8> {
        &mut self.queues[link].bytes
    }

    fn with_reference(&mut self, link: usize, write: impl FnOnce(&mut Vec<u8>, u32)) -> u32 {
        self.queues[link].reference += 1;
        let reference = self.queues[link].reference;
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        write(&mut message, reference);
        if !message.is_empty() {
            self.frame(link, Opcode::Text, &message);
        }
        self.message = message;
        reference
    }

    fn frame(&mut self, link: usize, opcode: Opcode, payload: &[u8]) {
        let key = self.mask_key();
        let queue = &mut self.queues[link].bytes;
        if queue.is_empty() {
            self.filled.push(link);
        }
        encode_into(queue, opcode, payload, Some(key));
    }

    /// The next of a xorshift sequence: a server has the full work of unmasking, and nobody is to be protected.
    fn mask_key(&mut self) -> [u8; 4] {
        let mut state = self.mask_state;
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.mask_state = state;
        (state as u32).to_le_bytes()
    }
}
