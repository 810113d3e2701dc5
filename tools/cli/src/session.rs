//! A command's time on a socket: it connects, does its work, and at its end, however that comes, leaves and closes.

use std::cell::RefCell;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use bennu_client::transport::OpenError;
use bennu_client::{Channel, JoinError, PushError, Socket, SocketConfig, SocketStatus};
use bennu_protocol::Payload;
use tokio::time::timeout;

use crate::exit::{Exit, failure};
use crate::print;
use crate::server::{Access, Server};
use crate::signals::Signals;

/// How long the server may take to let go of channels and to close, when nobody waits for its answer any more.
const GOODBYE: Duration = Duration::from_secs(2);

/// A socket, and what was joined on it.
pub(crate) struct Session {
    pub(crate) socket: Socket,
    /// For each join, push and leave.
    pub(crate) timeout: Duration,
    /// The URL without what may be secret.
    shown: String,
    joined: RefCell<Vec<Channel>>,
}

/// Runs a command on a socket that is connected, until it ends or the user does not want to go on.
pub(crate) fn run(
    server: &Server,
    timeout: Duration,
    command: impl AsyncFnOnce(&Session) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    let access = server.access()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let session = Session::start(server.shown(), access, timeout)?;
        let work = async {
            session.connected().await?;
            command(&session).await
        };
        let outcome = tokio::select! {
            outcome = work => outcome,
            exit = signals.next() => Ok(exit),
        };
        // Who asks a second time does not want to wait for the server.
        tokio::select! {
            () = session.close() => outcome,
            exit = signals.next() => Ok(exit),
        }
    });
    // A thread that reads a terminal is not waited for.
    runtime.shutdown_background();
    outcome
}

impl Session {
    fn start(shown: String, access: Access, timeout: Duration) -> anyhow::Result<Self> {
        let Access { endpoint: _, params, headers, auth_token, url } = access;
        let config = SocketConfig::new(url)
            .params(params)
            .headers(headers)
            .timeout(timeout)
            .reconnect_after_normal_close(true);
        let config = match auth_token {
            Some(token) => config.auth_token(token),
            None => config,
        };
        let socket = Socket::start(config).map_err(|error| failure(Exit::Usage, error.to_string()))?;
        Ok(Session { socket, timeout, shown, joined: RefCell::default() })
    }

    /// Waits for the first connection. Its first failure is the end: who mistyped a URL wants to know at once.
    async fn connected(&self) -> anyhow::Result<()> {
        let mut statuses = self.socket.statuses();
        while let Some(status) = statuses.next().await {
            if status.is_connected() {
                return Ok(());
            }
            if let Some(error) = self.socket.last_error() {
                return Err(failure(
                    Exit::NotConnected,
                    format!("cannot connect to {}: {}", self.shown, refusal(&error)),
                ));
            }
        }
        Err(failure(Exit::NotConnected, format!("cannot connect to {}", self.shown)))
    }

    /// Joins a topic, which is left at the session's end.
    pub(crate) async fn join(&self, topic: &str, params: Payload) -> anyhow::Result<(Payload, Channel)> {
        match self.socket.join(topic, params).await {
            Ok((response, channel)) => {
                self.joined.borrow_mut().push(channel.clone());
                Ok((response, channel))
            }
            Err(error) => {
                Err(failure(join_exit(&error), format!("{}: {}", print::plain(topic), not_joined(&error))))
            }
        }
    }

    /// A channel that was left by the user is not left once more.
    pub(crate) fn forget(&self, topic: &str) {
        self.joined.borrow_mut().retain(|channel| channel.topic().as_str() != topic);
    }

    /// The channel of a topic that was joined.
    pub(crate) fn channel(&self, topic: &str) -> Option<Channel> {
        self.joined.borrow().iter().find(|channel| channel.topic().as_str() == topic).cloned()
    }

    /// The topics that were joined, in this order.
    pub(crate) fn topics(&self) -> Vec<String> {
        self.joined.borrow().iter().map(|channel| channel.topic().as_str().to_owned()).collect()
    }

