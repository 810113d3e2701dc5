//! What was read from several sockets, before any of it is handled.
//!
//! The code of a read, of a handler and of a write together is larger than a core's first caches: one after the other for
//! each message, each would be fetched anew. So a shard reads from several sockets, then runs what they sent, then writes.

use super::topics::Key;

/// Room for one read. The kernel's answer to a larger one is the same: what has arrived.
const READ: usize = 64 * 1024;

/// Room for all of them; pages that nothing was read into take no memory.
const ROOM: usize = 4 * READ;

/// So many sockets are read from before the first is answered.
const SOCKETS: usize = 16;

#[derive(Default)]
pub(super) struct Input {
    buffer: Box<[u8]>,
    /// Whose, and where it ends; each begins where the one before ends.
    pieces: Vec<(Key, usize)>,
}

impl Input {
    /// Where the next read goes.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = vec![0; ROOM].into();
        }
        let start = self.end();
        &mut self.buffer[start..start + READ]
    }

    /// Adds what was read into the room.
    pub(super) fn add(&mut self, key: Key, count: usize) {
        let end = self.end() + count;
        self.pieces.push((key, end));
    }

    /// Whether there is no room for another read.
    pub(super) fn is_full(&self) -> bool {
        self.pieces.len() == SOCKETS || self.end() > ROOM - READ
    }

    /// Whether anything of a socket waits here already.
    pub(super) fn has(&self, key: Key) -> bool {
        self.pieces.iter().any(|(other, _)| *other == key)
    }

    /// What was read, in order.
    pub(super) fn pieces(&mut self) -> impl Iterator<Item = (Key, &mut [u8])> {
        let mut rest = &mut *self.buffer;
        let mut start = 0;
        self.pieces.iter().map(move |&(key, end)| {
            let piece = rest.split_off_mut(..end - start).unwrap_or_default();
            start = end;
            (key, piece)
        })
    }

    /// From whom it was read.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.pieces.iter().map(|(key, _)| *key)
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
    }

    fn end(&self) -> usize {
        self.pieces.last().map_or(0, |(_, end)| *end)
    }
}
