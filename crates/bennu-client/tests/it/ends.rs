//! Ends of sockets and channels, what their handles keep alive and let go of, and settings at their limits.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bennu_client::transport::{Connection, ConnectionEvent, OpenError, OpenRequest, Opening, Transport};
use bennu_client::{
    Backoff, Channel, ChannelStatus, CustomChannel, JoinError, Provider, Socket, SocketConfig, SocketEnd,
    SocketEnded, SocketStatus,
};
use bennu_protocol::client::ConnectionEnd;
use bennu_protocol::{Frame, Payload, Topic};
use bennu_testkit::scripted::advance;
use bennu_testkit::{ScriptedConnection, ScriptedServer};
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::Stream as _;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout};

use crate::scene::{URL, connected, connected_with, joined, server};

/// A transport whose connections open at once, take all frames, and say what the test wants them to.
struct Puppet {
    says: Arc<Mutex<dyn FnMut() -> Poll<ConnectionEvent> + Send>>,
    opened: Arc<AtomicUsize>,
}

impl Puppet {
    /// `says` is asked each time that the connection is polled.
    fn new(says: impl FnMut() -> Poll<ConnectionEvent> + Send + 'static) -> Self {
        Puppet { says: Arc::new(Mutex::new(says)), opened: Arc::default() }
    }
}

impl fmt::Debug for Puppet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Puppet")
    }
}

impl Transport for Puppet {
    fn needs_heartbeats(&self) -> bool {
        false
    }

    fn open(&self, _: OpenRequest) -> Opening {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let strings = Strings(Arc::clone(&self.says));
        Box::pin(async move { Ok(Box::new(strings) as Box<dyn Connection>) })
    }
}

struct Strings(Arc<Mutex<dyn FnMut() -> Poll<ConnectionEvent> + Send>>);

impl Connection for Strings {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn send(&mut self, _: Frame) {}

    fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<ConnectionEvent> {
        (self.0.lock().unwrap())()
    }

    fn close(&mut self, _: u16, _: &str) {}
}

