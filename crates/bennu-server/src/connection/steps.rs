//! What a connection does about the steps of its channels.

use std::task::{Context, Poll};

use bennu_protocol::{ChannelId, EncodeError, Payload, Ref, SessionError};
use futures_util::future::BoxFuture;

use super::Connection;
use crate::channel::{JoinRefusal, Reply, StopReason, TerminateReason};
use crate::context::ContextCore;
use crate::joined::{AnyChannel, Contexts, Joined, Step, Waiting, discard, guarded};
use crate::metrics::RouteMetrics;
use crate::mount::Mount;

/// A channel's `terminate` that waits for something.
pub(super) struct Ending {
    future: BoxFuture<'static, ()>,
    route: u16,
}

/// A channel that has left the table, and the context of its end, which ends its subscriptions when it
/// is dropped.
pub(super) struct Ended {
    pub(super) joined: Joined,
    pub(super) core: ContextCore,
}

impl Connection {
    /// Runs one channel, with `first` if that was given, until it waits or has nothing to do; true if
    /// anything happened.
    pub(super) fn run_channel(
        &mut self,
        place: usize,
        mut first: Option<Waiting>,
        cx: &mut Context<'_>,
    ) -> bool {
        let mut any = false;
        loop {
            let Connection { channels, session, client, mailbox, outbox, .. } = self;
            let Some(joined) = channels.at_mut(place) else { break };
            if self.steps_left == 0 {
                // The rest is for the next turn, which begins as soon as others had theirs.
                cx.waker().wake_by_ref();
                break;
            }
            let channel = ChannelId { index: place as u32, generation: joined.generation };
            if first.is_none() && !joined.is_at_work() && outbox.is_lost(channel) {
                // It has missed something, and is about to end: what came behind that is not for it.
                break;
            }
            let contexts = Contexts { client, session, channel };
            let before = joined.backlog_bytes();
            let step = match first.take() {
                Some(first) => joined.run(first, &contexts, cx),
                None => joined.step(&contexts, cx),
            };
            mailbox.released(before.saturating_sub(joined.backlog_bytes()));
            if matches!(step, Step::Pending | Step::Idle) {
                break;
            }
            any = true;
            self.steps_left -= 1;
            self.act(channel, step, cx);
        }
        self.channels.activate(place);
        any
    }

    /// Does what a step of a channel came to. What the handler sent is in the mailbox and goes first.
    fn act(&mut self, channel: ChannelId, step: Step, cx: &mut Context<'_>) {
        self.drain_mailbox();
        if let Some(joined) = self.joined(channel) {
            joined.settle();
        }
        match step {
            Step::Pending | Step::Idle | Step::Continue => {}
            Step::Accepted(response) => self.accept(channel, response),
            Step::Reached(response) => self.answer_join(channel, &response),
            Step::Refused(refusal) => self.refuse(channel, refusal),
            Step::Reply { reply, reference } => self.reply_or_crash(channel, &reply, reference.as_ref(), cx),
            Step::Frame(frame) => self.emit(frame),
            Step::Leave { reference } => {
                let ended = self.remove(channel);
                let left = self.session.left(channel, reference.as_ref());
                self.finish(ended, left, TerminateReason::Left, cx);
            }
            Step::Stop { reason, reply } => {
                if let Some((reply, reference)) = reply {
                    self.reply_or_crash(channel, &reply, reference.as_ref(), cx);
                }
                self.stop(channel, reason, cx);
            }
            Step::Crashed(error) => {
                self.crashed(channel, &error);
                self.fail(channel, TerminateReason::Crashed, cx);
            }
            Step::Panicked(panic) => {
                self.crashed(channel, &panic);
                self.fail(channel, TerminateReason::Crashed, cx);
            }
        }
    }

    fn accept(&mut self, channel: ChannelId, response: Payload) {
        let Connection { channels, session, client, .. } = self;
        let Some(joined) = channels.get_mut(channel) else { return };
        let (response, topic) = match joined.begin(response, &Contexts { client, session, channel }) {
            Ok(begun) => begun,
            Err(error) => return self.refuse(channel, JoinRefusal::Crashed(error.into())),
        };
        topic.iter().for_each(|topic| session.share_topic(channel, topic));
        let pubsub = client.endpoint.pubsub();
        if let Some(topic) = topic.filter(|topic| !pubsub.is_settled(topic)) {
            return joined.reach(pubsub, topic, response);
        }
        self.answer_join(channel, &response);
    }

    fn answer_join(&mut self, channel: ChannelId, response: &Payload) {
        let accepted = self.session.accept_join(channel, response);
        self.checked(accepted);
        self.transmit();
        self.with_route(channel, |metrics| metrics.joins_ok.increment(1));
        let (connection, topic) = (self.mailbox.id.owner(), self.topic(channel));
        tracing::info!(connection, ?topic, "joined");
    }

