//! The server: who asks to connect, and what becomes of it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::Serializer;
use bennu_protocol::client::{OpenError, OpenRequest};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::PATIENCE;
use super::connection::{ScriptedConnection, param};
use super::link::{Link, Rules};
use super::listen::Listener;
use super::transport::ScriptedTransport;

/// A Phoenix server whose every word is the test's. Clones are the same server.
///
/// It answers nothing by itself unless told to: each attempt of the client to connect waits until the test
/// [accepts](Self::accept), [refuses](Self::refuse), [fails](Self::fail) or [ignores](Self::ignore) it.
#[derive(Clone)]
pub struct ScriptedServer {
    desk: Arc<Desk>,
    patience: Duration,
    /// Only held.
    _listener: Option<Arc<Listener>>,
}

/// Where clients ask to connect.
#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    /// Somebody asked.
    changed: Notify,
}

#[derive(Default)]
struct State {
    attempts: Vec<Attempt>,
    /// What the next attempts get, whoever waits for them.
    planned: VecDeque<OpenError>,
    rules: Rules,
}

struct Attempt {
    request: OpenRequest,
    serializer: Serializer,
    fate: Fate,
}

enum Fate {
    /// Nobody has answered it.
    Open(Answer),
    /// The test left it unanswered.
    Ignored {
        _answer: Answer,
    },
    Accepted,
    Refused(OpenError),
    GivenUp,
}

type Answer = oneshot::Sender<Result<Arc<Link>, OpenError>>;

impl Desk {
    /// Asks for a connection.
    pub(super) fn ask(
        &self,
        request: OpenRequest,
    ) -> impl Future<Output = Result<Arc<Link>, OpenError>> + use<> {
        let (answer, answered) = oneshot::channel();
        self.state.lock().ask(request, answer);
        self.changed.notify_waiters();
        async move {
            answered
                .await
                .unwrap_or_else(|_| Err(OpenError::Failed("the scripted server is gone".to_owned())))
        }
    }

    async fn next(
        &self,
        patience: Duration,
        what: &str,
        at: &Location<'_>,
    ) -> (usize, OpenRequest, Serializer, Answer) {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            // Made before looking, so that who asks in between wakes it.
            let changed = self.changed.notified();
            if let Some(next) = self.state.lock().take_open() {
                return next;
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                let list = self.state.lock().list();
                panic!("expected a client to connect, {what}, within {patience:?}\n{list}\nat {at}");
            }
        }
    }
}

impl State {
    fn ask(&mut self, request: OpenRequest, answer: Answer) {
        // As Phoenix: no version is the first one.
        let vsn = param(&request.url, "vsn").unwrap_or_else(|| Serializer::V1.vsn().to_owned());
        let negotiated = Serializer::negotiate(&vsn);
        let (serializer, refusal) = match negotiated {
            Ok(serializer) => (serializer, self.planned.pop_front()),
            Err(error) => (Serializer::V1, Some(refused(403, error.to_string()))),
        };
        let fate = match refusal {
            Some(refusal) => {
                // Its client may have given up.
                let _ = answer.send(Err(refusal.clone()));
                Fate::Refused(refusal)
            }
            None => Fate::Open(answer),
        };
        self.attempts.push(Attempt { request, serializer, fate });
    }

    /// The first attempt that waits for an answer.
    fn take_open(&mut self) -> Option<(usize, OpenRequest, Serializer, Answer)> {
        for (index, attempt) in self.attempts.iter_mut().enumerate() {
            match std::mem::replace(&mut attempt.fate, Fate::GivenUp) {
                Fate::Open(answer) if !answer.is_closed() => {
                    return Some((index, attempt.request.clone(), attempt.serializer, answer));
                }
                Fate::Open(_) => {}
                settled => attempt.fate = settled,
            }
        }
        None
    }

    fn list(&self) -> String {
        if self.attempts.is_empty() {
            return "none has tried to".to_owned();
        }
        let mut list = "who tried to, in order:".to_owned();
        for Attempt { request, fate, .. } in &self.attempts {
            list.push_str(&format!("\n  {}  ", request.url));
            match fate {
                Fate::Open(_) => list.push_str("waits"),
                Fate::Ignored { .. } => list.push_str("was ignored"),
                Fate::Accepted => list.push_str("was accepted"),
                Fate::Refused(refusal) => list.push_str(&refusal.to_string()),
                Fate::GivenUp => list.push_str("gave up"),
            }
        }
        list
    }
}

fn refused(status: u16, body: impl Into<Bytes>) -> OpenError {
    OpenError::Refused { status, body: body.into(), retry_after: None }
}

