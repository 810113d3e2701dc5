//! What came for a channel and was not yet received.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::{ChannelEnd, RecvError};
use crate::message::Message;

/// A queue between the socket's task and whoever receives. What finds no room is counted, and the count is told in its place.
#[derive(Debug)]
pub(crate) struct Mailbox {
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Debug)]
struct Queue {
    items: VecDeque<Item>,
    messages: usize,
    bytes: usize,
    limits: MailboxLimits,
    end: Option<ChannelEnd>,
}

#[derive(Debug)]
enum Item {
    Message(Message),
    Missed(u64),
}

/// How much may wait in a channel until it is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MailboxLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Default for MailboxLimits {
    fn default() -> Self {
        MailboxLimits { messages: 10_000, bytes: 16 << 20 }
    }
}

impl Mailbox {
    pub(crate) fn new(limits: MailboxLimits) -> Self {
        let queue = Queue { items: VecDeque::new(), messages: 0, bytes: 0, limits, end: None };
        Mailbox { queue: Mutex::new(queue), arrived: Notify::new() }
    }

    /// Puts a message behind the others, or counts it as missed.
    pub(crate) fn deliver(&self, message: Message) {
        self.queue.lock().deliver(message);
        self.arrived.notify_one();
    }

    /// After what is in it now, nothing comes.
    pub(crate) fn end(&self, end: ChannelEnd) {
        self.queue.lock().end.get_or_insert(end);
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }

    /// Drops what waits; says how many messages that were.
    pub(crate) fn clear(&self) -> usize {
        let (items, messages) = {
            let mut queue = self.queue.lock();
            queue.bytes = 0;
            (std::mem::take(&mut queue.items), std::mem::take(&mut queue.messages))
        };
        drop(items);
        messages
    }

    pub(crate) fn try_recv(&self) -> Option<Result<Message, RecvError>> {
        let mut queue = self.queue.lock();
        let next = queue.take();
        // Whoever else receives has to look too: one notification may stand for several messages.
        if next.is_some() && (!queue.items.is_empty() || queue.end.is_some()) {
            self.arrived.notify_one();
        }
        next
    }

    /// Takes out the messages of some events, in order.
    pub(crate) fn take_where(&self, is_wanted: &dyn Fn(&str) -> bool) -> Vec<Message> {
        self.queue.lock().take_where(is_wanted)
    }

    pub(crate) async fn recv(&self) -> Result<Message, RecvError> {
        loop {
            let arrived = self.arrived.notified();
            if let Some(next) = self.try_recv() {
                return next;
            }
            arrived.await;
        }
    }
}

impl Queue {
    fn deliver(&mut self, message: Message) {
        let bytes = size(&message);
        let has_room = self.messages < self.limits.messages && self.bytes + bytes <= self.limits.bytes;
        // A message that is larger than all that may wait gets in alone: it has been received already.
        if has_room || self.messages == 0 {
            self.messages += 1;
            self.bytes += bytes;
            self.items.push_back(Item::Message(message));
        } else if let Some(Item::Missed(count)) = self.items.back_mut() {
            *count += 1;
        } else {
            self.items.push_back(Item::Missed(1));
        }
    }

    fn take(&mut self) -> Option<Result<Message, RecvError>> {
        match self.items.pop_front() {
            Some(Item::Message(message)) => {
                self.messages -= 1;
                self.bytes -= size(&message);
                if self.items.is_empty() {
                    self.items = VecDeque::new();
                }
                Some(Ok(message))
            }
            Some(Item::Missed(count)) => Some(Err(RecvError::Missed { count })),
            None => self.end.clone().map(|end| Err(RecvError::Ended(end))),
        }
    }

    fn take_where(&mut self, is_wanted: &dyn Fn(&str) -> bool) -> Vec<Message> {
        let (mut taken, mut kept) = (Vec::new(), VecDeque::new());
        for item in std::mem::take(&mut self.items) {
            match item {
                Item::Message(message) if is_wanted(message.event.as_str()) => {
                    self.messages -= 1;
                    self.bytes -= size(&message);
                    taken.push(message);
                }
                Item::Message(_) | Item::Missed(_) => kept.push_back(item),
            }
        }
        self.items = kept;
        taken
    }
}

/// Bytes that a message keeps beside its own place; its topic is its channel's.
fn size(message: &Message) -> usize {
    message.event.as_str().len() + message.payload.len()
}
