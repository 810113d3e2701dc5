//! One connection, as the server has it.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::client::{ConnectionEnd, OpenRequest};
use bennu_protocol::{Frame, IntoPayload, Payload, Ref, Serializer};
use percent_encoding::percent_decode_str;

use super::came::{Came, Wanted};
use super::link::Link;
use super::message::ScriptedMessage;

/// The server's end of one connection. Clones are the same connection; dropping the last one cuts it, as
/// [`drop_link`](Self::drop_link) does.
#[derive(Clone)]
pub struct ScriptedConnection {
    link: Arc<Link>,
    patience: Duration,
    /// Only held.
    _cut: Arc<Cut>,
}

/// Cuts the connection when the last handle of the test is dropped.
struct Cut(Arc<Link>);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.end(None, ConnectionEnd::lost());
    }
}

impl ScriptedConnection {
    pub(super) fn new(link: Arc<Link>, patience: Duration) -> Self {
        ScriptedConnection { _cut: Arc::new(Cut(Arc::clone(&link))), link, patience }
    }

    /// What the client asked for when it connected: the whole URL, the headers and the token.
    #[must_use]
    pub fn request(&self) -> &OpenRequest {
        &self.link.request
    }

    /// A param of the URL's query, decoded; `vsn` is one, too.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<String> {
        param(&self.link.request.url, name)
    }

    /// A header of the application; names compare as in HTTP.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.link.request.headers.iter();
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The version of the protocol that the URL asks for.
    #[must_use]
    pub fn serializer(&self) -> Serializer {
        self.link.serializer
    }

    /// The same connection, whose expectations wait so long; 5 s by default.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        ScriptedConnection { patience, ..self.clone() }
    }

    /// Answers all heartbeats from now on.
    pub fn answer_heartbeats(&self) {
        self.link.rule(|rules| rules.heartbeats = true);
    }

    /// Answers all joins from now on, with `ok` and `{}`, and all leaves as Phoenix does.
    pub fn answer_joins(&self) {
        self.link.rule(|rules| (rules.joins, rules.leaves) = (true, true));
    }

    /// Takes the next join of a topic.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn expect_join<'a>(&'a self, topic: &'a str) -> impl Future<Output = ScriptedMessage> + use<'a> {
        self.expect_message(Wanted::Join { topic })
    }

    /// Takes the next leave of a topic. Phoenix answers it with `reply_ok(json!({}))` and [`close_channel`](Self::close_channel).
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn expect_leave<'a>(&'a self, topic: &'a str) -> impl Future<Output = ScriptedMessage> + use<'a> {
        self.expect_message(Wanted::Leave { topic })
    }

    /// Takes the next push of an event on a topic.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn expect_push<'a>(
        &'a self,
        topic: &'a str,
        event: &'a str,
    ) -> impl Future<Output = ScriptedMessage> + use<'a> {
        self.expect_message(Wanted::Push { topic, event })
    }

    /// Takes the next heartbeat.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn expect_heartbeat(&self) -> impl Future<Output = ScriptedMessage> {
        self.expect_message(Wanted::Heartbeat)
    }

    #[track_caller]
    fn expect_message<'a>(&'a self, wanted: Wanted<'a>) -> impl Future<Output = ScriptedMessage> + use<'a> {
        let at = Location::caller();
        async move {
            match self.link.expect(wanted, self.patience, at).await {
                Came::Message(said) => ScriptedMessage::new(Arc::clone(&self.link), said),
                other => unreachable!("no message was taken: {other}"),
            }
        }
    }

    /// Waits until the client closes the connection, and says how: 1006 if it just dropped it.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    pub fn expect_closed(&self) -> impl Future<Output = ConnectionEnd> {
        let at = Location::caller();
        async move {
            match self.link.expect(Wanted::End, self.patience, at).await {
                Came::Ended(end) => end,
                other => unreachable!("no end was taken: {other}"),
            }
        }
    }

    /// Waits so long, in which nothing may come, and nothing be left that no expectation took. What is answered automatically does not
    /// count.
    ///
    /// # Panics
    ///
    /// When there is something.
    #[track_caller]
    pub fn expect_nothing(&self, time: Duration) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move { self.link.expect_nothing(time, at).await }
    }

    /// Sends an event to the client's channel, with the join_ref of its last join.
    ///
    /// # Panics
    ///
    /// When the client has not joined the topic, or the payload cannot be written.
    #[track_caller]
    pub fn push(&self, topic: &str, event: &str, payload: impl IntoPayload) {
        let join_ref = self.link.join_ref(topic);
        self.push_as(Some(&join_ref), topic, event, payload);
    }

    /// Sends an event with a join_ref of the test's choice, such as that of an earlier join.
    ///
    /// # Panics
    ///
    /// When the payload cannot be written.
    #[track_caller]
    pub fn push_as(&self, join_ref: Option<&Ref>, topic: &str, event: &str, payload: impl IntoPayload) {
        let payload = written(payload);
        let frame = self.link.serializer.encode_push(join_ref, topic, event, &payload);
        self.send_raw(frame.unwrap_or_else(|error| panic!("{event:?} cannot be written: {error}")));
    }

    /// Sends an event as it goes to everyone on the topic, without a join_ref.
    ///
    /// # Panics
    ///
    /// When the payload cannot be written.
    #[track_caller]
    pub fn broadcast(&self, topic: &str, event: &str, payload: impl IntoPayload) {
        let frame = self.link.serializer.encode_broadcast(topic, event, &written(payload));
        self.send_raw(frame.unwrap_or_else(|error| panic!("{event:?} cannot be written: {error}")));
    }

    /// The client's channel has crashed: `phx_error`.
    ///
    /// # Panics
    ///
    /// When the client has not joined the topic.
    #[doc(alias = "phx_error")]
    #[track_caller]
    pub fn error(&self, topic: &str) {
        self.link.end_channel(topic, "phx_error");
    }

    /// The client's channel has ended: `phx_close`.
    ///
    /// # Panics
    ///
    /// When the client has not joined the topic.
    #[doc(alias = "phx_close")]
    #[track_caller]
    pub fn close_channel(&self, topic: &str) {
        self.link.end_channel(topic, "phx_close");
    }

    /// Sends a frame as it is, be it readable or not.
    pub fn send_raw(&self, frame: Frame) {
        self.link.send(frame);
    }

    /// Closes the connection with this code and reason, behind all that was sent before.
    pub fn close(&self, code: u16, reason: &str) {
        self.link.end(None, ConnectionEnd::clean(code, reason));
    }

    /// The connection breaks without a close frame, behind all that was sent before: 1006.
    pub fn drop_link(&self) {
        self.link.end(None, ConnectionEnd::lost());
    }

    /// The transport reports an error, and the connection breaks: 1006.
    pub fn fail(&self, reason: &str) {
        self.link.end(Some(reason), ConnectionEnd::lost());
    }

    /// Takes no more from the client, whose transport is full from now on.
    pub fn stop_reading(&self) {
        self.link.set_reading(false);
    }

    /// Takes what the client sends again.
    pub fn resume_reading(&self) {
        self.link.set_reading(true);
    }

    /// When the client closes the connection, says nothing, as a server that is gone: the client has to give up by itself.
    pub fn ignore_close(&self) {
        self.link.ignore_close();
    }
}

#[track_caller]
fn written(payload: impl IntoPayload) -> Payload {
    payload.into_payload().unwrap_or_else(|error| panic!("{error}"))
}

/// A param of a URL's query, decoded as a form.
pub(super) fn param(url: &str, name: &str) -> Option<String> {
    let query = url.split_once('?')?.1;
    let query = query.split('#').next().unwrap_or_default();
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name).then(|| decode(value))
    })
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

impl fmt::Debug for ScriptedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedConnection").field("request", &self.link.request).finish_non_exhaustive()
    }
}
