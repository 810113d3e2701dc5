//! The browser's WebSocket, as the session's transport.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bennu_protocol::client::{
    Connection, ConnectionEnd, ConnectionEvent, OpenError, OpenRequest, Opening, Transport,
};
use bennu_protocol::{Frame, FrameKind};
use js_sys::{ArrayBuffer, Uint8Array};
use send_wrapper::SendWrapper;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{BinaryType, CloseEvent, Event, MessageEvent, WebSocket};

/// Bytes that may wait in the browser, of which it does not say when they are gone.
const MAX_BUFFERED: u32 = 64 * 1024;

/// Looks whether they are gone.
const LOOK_AGAIN_MS: u32 = 10;

/// WebSockets of the browser. Headers of the application cannot be sent from a page, and a request with some is refused; the token travels as an offered
/// sub-protocol, as the official client sends it.
#[derive(Debug, Clone, Copy, Default)]
pub struct BrowserWebSocket;

impl Transport for BrowserWebSocket {
    fn open(&self, request: OpenRequest) -> Opening {
        // A page has one thread, so what is JavaScript's never leaves it.
        Box::pin(SendWrapper::new(open(request)))
    }
}

async fn open(request: OpenRequest) -> Result<Box<dyn Connection>, OpenError> {
    if !request.headers.is_empty() {
        return Err(OpenError::Invalid("a page cannot send headers with a WebSocket".to_owned()));
    }
    let socket = match &request.auth_token {
        None => WebSocket::new(&request.url),
        Some(token) => {
            let protocols = js_sys::Array::of2(&"phoenix".into(), &bearer(token)?.into());
            WebSocket::new_with_str_sequence(&request.url, &protocols)
        }
    };
    let socket = socket.map_err(|error| OpenError::Invalid(text(&error)))?;
    socket.set_binary_type(BinaryType::Arraybuffer);
    let connection = BrowserConnection::new(socket);
    let shared = Rc::clone(&connection.shared);
    std::future::poll_fn(|cx| shared.borrow_mut().poll_open(cx)).await?;
    Ok(Box::new(OnPage(SendWrapper::new(connection))))
}

/// The sub-protocol that carries a token.
fn bearer(token: &str) -> Result<String, OpenError> {
    let window = web_sys::window().ok_or_else(|| OpenError::Failed("there is no window".to_owned()))?;
    let bytes: String = token.bytes().map(char::from).collect();
    let encoded = window.btoa(&bytes).map_err(|error| OpenError::Invalid(text(&error)))?;
    let encoded = encoded.trim_end_matches('=').replace('+', "-").replace('/', "_");
    Ok(format!("base64url.bearer.phx.{encoded}"))
}

fn text(error: &JsValue) -> String {
    error.as_string().unwrap_or_else(|| format!("{error:?}"))
}

/// A connection of the page's one thread.
struct OnPage(SendWrapper<BrowserConnection>);

/// One WebSocket. Its drop closes it.
#[derive(Debug)]
struct BrowserConnection {
    socket: WebSocket,
    shared: Rc<RefCell<Shared>>,
    /// Kept as long as the browser may call them.
    _callbacks: Callbacks,
    /// Runs while the browser's buffer is full.
    look_again: Option<gloo_timers::callback::Timeout>,
}

