//! A session under any conversation: nothing panics, the table stays within its bound, and all that it
//! sends can be read.
#![no_main]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bennu_protocol::{
    Data, FrameKind, Incoming, JoinRefRule, Payload, Serializer, ServerSession, SessionConfig, SessionEvent,
    Status,
};
use libfuzzer_sys::fuzz_target;

const MAX_CHANNELS: usize = 3;

// The first byte chooses the session, every other line is a frame; what the line before ends with chooses how the application
// answers.
fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, conversation)) = bytes.split_first() else { return };
    let serializer = if choice & 1 == 0 { Serializer::V2 } else { Serializer::V1 };
    let config = SessionConfig {
        patterns: ["room:*", "exact"].iter().map(|pattern| pattern.parse().expect("a pattern")).collect(),
        max_channels: MAX_CHANNELS,
        join_ref_rule: if choice & 2 == 0 { JoinRefRule::Lenient } else { JoinRefRule::Strict },
        idle_timeout: Some(Duration::from_secs(60)),
        errors_unmatched: choice & 128 != 0,
    };
    let now = Instant::now();
    let mut session = ServerSession::new(serializer, Arc::new(config), now);
    if choice & 64 != 0 {
        session.accept_renewals();
    }
    for line in conversation.split(|byte| *byte == b'\n') {
        let (kind, bytes) = match line.split_first() {
            Some((0, rest)) => (FrameKind::Binary, rest),
            _ => (FrameKind::Text, line),
        };
        let Ok(mut first) = session.receive(Incoming { kind, data: Data::Here(bytes) }) else { break };
        let answer = line.last().copied().unwrap_or_default();
        while let Some(event) = first.take().or_else(|| session.poll_event()) {
            if answer_event(&mut session, event, answer ^ choice).is_none() {
                return;
            }
        }
        while let Some(frame) = session.poll_transmit() {
            if frame.kind() == FrameKind::Text {
                serde_json::from_slice::<serde_json::Value>(&frame.payload()).expect("what is sent is JSON");
            }
        }
    }
});

/// Answers as an application might; `None` when the session cannot go on.
fn answer_event(session: &mut ServerSession, event: SessionEvent, answer: u8) -> Option<()> {
    let done = match event {
        SessionEvent::Join { channel, .. } if answer & 4 == 0 => {
            session.accept_join(channel, &Payload::empty())
        }
        SessionEvent::Join { channel, .. } if answer & 8 == 0 => {
            session.refuse_join(channel, &Payload::empty())
        }
        // Still joining: later messages for it have to wait.
        SessionEvent::Join { .. } => Ok(()),
        SessionEvent::Leave { channel, reference } => session.left(channel, reference.as_ref()),
        SessionEvent::Message { channel, .. } if answer & 16 != 0 => session.crash(channel),
        SessionEvent::Message { channel, .. } if answer & 32 != 0 => session.stop(channel),
        SessionEvent::Renew { renewal, .. } => {
            session.answer_renewal(&renewal, &Status::Ok, &Payload::empty())
        }
        SessionEvent::Message { .. } | SessionEvent::Replaced { .. } | SessionEvent::Idle => Ok(()),
    };
    done.ok()
}
