//! What a connection does about its credential.

use std::task::Context;
use std::time::{Instant, SystemTime};

use bennu_protocol::websocket::close;
use bennu_protocol::{Payload, Renewal, Topic};

use super::{Connection, ConnectionStart};
use crate::clock::Now;
use crate::credentials::{Credentials, Due, Judged, Renewed, TOKEN_EXPIRING, answer};
use crate::endpoint::Endpoint;
use crate::socket::{AnyConnected, AnyRenewRequest, Refusal};

impl ConnectionStart {
    /// Refuses a credential that holds no more; gives back what is to be known about one that expires.
    pub(super) fn admit(&mut self) -> Result<Option<Box<Credentials>>, Refusal> {
        let AnyConnected { id, issued_at, expires_at, .. } = &self.connected;
        check_revoked(&self.endpoint, id.as_ref(), *issued_at)?;
        let Some(expires_at) = *expires_at else { return Ok(None) };
        let credentials = Credentials::new(expires_at, &self.mount.options, now(&self.endpoint));
        self.session.accept_renewals();
        credentials.ok_or(Refusal::Unauthorized).map(Some)
    }
}

impl Connection {
    /// Lets the credential grow older.
    pub(super) fn age_credentials(&mut self, now: Instant) {
        let now = Now { monotonic: now, wall: self.client.endpoint.clock().now() };
        match self.credentials.as_mut().and_then(|credentials| credentials.handle_timeout(now)) {
            None => {}
            Some(Due::Notice(payload)) => self.push_to_session(TOKEN_EXPIRING, &payload),
            Some(Due::End) => {
                tracing::debug!(connection = self.mailbox.id.owner(), "the credential has expired");
                self.close_with(close::CREDENTIAL_EXPIRED);
            }
        }
    }

    /// Queues a renewal; it runs with the next [`run_renewal`](Self::run_renewal).
    pub(super) fn ask_to_renew(&mut self, renewal: Renewal, payload: &Payload) {
        let Some(credentials) = self.credentials.as_mut() else { return };
        if let Err((renewal, refusal)) = credentials.ask(renewal, payload) {
            self.answer_renewals(&[renewal], Err(refusal));
        }
    }

    /// Lets a renewal go on; true if one is done.
    pub(super) fn run_renewal(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(credentials) = self.credentials.as_mut().filter(|credentials| credentials.is_renewing())
        else {
            return false;
        };
        if self.steps_left == 0 {
            cx.waker().wake_by_ref();
            return false;
        }
        self.steps_left -= 1;
        let judged = credentials.poll(cx, |token| {
            let mount = self.mount.clone();
            let (assigns, id) = (self.client.assigns.clone(), self.client.socket_id.clone());
            let connection_id = self.mailbox.id.owner();
            let tokens = self.client.endpoint.tokens().clone();
            let request = AnyRenewRequest { token: token.into(), tokens, assigns, id, connection_id };
            Box::pin(async move { mount.socket.renew(request).await })
        });
        let Some(Judged { asked, verdict }) = judged else { return false };
        let verdict = verdict.and_then(|renewed| self.renew(&renewed));
        self.answer_renewals(&asked, verdict);
        true
    }

    fn renew(&mut self, renewed: &Renewed) -> Result<Payload, Refusal> {
        let id = self.client.socket_id.as_ref();
        check_revoked(&self.client.endpoint, id, renewed.time_of_issue())?;
        let Some(credentials) = self.credentials.as_mut() else { return Err(Refusal::Unauthorized) };
        let renewal = credentials.renew(renewed, id, &self.mount.options, now(&self.client.endpoint))?;
        self.issued_at = renewed.time_of_issue();
        Ok(renewal)
    }

    /// All credentials of its id that were issued until then hold no more.
    pub(super) fn revoked(&mut self, at: SystemTime) {
        if self.issued_at.is_none_or(|issued_at| issued_at <= at) {
            self.close_with(close::GOING_AWAY);
        }
    }

    fn answer_renewals(&mut self, asked: &[Renewal], verdict: Result<Payload, Refusal>) {
        let (status, response) = answer(verdict);
        for renewal in asked {
            let answered = self.session.answer_renewal(renewal, &status, &response);
            self.checked(answered);
        }
        self.transmit();
    }

    /// Pushes an event of the connection itself; a version that cannot carry it goes without.
    fn push_to_session(&mut self, event: &str, payload: &Payload) {
        if let Ok(frame) = self.session.encoding().encode_push(None, Topic::PHOENIX, event, payload) {
            self.emit(frame);
        }
    }
}

fn check_revoked(
    endpoint: &Endpoint,
    id: Option<&Topic>,
    issued_at: Option<SystemTime>,
) -> Result<(), Refusal> {
    match id {
        Some(id) if endpoint.is_revoked(id, issued_at) => Err(Refusal::Unauthorized),
        Some(_) | None => Ok(()),
    }
}

fn now(endpoint: &Endpoint) -> Now {
    Now { monotonic: tokio::time::Instant::now().into_std(), wall: endpoint.clock().now() }
}
