//! How long a connection may live on the credential it was opened with, and how the client brings a new one.
//!
//! ```text
//!   connect, renew          expires_at - expiry_notice         expires_at, or later
//!  ────────────────▶ valid ────────────────────────▶ noticed ──────────────────────▶ over
//!                           `token_expiring`                  closed with 4401, or kept
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bennu_protocol::{Payload, Renewal, Status, Topic};
use bennu_token::Tokens;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;

use crate::clock::Now;
use crate::config::SocketOptions;
use crate::joined::{discard, guarded};
use crate::socket::Refusal;

/// On the topic `phoenix`, what tells a client that its credential is about to expire.
pub(crate) const TOKEN_EXPIRING: &str = "token_expiring";

/// At least so often the time of day is looked at, in case it was set or the machine slept.
const RECHECK: Duration = Duration::from_secs(60);

/// What happens to a connection when its credential expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AtExpiry {
    /// It is closed with 4401; official clients reconnect, with a fresh token if their parameters are a function.
    #[default]
    Disconnect,
    /// It is closed so long after, in which time the client may still renew. For as long, an expired credential connects, if
    /// the socket accepts it.
    DisconnectAfter(Duration),
    /// Nothing: the connection goes on, as in Phoenix. The client is still told and may renew.
    Keep,
}

impl SocketOptions {
    /// How long before the expiry that [`Connected::expires_at`](crate::Connected::expires_at) gave it a client is told, with `token_expiring` on the topic
    /// `phoenix`; 60 s by default, and zero to tell nobody.
    ///
    /// A client whose credential holds shorter than that is told as soon as it has connected. After a
    /// renewal at least half of the new time passes first, so that a client that renews whenever it is told does not do so
    /// without end.
    #[must_use]
    pub fn expiry_notice(mut self, before: Duration) -> Self {
        self.expiry_notice = before;
        self
    }

    /// What happens when the credential expires; [`AtExpiry::Disconnect`] by default.
    #[must_use]
    pub fn at_expiry(mut self, at_expiry: AtExpiry) -> Self {
        self.at_expiry = at_expiry;
        self
    }

    /// When a connection with this expiry ends, if ever.
    fn end_of(&self, expires_at: SystemTime) -> Option<SystemTime> {
        match self.at_expiry {
            AtExpiry::Disconnect => Some(expires_at),
            AtExpiry::DisconnectAfter(grace) => expires_at.checked_add(grace),
            AtExpiry::Keep => None,
        }
    }
}

/// A credential that a client sent over its open connection, for [`Socket::renew`](crate::Socket::renew).
pub struct RenewRequest<A: ?Sized> {
    pub(crate) token: Box<str>,
    pub(crate) tokens: Tokens,
    pub(crate) assigns: Arc<A>,
    pub(crate) id: Option<Topic>,
    pub(crate) connection_id: u64,
}

impl<A: ?Sized> RenewRequest<A> {
    /// What the client sent, unchecked.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Checks tokens with the endpoint's secret.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// What `connect` put there. It stays as it is whatever the new token says.
    #[must_use]
    pub fn assigns(&self) -> &A {
        &self.assigns
    }

    /// The id that `connect` gave the connection.
    #[must_use]
    pub fn socket_id(&self) -> Option<&Topic> {
        self.id.as_ref()
    }

    /// A number that no other connection of this process has.
    #[must_use]
    pub fn connection_id(&self) -> u64 {
        self.connection_id
    }
}

impl<A: ?Sized> fmt::Debug for RenewRequest<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RenewRequest(connection {}, {:?})", self.connection_id, self.id)
    }
}

/// An accepted renewal: what the new credential says.
#[derive(Debug, Clone)]
pub struct Renewed {
    expires_at: Option<SystemTime>,
    issued_at: Option<SystemTime>,
    id: Option<Topic>,
}

impl Renewed {
    /// The connection's credential now expires at this moment, or never.
    #[must_use]
    pub fn until(expires_at: impl Into<Option<SystemTime>>) -> Self {
        Renewed { expires_at: expires_at.into(), issued_at: None, id: None }
    }

