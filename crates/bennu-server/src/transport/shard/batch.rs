//! What all subscribers of a topic get, built once.

use bennu_protocol::{Broadcast, Frame};
use bennu_pubsub::Delivery;
use bytes::{Bytes, BytesMut};

use super::lane::Audience;
use super::topics::Pending;
use crate::mailbox::{Mailbox, Subscription};
use crate::socket::TransportKind;
use crate::turn::{self, Counts};

/// The broadcasts of one flight, as runs of bytes.
pub(super) struct Batch<'a> {
    broadcasts: &'a [Pending],
    /// Whether somebody is left out.
    is_partial: bool,
    variants: Vec<Variant>,
}

/// What one kind of subscriber gets.
struct Variant {
    audience: Audience,
    /// `None` when each of them takes the broadcasts on its own.
    run: Option<Run>,
    sent: Sent,
}

/// Frames behind each other, to be written at once.
pub(crate) struct Run {
    pub(crate) bytes: Bytes,
    pub(crate) frames: Vec<(Frame, Delivery)>,
}

/// What went to sockets, for metrics.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

impl<'a> Batch<'a> {
    pub(super) fn new(broadcasts: &'a [Pending]) -> Self {
        let is_partial = broadcasts.iter().any(|pending| pending.from.is_some());
        Batch { broadcasts, is_partial, variants: Vec::new() }
    }

    /// The run that a subscriber gets as it is, and where to count it; `None` when it has to take the
    /// broadcasts on its own.
    pub(super) fn run_for(&mut self, mailbox: &Mailbox, token: u64) -> Option<(&Run, &mut Sent)> {
        let route = Subscription::from_token(token)?.route?;
        if self.is_partial && self.broadcasts.iter().any(|one| one.is_from(mailbox.id.owner(), token)) {
            return None;
        }
        let is_known = |variant: &Variant| variant.audience.is(mailbox, route);
        let index = self.variants.iter().position(is_known).unwrap_or_else(|| {
            let audience = mailbox.audience(route);
            let run = self.build(&audience);
            self.variants.push(Variant { audience, run, sent: Sent::default() });
            self.variants.len() - 1
        });
        let variant = &mut self.variants[index];
        Some((variant.run.as_ref()?, &mut variant.sent))
    }

    /// Counts what was sent.
    pub(super) fn record(&self) {
        for Variant { audience, sent, .. } in &self.variants {
            let counts = Counts { sent_frames: sent.frames, sent_bytes: sent.bytes, ..Counts::default() };
            turn::count(&audience.mount, TransportKind::WebSocket, counts);
        }
    }

    fn build(&self, audience: &Audience) -> Option<Run> {
        let frame = |pending: &Pending| {
            let broadcast = pending.delivery.get::<Broadcast>()?;
            if audience.intercepts(broadcast.event()) {
                return None;
            }
            let frame = broadcast.frame(audience.encoding).ok()?;
            Some((frame.clone(), pending.delivery.clone()))
        };
        let frames: Vec<_> = self.broadcasts.iter().map(frame).collect::<Option<_>>()?;
        let bytes = match &frames[..] {
            [(frame, _)] => frame.clone().into_websocket(),
            frames => {
                let mut bytes = BytesMut::with_capacity(frames.iter().map(|(frame, _)| frame.len()).sum());
                frames.iter().for_each(|(frame, _)| bytes.extend_from_slice(&frame.clone().into_websocket()));
                bytes.freeze()
            }
        };
        Some(Run { bytes, frames })
    }
}
