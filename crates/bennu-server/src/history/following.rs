//! A channel that follows its topic's history.

use bennu_protocol::{EncodeError, Payload};

use super::position::{self, Recover};
use super::ring::{Lost, Seat};
use super::{Recovery, Replay};
use crate::context::ContextCore;
use crate::joined::Waiting;

/// What a channel on a route with a history knows of its client's position.
pub(crate) struct Following {
    recover: Recover,
    recovery: Recovery,
    seat: Option<Seat>,
}

impl Following {
    /// For a join with these params.
    pub(crate) fn new(params: &Payload) -> Self {
        Following { recover: Recover::of(params), recovery: Recovery::NotAsked, seat: None }
    }

    pub(crate) fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Subscribes the channel. Returns the join's response with the client's position in it,
    /// and what the client missed.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the response cannot carry the position.
    pub(crate) fn begin(
        &mut self,
        core: &ContextCore,
        response: &Payload,
    ) -> Result<(Payload, Option<Replay>), EncodeError> {
        let ring = core.client.endpoint.ring(&core.topic);
        let ring = ring.expect("at least the channel's own route keeps a history of the topic");
        let (seat, found) = ring.join(&self.recover, || drop(core.subscribe()));
        self.seat = Some(seat);
        let missed = found.missed.map(|missed| {
            let mailbox = core.mailbox();
            let missed = missed?;
            let items = missed.iter().filter_map(|missed| mailbox.item(core.own_subscription(), missed));
            Replay::new(mailbox, items.filter_map(Waiting::broadcast).collect()).ok_or(Lost::TooMuch)
        });
        let (offset, recovered) = match (&missed, &self.recover) {
            (Some(Ok(_)), Recover::Since(position)) => (position.offset, Some(true)),
            (Some(_), _) => (found.newest, Some(false)),
            (None, _) => (found.newest, None),
        };
        let response = position::tell(response, &found.epoch, offset, recovered)?;
        self.note(core, missed.as_ref().map(|missed| missed.as_ref().err().copied()));
        Ok((response, missed.and_then(Result::ok)))
    }

    /// The position that was told the client may not count all that other nodes broadcast: it is worth nothing later on.
    pub(crate) fn miss(&self) {
        self.seat.iter().for_each(Seat::miss);
    }

    /// The channel is not subscribed any more.
    pub(crate) fn end(&mut self) {
        self.seat = None;
    }

    /// Remembers, counts and logs what came of a recovery, if one was asked for.
    fn note(&mut self, core: &ContextCore, asked: Option<Option<Lost>>) {
        let Some(lost) = asked else { return };
        let metrics = core.metrics();
        match lost {
            None => {
                self.recovery = Recovery::Recovered;
                metrics.recovered.increment(1);
            }
            Some(lost) => {
                self.recovery = Recovery::Lost;
                metrics.not_recovered.increment(1);
                let connection = core.mailbox().id.owner();
                let topic = &*core.topic;
                tracing::info!(connection, ?topic, reason = %lost, "a client could not recover");
            }
        }
    }
}