impl ScriptedServer {
    /// A server in memory, and the transport that leads to it.
    #[must_use]
    pub fn new() -> (Self, ScriptedTransport) {
        let desk = Arc::new(Desk::default());
        let transport = ScriptedTransport::new(Arc::clone(&desk));
        (ScriptedServer { desk, patience: PATIENCE, _listener: None }, transport)
    }

    /// A server on a free port of this machine, for clients with a transport of their own and for other processes, and the URL to connect
    /// to. It stops when the last clone of it is dropped.
    ///
    /// Here time must not stand still: leave out `start_paused`, as a clock that jumps does so while bytes are on their way.
    ///
    /// # Errors
    ///
    /// When there is no port.
    pub async fn listen() -> io::Result<(Self, String)> {
        let desk = Arc::new(Desk::default());
        let (listener, url) = Listener::start(Arc::clone(&desk)).await?;
        Ok((ScriptedServer { desk, patience: PATIENCE, _listener: Some(Arc::new(listener)) }, url))
    }

    /// The same server, whose expectations and those of its connections wait so long; 5 s by default.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        ScriptedServer { patience, ..self.clone() }
    }

    /// Answers all heartbeats on connections that are accepted from now on.
    pub fn answer_heartbeats(&self) {
        self.desk.state.lock().rules.heartbeats = true;
    }

    /// Answers all joins on connections that are accepted from now on with `ok` and `{}`, and all leaves as Phoenix does.
    pub fn answer_joins(&self) {
        let rules = &mut self.desk.state.lock().rules;
        (rules.joins, rules.leaves) = (true, true);
    }

    /// Accepts the next client, waiting for it.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = ScriptedConnection> {
        let at = Location::caller();
        async move {
            loop {
                let (index, request, serializer, answer) =
                    self.desk.next(self.patience, "to be accepted", at).await;
                let rules = self.desk.state.lock().rules;
                let link = Link::new(request, serializer, rules);
                if answer.send(Ok(Arc::clone(&link))).is_ok() {
                    self.settle(index, Fate::Accepted);
                    return ScriptedConnection::new(link, self.patience);
                }
            }
        }
    }

    /// Refuses the next client with an HTTP status, waiting for it; says what it had asked for.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn refuse(&self, status: u16, body: impl Into<Bytes>) -> impl Future<Output = OpenRequest> {
        self.turn_away(refused(status, body), Location::caller())
    }

    /// Is not reached by the next client, waiting for it; says what it had asked for.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn fail(&self, reason: &str) -> impl Future<Output = OpenRequest> {
        self.turn_away(OpenError::Failed(reason.to_owned()), Location::caller())
    }

    async fn turn_away(&self, refusal: OpenError, at: &Location<'_>) -> OpenRequest {
        let (index, request, _, answer) = self.desk.next(self.patience, "to be refused", at).await;
        // Its client may have given up meanwhile.
        let _ = answer.send(Err(refusal.clone()));
        self.settle(index, Fate::Refused(refusal));
        request
    }

    /// Refuses the next client as soon as it comes, with any error; several are used up in order.
    pub fn refuse_next(&self, refusal: OpenError) {
        self.desk.state.lock().planned.push_back(refusal);
    }

    /// Never answers the next client, waiting for it; says what it had asked for.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn ignore(&self) -> impl Future<Output = OpenRequest> {
        let at = Location::caller();
        async move {
            let (index, request, _, answer) = self.desk.next(self.patience, "to be ignored", at).await;
            self.settle(index, Fate::Ignored { _answer: answer });
            request
        }
    }

    /// Waits so long, in which no client may ask to connect, and none wait for an answer.
    ///
    /// # Panics
    ///
    /// When one does.
    #[track_caller]
    pub fn expect_no_connection(&self, time: Duration) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            tokio::time::sleep(time).await;
            let mut state = self.desk.state.lock();
            let asked = state.take_open();
            if let Some((index, _, _, answer)) = asked {
                state.attempts[index].fate = Fate::Open(answer);
                let list = state.list();
                drop(state);
                panic!("expected no client to connect for {time:?}\n{list}\nat {at}");
            }
        }
    }

    /// How many times a client has asked to connect, whatever became of it.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.desk.state.lock().attempts.len()
    }

    fn settle(&self, index: usize, fate: Fate) {
        self.desk.state.lock().attempts[index].fate = fate;
    }
}

impl fmt::Debug for ScriptedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedServer").field("attempts", &self.attempts()).finish_non_exhaustive()
    }
}
