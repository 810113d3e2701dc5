//! What is counted of the link between the nodes, through the `metrics` facade.

use metrics::{Counter, Gauge, counter, gauge};

use super::outbox::Packet;
use super::packet::Refused;

/// The metrics of a cluster, by name: what they count.
pub const METRICS: [(&str, &str); 11] = [
    ("bennu_pubsub_sent_messages_total", "Messages that were handed to the engine."),
    ("bennu_pubsub_sent_packets_total", "Packets in which they were published."),
    ("bennu_pubsub_sent_bytes_total", "Bytes of these packets."),
    ("bennu_pubsub_received_messages_total", "Messages of other nodes that had subscribers here."),
    ("bennu_pubsub_received_packets_total", "Packets of other nodes."),
    ("bennu_pubsub_received_bytes_total", "Bytes of these packets."),
    ("bennu_pubsub_missed_messages_total", "Messages of other nodes that did not arrive."),
    (
        "bennu_pubsub_dropped_messages_total",
        "Messages that never left, by reason: queue_full, too_large, not_encodable.",
    ),
    (
        "bennu_pubsub_refused_packets_total",
        "Packets that were not genuine, by reason: version, mac, malformed.",
    ),
    ("bennu_pubsub_link_up", "1 while the engine is there."),
    ("bennu_pubsub_queue_bytes", "Bytes that wait for the engine."),
];

pub(crate) struct Meters {
    pub(crate) sent_messages: Counter,
    pub(crate) sent_packets: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) received_messages: Counter,
    pub(crate) received_packets: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) missed: Counter,
    pub(crate) queue_full: Counter,
    pub(crate) too_large: Counter,
    pub(crate) not_encodable: Counter,
    refused_version: Counter,
    refused_mac: Counter,
    refused_malformed: Counter,
    pub(crate) link_up: Gauge,
    pub(crate) queue_bytes: Gauge,
}

/// What packets come to.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sums {
    messages: u64,
    packets: u64,
    bytes: u64,
}

impl Sums {
    pub(crate) fn of(packets: &[Packet]) -> Self {
        Sums {
            messages: packets.iter().map(Packet::messages).sum(),
            packets: packets.len() as u64,
            bytes: packets.iter().map(|packet| packet.bytes.len() as u64).sum(),
        }
    }

    pub(crate) fn subtract(&mut self, other: Sums) {
        self.messages = self.messages.saturating_sub(other.messages);
        self.packets = self.packets.saturating_sub(other.packets);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

impl Meters {
    pub(crate) fn published(&self, sums: Sums) {
        self.sent_messages.increment(sums.messages);
        self.sent_packets.increment(sums.packets);
        self.sent_bytes.increment(sums.bytes);
    }

    pub(crate) fn new() -> Self {
        let dropped =
            |reason: &'static str| counter!("bennu_pubsub_dropped_messages_total", "reason" => reason);
        let refused =
            |refused: Refused| counter!("bennu_pubsub_refused_packets_total", "reason" => refused.label());
        Meters {
            sent_messages: counter!("bennu_pubsub_sent_messages_total"),
            sent_packets: counter!("bennu_pubsub_sent_packets_total"),
            sent_bytes: counter!("bennu_pubsub_sent_bytes_total"),
            received_messages: counter!("bennu_pubsub_received_messages_total"),
            received_packets: counter!("bennu_pubsub_received_packets_total"),
            received_bytes: counter!("bennu_pubsub_received_bytes_total"),
            missed: counter!("bennu_pubsub_missed_messages_total"),
            queue_full: dropped("queue_full"),
            too_large: dropped("too_large"),
            not_encodable: dropped("not_encodable"),
            refused_version: refused(Refused::Version),
            refused_mac: refused(Refused::Mac),
            refused_malformed: refused(Refused::Malformed),
            link_up: gauge!("bennu_pubsub_link_up"),
            queue_bytes: gauge!("bennu_pubsub_queue_bytes"),
        }
    }

    pub(crate) fn refused(&self, refused: Refused) {
        let counter = match refused {
            Refused::Version => &self.refused_version,
            Refused::Mac => &self.refused_mac,
            Refused::Malformed => &self.refused_malformed,
        };
        counter.increment(1);
    }
}
