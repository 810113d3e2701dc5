//! Sockets and channels for programs without async: what waits blocks the thread.
//!
//! A socket runs on a thread of its own. All that waits is here; all else is on the handles inside, [`Socket::handle`] and [`Channel::handle`], which never
//! block.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use bennu_client::SocketConfig;
//! use bennu_client::blocking::Socket;
//! use serde_json::json;
//!
//! let socket = Socket::start(SocketConfig::new("ws://localhost:4000/socket"))?;
//! let (_, room) = socket.join("rooms:lobby", json!({"user_id": 123}))?;
//! let reply = room.push("new_msg", json!({"body": "Hello"}))?;
//! println!("{:?}", reply.parse::<serde_json::Value>()?);
//! while let Some(message) = room.recv_timeout(Duration::from_secs(5))? {
//!     println!("{}", message.event);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Within an async runtime these calls would hold up its tasks: they refuse with [`Error::AsyncContext`]. That includes threads of `spawn_blocking`, which can
//! use the async face.

use std::convert::Infallible;
use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use bennu_protocol::{IntoPayload, Payload, Topic};
use thiserror::Error;

use crate::config::SocketConfig;
use crate::error::{ChannelEnd, JoinError, PushError, RecvError, SocketEnd, StartError};
use crate::message::Message;

/// Why a call that blocks failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error<E> {
    /// The thread belongs to an async runtime, whose tasks it would hold up. Nothing was done.
    #[error("a blocking call within an async runtime")]
    AsyncContext,
    /// No thread could be had for a socket.
    #[error("no thread to run on: {0}")]
    Thread(String),
    /// The thing itself failed.
    #[error(transparent)]
    Failed(#[from] E),
}

/// A [`Socket`](crate::Socket) whose waiting calls block. Clones stand for the same socket.
#[derive(Debug, Clone)]
pub struct Socket(crate::Socket);

/// A [`Channel`](crate::Channel) whose waiting calls block. Clones stand for the same channel.
#[derive(Debug, Clone)]
pub struct Channel(crate::Channel);

impl Socket {
    /// Starts a socket on a thread of its own, which ends with the socket.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the settings cannot be used; [`Error::AsyncContext`], [`Error::Thread`].
    pub fn start(config: SocketConfig) -> Result<Self, Error<StartError>> {
        refuse_async()?;
        let (started, socket) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("bennu-client".to_owned());
        let unavailable = |error: std::io::Error| Error::Thread(error.to_string());
        thread.spawn(move || run(config, &started)).map_err(unavailable)?;
        let panicked = |_| Error::Thread("it ended as it began".to_owned());
        socket.recv().map_err(panicked)?.map(Socket)
    }

    /// All that does not wait.
    #[must_use]
    pub fn handle(&self) -> &crate::Socket {
        &self.0
    }

    /// Waits until it is connected; [`Socket::connected`](crate::Socket::connected).
    ///
    /// # Errors
    ///
    /// [`JoinError::NotConnected`] when it is not, and does not try.
    pub fn connected(&self) -> Result<(), Error<JoinError>> {
        Ok(wait(self.0.connected())??)
    }

    /// Joins a topic; [`Socket::join`](crate::Socket::join).
    ///
    /// # Errors
    ///
    /// [`JoinError`]. The channel of an [`AlreadyJoined`](JoinError::AlreadyJoined) can be [converted](Channel::from).
    pub fn join(
        &self,
        topic: impl Into<Topic>,
        params: impl IntoPayload,
    ) -> Result<(Payload, Channel), Error<JoinError>> {
        self.wait_for_join(self.0.join(topic, params))
    }

    /// Joins a topic as asked for: with a time of its own, or in place of the channel that has it.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use bennu_client::{JoinError, blocking};
    /// # fn of(socket: blocking::Socket) -> Result<(), blocking::Error<JoinError>> {
    /// let join = socket.handle().join_replacing("rooms:lobby", ()).timeout(Duration::from_secs(1));
    /// let (response, room) = socket.wait_for_join(join)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    pub fn wait_for_join(&self, join: crate::Join) -> Result<(Payload, Channel), Error<JoinError>> {
        let (response, channel) = wait(join)??;
        Ok((response, Channel(channel)))
    }

    /// The time until a heartbeat is answered; [`Socket::ping`](crate::Socket::ping).
    ///
    /// # Errors
    ///
    /// [`PushError`].
    pub fn ping(&self) -> Result<Duration, Error<PushError>> {
        Ok(wait(self.0.ping())??)
    }

    /// Waits until the socket has ended; [`Socket::ended`](crate::Socket::ended).
    ///
    /// # Errors
    ///
    /// [`Error::AsyncContext`] alone.
    pub fn ended(&self) -> Result<SocketEnd, Error<Infallible>> {
        wait(self.0.ended())
    }
}