/// What the browser's callbacks tell.
#[derive(Debug, Default)]
struct Shared {
    is_open: bool,
    events: VecDeque<ConnectionEvent>,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Callbacks {
    _open: Closure<dyn FnMut(Event)>,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _error: Closure<dyn FnMut(Event)>,
    _close: Closure<dyn FnMut(CloseEvent)>,
}

impl Shared {
    fn tell(shared: &Rc<RefCell<Self>>, event: Option<ConnectionEvent>) {
        let waker = {
            let mut shared = shared.borrow_mut();
            shared.events.extend(event);
            shared.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Open; or ended before it was.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OpenError>> {
        if self.is_open {
            return Poll::Ready(Ok(()));
        }
        let closed = self.events.iter().any(|event| matches!(event, ConnectionEvent::Closed(_)));
        if closed {
            // Browsers hide the status from pages, so that they cannot explore the network.
            return Poll::Ready(Err(OpenError::Failed("the browser could not connect".to_owned())));
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl BrowserConnection {
    fn new(socket: WebSocket) -> Self {
        let shared = Rc::new(RefCell::new(Shared::default()));
        let open = {
            let shared = Rc::clone(&shared);
            Closure::<dyn FnMut(Event)>::new(move |_| {
                shared.borrow_mut().is_open = true;
                Shared::tell(&shared, None);
            })
        };
        let message = {
            let shared = Rc::clone(&shared);
            Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
                Shared::tell(&shared, frame(&event.data()).map(ConnectionEvent::Frame));
            })
        };
        let error = {
            let shared = Rc::clone(&shared);
            Closure::<dyn FnMut(Event)>::new(move |_| {
                Shared::tell(
                    &shared,
                    Some(ConnectionEvent::Error("the browser reports an error".to_owned())),
                );
            })
        };
        let close = {
            let shared = Rc::clone(&shared);
            Closure::<dyn FnMut(CloseEvent)>::new(move |event: CloseEvent| {
                let mut end = ConnectionEnd::lost();
                (end.code, end.reason, end.was_clean) = (event.code(), event.reason(), event.was_clean());
                Shared::tell(&shared, Some(ConnectionEvent::Closed(end)));
            })
        };
        socket.set_onopen(Some(open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(message.as_ref().unchecked_ref()));
        socket.set_onerror(Some(error.as_ref().unchecked_ref()));
        socket.set_onclose(Some(close.as_ref().unchecked_ref()));
        let callbacks = Callbacks { _open: open, _message: message, _error: error, _close: close };
        BrowserConnection { socket, shared, _callbacks: callbacks, look_again: None }
    }
}

/// Text and array buffers; the browser gives nothing else, as it was asked for these.
fn frame(data: &JsValue) -> Option<Frame> {
    match data.as_string() {
        Some(text) => Some(Frame::text(text)),
        None => Some(Frame::binary(Uint8Array::new(data.dyn_ref::<ArrayBuffer>()?).to_vec())),
    }
}

impl Connection for OnPage {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.socket.buffered_amount() <= MAX_BUFFERED {
            self.0.look_again = None;
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        self.0.look_again = Some(gloo_timers::callback::Timeout::new(LOOK_AGAIN_MS, move || waker.wake()));
        Poll::Pending
    }

    fn send(&mut self, frame: Frame) {
        let payload = &frame.payload();
        let sent = match frame.kind() {
            FrameKind::Binary => self.0.socket.send_with_u8_array(payload),
            FrameKind::Text => match std::str::from_utf8(payload) {
                Ok(text) => self.0.socket.send_with_str(text),
                Err(error) => Err(JsValue::from_str(&error.to_string())),
            },
        };
        if let Err(error) = sent {
            Shared::tell(&self.0.shared, Some(ConnectionEvent::Error(text(&error))));
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEvent> {
        let mut shared = self.0.shared.borrow_mut();
        if let Some(event) = shared.events.pop_front() {
            return Poll::Ready(event);
        }
        shared.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn close(&mut self, code: u16, reason: &str) {
        // Pages may close with 1000 and the range for applications alone.
        let code = if code == 1000 || (3000..5000).contains(&code) { code } else { 1000 };
        if let Err(error) = self.0.socket.close_with_code_and_reason(code, reason) {
            Shared::tell(&self.0.shared, Some(ConnectionEvent::Error(text(&error))));
        }
    }
}

impl Drop for BrowserConnection {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onerror(None);
        self.socket.set_onclose(None);
        // One that is closed already says nothing to this.
        let _closed = self.socket.close();
    }
}
