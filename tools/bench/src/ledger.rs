//! Who has received what: the order of every sender at every receiver.

use crate::fault::Fault;
use crate::payload::{Payloads, Stamp};
use crate::topics::SHARED;

/// Due of a sender whose messages a receiver has not heard yet, and that it joined in the middle of.
const ANY: u64 = u64::MAX;

/// The next sequence that is due, for each receiver and sender.
#[derive(Debug)]
pub(crate) struct Ledger {
    payloads: Payloads,
    senders: usize,
    /// `receiver * senders + sender`; [`ANY`] before the first.
    due: Vec<u64>,
    deliveries: u64,
}

impl Ledger {
    pub(crate) fn new(receivers: usize, senders: usize, size: usize) -> Self {
        Self { payloads: Payloads::new(size), senders, due: vec![0; receivers * senders], deliveries: 0 }
    }

    /// Appends the payload of a message.
    pub(crate) fn write(&self, out: &mut Vec<u8>, stamp: Stamp) {
        self.payloads.write(out, stamp);
    }

    /// Notes a delivery on the shared topic, which must be the next of its sender.
    pub(crate) fn receive(
        &mut self,
        link: usize,
        topic: Option<&str>,
        payload: &[u8],
    ) -> Result<Stamp, Fault> {
        if topic.is_some_and(|topic| topic != SHARED) {
            return Err(Fault::Stray { link, what: format!("a delivery on {topic:?}") });
        }
        let stamp = self.payloads.read(payload).map_err(|cause| Fault::Corrupted { link, cause })?;
        let sender = stamp.sender as usize;
        if sender >= self.senders {
            return Err(Fault::Stray { link, what: format!("a message of sender {sender}, who is none") });
        }
        let due = &mut self.due[link * self.senders + sender];
        if *due == ANY {
            *due = stamp.sequence;
        }
        match stamp.sequence.cmp(due) {
            std::cmp::Ordering::Less => Err(Fault::Repeated { link, stamp, due: *due }),
            std::cmp::Ordering::Greater => Err(Fault::Skipped { link, stamp, due: *due }),
            std::cmp::Ordering::Equal => {
                *due += 1;
                self.deliveries += 1;
                Ok(stamp)
            }
        }
    }

    /// How many deliveries were right.
    pub(crate) fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// A receiver begins anew, in the middle of what is sent: whatever it gets first of a sender is right.
    pub(crate) fn begin_anew(&mut self, link: usize) {
        self.due[link * self.senders..][..self.senders].fill(ANY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_message_is_right() {
        let mut ledger = Ledger::new(2, 2, 64);
        let payload = |sender, sequence| {
            let mut out = Vec::new();
            Payloads::new(64).write(&mut out, Stamp { sender, sequence });
            out
        };
        for (link, sender, sequence, fits) in [
            (0, 0, 0, true),
            (0, 1, 0, true),
            (0, 0, 1, true),
            (0, 0, 1, false),
            (0, 0, 3, false),
            (1, 0, 1, false),
            (1, 0, 0, true),
            (1, 2, 0, false),
        ] {
            let received = ledger.receive(link, Some(SHARED), &payload(sender, sequence));
            assert_eq!(received.is_ok(), fits, "{link} {sender} {sequence}: {received:?}");
        }
        assert!(ledger.receive(1, Some("room:other"), &payload(0, 1)).is_err());
        assert_eq!(ledger.deliveries(), 4);
        ledger.begin_anew(1);
        assert!(ledger.receive(1, Some(SHARED), &payload(0, 9)).is_ok());
        assert!(ledger.receive(1, Some(SHARED), &payload(0, 11)).is_err());
    }
}