impl Channel {
    /// All that does not wait.
    #[must_use]
    pub fn handle(&self) -> &crate::Channel {
        &self.0
    }

    /// Waits until it is joined; [`Channel::joined`](crate::Channel::joined).
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    pub fn joined(&self) -> Result<Payload, Error<JoinError>> {
        Ok(wait(self.0.joined())??)
    }

    /// Pushes an event and waits for its reply; [`Channel::push`](crate::Channel::push).
    ///
    /// # Errors
    ///
    /// [`PushError`].
    pub fn push(
        &self,
        event: impl AsRef<str>,
        payload: impl IntoPayload,
    ) -> Result<Payload, Error<PushError>> {
        self.wait_for_push(self.0.push(event, payload))
    }

    /// Pushes as asked for: with a time of its own, or with retries.
    ///
    /// # Errors
    ///
    /// [`PushError`].
    pub fn wait_for_push(&self, push: crate::Push) -> Result<Payload, Error<PushError>> {
        Ok(wait(push)??)
    }

    /// The next message; [`Channel::recv`](crate::Channel::recv).
    ///
    /// # Errors
    ///
    /// [`RecvError`].
    pub fn recv(&self) -> Result<Message, Error<RecvError>> {
        Ok(wait(self.0.recv())??)
    }

    /// The next message, if it comes within this time.
    ///
    /// # Errors
    ///
    /// [`RecvError`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Message>, Error<RecvError>> {
        refuse_async()?;
        let deadline = Instant::now().checked_add(timeout);
        Ok(wait_until(self.0.recv(), deadline).transpose()?)
    }

    /// Leaves it and waits until the server has let go; [`Channel::leave`](crate::Channel::leave).
    ///
    /// # Errors
    ///
    /// [`PushError`] when the server does not confirm it. The channel is closed all the same.
    pub fn leave(&self) -> Result<(), Error<PushError>> {
        refuse_async()?;
        Ok(wait(self.0.leave())??)
    }

    /// Waits until it has ended; [`Channel::ended`](crate::Channel::ended).
    ///
    /// # Errors
    ///
    /// [`Error::AsyncContext`] alone.
    pub fn ended(&self) -> Result<ChannelEnd, Error<Infallible>> {
        wait(self.0.ended())
    }
}

impl From<crate::Channel> for Channel {
    fn from(channel: crate::Channel) -> Self {
        Channel(channel)
    }
}

/// The thread of a socket.
fn run(config: SocketConfig, started: &mpsc::SyncSender<Result<crate::Socket, Error<StartError>>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(started, Err(Error::Thread(error.to_string()))),
    };
    runtime.block_on(async {
        match crate::Socket::with_driver(config) {
            Ok((socket, driver)) => {
                tell(started, Ok(socket));
                driver.run().await;
            }
            Err(error) => tell(started, Err(Error::Failed(error))),
        }
    });
}

fn tell<T>(teller: &mpsc::SyncSender<T>, value: T) {
    // Whoever starts a socket waits for it.
    let _ = teller.send(value);
}

fn refuse_async<E>() -> Result<(), Error<E>> {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => Err(Error::AsyncContext),
        Err(_) => Ok(()),
    }
}

fn wait<F: IntoFuture, E>(future: F) -> Result<F::Output, Error<E>> {
    refuse_async()?;
    let Ok(output) = drive(future.into_future(), || {
        thread::park();
        Ok::<(), Infallible>(())
    });
    Ok(output)
}

/// None when the time is over. A moment that the clock does not have never comes.
fn wait_until<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    let output = drive(future, || {
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => thread::park(),
            Some(Duration::ZERO) => return Err(()),
            Some(left) => thread::park_timeout(left),
        }
        Ok(())
    });
    output.ok()
}

/// Runs a future on this thread, which sleeps meanwhile, until that says no. Futures of this crate need no runtime: their socket's thread wakes
/// them.
fn drive<F: Future, E>(future: F, mut sleep: impl FnMut() -> Result<(), E>) -> Result<F::Output, E> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Ok(output);
        }
        sleep()?;
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