    /// The id for which the new credential was issued, made as `connect` makes it. It must be
    /// the connection's: the renewal is refused when it is another one, or when only one of the two has an id.
    #[must_use]
    pub fn with_id(self, id: impl Into<Topic>) -> Self {
        Renewed { id: Some(id.into()), ..self }
    }

    /// When the new credential was issued; see [`Connected::issued_at`](crate::Connected::issued_at).
    #[must_use]
    pub fn issued_at(self, at: impl Into<Option<SystemTime>>) -> Self {
        Renewed { issued_at: at.into(), ..self }
    }
}

/// What a running connection knows about its credential, if that expires.
pub(crate) struct Credentials {
    expiry: Expiry,
    renewing: Option<Renewing>,
    /// Renewals behind the one that runs, in order of arrival.
    waiting: VecDeque<Asked>,
}

/// One renewal at work.
struct Renewing {
    asked: Asked,
    judging: BoxFuture<'static, Result<Renewed, Refusal>>,
}

/// A client's wish to renew.
struct Asked {
    renewal: Renewal,
    token: Box<str>,
}

/// What came of renewals, and whom to tell: all that asked with the same token one after another,
/// since some clients send it on each of their channels.
pub(crate) struct Judged {
    pub(crate) asked: Vec<Renewal>,
    pub(crate) verdict: Result<Renewed, Refusal>,
}

/// Something that time brought about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Tell the client, with the payload of the message.
    Notice(Payload),
    /// Close the connection.
    End,
}

impl Credentials {
    /// The credential of a new connection; `None` when it is over already.
    pub(crate) fn new(expires_at: SystemTime, options: &SocketOptions, now: Now) -> Option<Box<Self>> {
        let expiry = Expiry::new(expires_at, options, now);
        let over = expiry.end_at.is_some_and(|end| end <= now.wall);
        (!over).then(|| Box::new(Credentials { expiry, renewing: None, waiting: VecDeque::new() }))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if ever.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.expiry.deadline
    }

    /// Lets time pass.
    pub(crate) fn handle_timeout(&mut self, now: Now) -> Option<Due> {
        self.expiry.handle_timeout(now)
    }

    /// Takes in a renewal; gives the reason back if the message holds no token.
    pub(crate) fn ask(&mut self, renewal: Renewal, payload: &Payload) -> Result<(), (Renewal, Refusal)> {
        let Some(token) = token(payload) else { return Err((renewal, Refusal::reason("no token"))) };
        self.waiting.push_back(Asked { renewal, token });
        Ok(())
    }

    /// Whether a renewal runs or waits.
    pub(crate) fn is_renewing(&self) -> bool {
        self.renewing.is_some() || !self.waiting.is_empty()
    }

    /// Bytes that the client sent and nobody has looked at yet.
    pub(crate) fn waiting_bytes(&self) -> usize {
        let size = |asked: &Asked| size_of::<Asked>() + asked.token.len() + asked.renewal.heap_size();
        self.waiting.iter().map(size).sum()
    }

    /// Runs the renewal that waits, or begins the next one; says what came of one that is done.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        judge: impl FnOnce(&str) -> BoxFuture<'static, Result<Renewed, Refusal>>,
    ) -> Option<Judged> {
        if self.renewing.is_none() {
            let asked = self.waiting.pop_front()?;
            let judging = judge(&asked.token);
            self.renewing = Some(Renewing { asked, judging });
        }
        let renewing = self.renewing.as_mut()?;
        let verdict = match guarded(|| renewing.judging.as_mut().poll(cx)) {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(verdict)) => verdict,
            Err(panic) => Err(Refusal::Failed(format!("renew panicked: {panic}").into())),
        };
        let Renewing { asked, judging } = self.renewing.take()?;
        discard(judging);
        Some(Judged { asked: self.all_with_token_of(asked), verdict })
    }

    fn all_with_token_of(&mut self, first: Asked) -> Vec<Renewal> {
        let mut asked = vec![first.renewal];
        while let Some(next) = self.waiting.pop_front_if(|next| next.token == first.token) {
            asked.push(next.renewal);
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        asked
    }

    /// Puts the new credential in the place of the old one, if it is one of this connection.
    pub(crate) fn renew(
        &mut self,
        renewed: &Renewed,
        id: Option<&Topic>,
        options: &SocketOptions,
        now: Now,
    ) -> Result<Payload, Refusal> {
        if renewed.id.as_ref() != id {
            return Err(Refusal::reason("the token is not for this connection"));
        }
        if renewed.expires_at.is_some_and(|at| at <= now.wall) {
            return Err(Refusal::reason("expired"));
        }
        self.expiry = renewed.expires_at.map_or(Expiry::NEVER, |at| Expiry::renewed(at, options, now));
        Ok(expires_in(renewed.expires_at, now.wall))
    }
}

