//! What drives a session in a page: its clock is the page's, its task the event loop's.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bennu_protocol::client::{
    ClientConfig, ClientEvent, ClientSession, Connection, ConnectionEnd, ConnectionEvent, OpenError,
    OpenRequest, Opening, Transport,
};
use gloo_timers::callback::Timeout;
use wasm_bindgen_futures::spawn_local;

/// A session, its connection and its clock. When the last clone is dropped, the connection is closed.
#[derive(Clone)]
pub struct Client {
    inner: Rc<Inner>,
}

struct Inner {
    session: RefCell<ClientSession>,
    task: RefCell<Option<Waker>>,
}

/// What the page does about an event.
type Handler = Box<dyn FnMut(&Client, ClientEvent)>;

struct Shell {
    inner: Weak<Inner>,
    transport: Arc<dyn Transport>,
    request: Box<dyn Fn() -> OpenRequest>,
    handle: Handler,
    link: Link,
    timer: Option<(Duration, Timeout)>,
}

enum Link {
    None,
    Opening(Opening),
    Open { connection: Box<dyn Connection>, close: Option<(u16, String)> },
}

impl Client {
    /// A session that its first `connect` brings to life. `request` is asked at each connect; `handle` is called for each event of the session
    /// but those that ask for a connection.
    pub fn start(
        transport: impl Transport,
        request: impl Fn() -> OpenRequest + 'static,
        config: ClientConfig,
        handle: impl FnMut(&Client, ClientEvent) + 'static,
    ) -> Self {
        let inner =
            Rc::new(Inner { session: RefCell::new(ClientSession::new(config)), task: RefCell::default() });
        let mut shell = Shell {
            inner: Rc::downgrade(&inner),
            transport: Arc::new(transport),
            request: Box::new(request),
            handle: Box::new(handle),
            link: Link::None,
            timer: None,
        };
        spawn_local(async move { poll_fn(|cx| shell.poll(cx)).await });
        Client { inner }
    }

    /// Calls into the session, with the time; what comes of it happens soon after. It must not be nested.
    pub fn call<R>(&self, ask: impl FnOnce(&mut ClientSession, Duration) -> R) -> R {
        let answer = ask(&mut self.inner.session.borrow_mut(), now());
        let task = self.inner.task.borrow_mut().take();
        if let Some(task) = task {
            task.wake();
        }
        answer
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().take() {
            task.wake();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// The page's clock, which goes on while it sleeps and never back.
fn now() -> Duration {
    let clock = web_sys::window().and_then(|window| window.performance());
    Duration::from_secs_f64(clock.map_or(0.0, |clock| clock.now()) / 1_000.0)
}

impl Shell {
    /// Done when nobody holds the client any more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(inner) = self.inner.upgrade() else { return Poll::Ready(()) };
        *inner.task.borrow_mut() = Some(cx.waker().clone());
        let client = Client { inner };
        loop {
            let mut is_busy = self.dispatch(&client);
            is_busy |= self.open(&client, cx);
            is_busy |= self.transmit(&client, cx);
            is_busy |= self.receive(&client, cx);
            is_busy |= self.pass_time(&client, cx);
            if !is_busy {
                return Poll::Pending;
            }
        }
    }

    fn dispatch(&mut self, client: &Client) -> bool {
        let mut is_busy = false;
        loop {
            let event = client.inner.session.borrow_mut().poll_event();
            let Some(event) = event else { return is_busy };
            is_busy = true;
            match event {
                ClientEvent::Connect { .. } => {
                    self.link = Link::None;
                    self.link = Link::Opening(self.transport.open((self.request)()));
                }
                ClientEvent::Close { code, reason } => match &mut self.link {
                    Link::Open { close, .. } => *close = Some((code, reason)),
                    Link::Opening(_) | Link::None => {
                        self.link = Link::None;
                        client.inner.session.borrow_mut().handle_close(ConnectionEnd::lost(), now());
                    }
                },
                event => {
                    if matches!(event, ClientEvent::Closed(_)) {
                        self.link = Link::None;
                    }
                    (self.handle)(client, event);
                }
            }
        }
    }

    fn open(&mut self, client: &Client, cx: &mut Context<'_>) -> bool {
        let Link::Opening(opening) = &mut self.link else { return false };
        let Poll::Ready(opened) = opening.as_mut().poll(cx) else { return false };
        let mut session = client.inner.session.borrow_mut();
        match opened {
            Ok(connection) => {
                self.link = Link::Open { connection, close: None };
                session.handle_open(now());
            }
            Err(error) => {
                self.link = Link::None;
                session.handle_error(describe(&error), now());
                session.handle_close(ConnectionEnd::lost(), now());
            }
        }
        true
    }

    fn transmit(&mut self, client: &Client, cx: &mut Context<'_>) -> bool {
        let Link::Open { connection, close } = &mut self.link else { return false };
        let mut is_busy = false;
        loop {
            if connection.poll_ready(cx).is_pending() {
                return is_busy;
            }
            let Some(frame) = client.inner.session.borrow_mut().poll_transmit() else { break };
            connection.send(frame);
            is_busy = true;
        }
        if let Some((code, reason)) = close.take() {
            connection.close(code, &reason);
            is_busy = true;
        }
        is_busy
    }

    fn receive(&mut self, client: &Client, cx: &mut Context<'_>) -> bool {
        let Link::Open { connection, .. } = &mut self.link else { return false };
        let Poll::Ready(event) = connection.poll_event(cx) else { return false };
        let mut session = client.inner.session.borrow_mut();
        match event {
            // What is no message is passed over.
            ConnectionEvent::Frame(frame) => drop(session.handle_frame(frame, now())),
            ConnectionEvent::Error(reason) => session.handle_error(reason, now()),
            ConnectionEvent::Closed(end) => {
                self.link = Link::None;
                session.handle_close(end, now());
            }
            _ => {}
        }
        true
    }

    fn pass_time(&mut self, client: &Client, cx: &mut Context<'_>) -> bool {
        let mut session = client.inner.session.borrow_mut();
        let Some(due) = session.poll_timeout() else {
            self.timer = None;
            return false;
        };
        let now = now();
        if due <= now {
            self.timer = None;
            session.handle_timeout(now);
            return true;
        }
        if self.timer.as_ref().is_none_or(|(set, _)| *set != due) {
            let waker = cx.waker().clone();
            // Rounded up, so that it is due when it rings.
            let wait = u32::try_from((due - now).as_millis() + 1).unwrap_or(u32::MAX);
            self.timer = Some((due, Timeout::new(wait.min(i32::MAX as u32), move || waker.wake())));
        }
        false
    }
}

fn describe(error: &OpenError) -> String {
    error.to_string()
}
