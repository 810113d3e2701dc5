//! What waits for the engine.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::node::Incarnation;
use super::packet::{Builder, Key};
use super::subject::Subject;

/// A packet for the engine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Packet {
    /// Where to publish it.
    pub subject: Subject,
    /// What to publish.
    pub bytes: Bytes,
    frames: u16,
}

impl Packet {
    /// How many messages it has; beacons are none.
    pub(crate) fn messages(&self) -> u64 {
        if self.subject == Subject::Everyone { 0 } else { u64::from(self.frames) }
    }
}

/// Frames in the order in which they were broadcast, numbered for each subject, and bounded.
pub(crate) struct Outbox {
    sender: Incarnation,
    capacity: usize,
    bytes: usize,
    /// Packets that were taken and not published.
    returned: VecDeque<Packet>,
    frames: VecDeque<Waiting>,
    sent: HashMap<Subject, u64>,
}

struct Waiting {
    subject: Subject,
    number: u64,
    frame: Vec<u8>,
}

/// Bytes that are packed at one time: enough for a good batch, and not so many that a lock is held for long.
const BATCH: usize = 256 << 10;

impl Outbox {
    pub(crate) fn new(sender: Incarnation, capacity: usize) -> Self {
        Outbox {
            sender,
            capacity,
            bytes: 0,
            returned: VecDeque::new(),
            frames: VecDeque::new(),
            sent: HashMap::new(),
        }
    }

    /// Numbers a frame and puts it in. Returns how many older ones had to go.
    pub(crate) fn push(&mut self, subject: Subject, frame: Vec<u8>) -> u64 {
        let number = self.sent.entry(subject).or_default();
        *number += 1;
        let number = *number;
        self.bytes += frame.len();
        self.frames.push_back(Waiting { subject, number, frame });
        self.make_room()
    }

    fn make_room(&mut self) -> u64 {
        let mut dropped = 0;
        while self.bytes > self.capacity {
            if let Some(packet) = self.returned.pop_front() {
                self.bytes -= packet.bytes.len();
                dropped += u64::from(packet.frames);
            } else if let Some(waiting) = self.frames.pop_front() {
                self.bytes -= waiting.frame.len();
                dropped += 1;
            } else {
                break;
            }
        }
        dropped
    }

    /// The next packets of at most `max` bytes each, and how many frames did not fit into one.
    ///
    /// All that waits for one subject shares packets, so the order of a subject is kept, and that between subjects
    /// is kept by whole packets alone.
    pub(crate) fn take(
        &mut self,
        max_packets: usize,
        max: usize,
        key: &Key,
        name: impl Fn(Subject) -> String,
    ) -> (Vec<Packet>, u64) {
        let mut packets: Vec<Packet> = Vec::new();
        while packets.len() < max_packets {
            let Some(packet) = self.returned.pop_front() else { break };
            self.bytes -= packet.bytes.len();
            packets.push(packet);
        }
        let mut open: Vec<Open> = Vec::new();
        // Which of them takes more of a subject.
        let mut latest: HashMap<Subject, usize> = HashMap::new();
        let (mut taken, mut too_large) = (0, 0);
        while taken < BATCH {
            let Some(waiting) = self.frames.front() else { break };
            let size = waiting.frame.len();
            let fits_into = latest.get(&waiting.subject).copied().filter(|at| open[*at].takes(waiting, max));
            if fits_into.is_none() && packets.len() + open.len() >= max_packets {
                break;
            }
            let Some(waiting) = self.frames.pop_front() else { break };
            self.bytes -= size;
            taken += size;
            let at = fits_into.unwrap_or_else(|| {
                let builder = Builder::new(self.sender, waiting.number);
                open.push(Open { subject: waiting.subject, next: waiting.number, frames: 0, builder });
                open.len() - 1
            });
            if !open[at].takes(&waiting, max) {
                // Larger than the engine takes since it was put in.
                open.pop();
                too_large += 1;
                continue;
            }
            latest.insert(waiting.subject, at);
            open[at].push(&waiting);
        }
        packets.extend(open.into_iter().map(|open| Packet {
            subject: open.subject,
            bytes: open.builder.finish(key, &name(open.subject)),
            frames: open.frames,
        }));
        (packets, too_large)
    }

    /// Puts packets back in front. Returns how many frames had to go.
    pub(crate) fn put_back(&mut self, packets: Vec<Packet>) -> u64 {
        for packet in packets.into_iter().rev() {
            self.bytes += packet.bytes.len();
            self.returned.push_front(packet);
        }
        self.make_room()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.returned.is_empty() && self.frames.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many frames each bucket was sent so far.
    pub(crate) fn sent(&self) -> impl Iterator<Item = (u16, u64)> {
        self.sent.iter().filter_map(|(subject, number)| match subject {
            Subject::Bucket(bucket) => Some((*bucket, *number)),
            Subject::Everyone | Subject::Node(_) => None,
        })
    }
}

/// A packet that is being filled.
struct Open {
    subject: Subject,
    /// The number that the next frame must have.
    next: u64,
    frames: u16,
    builder: Builder,
}

impl Open {
    fn takes(&self, waiting: &Waiting, max: usize) -> bool {
        self.next == waiting.number && self.builder.fits(waiting.frame.len(), max)
    }