    /// Says on standard error that it is connected, and how that changes, from now on.
    pub(crate) fn announce<S: Fn(String) + 'static>(&self, say: S) -> impl Future<Output = ()> + use<S> {
        let (socket, shown) = (self.socket.clone(), self.shown.clone());
        say(format!("connected to {shown}"));
        async move {
            let mut statuses = socket.statuses();
            // What was said last: each attempt fails as the one before it did.
            let mut trouble = None;
            while let Some(status) = statuses.next().await {
                match status {
                    SocketStatus::Connected if trouble.take().is_some() => say("connected again".to_owned()),
                    SocketStatus::Reconnecting { .. } | SocketStatus::Disconnected => {
                        let now = broken(&socket);
                        if trouble.as_ref() != Some(&now) {
                            let goes_on = matches!(status, SocketStatus::Reconnecting { .. });
                            say(format!(
                                "{now}; {}",
                                if goes_on { "trying again" } else { "that was the end" }
                            ));
                            trouble = Some(now);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Leaves all channels, waits until the server has let go, and closes with code 1000.
    async fn close(&self) {
        let channels = std::mem::take(&mut *self.joined.borrow_mut());
        let leaving: Vec<_> = if self.socket.is_connected() {
            channels.iter().map(Channel::leave).collect()
        } else {
            Vec::new()
        };
        let goodbye = async {
            for leave in leaving {
                // Whether it was confirmed or not, we are gone.
                let _ = leave.await;
            }
            self.socket.disconnect();
            let mut statuses = self.socket.statuses();
            while statuses.next().await.is_some_and(|status| status != SocketStatus::Disconnected) {}
        };
        // A server that does not answer is left without.
        let _ = timeout(GOODBYE, goodbye).await;
        self.socket.stop();
    }
}

/// Says something about the connection on standard error.
pub(crate) fn say(text: String) {
    let style = anstyle::Style::new().dimmed();
    // Nobody may be reading; the command goes on.
    let _ = writeln!(anstream::stderr(), "{style}* {text}{style:#}");
}

/// Why there is no connection.
fn broken(socket: &Socket) -> String {
    match (socket.last_error(), socket.last_close()) {
        (Some(error), _) => format!("no connection: {}", refusal(&error)),
        (None, Some(end)) if end.code == 1006 => "connection lost".to_owned(),
        (None, Some(end)) if end.reason.is_empty() => format!("connection closed with code {}", end.code),
        (None, Some(end)) => {
            format!("connection closed with code {} ({})", end.code, print::plain(&end.reason))
        }
        (None, None) => "connection lost".to_owned(),
    }
}

fn refusal(error: &OpenError) -> String {
    match error {
        OpenError::Refused { status: status @ (401 | 403), body, .. } => {
            format!(
                "the server refused with {status}{}: are params and token right? `bennu doctor` examines it",
                quoted(body)
            )
        }
        OpenError::Refused { status, body, .. } => {
            format!("the server refused with {status}{}; `bennu doctor` examines it", quoted(body))
        }
        error => error.to_string(),
    }
}

fn quoted(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = print::plain(text.trim());
    if text.is_empty() {
        String::new()
    } else {
        format!(", saying {:?}", text.chars().take(120).collect::<String>())
    }
}

/// Why a topic was not joined.
pub(crate) fn not_joined(error: &JoinError) -> String {
    match error.response() {
        Some(response) => format!("the server refused the join: {}", print::payload(response)),
        None => error.to_string(),
    }
}

fn join_exit(error: &JoinError) -> Exit {
    match error {
        JoinError::Refused { .. } | JoinError::Unauthorized { .. } => Exit::JoinRefused,
        JoinError::TimedOut => Exit::TimedOut,
        JoinError::NotConnected | JoinError::SocketEnded(_) => Exit::NotConnected,
        JoinError::Ended(_) => Exit::ChannelClosed,
        _ => Exit::Failed,
    }
}

/// Why a push has no reply that says `ok`, and how the program ends then.
pub(crate) fn not_pushed(error: &PushError) -> (Exit, String) {
    match error {
        PushError::Refused { status, response } => (
            Exit::ErrorReply,
            format!("the server replied {}: {}", print::plain(status.as_str()), print::payload(response)),
        ),
        PushError::TimedOut { was_sent: true } => {
            (Exit::TimedOut, "no reply came in time; the server may have handled the push".to_owned())
        }
        PushError::TimedOut { was_sent: false } => {
            (Exit::TimedOut, "it could not be sent in time".to_owned())
        }
        PushError::Unconfirmed => (
            Exit::Unconfirmed,
            "the connection or the channel ended before a reply came; the server may have handled the push"
                .to_owned(),
        ),
        PushError::ChannelClosed => (Exit::ChannelClosed, error.to_string()),
        PushError::ReservedEvent => (Exit::Usage, error.to_string()),
        error => (Exit::Failed, error.to_string()),
    }
}

/// An object of JSON that an option was given, as a payload.
pub(crate) fn payload(option: &str, text: Option<&str>) -> anyhow::Result<Payload> {
    match text {
        Some(text) => {
            Payload::json(&crate::server::object(option, text)?).context("the payload cannot be written")
        }
        None => Ok(Payload::empty()),
    }
}

#[cfg(test)]
mod tests {
    use bennu_protocol::Status;

    use super::*;

    #[test]
    fn what_a_server_replies_cannot_play_with_the_terminal() {
        for (status, shown) in [
            (Status::Error, "error"),
            (Status::Custom("busy".into()), "busy"),
            (Status::Custom("\u{1b}[2J\u{9b}".into()), "\\u{1b}[2J\\u{9b}"),
        ] {
            let (exit, text) = not_pushed(&PushError::Refused { status, response: Payload::empty() });
            assert_eq!((exit, text), (Exit::ErrorReply, format!("the server replied {shown}: {{}}")));
        }
    }
}