impl Renewed {
    pub(crate) fn time_of_issue(&self) -> Option<SystemTime> {
        self.issued_at
    }
}

impl Drop for Credentials {
    /// A renewal that is cut off is the user's code, whose drop may panic.
    fn drop(&mut self) {
        discard(self.renewing.take());
    }
}

/// The answer to a renewal.
pub(crate) fn answer(verdict: Result<Payload, Refusal>) -> (Status, Payload) {
    let refusal = match verdict {
        Ok(response) => return (Status::Ok, response),
        Err(refusal) => refusal,
    };
    let reason = match refusal {
        Refusal::Unauthorized => "unauthorized".to_owned(),
        Refusal::Reason(reason) => reason,
        Refusal::Failed(error) => {
            tracing::error!(%error, "renew failed");
            "renewal failed".to_owned()
        }
    };
    (Status::Error, json_object(&json!({ "reason": reason })))
}

/// When a credential expires, what that brings about, and when to look again.
///
/// It is told the time and asks no clock.
#[derive(Debug)]
struct Expiry {
    expires_at: Option<SystemTime>,
    /// When to tell the client, until that is done.
    notice_at: Option<SystemTime>,
    /// When to close, if ever.
    end_at: Option<SystemTime>,
    deadline: Option<Instant>,
}

impl Expiry {
    const NEVER: Expiry = Expiry { expires_at: None, notice_at: None, end_at: None, deadline: None };

    fn new(expires_at: SystemTime, options: &SocketOptions, now: Now) -> Self {
        let notice = options.expiry_notice;
        let notice_at = (!notice.is_zero()).then(|| expires_at.checked_sub(notice).unwrap_or(UNIX_EPOCH));
        let end_at = options.end_of(expires_at);
        let mut expiry = Expiry { expires_at: Some(expires_at), notice_at, end_at, deadline: None };
        expiry.arm(now);
        expiry
    }

    /// As [`new`](Self::new), but half of the time passes before the notice.
    fn renewed(expires_at: SystemTime, options: &SocketOptions, now: Now) -> Self {
        let mut expiry = Expiry::new(expires_at, options, now);
        let half = expires_at.duration_since(now.wall).unwrap_or_default() / 2;
        expiry.notice_at = expiry.notice_at.max(expiry.notice_at.and_then(|_| now.wall.checked_add(half)));
        expiry.arm(now);
        expiry
    }

    fn handle_timeout(&mut self, now: Now) -> Option<Due> {
        if self.deadline.is_none_or(|deadline| now.monotonic < deadline) {
            return None;
        }
        if self.end_at.take_if(|end| *end <= now.wall).is_some() {
            (self.notice_at, self.deadline) = (None, None);
            return Some(Due::End);
        }
        let notice = self.notice_at.take_if(|notice| *notice <= now.wall);
        self.arm(now);
        notice.map(|_| Due::Notice(expires_in(self.expires_at, now.wall)))
    }

    fn arm(&mut self, now: Now) {
        let next = self.notice_at.or(self.end_at);
        let wait = next.map(|next| next.duration_since(now.wall).unwrap_or_default().min(RECHECK));
        self.deadline = wait.and_then(|wait| now.monotonic.checked_add(wait));
    }
}

/// A message with a new credential; clients name it either way.
#[derive(Deserialize)]
struct TokenMessage {
    token: Option<Box<str>>,
    access_token: Option<Box<str>>,
}

fn token(payload: &Payload) -> Option<Box<str>> {
    let TokenMessage { token, access_token } = payload.parse().ok()?;
    token.or(access_token)
}

/// Whole seconds, rounded down, so that a client is never late; null for never.
fn expires_in(expires_at: Option<SystemTime>, now: SystemTime) -> Payload {
    let left = expires_at.map(|at| at.duration_since(now).unwrap_or_default().as_secs());
    json_object(&json!({ "expires_in": left }))
}

