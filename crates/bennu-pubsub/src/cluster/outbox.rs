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
    /// The number of each subject's last frame. Never forgotten: who begins anew is taken to repeat itself.
    sent: HashMap<Subject, u64>,
    /// Frames that were ever put in.
    pushed: u64,
    /// Frames that were taken, until the next time something is.
    in_flight: u64,
}

struct Waiting {
    subject: Subject,
    number: u64,
    frame: Vec<u8>,
}

impl Waiting {
    /// Bytes that it takes.
    fn cost(frame: &[u8]) -> usize {
        frame.len() + size_of::<Waiting>()
    }

    /// Beacons are none.
    fn messages(&self) -> u64 {
        u64::from(self.subject != Subject::Everyone)
    }
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
            pushed: 0,
            in_flight: 0,
        }
    }

    /// Numbers a frame and puts it in. Returns how many older ones had to go.
    pub(crate) fn push(&mut self, subject: Subject, mut frame: Vec<u8>) -> u64 {
        frame.shrink_to_fit();
        let number = self.sent.entry(subject).or_default();
        *number += 1;
        let number = *number;
        self.bytes += Waiting::cost(&frame);
        self.pushed += 1;
        self.frames.push_back(Waiting { subject, number, frame });
        self.make_room()
    }

    fn make_room(&mut self) -> u64 {
        let mut dropped = 0;
        while self.bytes > self.capacity {
            if let Some(packet) = self.returned.pop_front() {
                self.bytes -= packet.bytes.len();
                dropped += packet.messages();
            } else if let Some(waiting) = self.frames.pop_front() {
                self.bytes -= Waiting::cost(&waiting.frame);
                dropped += waiting.messages();
            } else {
                break;
            }
        }
        dropped
    }

    /// The next packets of at most `max` bytes each, and how many messages did not fit into one. Those that were taken before were published.
    ///
    /// All that waits for one subject shares packets, so the order of a subject is kept, and that between subjects
    /// is kept by whole packets alone.
    pub(crate) fn take(&mut self, max_packets: usize, max: usize) -> (Vec<Unsealed>, u64) {
        let mut too_large = 0;
        let mut packets: Vec<Unsealed> = Vec::new();
        // Which of them takes more of a subject.
        let mut latest: HashMap<Subject, usize> = HashMap::new();
        while packets.len() < max_packets {
            let Some(packet) = self.returned.pop_front() else { break };
            self.bytes -= packet.bytes.len();
            if packet.bytes.len() > max {
                // It was made for an engine that takes larger ones.
                too_large += packet.messages();
                continue;
            }
            packets.push(Unsealed::Sealed(packet));
        }
        let mut taken = 0;
        while taken < BATCH {
            let Some(waiting) = self.frames.front() else { break };
            let fits_into =
                latest.get(&waiting.subject).copied().filter(|at| packets[*at].takes(waiting, max));
            if fits_into.is_none() && packets.len() >= max_packets {
                break;
            }
            let Some(waiting) = self.frames.pop_front() else { break };
            self.bytes -= Waiting::cost(&waiting.frame);
            let at = fits_into.unwrap_or_else(|| {
                packets.push(Unsealed::open(self.sender, &waiting));
                packets.len() - 1
            });
            if !packets[at].takes(&waiting, max) {
                // Larger than the engine takes since it was put in.
                packets.pop();
                too_large += waiting.messages();
                continue;
            }
            latest.insert(waiting.subject, at);
            packets[at].push(&waiting);
            taken += waiting.frame.len();
        }
        self.in_flight = packets.iter().map(|packet| u64::from(packet.frames())).sum();
        (packets, too_large)
    }

    /// Puts packets back in front. Returns how many messages had to go.
    pub(crate) fn put_back(&mut self, packets: Vec<Packet>) -> u64 {
        for packet in packets.into_iter().rev() {
            self.bytes += packet.bytes.len();
            self.in_flight = self.in_flight.saturating_sub(u64::from(packet.frames));
            self.returned.push_front(packet);
        }
        self.make_room()
    }

    /// Frames that were ever put in.
    pub(crate) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Frames that were published or dropped.
    pub(crate) fn done(&self) -> u64 {
        let returned: u64 = self.returned.iter().map(|packet| u64::from(packet.frames)).sum();
        self.pushed - self.frames.len() as u64 - returned - self.in_flight
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many frames a bucket was sent so far.
    pub(crate) fn sent_to(&self, bucket: u16) -> u64 {
        self.sent.get(&Subject::Bucket(bucket)).copied().unwrap_or_default()
    }

    /// The same of each bucket that was sent any.
    pub(crate) fn sent(&self) -> impl Iterator<Item = (u16, u64)> {
        self.sent.iter().filter_map(|(subject, number)| match subject {
            Subject::Bucket(bucket) => Some((*bucket, *number)),
            Subject::Everyone | Subject::Node(_) => None,
        })
    }
}