    fn push(&mut self, waiting: &Waiting) {
        self.builder.push(&waiting.frame);
        self.next += 1;
        self.frames += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::{Kind, OVERHEAD, Received, encode_frame};
    use super::*;

    fn key() -> Key {
        Key::derive(b"a secret of some length", "test")
    }

    fn frame(body: &[u8]) -> Vec<u8> {
        encode_frame(Kind::Message, "t", "m", |out| {
            out.extend_from_slice(body);
            Ok(())
        })
        .unwrap()
    }

    fn name(subject: Subject) -> String {
        subject.name("test", '.')
    }

    /// Subject, first number and bodies of each packet.
    fn read(packets: Vec<Packet>) -> Vec<(Subject, u64, Vec<Vec<u8>>)> {
        let read = |packet: Packet| {
            let received = Received::open(packet.bytes, &key(), &name(packet.subject)).unwrap();
            (packet.subject, received.first, received.map(|frame| frame.unwrap().body.to_vec()).collect())
        };
        packets.into_iter().map(read).collect()
    }

    const A: Subject = Subject::Bucket(1);
    const B: Subject = Subject::Bucket(2);

    #[test]
    fn what_waits_for_one_subject_shares_a_packet() {
        let mut outbox = Outbox::new(Incarnation(1), 1 << 20);
        for (subject, body) in [(A, b"1"), (B, b"2"), (A, b"3")] {
            assert_eq!(outbox.push(subject, frame(body)), 0);
        }
        let (packets, too_large) = outbox.take(16, 1 << 20, &key(), name);
        let expected = vec![(A, 1, vec![b"1".to_vec(), b"3".to_vec()]), (B, 1, vec![b"2".to_vec()])];
        assert_eq!((read(packets), too_large, outbox.bytes()), (expected, 0, 0));
        outbox.push(A, frame(b"4"));
        assert_eq!(read(outbox.take(16, 1 << 20, &key(), name).0), [(A, 3, vec![b"4".to_vec()])]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn packets_are_as_large_as_the_engine_takes_and_as_many_as_asked_for() {
        let mut outbox = Outbox::new(Incarnation(1), 1 << 20);
        let one = frame(b"1").len();
        assert_eq!((0..5).map(|_| outbox.push(A, frame(b"1"))).sum::<u64>(), 0);
        let sizes = |packets: &[Packet]| packets.iter().map(|packet| packet.frames).collect::<Vec<_>>();
        let (packets, _) = outbox.take(2, OVERHEAD + 2 * one, &key(), name);
        assert_eq!(sizes(&packets), [2, 2]);
        assert_eq!(outbox.put_back(packets), 0);
        let (packets, _) = outbox.take(9, OVERHEAD + 2 * one, &key(), name);
        assert_eq!(sizes(&packets), [2, 2, 1]);
        assert_eq!(read(packets).iter().map(|packet| packet.1).collect::<Vec<_>>(), [1, 3, 5]);
    }

    #[test]
    fn the_oldest_go_when_too_much_waits_and_the_numbers_tell() {
        let one = frame(b"1").len();
        let mut outbox = Outbox::new(Incarnation(1), 3 * one);
        let dropped: u64 = (0..5).map(|_| outbox.push(A, frame(b"1"))).sum();
        assert_eq!((dropped, outbox.bytes()), (2, 3 * one));
        let (packets, _) = outbox.take(9, 1 << 20, &key(), name);
        assert_eq!(read(packets)[0].1, 3);
        assert_eq!(outbox.sent().collect::<Vec<_>>(), [(1, 5)]);
    }

    #[test]
    fn packets_that_come_back_count_and_go_first_when_there_is_no_room() {
        let one = frame(b"1").len();
        let mut outbox = Outbox::new(Incarnation(1), OVERHEAD + 4 * one);
        assert_eq!((0..3).map(|_| outbox.push(A, frame(b"1"))).sum::<u64>(), 0);
        let (packets, _) = outbox.take(9, 1 << 20, &key(), name);
        assert_eq!(outbox.put_back(packets), 0);
        assert_eq!(outbox.push(B, frame(b"1")), 0);
        assert_eq!(outbox.push(B, frame(b"1")), 3);
    }

    #[test]
    fn a_frame_that_the_engine_takes_no_more_is_left_out() {
        let mut outbox = Outbox::new(Incarnation(1), 1 << 20);
        outbox.push(A, frame(&[0; 500]));
        outbox.push(A, frame(b"2"));
        let (packets, too_large) = outbox.take(9, 200, &key(), name);
        assert_eq!((read(packets), too_large), (vec![(A, 2, vec![b"2".to_vec()])], 1));
    }
}