fn json_object(value: &serde_json::Value) -> Payload {
    Payload::Json(value.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An expiry that is told of both clocks, from 0 on, in seconds.
    struct Run {
        expiry: Expiry,
        start: Instant,
    }

    impl Run {
        fn at(&self, monotonic: u64, wall: u64) -> Now {
            now(self.start, monotonic, wall)
        }

        /// Calls at each deadline until nothing is left to come, and says what happened when.
        fn all(&mut self) -> Vec<(u64, &'static str)> {
            let mut seen = Vec::new();
            while let Some(deadline) = self.expiry.deadline {
                let seconds = (deadline - self.start).as_secs();
                match self.expiry.handle_timeout(self.at(seconds, seconds)) {
                    None => {}
                    Some(Due::Notice(_)) => seen.push((seconds, "notice")),
                    Some(Due::End) => seen.push((seconds, "end")),
                }
            }
            seen
        }
    }

    fn now(start: Instant, monotonic: u64, wall: u64) -> Now {
        let (monotonic, wall) = (Duration::from_secs(monotonic), Duration::from_secs(wall));
        Now { monotonic: start + monotonic, wall: UNIX_EPOCH + wall }
    }

    fn time(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn options(notice: u64, at_expiry: AtExpiry) -> SocketOptions {
        SocketOptions::default().expiry_notice(Duration::from_secs(notice)).at_expiry(at_expiry)
    }

    #[test]
    fn notice_and_end_come_once_and_in_time() {
        let grace = AtExpiry::DisconnectAfter(Duration::from_secs(5));
        for (name, expires, notice, at_expiry, expected) in [
            ("usual", 300, 60, AtExpiry::Disconnect, &[(240, "notice"), (300, "end")][..]),
            ("no notice", 300, 0, AtExpiry::Disconnect, &[(300, "end")]),
            ("short", 30, 60, AtExpiry::Disconnect, &[(0, "notice"), (30, "end")]),
            ("grace", 300, 60, grace, &[(240, "notice"), (305, "end")]),
            ("kept", 300, 60, AtExpiry::Keep, &[(240, "notice")]),
            ("kept without notice", 300, 0, AtExpiry::Keep, &[]),
        ] {
            let start = Instant::now();
            let options = options(notice, at_expiry);
            let expiry = Expiry::new(time(expires), &options, now(start, 0, 0));
            assert_eq!(Run { expiry, start }.all(), expected, "{name}");
        }
    }

    #[test]
    fn after_a_renewal_half_of_the_time_passes_before_the_notice() {
        for (expires, notice, expected) in [
            (300, 60, &[(240, "notice"), (300, "end")][..]),
            (100, 60, &[(50, "notice"), (100, "end")]),
            (30, 60, &[(15, "notice"), (30, "end")]),
            (30, 0, &[(30, "end")]),
        ] {
            let start = Instant::now();
            let options = options(notice, AtExpiry::Disconnect);
            let expiry = Expiry::renewed(time(expires), &options, now(start, 0, 0));
            assert_eq!(Run { expiry, start }.all(), expected, "{expires} s");
        }
    }

    #[test]
    fn the_time_of_day_is_looked_at_every_minute() {
        let start = Instant::now();
        let options = options(60, AtExpiry::Disconnect);
        let mut run = Run { expiry: Expiry::new(time(10_000), &options, now(start, 0, 0)), start };
        assert_eq!(run.expiry.deadline, Some(start + RECHECK));
        assert_eq!(run.expiry.handle_timeout(run.at(59, 20_000)), None, "not yet");
        assert_eq!(
            run.expiry.handle_timeout(run.at(60, 20_000)),
            Some(Due::End),
            "the clock was put forward"
        );
        assert_eq!(run.expiry.deadline, None);
    }

    #[test]
    fn times_that_no_clock_reaches_do_no_harm() {
        let start = Instant::now();
        let options = options(u64::MAX, AtExpiry::DisconnectAfter(Duration::MAX));
        let mut run = Run { expiry: Expiry::new(time(1_000), &options, now(start, 0, 0)), start };
        assert_eq!(run.all(), [(0, "notice")], "a grace without end is no end");
    }
}