/// A packet whose authentication code may be missing: that is computed when nobody waits for the outbox.
pub(crate) enum Unsealed {
    Sealed(Packet),
    Open {
        subject: Subject,
        /// The number that the next frame must have.
        next: u64,
        frames: u16,
        builder: Builder,
    },
}

impl Unsealed {
    fn open(sender: Incarnation, first: &Waiting) -> Self {
        let builder = Builder::new(sender, first.number);
        Unsealed::Open { subject: first.subject, next: first.number, frames: 0, builder }
    }

    fn takes(&self, waiting: &Waiting, max: usize) -> bool {
        match self {
            Unsealed::Sealed(_) => false,
            Unsealed::Open { next, builder, .. } => {
                *next == waiting.number && builder.fits(waiting.frame.len(), max)
            }
        }
    }

    fn push(&mut self, waiting: &Waiting) {
        if let Unsealed::Open { next, frames, builder, .. } = self {
            builder.push(&waiting.frame);
            *next += 1;
            *frames += 1;
        }
    }

    fn frames(&self) -> u16 {
        match self {
            Unsealed::Sealed(packet) => packet.frames,
            Unsealed::Open { frames, .. } => *frames,
        }
    }

    pub(crate) fn seal(self, key: &Key, name: impl Fn(Subject) -> String) -> Packet {
        match self {
            Unsealed::Sealed(packet) => packet,
            Unsealed::Open { subject, frames, builder, .. } => {
                Packet { subject, bytes: builder.finish(key, &name(subject)), frames }
            }
        }
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

    fn take(outbox: &mut Outbox, max_packets: usize, max: usize) -> (Vec<Packet>, u64) {
        let (packets, too_large) = outbox.take(max_packets, max);
        (packets.into_iter().map(|packet| packet.seal(&key(), name)).collect(), too_large)
    }

    fn one() -> usize {
        Waiting::cost(&frame(b"1"))
    }

    const A: Subject = Subject::Bucket(1);
    const B: Subject = Subject::Bucket(2);

    #[test]
    fn what_waits_for_one_subject_shares_a_packet() {
        let mut outbox = Outbox::new(Incarnation(1), 1 << 20);
        for (subject, body) in [(A, b"1"), (B, b"2"), (A, b"3")] {
            assert_eq!(outbox.push(subject, frame(body)), 0);
        }
        let (packets, too_large) = take(&mut outbox, 16, 1 << 20);
        let expected = vec![(A, 1, vec![b"1".to_vec(), b"3".to_vec()]), (B, 1, vec![b"2".to_vec()])];
        assert_eq!((read(packets), too_large, outbox.bytes()), (expected, 0, 0));
        outbox.push(A, frame(b"4"));
        assert_eq!(read(take(&mut outbox, 16, 1 << 20).0), [(A, 3, vec![b"4".to_vec()])]);
        assert_eq!((outbox.pushed(), outbox.done()), (4, 3), "the last one is not known to be published");
        assert!(take(&mut outbox, 16, 1 << 20).0.is_empty());
        assert_eq!(outbox.done(), 4);
    }

    #[test]
    fn packets_are_as_large_as_the_engine_takes_and_as_many_as_asked_for() {
        let mut outbox = Outbox::new(Incarnation(1), 1 << 20);
        let one = frame(b"1").len();
        assert_eq!((0..5).map(|_| outbox.push(A, frame(b"1"))).sum::<u64>(), 0);
        let sizes = |packets: &[Packet]| packets.iter().map(|packet| packet.frames).collect::<Vec<_>>();
        let (packets, _) = take(&mut outbox, 2, OVERHEAD + 2 * one);
        assert_eq!(sizes(&packets), [2, 2]);
        assert_eq!(outbox.put_back(packets), 0);
        let (packets, _) = take(&mut outbox, 9, OVERHEAD + 2 * one);
        assert_eq!(sizes(&packets), [2, 2, 1]);
        assert_eq!(read(packets).iter().map(|packet| packet.1).collect::<Vec<_>>(), [1, 3, 5]);
    }

    #[test]
    fn the_oldest_go_when_too_much_waits_and_the_numbers_tell() {
        let one = Waiting::cost(&frame(b"1"));
        let mut outbox = Outbox::new(Incarnation(1), 3 * one);
        let dropped: u64 = (0..5).map(|_| outbox.push(A, frame(b"1"))).sum();
        assert_eq!((dropped, outbox.bytes()), (2, 3 * one));
        let (packets, _) = take(&mut outbox, 9, 1 << 20);
        assert_eq!(read(packets)[0].1, 3);
        assert_eq!(outbox.sent().collect::<Vec<_>>(), [(1, 5)]);
    }

    #[test]
    fn packets_that_come_back_count_and_go_first_when_there_is_no_room() {
        let packet = OVERHEAD + 3 * frame(b"1").len();
        let mut outbox = Outbox::new(Incarnation(1), (3 * one()).max(packet + one()));
        assert_eq!((0..3).map(|_| outbox.push(A, frame(b"1"))).sum::<u64>(), 0);
        let (packets, _) = take(&mut outbox, 9, 1 << 20);
        assert_eq!(outbox.put_back(packets), 0);
        let dropped: Vec<u64> = (0..3).map(|_| outbox.push(B, frame(b"1"))).collect();
        assert_eq!(dropped.iter().sum::<u64>(), 3, "the packet goes as a whole: {dropped:?}");
        assert_eq!(read(take(&mut outbox, 9, 1 << 20).0)[0].0, B);
    }

    #[test]
    fn a_frame_that_the_engine_takes_no_more_is_left_out() {
        let mut outbox = Outbox::new(Incarnation(1), 1 << 20);
        outbox.push(A, frame(&[0; 500]));
        outbox.push(A, frame(b"2"));
        let (packets, too_large) = take(&mut outbox, 9, 200);
        assert_eq!((read(packets), too_large), (vec![(A, 2, vec![b"2".to_vec()])], 1));
    }

    #[test]
    fn a_packet_that_the_engine_takes_no_more_is_not_handed_out_again() {
        let mut outbox = Outbox::new(Incarnation(1), 1 << 20);
        assert_eq!((0..10).map(|_| outbox.push(A, frame(&[0; 100]))).sum::<u64>(), 0);
        let (packets, _) = take(&mut outbox, 9, 1 << 20);
        outbox.put_back(packets);
        let (packets, too_large) = take(&mut outbox, 9, 500);
        assert_eq!((packets.len(), too_large), (0, 10), "another server of the engine takes less");
    }

    #[test]
    fn what_is_too_large_does_not_make_it_look_empty() {
        let mut outbox = Outbox::new(Incarnation(1), 16 << 20);
        outbox.push(A, frame(&vec![0; 300 << 10]));
        outbox.push(A, frame(b"2"));
        assert_eq!(read(take(&mut outbox, 9, 64 << 10).0), [(A, 2, vec![b"2".to_vec()])]);
    }

    #[test]
    fn the_bound_is_one_on_memory() {
        let mut outbox = Outbox::new(Incarnation(1), 1 << 20);
        (0..200_000).for_each(|_| assert!(outbox.push(A, frame(b"1")) <= 1));
        let frames = outbox.frames.iter().map(|waiting| waiting.frame.capacity()).sum::<usize>();
        let held = frames + outbox.frames.capacity() * size_of::<Waiting>();
        assert!(held < 2 << 20, "{held} bytes for a bound of {}", 1 << 20);
    }
}