/// Does something on another thread, which may get stuck.
fn without_deadlock(act: impl FnOnce() + Send + 'static) {
    let (done, waits) = mpsc::channel();
    std::thread::spawn(move || {
        act();
        done.send(()).unwrap();
    });
    waits.recv_timeout(Duration::from_secs(10)).expect("it is stuck, or has panicked");
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn unavailable(retry_after: Duration) -> OpenError {
    OpenError::Refused { status: 503, body: Default::default(), retry_after: Some(retry_after) }
}

#[tokio::test(start_paused = true)]
async fn the_last_status_of_a_socket_says_how_it_ended() {
    let (_server, _connection, socket) = connected().await;
    let before = socket.statuses();
    socket.stop();
    socket.ended().await;
    for mut statuses in [before, socket.statuses()] {
        let mut last = None;
        while let Some(status) = timeout(Duration::from_secs(600), statuses.next()).await.expect("an end") {
            last = Some(status);
        }
        assert_eq!(last, Some(SocketStatus::Ended(SocketEnd::Stopped)));
    }
    assert_eq!(socket.status(), SocketStatus::Ended(SocketEnd::Stopped));
    let outcome = socket.connected().await;
    assert!(matches!(outcome, Err(JoinError::SocketEnded(SocketEnded(SocketEnd::Stopped)))), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_channel_of_a_socket_that_has_ended_has_left() {
    let (_server, _connection, socket, channel) = joined().await;
    socket.stop();
    socket.ended().await;
    channel.ended().await;
    assert_eq!(channel.status(), ChannelStatus::Left);
    assert!(channel.state().is_none());
}

/// How far a socket has come when it is stopped; the connection is kept open by whoever holds it.
async fn stage(name: &str, server: &ScriptedServer, socket: &Socket) -> Option<ScriptedConnection> {
    if name == "opening" {
        server.ignore().await;
        return None;
    }
    if name == "between attempts" {
        server.fail("unreachable").await;
        advance(Duration::from_millis(5)).await;
        return None;
    }
    let connection = server.accept().await;
    connection.ignore_close();
    if name == "not read from" {
        connection.stop_reading();
        let channel = socket.channel_join("room:1", json!({})).unwrap();
        advance(Duration::from_millis(1)).await;
        drop(channel);
    }
    if name == "closing for another connection" {
        socket.connected().await.unwrap();
        socket.disconnect();
        socket.connect().unwrap();
    }
    Some(connection)
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_is_stopped_ends_soon_wherever_it_stands() {
    for name in
        ["opening", "between attempts", "never closed", "not read from", "closing for another connection"]
    {
        let (server, config) = server();
        let socket = Socket::start(config).unwrap();
        let _connection = stage(name, &server, &socket).await;
        socket.stop();
        let end = timeout(Duration::from_secs(2), socket.ended()).await;
        assert_eq!(end, Ok(SocketEnd::Stopped), "{name}");
    }
    let (_server, config) = server();
    let socket = Socket::start(config).unwrap();
    socket.stop();
    assert_eq!(timeout(Duration::from_secs(2), socket.ended()).await, Ok(SocketEnd::Stopped), "just started");
}

#[test]
fn a_driver_that_is_dropped_while_its_owner_panics_was_aborted() {
    let slot = Mutex::new(None);
    let panics = || {
        let (_server, config) = server();
        let runtime = runtime();
        let _entered = runtime.enter();
        let (socket, _driver) = Socket::with_driver(config).unwrap();
        *slot.lock().unwrap() = Some(socket);
        panic!("an owner of the test panics");
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).unwrap_err();
    let socket = slot.lock().unwrap().take().unwrap();
    assert_eq!(runtime().block_on(socket.ended()), SocketEnd::Aborted);
}

/// All that one can wait for, of a socket and of a channel that is joined.
fn waits(socket: &Socket, channel: &Channel) -> Vec<(&'static str, BoxFuture<'static, ()>)> {
    let (joins, ends, pings) = (socket.clone(), socket.clone(), socket.clone());
    let (receives, leaves) = (channel.clone(), channel.clone());
    let pushing = channel.push("e", json!({})).into_future();
    let retrying = channel.push("e", json!({})).retry_unconfirmed().into_future();
    let (mut of_socket, mut of_channel) = (socket.statuses(), channel.statuses());
    vec![
        ("join", async move { drop(joins.join("room:2", json!({})).await) }.boxed()),
        ("ended", async move { ends.ended().map(|_| ()).await }.boxed()),
        ("ping", async move { drop(pings.ping().await) }.boxed()),
        ("push", pushing.map(drop).boxed()),
        ("retried push", retrying.map(drop).boxed()),
        ("recv", async move { while receives.recv().await.is_ok() {} }.boxed()),
        ("ended of a channel", async move { drop(leaves.ended().await) }.boxed()),
        ("statuses", async move { while of_socket.next().await.is_some() {} }.boxed()),
        ("statuses of a channel", async move { while of_channel.next().await.is_some() {} }.boxed()),
    ]
}

#[test]
fn nothing_waits_for_a_runtime_that_is_gone() {
    let driving = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let waiting = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_server, _connection, socket, channel) = driving.block_on(joined());
    let waits = waits(&socket, &channel);
    let waits = Vec::from_iter(waits.into_iter().map(|(name, wait)| (name, waiting.spawn(wait))));
    std::thread::sleep(Duration::from_millis(100));
    for (name, wait) in &waits {
        assert!(!wait.is_finished(), "{name}");
    }
    driving.shutdown_timeout(Duration::from_secs(1));
    for (name, wait) in waits {
        let over = waiting.block_on(async { timeout(Duration::from_secs(2), wait).await });
        over.expect(name).expect(name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_of_the_settings_keeps_its_socket_alive() {
    let (_server, connection, socket) = connected_with(|config| config.join_channel("room:1")).await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    let channel = socket.channel("room:1").unwrap();
    channel.joined().await.unwrap();
    drop(socket);
    advance(Duration::from_secs(1)).await;
    let pushing = tokio::spawn(async move { channel.push("e", json!({})).await });
    connection.expect_push("room:1", "e").await.reply_ok(json!({}));
    pushing.await.unwrap().unwrap();
    connection.expect_closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_on_a_channel_that_has_ended_is_let_go_at_once() {
    let (_server, _connection, _socket, channel) = joined().await;
    channel.stop();
    channel.ended().await;
    let (own, token) = (channel.clone(), Arc::new(()));
    let held = Arc::clone(&token);
    channel.on("e", move |_: &Payload| drop((own.clone(), Arc::clone(&held))));
    assert_eq!(Arc::strong_count(&token), 1);
}

struct Plain;

impl CustomChannel for Plain {}

/// A hook that holds its own channel.
fn hold_itself(channel: &Channel) {
    let own = channel.clone();
    channel.on("e", move |_: &Payload| own.stop());
}

type Life = (&'static str, fn(SocketConfig) -> BoxFuture<'static, ()>);

const LIVES_OF_SOCKETS: [Life; 4] = [
    ("connected", |config| {
        Box::pin(async move { Socket::start(config).unwrap().connected().await.unwrap() })
    }),
    ("never driven", |config| {
        Box::pin(async move {
            let (socket, _driver) = Socket::with_driver(config).unwrap();
            let _channel = socket.channel_join("typed:1", json!({})).unwrap();
        })
    }),
    ("whose driver is dropped", |config| {
        Box::pin(async move {
            let (socket, driver) = Socket::with_driver(config).unwrap();
            let _channel = socket.channel_join("typed:1", json!({})).unwrap();
            drop(driver);
        })
    }),
    ("reconfigured", |config| {
        Box::pin(async move {
            let socket = Socket::start(config).unwrap();
            socket.connected().await.unwrap();
            socket.reconfigure(|config| config.url("ws://other/socket")).unwrap();
            drop((socket.state(), socket.statuses()));
        })
    }),
];

const LIVES_OF_CHANNELS: [Life; 5] = [
    ("of a type", |config| {
        Box::pin(async move {
            let socket = Socket::start(config).unwrap();
            let _channel = socket.channel_join("typed:1", json!({})).unwrap();
            advance(Duration::from_secs(1)).await;
        })
    }),
    ("held by its hook and left", |config| {
        Box::pin(async move {
            let socket = Socket::start(config).unwrap();
            socket.connected().await.unwrap();
            let channel = socket.channel_join("room:1", json!({})).unwrap();
            hold_itself(&channel);
            channel.stop();
        })
    }),
    ("held by its hook when the socket ends", |config| {
        Box::pin(async move {
            let socket = Socket::start(config).unwrap();
            hold_itself(&socket.channel_join("room:1", json!({})).unwrap());
            socket.stop();
            socket.ended().await;
        })
    }),
    ("with a push that is given up", |config| {
        Box::pin(async move {
            let channel = Socket::start(config).unwrap().channel_join("room:1", json!({})).unwrap();
            let pushing = tokio::spawn(async move { channel.push("e", json!({})).await });
            tokio::task::yield_now().await;
            pushing.abort();
        })
    }),
    ("with a join that is given up", |config| {
        Box::pin(async move {
            let socket = Socket::start(config).unwrap();
            let joining = tokio::spawn(socket.join("room:1", json!({})).into_future());
            advance(Duration::from_secs(1)).await;
            joining.abort();
        })
    }),
];

#[tokio::test(start_paused = true)]
async fn once_all_handles_are_gone_so_are_the_settings() {
    for (name, life) in LIVES_OF_SOCKETS.into_iter().chain(LIVES_OF_CHANNELS) {
        let token = Arc::new(());
        let held = Arc::clone(&token);
        let transport = Puppet::new(move || {
            let _held = &held;
            Poll::Pending
        });
        let config = SocketConfig::new(URL)
            .transport(transport)
            .join_channel("kept:1")
            .topic_channel("typed:1", |_: &Socket, _: &Topic, _: &Payload| Plain);
        life(config).await;
        advance(Duration::from_secs(60)).await;
        assert_eq!(Arc::strong_count(&token), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_may_do_anything_with_its_socket_and_end_it() {
    let (_server, connection, socket, channel) = joined().await;
    let slot = Mutex::new(Some((socket.clone(), channel.clone())));
    let count = Arc::new(AtomicUsize::new(0));
    let calls = Arc::clone(&count);
    channel.on("e", move |_: &Payload| {
        let Some((socket, channel)) = slot.lock().unwrap().take() else { return };
        let other = socket.channel_join("room:2", json!({})).unwrap();
        drop((socket.state(), channel.state(), socket.status(), channel.status()));
        drop((socket.put_state("a", 1), socket.get_state("a")));
        drop(channel.push_async("x", json!({})).unwrap());
        channel.on("f", |_: &Payload| {});
        assert!(channel.off("e"));
        other.stop();
        socket.reconfigure(|config| config.timeout(Duration::from_secs(1))).unwrap();
        drop(socket.pop_all_to_send());
        socket.disconnect();
        socket.connect().unwrap();
        channel.stop();
        drop((other, channel));
        socket.stop();
        drop(socket);
        calls.fetch_add(1, Ordering::SeqCst);
    });
    connection.push("room:1", "e", json!({}));
    drop(channel);
    let end = timeout(Duration::from_secs(600), socket.ended()).await;
    assert_eq!((end, count.load(Ordering::SeqCst)), (Ok(SocketEnd::Stopped), 1));
}

#[test]
fn a_value_that_is_put_may_look_at_its_socket() {
    struct Status(Socket);
    impl From<Status> for serde_json::Value {
        fn from(Status(socket): Status) -> Self {
            json!(socket.status().as_str())
        }
    }
    without_deadlock(|| {
        runtime().block_on(async {
            let (_server, _connection, socket) = connected().await;
            socket.put_state("status", Status(socket.clone()));
            assert_eq!(socket.get_state("status").unwrap(), "connected");
        });
    });
}

#[test]
fn settings_that_an_ended_socket_refuses_may_hold_the_last_handle_of_a_channel() {
    without_deadlock(|| {
        runtime().block_on(async {
            let (_server, _connection, socket, channel) = joined().await;
            socket.stop();
            socket.ended().await;
            let token = Provider::from_fn(move || channel.topic().to_string());
            socket.reconfigure(move |config| config.auth_token(token)).unwrap_err();
        });
    });
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_tells_of_an_error_and_of_no_end_is_given_up() {
    let is_broken = Arc::new(AtomicUsize::new(0));
    let breaks = Arc::clone(&is_broken);
    let transport = Puppet::new(move || match breaks.swap(0, Ordering::SeqCst) {
        0 => Poll::Pending,
        _ => Poll::Ready(ConnectionEvent::Error("broken".to_owned())),
    });
    let opened = Arc::clone(&transport.opened);
    let socket = Socket::start(SocketConfig::new(URL).transport(transport)).unwrap();
    socket.connected().await.unwrap();
    is_broken.store(1, Ordering::SeqCst);
    // Has the driver look.
    let _channel = socket.channel_join("room:1", json!({})).unwrap();
    advance(Duration::from_secs(3)).await;
    assert_eq!((opened.load(Ordering::SeqCst), socket.is_connected()), (2, true));
}

/// Asks for another connection as soon as it is told that there is none, while the driver is still busy with the last one; other threads may, too.
#[derive(Default)]
struct Eager {
    socket: OnceLock<Socket>,
    step: AtomicUsize,
}

impl Eager {
    /// Whether it is this step's turn, which is over then.
    fn step(&self, step: usize) -> bool {
        self.step.compare_exchange(step, step + 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

impl Wake for Eager {
    fn wake(self: Arc<Self>) {
        if self.step(2) {
            self.socket.get().unwrap().connect().unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connect_right_behind_a_disconnect_is_not_ended_by_it() {
    let eager = Arc::new(Eager::default());
    let own = Arc::clone(&eager);
    let transport = Puppet::new(move || {
        if own.step(1) {
            own.socket.get().unwrap().disconnect();
            return Poll::Ready(ConnectionEvent::Closed(ConnectionEnd::lost()));
        }
        Poll::Pending
    });
    let socket = Socket::start(SocketConfig::new(URL).transport(transport).reconnect(false)).unwrap();
    socket.connected().await.unwrap();
    eager.socket.set(socket.clone()).unwrap();
    let mut statuses = Box::pin(socket.statuses());
    let waker = Waker::from(Arc::clone(&eager));
    while statuses.as_mut().poll_next(&mut Context::from_waker(&waker)).is_ready() {}
    assert!(eager.step(0));
    // Has the driver look.
    socket.channel_join("room:1", json!({})).unwrap().stop();
    advance(Duration::from_secs(5)).await;
    assert_eq!(eager.step.load(Ordering::SeqCst), 3);
    assert!(socket.is_connected(), "{:?}", socket.status());
    socket.stop();
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_started_on_a_failed_topic_has_its_type() {
    let (_server, connection, socket) = connected().await;
    let plain = socket.channel_join("room:1", json!({})).unwrap();
    connection.expect_join("room:1").await.reply_error(json!({}));
    advance(Duration::from_millis(10)).await;
    assert!(matches!(plain.status(), ChannelStatus::Errored { .. }));
    let count = Arc::new(AtomicUsize::new(0));
    let made = Arc::clone(&count);
    let init = move |_: &Socket, _: &Topic, _: &Payload| {
        made.fetch_add(1, Ordering::SeqCst);
        Plain
    };
    let typed = socket.start_channel("room:1", json!({}), init).unwrap();
    connection.expect_join("room:1").await.reply_ok(json!({}));
    typed.joined().await.unwrap();
    advance(Duration::from_secs(1)).await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn settings_do_not_undo_a_disconnect() {
    let (server, _connection, socket) = connected().await;
    socket.disconnect();
    socket.reconfigure(|config| config.auth_token("new")).unwrap();
    server.expect_no_connection(Duration::from_secs(60)).await;
    socket.connect().unwrap();
    assert_eq!(server.accept().await.request().auth_token.as_deref(), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_made_from_scratch_take_the_connection_along() {
    let (server, transport) = ScriptedServer::new();
    let socket = Socket::start(SocketConfig::new(URL).transport(transport.clone())).unwrap();
    let _connection = server.accept().await;
    socket.connected().await.unwrap();
    let elsewhere = SocketConfig::new("ws://elsewhere/socket/websocket").transport(transport);
    socket.reconfigure(|_| elsewhere).unwrap();
    let connection = server.accept().await;
    assert!(connection.request().url.starts_with("ws://elsewhere/"), "{}", connection.request().url);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_interval_of_zero_sends_none() {
    let (_server, connection, socket) =
        connected_with(|config| config.heartbeat_interval(Duration::ZERO)).await;
    connection.expect_nothing(Duration::from_secs(3_600)).await;
    assert!(socket.is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_to_be_left_alone_for_a_century_is_for_five_minutes() {
    let (server, config) = server();
    server.refuse_next(unavailable(Duration::from_secs(86_400 * 36_500)));
    let since = Instant::now();
    let _socket = Socket::start(config).unwrap();
    let _connection = server.within(Duration::from_secs(600)).accept().await;
    assert_eq!(since.elapsed().as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn sockets_that_are_told_the_same_time_come_back_at_different_ones() {
    let mut waits = BTreeSet::new();
    for _ in 0..10 {
        let (server, config) = server();
        server.refuse_next(unavailable(Duration::from_secs(20)));
        let since = Instant::now();
        let _socket = Socket::start(config.reconnect_backoff(Backoff::reconnect())).unwrap();
        let _connection = server.within(Duration::from_secs(60)).accept().await;
        waits.insert(since.elapsed().as_millis());
    }
    assert!(waits.len() > 1 && waits.iter().all(|wait| (20_000..=30_001).contains(wait)), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn the_longest_times_are_fine() {
    let max = Duration::MAX;
    let never = Backoff::constant(max).jitter(100);
    let (server, config) = server();
    server.refuse_next(unavailable(max));
    let config = config.heartbeat_interval(max).timeout(max).connect_timeout(max).join_deadline(max);
    let socket = Socket::start(config.reconnect_backoff(never.clone()).rejoin_backoff(never)).unwrap();
    advance(Duration::from_secs(10)).await;
    assert!(matches!(socket.status(), SocketStatus::Reconnecting { attempt: 1, .. }));
    socket.connect().unwrap();
    let connection = server.accept().await;
    let channel = socket.channel_join("room:1", json!({})).unwrap();
    connection.expect_join("room:1").await.reply_error(json!({}));
    advance(Duration::from_secs(10)).await;
    assert!(matches!(channel.status(), ChannelStatus::Errored { retry_at: Some(_) }));
    assert!(channel.state().is_some());
    let pushing = channel.push("e", json!({})).timeout(max).into_future();
    timeout(Duration::from_secs(86_400 * 400), pushing).await.unwrap_err();
    connection.drop_link();
    advance(Duration::from_secs(1)).await;
    assert!(matches!(socket.status(), SocketStatus::Reconnecting { attempt: 1, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_opened_is_not_the_last_that_closed() {
    let (server, config) = server();
    let socket = Socket::start(config).unwrap();
    server.refuse(403, "go away").await;
    advance(Duration::from_millis(5)).await;
    assert!(socket.last_error().is_some());
    assert_eq!(socket.last_close(), None);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_says_connected_has_the_channels_of_its_settings() {
    let slot = Arc::new(OnceLock::<Socket>::new());
    let own = Arc::clone(&slot);
    let (tell, told) = mpsc::channel();
    // It is polled right after it has opened, when the driver is still busy with that; other threads may ask at this moment, too.
    let transport = Puppet::new(move || {
        let socket = own.get().unwrap();
        if socket.connected().now_or_never().is_some() {
            tell.send(socket.channel("room:1").is_some()).unwrap();
        }
        Poll::Pending
    });
    let config = SocketConfig::new(URL).transport(transport).join_channel("room:1");
    let socket = Socket::start(config).unwrap();
    slot.set(socket.clone()).unwrap();
    socket.connected().await.unwrap();
    advance(Duration::from_secs(1)).await;
    let told = Vec::from_iter(told.try_iter());
    assert!(!told.is_empty() && told.iter().all(|is_there| *is_there), "{told:?}");
    socket.stop();
}

#[test]
fn settings_are_shown_without_passwords_and_params() {
    let shown = format!("{:?}", SocketConfig::new("ws://user:secret@host/socket?token=secret"));
    assert!(shown.contains("host") && !shown.contains("secret"), "{shown}");
}
