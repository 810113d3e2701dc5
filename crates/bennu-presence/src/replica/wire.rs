//! Messages as bytes.
//!
//! A version, a kind, and then the parts in their order. Numbers are little-endian groups of 7 bits, texts have their length in front. Clocks of one
//! section are written as distances, and each topic once, so that a presence costs little more than its key and its meta. Reading allocates no more
//! than a small multiple of what came, and fails on whatever cannot be meant.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use super::{
    Answer, Basis, Clock, EncodedMeta, Heartbeat, Message, Presence, Ranges, ReplicaRef, Resume, Section,
    TransferAck, TransferRequest,
};

const VERSION: u8 = 1;

const HEARTBEAT: u8 = 1;
const TRANSFER_REQUEST: u8 = 2;
const TRANSFER_ACK: u8 = 3;
const FAREWELL: u8 = 4;

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// Another version of the format; nodes of one cluster need the same.
    #[error("version {0} of the format is unknown")]
    Version(u8),
    /// They end too early.
    #[error("the message ends too early")]
    Truncated,
    /// They go on after the message.
    #[error("{0} bytes too many")]
    Trailing(usize),
    /// A part has a value that it cannot have.
    #[error("{0} cannot be read")]
    Invalid(&'static str),
}

impl Message {
    /// Appends the message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer { out };
        writer.byte(VERSION);
        match self {
            Message::Heartbeat(heartbeat) => {
                writer.byte(HEARTBEAT);
                writer.replica(&heartbeat.from);
                writer.clock(&heartbeat.clock);
                writer.byte(u8::from(heartbeat.answer == Answer::Wanted));
                writer.option(heartbeat.section.as_ref(), Writer::section);
            }
            Message::TransferRequest(request) => {
                writer.byte(TRANSFER_REQUEST);
                writer.replica(&request.from);
                writer.number(request.id);
                writer.clock(&request.clock);
                writer.option(request.resume.as_ref(), Writer::resume);
            }
            Message::TransferAck(ack) => {
                writer.byte(TRANSFER_ACK);
                writer.replica(&ack.from);
                writer.number(ack.id);
                writer.number(ack.sections.len() as u64);
                ack.sections.iter().for_each(|section| writer.section(section));
                writer.option(ack.resume.as_ref(), Writer::resume);
            }
            Message::Farewell { from } => {
                writer.byte(FAREWELL);
                writer.replica(from);
            }
        }
    }

    /// Reads one message, which must be all there is.
    ///
    /// # Errors
    ///
    /// [`WireError`], when no machine wrote this.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader { rest: bytes };
        let version = reader.byte()?;
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        let message = match reader.byte()? {
            HEARTBEAT => Message::Heartbeat(Heartbeat {
                from: reader.replica()?,
                clock: reader.clock()?,
                answer: if reader.flag()? { Answer::Wanted } else { Answer::Unneeded },
                section: reader.option(Reader::section)?,
            }),
            TRANSFER_REQUEST => Message::TransferRequest(TransferRequest {
                from: reader.replica()?,
                id: reader.number()?,
                clock: reader.clock()?,
                resume: reader.option(Reader::resume)?,
            }),
            TRANSFER_ACK => Message::TransferAck(TransferAck {
                from: reader.replica()?,
                id: reader.number()?,
                sections: reader.list(Reader::section)?,
                resume: reader.option(Reader::resume)?,
            }),
            FAREWELL => Message::Farewell { from: reader.replica()? },
            _ => return Err(WireError::Invalid("the kind")),
        };
        match reader.rest.len() {
            0 => Ok(message),
            more => Err(WireError::Trailing(more)),
        }
    }
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.out.extend_from_slice(text.as_bytes());
    }

    fn option<T>(&mut self, value: Option<&T>, write: fn(&mut Self, &T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn replica(&mut self, replica: &ReplicaRef) {
        self.text(&replica.name);
        self.number(replica.version);
    }

    fn clock(&mut self, clock: &Clock) {
        self.number(clock.iter().len() as u64);
        for (replica, clock) in clock.iter() {
            self.replica(replica);
            self.number(*clock);
        }
    }

    fn resume(&mut self, resume: &Resume) {
        self.replica(&resume.replica);
        self.option(resume.within.as_ref(), |writer, (after, upto)| {
            writer.number(*after);
            writer.number(*upto);
        });
    }

    fn ranges(&mut self, ranges: &Ranges) {
        self.number(ranges.runs().len() as u64);
        let mut least = 0;
        for (first, last) in ranges.runs() {
            self.number(first - least);
            self.number(last - first);
            // Runs do not touch.
            least = last.saturating_add(2);
        }
    }

    fn section(&mut self, section: &Section) {
        self.replica(&section.replica);
        self.number(section.after);
        self.number(section.upto - section.after);
        match &section.basis {
            Basis::Delta { gone } => {
                self.byte(0);
                self.ranges(gone);
            }
            Basis::State { kept } => {
                self.byte(1);
                self.ranges(kept);
            }
        }
        self.number(section.presences.len() as u64);
        let (mut topics, mut before) = (HashMap::new(), section.after);
        for presence in &section.presences {
            self.number(presence.clock - before - 1);
            before = presence.clock;
            let next = topics.len() as u64 + 1;
            match topics.get(&*presence.topic) {
                Some(known) => self.number(*known),
                None => {
                    topics.insert(&*presence.topic, next);
                    self.number(0);
                    self.text(&presence.topic);
                }
            }
            self.text(&presence.key);
            self.text(presence.meta.as_str());
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, WireError> {
        let (byte, rest) = self.rest.split_first().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn flag(&mut self) -> Result<bool, WireError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Invalid("a flag")),
        }
    }

    fn number(&mut self) -> Result<u64, WireError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let group = u64::from(byte & 0x7f);
            if shift == 63 && group > 1 {
                return Err(WireError::Invalid("a number"));
            }
            number |= group << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(WireError::Invalid("a number"))
    }

    fn text(&mut self) -> Result<&str, WireError> {
        let len = usize::try_from(self.number()?).map_err(|_| WireError::Truncated)?;
        let (text, rest) = self.rest.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| WireError::Invalid("a text"))
    }

    fn option<T>(&mut self, read: fn(&mut Self) -> Result<T, WireError>) -> Result<Option<T>, WireError> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    fn list<T>(&mut self, read: fn(&mut Self) -> Result<T, WireError>) -> Result<Vec<T>, WireError> {
        // Memory grows with what is really there, whatever the count says.
        (0..self.number()?).map(|_| read(self)).collect()
    }

    fn replica(&mut self) -> Result<ReplicaRef, WireError> {
        Ok(ReplicaRef { name: self.text()?.into(), version: self.number()? })
    }

    fn clock(&mut self) -> Result<Clock, WireError> {
        let clocks = self.list(|reader| Ok((reader.replica()?, reader.number()?)))?;
        Ok(clocks.into_iter().collect())
    }

    fn resume(&mut self) -> Result<Resume, WireError> {
        let replica = self.replica()?;
        let within = self.option(|reader| Ok((reader.number()?, reader.number()?)))?;
        Ok(Resume { replica, within })
    }

    fn ranges(&mut self) -> Result<Ranges, WireError> {
        let invalid = WireError::Invalid("a set of clocks");
        let (mut ranges, mut least) = (Ranges::default(), Some(0u64));
        for _ in 0..self.number()? {
            let first = least.and_then(|least| least.checked_add(self.number().ok()?)).ok_or(invalid)?;
            let last = first.checked_add(self.number()?).ok_or(invalid)?;
            ranges.insert(first, last);
            least = last.checked_add(2);
        }
        Ok(ranges)
    }

    fn section(&mut self) -> Result<Section, WireError> {
        let invalid = WireError::Invalid("a clock");
        let replica = self.replica()?;
        let after = self.number()?;
        let upto = after.checked_add(self.number()?).ok_or(invalid)?;
        let basis = match self.flag()? {
            false => Basis::Delta { gone: self.ranges()? },
            true => Basis::State { kept: self.ranges()? },
        };
        let (mut topics, mut presences, mut before) = (Vec::<Arc<str>>::new(), Vec::new(), after);
        for _ in 0..self.number()? {
            let clock = self.number()?.checked_add(1).and_then(|gap| before.checked_add(gap));
            before = clock.filter(|clock| *clock <= upto).ok_or(invalid)?;
            let topic = match self.number()? {
                0 => {
                    topics.push(self.text()?.into());
                    topics.last()
                }
                known => usize::try_from(known - 1).ok().and_then(|known| topics.get(known)),
            };
            let topic = topic.ok_or(WireError::Invalid("a topic"))?.clone();
            let (key, meta) = (self.text()?.into(), EncodedMeta::new(self.text()?));
            presences.push(Presence { clock: before, topic, key, meta });
        }
        Ok(Section { replica, after, upto, basis, presences })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replica() -> impl Strategy<Value = ReplicaRef> {
        ("[a-z@.]{0,8}", any::<u64>()).prop_map(|(name, version)| ReplicaRef { name: name.into(), version })
    }

    fn clock() -> impl Strategy<Value = Clock> {
        prop::collection::vec((replica(), any::<u64>()), 0..4).prop_map(|clocks| clocks.into_iter().collect())
    }

    fn ranges() -> impl Strategy<Value = Ranges> {
        let end = prop_oneof![Just(u64::MAX), any::<u64>(), 0..50u64];
        prop::collection::vec((end.clone(), end), 0..6).prop_map(|runs| {
            let mut ranges = Ranges::default();
            runs.into_iter().for_each(|(one, other)| ranges.insert(one.min(other), one.max(other)));
            ranges
        })
    }

    fn presences() -> impl Strategy<Value = Vec<(u64, String, String, String)>> {
        prop::collection::vec((1..300u64, "[ab]{0,2}", ".{0,5}", ".{0,9}"), 0..9)
    }

    fn section() -> impl Strategy<Value = Section> {
        let after = prop_oneof![0..10u64, Just(u64::MAX - 10_000)];
        (replica(), after, 0..5u64, any::<bool>(), ranges(), presences()).prop_map(
            |(replica, after, more, is_state, clocks, presences)| {
                let mut clock = after;
                let presences: Vec<Presence> = presences
                    .into_iter()
                    .map(|(gap, topic, key, meta)| {
                        clock += gap;
                        Presence { clock, topic: topic.into(), key: key.into(), meta: EncodedMeta::new(meta) }
                    })
                    .collect();
                let basis =
                    if is_state { Basis::State { kept: clocks } } else { Basis::Delta { gone: clocks } };
                Section { replica, after, upto: clock + more, basis, presences }
            },
        )
    }

    fn resume() -> impl Strategy<Value = Option<Resume>> {
        let within = prop::option::of(any::<(u64, u64)>());
        prop::option::of((replica(), within).prop_map(|(replica, within)| Resume { replica, within }))
    }

    fn message() -> impl Strategy<Value = Message> {
        let answer = prop_oneof![Just(Answer::Wanted), Just(Answer::Unneeded)];
        prop_oneof![
            (replica(), clock(), prop::option::of(section()), answer).prop_map(
                |(from, clock, section, answer)| Message::Heartbeat(Heartbeat {
                    from,
                    clock,
                    section,
                    answer
                })
            ),
            (replica(), any::<u64>(), clock(), resume()).prop_map(|(from, id, clock, resume)| {
                Message::TransferRequest(TransferRequest { from, id, clock, resume })
            }),
            (replica(), any::<u64>(), prop::collection::vec(section(), 0..3), resume()).prop_map(
                |(from, id, sections, resume)| Message::TransferAck(TransferAck {
                    from,
                    id,
                    sections,
                    resume
                })
            ),
            replica().prop_map(|from| Message::Farewell { from }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_was_written_is_read_and_nothing_less(message in message(), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            prop_assert_eq!(Message::decode(&bytes), Ok(message));
            prop_assert!(Message::decode(&bytes[..cut.index(bytes.len())]).is_err());
            bytes.push(0);
            prop_assert_eq!(Message::decode(&bytes), Err(WireError::Trailing(1)));
        }

        #[test]
        fn no_bytes_can_panic(message in message(), changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4)) {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(read) = Message::decode(&bytes) {
                // What can be read can be written, and is the same again.
                let mut again = Vec::new();
                read.encode(&mut again);
                prop_assert_eq!(Message::decode(&again), Ok(read));
            }
        }
    }

    #[test]
    fn a_message_has_this_form() {
        let from = ReplicaRef { name: "a".into(), version: 300 };
        let mut bytes = Vec::new();
        let presence = |clock, key: &str| Presence {
            clock,
            topic: "t".into(),
            key: key.into(),
            meta: EncodedMeta::new("{}"),
        };
        let mut gone = Ranges::run(2, 3);
        gone.insert(6, 6);
        let section = Section {
            replica: from.clone(),
            after: 6,
            upto: 10,
            basis: Basis::Delta { gone },
            presences: vec![presence(7, "k"), presence(10, "l")],
        };
        let clock = [(from.clone(), 10)].into_iter().collect();
        Message::Heartbeat(Heartbeat { from, clock, section: Some(section), answer: Answer::Wanted })
            .encode(&mut bytes);
        let expected = b"\x01\x01\x01a\xac\x02\x01\x01a\xac\x02\x0a\x01\x01\x01a\xac\x02\x06\x04\x00\x02\x02\x01\x01\x00\x02\
            \x00\x00\x01t\x01k\x02{}\x02\x01\x01l\x02{}";
        assert_eq!(bytes, expected);
    }

    #[test]
    fn another_version_says_so() {
        assert_eq!(Message::decode(&[2, 1]), Err(WireError::Version(2)));
        assert_eq!(Message::decode(&[]), Err(WireError::Truncated));
        assert_eq!(Message::decode(&[1, 9]), Err(WireError::Invalid("the kind")));
        let endless = [1, 4, 1, b'a', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(Message::decode(&endless), Err(WireError::Invalid("a number")));
    }
}