    fn refuse(&mut self, channel: ChannelId, refusal: JoinRefusal) {
        let response = match refusal {
            JoinRefusal::Refused(response) => {
                self.with_route(channel, |metrics| metrics.joins_refused.increment(1));
                let (connection, topic) = (self.mailbox.id.owner(), self.topic(channel));
                tracing::info!(connection, ?topic, "refused join");
                response
            }
            JoinRefusal::Crashed(error) => {
                self.with_route(channel, |metrics| {
                    metrics.joins_crashed.increment(1);
                    metrics.crashes_in_join.increment(1);
                });
                self.log_crash("join crashed", channel, &error);
                Payload::Json(br#"{"reason":"join crashed"}"#.as_slice().into())
            }
        };
        discard(self.remove(channel));
        let refused = self.session.refuse_join(channel, &response);
        self.checked(refused);
        self.transmit();
    }

    fn stop(&mut self, channel: ChannelId, reason: StopReason, cx: &mut Context<'_>) {
        match reason {
            StopReason::Normal | StopReason::Shutdown => {
                let ended = self.remove(channel);
                let stopped = self.session.stop(channel);
                self.finish(ended, stopped, TerminateReason::Stopped(reason), cx);
            }
            StopReason::Failure(ref text) => {
                self.crashed(channel, text);
                self.fail(channel, TerminateReason::Stopped(reason), cx);
            }
        }
    }

    /// Ends a channel in good order: what `terminate` sends comes after the `phx_close`.
    fn finish(
        &mut self,
        ended: Option<Ended>,
        told: Result<(), SessionError>,
        reason: TerminateReason,
        cx: &mut Context<'_>,
    ) {
        self.checked(told);
        self.transmit();
        self.terminate(ended, reason, cx);
    }

    /// Ends a channel that failed: what `terminate` sends comes before the `phx_error`.
    fn fail(&mut self, channel: ChannelId, reason: TerminateReason, cx: &mut Context<'_>) {
        let ended = self.remove(channel);
        self.terminate(ended, reason, cx);
        self.drain_mailbox();
        let crashed = self.session.crash(channel);
        self.checked(crashed);
        self.transmit();
    }

    /// Ends what was taken out of the table, if anything was.
    pub(super) fn terminate(&mut self, ended: Option<Ended>, reason: TerminateReason, cx: &mut Context<'_>) {
        let Some(Ended { mut joined, core }) = ended else { return };
        let route = joined.route;
        let Some(channel) = joined.take_channel() else { return };
        match guarded(|| AnyChannel::terminate(channel, reason, core)) {
            Ok(future) => {
                let mut ending = Ending { future, route };
                if ending.poll(&self.mount, cx).is_pending() {
                    self.ending.push(ending);
                }
            }
            Err(panic) => log_terminate(&self.mount, route, &panic),
        }
    }

    pub(super) fn poll_endings(&mut self, cx: &mut Context<'_>) {
        let mount = &self.mount;
        self.ending.retain_mut(|ending| ending.poll(mount, cx).is_pending());
    }

    /// Replies; a reply that the client's version cannot carry is the channel's failure.
    fn reply_or_crash(
        &mut self,
        channel: ChannelId,
        reply: &Reply,
        reference: Option<&Ref>,
        cx: &mut Context<'_>,
    ) {
        if let Err(error) = self.reply(channel, reply, reference) {
            self.crashed(channel, &error);
            self.fail(channel, TerminateReason::Crashed, cx);
        }
    }

    fn reply(
        &mut self,
        channel: ChannelId,
        reply: &Reply,
        reference: Option<&Ref>,
    ) -> Result<(), EncodeError> {
        let Some((topic, join_ref)) = self.session.names(channel) else { return Ok(()) };
        let frame = self.session.encoding().encode_reply(
            join_ref.as_ref(),
            reference,
            topic,
            &reply.status,
            &reply.response,
        )?;
        self.emit(frame);
        Ok(())
    }

    pub(super) fn with_route(&mut self, channel: ChannelId, record: impl FnOnce(&RouteMetrics)) {
        if let Some(route) = self.joined(channel).map(|joined| joined.route) {
            record(self.mount.metrics.route(usize::from(route)));
        }
    }

    fn crashed(&mut self, channel: ChannelId, error: &dyn std::fmt::Display) {
        self.with_route(channel, |metrics| metrics.crashes_in_handler.increment(1));
        self.log_crash("a channel crashed", channel, error);
    }

    fn log_crash(&mut self, what: &str, channel: ChannelId, error: &dyn std::fmt::Display) {
        let (connection, topic) = (self.mailbox.id.owner(), self.topic(channel));
        tracing::error!(connection, ?topic, %error, "{what}");
    }

    /// The channel's topic, for logs.
    fn topic(&self, channel: ChannelId) -> &str {
        self.session.names(channel).map_or("", |(topic, _)| topic)
    }
}

impl Ending {
    /// Polls it; a panic is logged and ends it.
    fn poll(&mut self, mount: &Mount, cx: &mut Context<'_>) -> Poll<()> {
        guarded(|| self.future.as_mut().poll(cx)).unwrap_or_else(|panic| {
            log_terminate(mount, self.route, &panic);
            Poll::Ready(())
        })
    }
}

fn log_terminate(mount: &Mount, route: u16, panic: &str) {
    mount.metrics.route(usize::from(route)).crashes_in_terminate.increment(1);
    tracing::error!(channel = mount.routes[usize::from(route)].pattern, panic, "terminate panicked");
}
