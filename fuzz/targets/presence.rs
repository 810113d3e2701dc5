//! What nodes tell each other about presence: whatever is read can be written and read again, and no sequence of messages panics a machine
//! or makes its counts wrong.
#![no_main]

use std::time::Duration;

use bennu_presence::replica::{EncodedMeta, Machine, Message, OwnerId, ReplicaOptions, ReplicaRef};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let me = ReplicaRef { name: "me".into(), version: 1 };
    let options = ReplicaOptions::default().max_message_bytes(64);
    let mut machine = Machine::new(me, options, Duration::ZERO);
    let mut now = Duration::ZERO;
    let mut rest = bytes;
    // Each message has its length in front, and how long after the one before it came.
    while let Some(([high, low, wait], more)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(more.len());
        let (message, more) = more.split_at(len);
        rest = more;
        now += Duration::from_secs(u64::from(*wait));
        machine.handle_timeout(now);
        let _ = machine.join(OwnerId(u64::from(*low)), "t", "key", EncodedMeta::new("{}"));
        if let Ok(message) = Message::decode(message) {
            let mut again = Vec::new();
            message.encode(&mut again);
            assert_eq!(Message::decode(&again).as_ref(), Ok(&message));
            machine.receive(message, now);
        }
        while let Some((_, message)) = machine.poll_message() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            assert_eq!(Message::decode(&bytes), Ok(message));
        }
        while let Some(diff) = machine.poll_change() {
            check(&machine, &diff.topic);
        }
    }
});

fn check(machine: &Machine, topic: &str) {
    let Some(topic) = machine.topic(topic) else { return };
    assert_eq!(topic.count(), topic.keys().count());
    assert_eq!(topic.count_metas(), topic.keys().map(|key| key.metas().count()).sum::<usize>());
}
