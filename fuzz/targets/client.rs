//! A client session under any server: nothing panics, each push ends once at most, and all that it sends can be read by a server.
#![no_main]

use std::collections::BTreeSet;
use std::time::Duration;

use bennu_protocol::client::{
    ClientConfig, ClientEvent, ClientSession, ConnectionEnd, Push, PushId, SendBuffer,
};
use bennu_protocol::{Data, FrameKind, Incoming, Payload, Serializer};
use libfuzzer_sys::fuzz_target;

// The first byte chooses the session; every other line is a frame of the server, or what the application does next.
fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, conversation)) = bytes.split_first() else { return };
    let serializer = if choice & 1 == 0 { Serializer::V2 } else { Serializer::V1 };
    let buffer = SendBuffer::default().max_pushes(3);
    let buffer = if choice & 2 == 0 { buffer } else { buffer.drop_oldest() };
    let mut session = ClientSession::new(ClientConfig::default().serializer(serializer).send_buffer(buffer));
    let (mut now, mut ended) = (Duration::ZERO, BTreeSet::new());
    session.connect(now);
    for line in conversation.split(|byte| *byte == b'\n') {
        match line.split_first() {
            Some((1, [what, rest @ ..])) => act(&mut session, *what, rest, &mut now),
            Some((0, rest)) => receive(&mut session, FrameKind::Binary, rest, now),
            _ => receive(&mut session, FrameKind::Text, line, now),
        }
        hear(&mut session, now, &mut ended);
        if choice & 4 == 0 {
            transmit(&mut session, serializer);
        }
    }
});

fn receive(session: &mut ClientSession, kind: FrameKind, bytes: &[u8], now: Duration) {
    // What is no message is passed over.
    let _ = session.handle_frame(Incoming { kind, data: Data::Here(bytes) }, now);
}

fn act(session: &mut ClientSession, what: u8, rest: &[u8], now: &mut Duration) {
    let topic = format!("room:{}", what >> 6);
    let channel = session.channel(&topic);
    // Refusals are answers, too.
    match (what & 15, channel) {
        (0, _) => session.handle_open(*now),
        (1, _) => session.handle_close(ConnectionEnd::lost(), *now),
        (2, _) => session.disconnect(1000, "", *now),
        (3, _) => session.connect(*now),
        (4 | 5, _) => {
            let _ = session.join(topic, None, *now);
        }
        (6, _) => {
            session.join_replacing(topic, None, *now);
        }
        (7, Some(channel)) => {
            session.leave(channel, *now);
        }
        (8..=11, Some(channel)) => {
            let push = Push::new("e", Payload::binary(rest.to_vec()));
            let _ = session.push(channel, if what & 16 == 0 { push } else { push.retry_unconfirmed() }, *now);
        }
        (12, _) => {
            session.ping(*now);
        }
        (_, _) => {
            *now += Duration::from_millis(100 * u64::from(what));
            session.handle_timeout(*now);
        }
    }
}

fn hear(session: &mut ClientSession, now: Duration, ended: &mut BTreeSet<PushId>) {
    while let Some(event) = session.poll_event() {
        match event {
            ClientEvent::JoinDue { channel, .. } => {
                // What became due later in the same moment may have undone it.
                let _ = session.send_join(channel, Payload::empty(), now);
            }
            ClientEvent::PushEnded { push, .. } => assert!(ended.insert(push), "{push:?} ends twice"),
            _ => {}
        }
    }
}

fn transmit(session: &mut ClientSession, serializer: Serializer) {
    while let Some(frame) = session.poll_transmit() {
        serializer.decode(frame).expect("a server reads what a client writes");
    }
}
