//! What a connection does for a client that reads more slowly than messages come.

use std::task::Context;

use bennu_protocol::websocket::close;
use bennu_protocol::{Broadcast, ChannelId, Frame};
use bennu_pubsub::{Delivery, Place};

use super::Connection;
use super::lane::Dropped;
use super::outbox::{Bounds, Fastlaned};
use crate::channel::TerminateReason;
use crate::joined::{Waiting, discard};
use crate::mailbox::Item;

impl Connection {
    /// Sorts what the mailbox held, as long as there is room for it.
    pub(super) fn sort_all(&mut self, items: impl IntoIterator<Item = Item, IntoIter: ExactSizeIterator>) {
        let mut items = items.into_iter();
        while let Some(item) = items.next() {
            let ends = matches!(item, Item::Drain | Item::Revoked(_) | Item::Close(_));
            let channel = if let Item::Fastlane { channel, .. } | Item::Missed { channel } = &item {
                Some(*channel)
            } else {
                None
            };
            let has_missed = matches!(item, Item::Missed { .. });
            if (ends || self.make_room()) && self.sort(item) {
                continue;
            }
            if let Some(channel) = channel {
                self.with_route(channel, |metrics| metrics.slow_readers.increment(1));
            }
            match has_missed {
                true => self.end_at_hole(items.len()),
                false => self.overflow(items.len() + 1),
            }
            items.for_each(discard);
            return;
        }
    }

    /// Queues a broadcast that goes to the client as it is; false if the connection has to close for it.
    pub(super) fn sort_broadcast(
        &mut self,
        channel: ChannelId,
        frame: Frame,
        place: Option<Place>,
        delivery: Option<Delivery>,
    ) -> bool {
        let Some(joined) = self.joined(channel) else { return true };
        let (route_index, holds, held) = (joined.route, joined.holds_broadcasts(), joined.backlog_bytes());
        let mount = self.mount.clone();
        let route = &mount.routes[usize::from(route_index)];
        let (Some(policy), Some(delivery)) = (&route.slow_reader, delivery) else {
            match holds {
                true => self.enqueue(channel, Waiting::Frame { frame, place }),
                false => self.outbox.push(frame),
            }
            return true;
        };
        if holds && !self.outbox.is_lost(channel) {
            if !policy.is_exceeded(held, 0) {
                self.enqueue(channel, Waiting::Frame { frame, place });
                return true;
            }
            if policy.disconnects() {
                return false;
            }
            self.outbox.lose(channel, route_index, policy);
        }
        // Counted as held back: it may be dropped, so it is in nobody's way.
        self.mailbox.held(frame.len());
        let is_vital = delivery.get::<Broadcast>().is_none_or(|broadcast| route.is_vital(broadcast.event()));
        let broadcast = Fastlaned { channel, route: route_index, policy, frame, delivery, is_vital };
        let fits = self.outbox.broadcast(broadcast);
        self.report_dropped();
        fits
    }

    /// A channel's shard has lost some of what was broadcast to it, the newest, so it cannot go on, lossy or not;
    /// false if the connection has to close for it.
    pub(super) fn miss(&mut self, channel: ChannelId) -> bool {
        let Some(route_index) = self.joined(channel).map(|joined| joined.route) else { return true };
        let mount = self.mount.clone();
        let policy = mount.routes[usize::from(route_index)].slow_reader.as_ref();
        let Some(policy) = policy.filter(|policy| !policy.disconnects()) else { return false };
        self.outbox.lose(channel, route_index, policy);
        self.report_dropped();
        true
    }

    /// Closes behind what came before something was lost; `unsorted` items came after it.
    fn end_at_hole(&mut self, unsorted: usize) {
        let connection = self.mailbox.id.owner();
        tracing::warn!(connection, "broadcasts to the client were lost and it is disconnected");
        self.transport_metrics().dropped_frames.increment(unsorted as u64);
        self.close_with(close::TRY_AGAIN_LATER);
        self.mailbox.close();
    }

    /// Whether so much waits that nothing more should be read from the client. What can be dropped is no reason.
    pub(super) fn is_congested(&self) -> bool {
        let waiting = self.mailbox.backlog().saturating_sub(self.outbox.droppable());
        waiting > self.mount.options.max_backlog / 2
    }

    /// Makes room for one message more; false if there is none to be made.
    fn make_room(&mut self) -> bool {
        let options = &self.mount.options;
        let bounds = Bounds { bytes: options.max_backlog, frames: options.max_backlog_frames };
        let held_by_channels = self.mailbox.held_bytes().saturating_sub(self.outbox.droppable());
        let fits = self.outbox.make_room(bounds, self.unsent + held_by_channels);
        self.report_dropped();
        fits
    }

    /// Drops all that waits, `unsorted` items among it, and closes.
    pub(super) fn overflow(&mut self, unsorted: usize) {
        tracing::warn!(
            connection = self.mailbox.id.owner(),
            "the client reads too slowly and is disconnected"
        );
        let dropped = unsorted + self.outbox.clear();
        self.transport_metrics().dropped_frames.increment(dropped as u64);
        self.close_with(close::TRY_AGAIN_LATER);
        self.mailbox.close();
    }

    /// Counts and logs what the outbox has dropped.
    fn report_dropped(&mut self) {
        let (mailbox, mount, transport) = (&self.mailbox, &self.mount, self.transport);
        let session = &self.session;
        self.outbox.report(|channel, route, dropped| {
            let Dropped { frames, bytes, is_first, ends } = dropped;
            mailbox.released(bytes);
            let metrics = mount.metrics.route(usize::from(route));
            metrics.dropped_broadcasts.increment(frames as u64);
            mount.metrics.transport(transport).dropped_frames.increment(frames as u64);
            if is_first {
                metrics.slow_readers.increment(1);
                let topic = session.names(channel).map(|(topic, _)| &**topic);
                let connection = mailbox.id.owner();
                tracing::info!(connection, ?topic, ends, "a client reads too slowly and misses broadcasts");
            }
        });
    }

    /// Ends the channels of which the client has missed something, once their handlers are done; true if
    /// there were any.
    pub(super) fn end_lost_channels(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        for channel in self.outbox.lost() {
            if self.joined(channel).is_some_and(|joined| joined.is_at_work()) {
                continue;
            }
            self.end_lost(channel, cx);
            any = true;
        }
        any
    }

    fn end_lost(&mut self, channel: ChannelId, cx: &mut Context<'_>) {
        // What came meanwhile is lost as well, and counted.
        self.drain_mailbox();
        let waiting = self.joined(channel).map(|joined| joined.waiting_broadcasts());
        if let Some(waiting) = waiting
            && let Some(ended) = self.remove(channel)
        {
            let metrics = self.mount.metrics.route(ended.core.route);
            metrics.dropped_broadcasts.increment(waiting as u64);
            self.transport_metrics().dropped_frames.increment(waiting as u64);
            self.terminate(Some(ended), TerminateReason::SlowReader, cx);
        }
        self.drain_mailbox();
        let told = self.session.outpace(channel);
        self.checked(told);
        self.transmit();
        self.outbox.forget(channel);
    }
}
