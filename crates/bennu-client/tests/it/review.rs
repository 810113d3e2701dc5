//! Review.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bennu_client::{
    ChannelStatus, JoinError, Provider, PushError, Socket, SocketConfig, SocketEnd, SocketStatus,
};
use bennu_protocol::Payload;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::scene::{URL, connected, connected_with, join, joined, server};

const LONG: Duration = Duration::from_secs(600);

/// D1a
#[tokio::test(start_paused = true)]
async fn r01a_join_ends_when_connection_is_lost_for_good() {
    let (_server, connection, socket) = connected_with(|c| c.reconnect(false)).await;
    let joining = tokio::spawn({
        let socket = socket.clone();
        async move { socket.join("room:1", json!({})).await.map(drop) }
    });
    connection.expect_join("room:1").await.ignore();
    connection.drop_link();
    let outcome = timeout(LONG, joining).await;
    assert!(outcome.is_ok(), "join still waits after 10 minutes; socket is {:?}", socket.status());
}

/// D1b
#[tokio::test(start_paused = true)]
async fn r01b_join_times_out_while_server_is_down() {
    let (server, config) = server();
    let socket = Socket::start(config).unwrap();
    let _failing = tokio::spawn(async move {
        loop {
            server.within(Duration::from_secs(60)).fail("unreachable").await;
        }
    });
    let joining = socket.join("room:1", json!({})).timeout(Duration::from_secs(5));
    let outcome = timeout(LONG, joining.into_future()).await;
    assert!(
        outcome.is_ok(),
        "join with a timeout of 5 s still waits after 10 minutes; {:?}",
        socket.status()
    );
}

/// D1c: phx_error while joining, again and again
#[tokio::test(start_paused = true)]
async fn r01c_join_ends_when_the_server_crashes_it() {
    let (_server, connection, socket) = connected().await;
    connection.answer_heartbeats();
    let _crashing = tokio::spawn(async move {
        loop {
            let c = connection.within(Duration::from_secs(60));
            let j = c.expect_join("room:1").await;
            c.push_as(j.join_ref(), "room:1", "phx_error", json!({}));
        }
    });
    let joining = socket.join("room:1", json!({})).timeout(Duration::from_secs(5));
    let outcome = timeout(LONG, joining.into_future()).await;
    assert!(outcome.is_ok(), "join still waits after 10 minutes");
}

/// D2
#[tokio::test(start_paused = true)]
async fn r02_retried_push_that_was_sent_is_unconfirmed_when_the_socket_stops() {
    let (_server, connection, socket, channel) = joined().await;
    let pushing = tokio::spawn({
        let channel = channel.clone();
        async move { channel.push("e", json!({})).retry_unconfirmed().await }
    });
    connection.expect_push("room:1", "e").await.ignore();
    socket.stop();
    assert_eq!(pushing.await.unwrap(), Err(PushError::Unconfirmed));
}

/// D3
#[tokio::test(start_paused = true)]
async fn r03_statuses_of_a_socket_end_with_it() {
    let (_server, _connection, socket) = connected().await;
    let mut statuses = socket.statuses();
    socket.stop();
    socket.ended().await;
    let drained = async { while statuses.next().await.is_some() {} };
    assert!(timeout(LONG, drained).await.is_ok(), "the stream goes on for ever");
}

/// D4
#[tokio::test(start_paused = true)]
async fn r04_a_channel_of_an_ended_socket_has_left() {
    let (_server, _connection, socket, channel) = joined().await;
    socket.stop();
    socket.ended().await;
    channel.ended().await;
    assert_eq!(channel.status(), ChannelStatus::Left);
    assert!(channel.state().is_none());
}

/// D5
#[tokio::test(start_paused = true)]
async fn r05_a_kept_channel_keeps_its_socket_alive() {
    let (_server, connection, socket) = connected_with(|c| c.join_channel("room:1")).await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    let channel = socket.channel("room:1").unwrap();
    channel.joined().await.unwrap();
    drop(socket);
    sleep(Duration::from_secs(1)).await;
    let pushing = tokio::spawn(async move { channel.push("e", json!({})).await });
    timeout(Duration::from_secs(3), connection.expect_push("room:1", "e")).await.unwrap().reply_ok(json!({}));
    pushing.await.unwrap().unwrap();
}

/// D6
#[tokio::test(start_paused = true)]
async fn r06_providers_that_never_answer_do_not_pile_up() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    struct Alive;
    impl Drop for Alive {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let (_server, connection, socket) = connected().await;
    connection.answer_heartbeats();
    let channel = socket
        .join("room:1", json!({}))
        .params_from(Provider::from_async(|| async {
            ALIVE.fetch_add(1, Ordering::SeqCst);
            let _alive = Alive;
            std::future::pending::<()>().await;
            Ok(Payload::empty())
        }))
        .start()
        .unwrap();
    sleep(Duration::from_secs(3600)).await;
    assert!(
        ALIVE.load(Ordering::SeqCst) <= 1,
        "{} fetches of one channel are alive after an hour",
        ALIVE.load(Ordering::SeqCst)
    );
    channel.stop();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
}

/// D7
#[tokio::test(start_paused = true)]
async fn r07_reconfigure_does_not_undo_a_disconnect() {
    let (server, _connection, socket) = connected().await;
    socket.disconnect();
    socket.reconfigure(|c| c.auth_token("new")).unwrap();
    server.expect_no_connection(Duration::from_secs(60)).await;
}

/// D8
#[tokio::test(start_paused = true)]
async fn r08_reconfigure_with_new_settings_takes_up_another_url() {
    let (server, transport) = bennu_testkit::ScriptedServer::new();
    let socket = Socket::start(SocketConfig::new(URL).transport(transport.clone())).unwrap();
    let _connection = server.accept().await;
    socket.connected().await.unwrap();
    socket
        .reconfigure(|_| SocketConfig::new("ws://elsewhere/socket/websocket").transport(transport))
        .unwrap();
    let second = timeout(Duration::from_secs(60), server.within(Duration::from_secs(120)).accept()).await;
    assert!(second.is_ok(), "it stays with the old server");
}

/// D9
#[tokio::test(start_paused = true)]
async fn r09_a_year_of_retry_after_is_not_obeyed() {
    let (server, config) = server();
    server.refuse_next(bennu_client::transport::OpenError::Refused {
        status: 503,
        body: bytes::Bytes::new(),
        retry_after: Some(Duration::from_secs(86_400 * 36_500)),
    });
    let _socket = Socket::start(config).unwrap();
    let outcome =
        timeout(Duration::from_secs(86_400), server.within(Duration::from_secs(90_000)).accept()).await;
    assert!(outcome.is_ok(), "no connect within a day");
}

/// D10
#[test]
fn r10_put_state_runs_no_user_code_under_the_lock() {
    let (done, waits) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_server, config) = server();
            let socket = Socket::start(config).unwrap();
            struct Own(Socket);
            impl From<Own> for serde_json::Value {
                fn from(own: Own) -> Self {
                    json!(own.0.status().as_str())
                }
            }
            socket.put_state("a", Own(socket.clone()));
        });
        done.send(()).unwrap();
    });
    waits.recv_timeout(Duration::from_secs(5)).expect("deadlock");
}

/// D11
#[tokio::test(start_paused = true)]
async fn r11_zero_heartbeat() {
    let (server, config) = server();
    let _socket = Socket::start(config.heartbeat_interval(Duration::ZERO)).unwrap();
    let _keep = tokio::spawn(async move {
        let mut n = 0u32;
        let since = tokio::time::Instant::now();
        while since.elapsed() < Duration::from_secs(10) {
            let c = server.accept().await;
            c.answer_heartbeats();
            n += 1;
            std::mem::forget(c);
        }
        n
    })
    .await
    .unwrap();
    assert!(_keep < 20, "{_keep} connections in 10 s");
}

/// D12
#[tokio::test(start_paused = true)]
async fn r12_a_hook_on_an_ended_channel_leaks_nothing() {
    let (_server, _connection, _socket, channel) = joined().await;
    let token = Arc::new(());
    channel.stop();
    channel.ended().await;
    let (own, held) = (channel.clone(), Arc::clone(&token));
    channel.on("e", move |_: &Payload| {
        let _ = (&own, &held);
    });
    drop(channel);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(Arc::strong_count(&token), 1);
}

/// D13
#[test]
fn r13_debug_of_settings_shows_no_password() {
    let shown = format!("{:?}", SocketConfig::new("ws://user:secret@h/socket?token=x"));
    assert!(!shown.contains("secret"), "{shown}");
}

/// D14
#[tokio::test(start_paused = true)]
async fn r14_ping_with_full_buffer() {
    let (_server, _connection, socket) =
        connected_with(|c| c.send_buffer(bennu_client::SendBuffer::default().max_pushes(1))).await;
    let channel = socket.channel_join("room:1", json!({})).unwrap();
    let _held = channel.push_async("e", json!({})).unwrap();
    assert!(socket.is_connected());
    assert_ne!(socket.ping().await, Err(PushError::NotConnected));
}

/// D14b
#[tokio::test(start_paused = true)]
async fn r14b_ping_drops_nothing() {
    let (_server, connection, socket) =
        connected_with(|c| c.send_buffer(bennu_client::SendBuffer::default().max_pushes(1).drop_oldest()))
            .await;
    connection.answer_heartbeats();
    let channel = socket.channel_join("room:1", json!({})).unwrap();
    let held = channel.push_async("e", json!({})).unwrap();
    socket.ping().await.unwrap();
    connection.expect_join("room:1").await.reply_ok(json!({}));
    assert_eq!(held.await, Ok(()));
}

/// D15
#[tokio::test(start_paused = true)]
async fn r15_error_without_close() {
    let (server, connection, socket, channel) = joined().await;
    connection.answer_heartbeats();
    connection.fail("broken");
    let _ = (server, socket);
    let _ = timeout(LONG, async { sleep(Duration::from_secs(300)).await }).await;
    eprintln!("{:?} {:?}", channel.status(), SocketStatus::Connected);
}

#[tokio::test(start_paused = true)]
async fn r16_reconnect_storm() {
    let (server, config) = server();
    let _socket = Socket::start(config.reconnect_backoff(bennu_client::Backoff::reconnect())).unwrap();
    let n = tokio::spawn(async move {
        let mut n = 0u32;
        let since = tokio::time::Instant::now();
        while since.elapsed() < Duration::from_secs(60) {
            let c = server.accept().await;
            c.close(1011, "go");
            n += 1;
        }
        n
    })
    .await
    .unwrap();
    assert!(n < 100, "{n} connections in 60 s");
}

#[allow(dead_code)]
fn unused(_: JoinError, _: SocketEnd) {
    let _ = join;
}

mod own {
    use bennu_client::transport::{Connection, ConnectionEvent, OpenRequest, Opening, Transport};
    use bennu_protocol::Frame;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll};
    type Script = Arc<Mutex<dyn FnMut(&mut Context<'_>) -> Poll<ConnectionEvent> + Send>>;
    pub struct Own(pub Script);
    impl std::fmt::Debug for Own {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Own")
        }
    }
    impl Own {
        pub fn new(f: impl FnMut(&mut Context<'_>) -> Poll<ConnectionEvent> + Send + 'static) -> Self {
            Own(Arc::new(Mutex::new(f)))
        }
    }
    struct C(Script);
    impl Connection for C {
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
        fn send(&mut self, _: Frame) {}
        fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEvent> {
            (self.0.lock().unwrap())(cx)
        }
        fn close(&mut self, _: u16, _: &str) {}
    }
    impl Transport for Own {
        fn needs_heartbeats(&self) -> bool {
            false
        }
        fn open(&self, _: OpenRequest) -> Opening {
            let s = Arc::clone(&self.0);
            Box::pin(async move { Ok(Box::new(C(s)) as Box<dyn Connection>) })
        }
    }
}

/// D15b: a transport that says Error and nothing more.
#[tokio::test(start_paused = true)]
async fn s15_error_without_close_is_got_over() {
    use bennu_client::transport::ConnectionEvent;
    use std::task::Poll;
    let now = Arc::new(AtomicUsize::new(0));
    let flag = Arc::clone(&now);
    let socket = Socket::start(SocketConfig::new(URL).transport(own::Own::new(move |_| {
        if flag.swap(0, Ordering::SeqCst) == 1 {
            return Poll::Ready(ConnectionEvent::Error("broken".into()));
        }
        Poll::Pending
    })))
    .unwrap();
    socket.connected().await.unwrap();
    let channel = socket.channel_join("room:1", json!({})).unwrap();
    sleep(Duration::from_secs(1)).await;
    now.store(1, Ordering::SeqCst);
    socket.push(bennu_client::Message::push("x", "y", json!({})).unwrap()).unwrap();
    sleep(Duration::from_secs(3600)).await;
    assert!(
        !(socket.is_connected() && channel.status() == ChannelStatus::Errored { retry_at: None }),
        "connected, and the channel is never joined again"
    );
}

/// D17a
#[tokio::test(start_paused = true)]
async fn s17a_a_join_is_not_told_of_the_attempt_before_it() {
    use futures_util::FutureExt as _;
    let (_server, connection, socket, channel) = joined().await;
    let second = socket.channel_join("room:2", json!({})).unwrap();
    let first_join = connection.expect_join("room:2").await;
    let told = Arc::new(std::sync::Mutex::new(None));
    let (slot, own) = (Arc::clone(&told), socket.clone());
    channel.on("go", move |_: &Payload| {
        let mut joining = own.join("room:2", json!({"again": true})).into_future();
        assert!(joining.as_mut().now_or_never().is_none());
        *slot.lock().unwrap() = Some(joining);
    });
    connection.push("room:1", "go", json!({}));
    first_join.reply_error(json!({"reason": "the first"}));
    let again = connection.expect_join("room:2").await;
    again.reply_ok(json!({"hello": 2}));
    let joining = told.lock().unwrap().take().unwrap();
    let outcome = joining.await;
    assert!(outcome.is_ok(), "{:?}", outcome.map(drop).map_err(|e| format!("{e}")));
    drop(second);
}

/// D17b
#[tokio::test(start_paused = true)]
async fn s17b_a_join_is_not_answered_with_the_response_before_the_crash() {
    use futures_util::FutureExt as _;
    let (_server, connection, socket, channel) = joined().await;
    let _second = join(&connection, &socket, "room:2").await;
    let (slot, own) = (Arc::new(AtomicUsize::new(0)), socket.clone());
    let early = Arc::clone(&slot);
    channel.on("go", move |_: &Payload| {
        let done = own.join("room:2", json!({})).into_future().now_or_never();
        if matches!(done, Some(Ok(_))) {
            early.store(1, Ordering::SeqCst);
        }
    });
    connection.push("room:1", "go", json!({}));
    connection.error("room:2");
    sleep(Duration::from_millis(10)).await;
    assert_eq!(slot.load(Ordering::SeqCst), 0, "answered before anything was sent");
}

/// D18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_race_between_start_and_await() {
    let (server, config) = server();
    let socket = Socket::start(config.timeout(Duration::from_millis(200))).unwrap();
    let connection = server.accept().await;
    connection.answer_heartbeats();
    socket.connected().await.unwrap();
    let mut others = 0;
    for n in 0..20_000 {
        let joined = socket
            .join(format!("room:{n}"), json!({}))
            .params_from(Provider::from_async(|| async { Err(bennu_client::ProviderError::new("none")) }))
            .await;
        match joined {
            Err(JoinError::Params(_)) => {}
            other => {
                others += 1;
                eprintln!("{n}: {:?}", other.map(drop));
            }
        }
    }
    assert_eq!(others, 0);
}

/// D19
#[tokio::test(start_paused = true)]
async fn s19_a_stale_close_does_not_end_the_next_connect() {
    use bennu_protocol::client::{ConnectionEnd, ConnectionEvent};
    use futures_util::Stream as _;
    use std::task::{Context, Poll, Wake, Waker};
    static SOCKET: std::sync::OnceLock<Socket> = std::sync::OnceLock::new();
    static STEP: AtomicUsize = AtomicUsize::new(0);
    // What another thread may do at this moment, too.
    struct Connects;
    impl Wake for Connects {
        fn wake(self: Arc<Self>) {
            if STEP.load(Ordering::SeqCst) == 2 {
                STEP.store(3, Ordering::SeqCst);
                SOCKET.get().unwrap().connect().unwrap();
            }
        }
    }
    let transport = own::Own::new(move |_| {
        if STEP.load(Ordering::SeqCst) == 1 {
            STEP.store(2, Ordering::SeqCst);
            SOCKET.get().unwrap().disconnect();
            return Poll::Ready(ConnectionEvent::Closed(ConnectionEnd::lost()));
        }
        Poll::Pending
    });
    let socket = Socket::start(SocketConfig::new(URL).transport(transport).reconnect(false)).unwrap();
    socket.connected().await.unwrap();
    assert!(SOCKET.set(socket.clone()).is_ok());
    let mut statuses = Box::pin(socket.statuses());
    let waker = Waker::from(Arc::new(Connects));
    let mut cx = Context::from_waker(&waker);
    while statuses.as_mut().poll_next(&mut cx).is_ready() {}
    STEP.store(1, Ordering::SeqCst);
    socket.channel_join("wake:1", json!({})).unwrap().stop();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(STEP.load(Ordering::SeqCst), 3);
    assert!(socket.is_connected(), "connect() said Ok, and the socket is {:?}", socket.status());
}

/// D20
#[test]
fn s20_a_driver_dropped_while_its_owner_panics_is_aborted() {
    let slot = std::sync::Mutex::new(None);
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let (_server, config) = server();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let (socket, _driver) = Socket::with_driver(config).unwrap();
        *slot.lock().unwrap() = Some(socket);
        panic!("the program's own");
    }));
    let socket = slot.lock().unwrap().take().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(socket.ended()), SocketEnd::Aborted);
}

/// D21: zombie: heartbeats are answered, joins are not
#[tokio::test(start_paused = true)]
async fn s21_a_connection_on_which_no_join_is_answered_is_given_up() {
    let (server, connection, socket) = connected().await;
    connection.answer_heartbeats();
    let _channel = socket.channel_join("room:1", json!({})).unwrap();
    let _again = timeout(Duration::from_secs(3600), server.within(Duration::from_secs(4000)).accept())
        .await
        .expect("one hour on a dead connection");
}

/// D22: no hook can be there in time
#[tokio::test(start_paused = true)]
async fn s22_a_hook_set_after_join_sees_what_came_right_behind_the_reply() {
    let (_server, connection, socket) = connected().await;
    let joining = tokio::spawn({
        let s = socket.clone();
        async move { s.join("room:1", json!({})).await.unwrap().1 }
    });
    let join = connection.expect_join("room:1").await;
    join.reply_ok(json!({}));
    connection.push("room:1", "history", json!({}));
    let channel = joining.await.unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    channel.on("history", move |_: &Payload| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

/// D23
#[tokio::test(start_paused = true)]
async fn s23_version_1_warns() {
    use std::io::Write;
    #[derive(Clone, Default)]
    struct W(Arc<std::sync::Mutex<Vec<u8>>>);
    impl Write for W {
        fn write(&mut self, b: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(b);
            Ok(b.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let w = W::default();
    let make = w.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || make.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (server, config) = server();
    let _socket = Socket::start(config.vsn("1.0.0")).unwrap();
    let _c = server.accept().await;
    let text = String::from_utf8(w.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("deprecated"), "{text:?}");
}

/// D24
#[tokio::test(start_paused = true)]
async fn t24_concurrent_reconfigures_lose_nothing() {
    let (server, connection, socket) = connected().await;
    let own = socket.clone();
    socket
        .reconfigure(|outer| {
            own.reconfigure(|inner| inner.join_channel("room:inner")).unwrap();
            outer.join_channel("room:outer")
        })
        .unwrap();
    connection.drop_link();
    let c = server.accept().await;
    c.expect_join("room:outer").await.reply_ok(json!({}));
    sleep(Duration::from_secs(1)).await;
    assert!(socket.channel("room:inner").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t25_a_push_is_told_how_the_socket_ended() {
    let mut others = 0;
    for n in 0..3000 {
        let (_server, config) = server();
        let socket = Socket::start(config).unwrap();
        let channel = socket.channel_join("room:1", json!({})).unwrap();
        let pushing = tokio::spawn(async move { channel.push("e", json!({})).await });
        tokio::task::yield_now().await;
        socket.stop();
        match pushing.await.unwrap() {
            Err(PushError::SocketEnded(bennu_client::SocketEnded(SocketEnd::Stopped))) => {}
            other => {
                others += 1;
                eprintln!("{n}: {other:?}");
            }
        }
    }
    assert_eq!(others, 0);
}

#[tokio::test(start_paused = true)]
async fn t26_last_close_is_of_a_connection() {
    let (server, config) = server();
    let socket = Socket::start(config).unwrap();
    server.refuse(403, "go away").await;
    sleep(Duration::from_millis(5)).await;
    assert_eq!(socket.last_close(), None);
}

#[tokio::test(start_paused = true)]
async fn t27_the_longest_times_are_fine() {
    let max = Duration::MAX;
    let (server, config) = server();
    server.refuse_next(bennu_client::transport::OpenError::Refused {
        status: 503,
        body: bytes::Bytes::new(),
        retry_after: Some(max),
    });
    let socket = Socket::start(
        config
            .heartbeat_interval(max)
            .timeout(max)
            .connect_timeout(max)
            .reconnect_backoff(bennu_client::Backoff::constant(max).jitter(100))
            .rejoin_backoff(bennu_client::Backoff::constant(max).jitter(100)),
    )
    .unwrap();
    sleep(Duration::from_secs(10)).await;
    eprintln!("{:?}", socket.status());
    socket.connect().unwrap();
    let connection = server.accept().await;
    let channel = socket.channel_join("room:1", json!({})).unwrap();
    connection.expect_join("room:1").await.reply_error(json!({}));
    sleep(Duration::from_secs(10)).await;
    eprintln!("{:?} {:?}", channel.status(), channel.state());
    let pushing = channel.push("e", json!({})).timeout(max);
    assert!(timeout(Duration::from_secs(86_400 * 400), pushing.into_future()).await.is_err());
    connection.drop_link();
    sleep(Duration::from_secs(1)).await;
    eprintln!("{:?}", socket.status());
    assert!(socket.ended().now_or_never_().is_none());
}
trait Now: std::future::Future + Sized {
    fn now_or_never_(self) -> Option<Self::Output> {
        futures_util::FutureExt::now_or_never(self)
    }
}
impl<F: std::future::Future> Now for F {}

/// stop while the lost connection had a join waiting, all of the stages
#[tokio::test(start_paused = true)]
async fn t28_join_ends_when_disconnected() {
    let (_server, connection, socket) = connected().await;
    let joining = tokio::spawn({
        let socket = socket.clone();
        async move { socket.join("room:1", json!({})).await.map(drop) }
    });
    connection.expect_join("room:1").await.ignore();
    socket.disconnect();
    assert!(timeout(LONG, joining).await.is_ok(), "join still waits after 10 minutes; {:?}", socket.status());
}

/// A join behind a join_deadline of another topic
#[tokio::test(start_paused = true)]
async fn t29_one_slow_join_long_ago_does_not_cost_the_connection() {
    let (_server, connection, socket) = connected().await;
    connection.answer_heartbeats();
    let slow = socket.channel_join("room:slow", json!({})).unwrap();
    connection.expect_join("room:slow").await.ignore();
    slow.stop();
    connection.expect_leave("room:slow").await.ignore();
    sleep(Duration::from_secs(120)).await;
    let other = socket.join("room:2", json!({}));
    let joining = tokio::spawn(async move { other.await.map(drop) });
    connection.expect_join("room:2").await.ignore();
    let _ = timeout(LONG, joining).await;
    assert!(
        socket.is_connected(),
        "one join that took more than 5 s ended the connection: {:?}",
        socket.status()
    );
}

#[tokio::test(start_paused = true)]
async fn t30_healthy_quiet_channels_survive_one_slow_join() {
    let (_server, connection, socket, quiet) = joined().await;
    connection.answer_heartbeats();
    let _slow = socket.channel_join("room:slow", json!({})).unwrap();
    let mut statuses = quiet.statuses();
    statuses.next().await;
    let changed = timeout(Duration::from_secs(300), statuses.next()).await;
    eprintln!("t30: {changed:?}");
}

#[tokio::test(start_paused = true)]
async fn u01_a_raw_push_waits_until_connected() {
    let (server, config) = server();
    let socket = Socket::start(config.auto_connect(false)).unwrap();
    socket.push(bennu_client::Message::push("room:1", "e", json!({})).unwrap()).unwrap();
    sleep(Duration::from_secs(10)).await;
    socket.connect().unwrap();
    let c = server.accept().await;
    assert!(timeout(Duration::from_secs(3), c.expect_push("room:1", "e")).await.is_ok());
}

/// Whatever there was: once all handles are gone, so are the settings.
#[tokio::test(start_paused = true)]
async fn u02_nothing_leaks() {
    use std::task::Poll;
    struct Quiet;
    impl bennu_client::CustomChannel for Quiet {}
    struct Stuck;
    impl bennu_client::CustomChannel for Stuck {
        async fn handle_in(
            &mut self,
            _: &str,
            _: &Payload,
            _: &bennu_client::Channel,
        ) -> bennu_client::Handled {
            std::future::pending().await
        }
    }
    let mut leaks = Vec::new();
    for case in 0..9 {
        let token = Arc::new(());
        let held = Arc::clone(&token);
        let config = SocketConfig::new(URL)
            .transport(own::Own::new(move |_| {
                let _ = &held;
                Poll::Pending
            }))
            .join_channel("kept:1")
            .topic_channel("typed:1", |_: &Socket, _: &bennu_protocol::Topic, _: &Payload| Quiet);
        match case {
            0 => {
                let s = Socket::start(config).unwrap();
                s.connected().await.unwrap();
            }
            1 => {
                let s = Socket::start(config).unwrap();
                let _c = s.channel_join("typed:1", json!({})).unwrap();
                sleep(Duration::from_secs(1)).await;
            }
            2 => {
                let (s, _d) = Socket::with_driver(config).unwrap();
                let _c = s.channel_join("typed:1", json!({})).unwrap();
            }
            3 => {
                let (s, d) = Socket::with_driver(config).unwrap();
                let _c = s.channel_join("typed:1", json!({})).unwrap();
                drop(d);
            }
            4 => {
                let s = Socket::start(config).unwrap();
                s.connected().await.unwrap();
                let c = s.channel_join("a", json!({})).unwrap();
                let own = c.clone();
                c.on("e", move |_: &Payload| {
                    let _ = &own;
                });
                c.stop();
            }
            5 => {
                let s = Socket::start(config).unwrap();
                let c = s.channel_join("a", json!({})).unwrap();
                let own = c.clone();
                c.on("e", move |_: &Payload| {
                    let _ = &own;
                });
                s.stop();
                s.ended().await;
            }
            6 => {
                let s = Socket::start(config).unwrap();
                let c = s.channel_join("a", json!({})).unwrap();
                let p = tokio::spawn(async move { c.push("e", json!({})).await });
                tokio::task::yield_now().await;
                p.abort();
                let _ = p.await;
            }
            7 => {
                let s = Socket::start(config).unwrap();
                s.connected().await.unwrap();
                s.reconfigure(|c| c.url("ws://other/socket")).unwrap();
                let _ = s.state();
                drop(s.statuses());
            }
            _ => {
                let s = Socket::start(config).unwrap();
                let j = tokio::spawn(async move {
                    let _ = s.join("a", json!({})).await;
                });
                sleep(Duration::from_secs(1)).await;
                j.abort();
                let _ = j.await;
            }
        }
        sleep(Duration::from_secs(60)).await;
        if Arc::strong_count(&token) != 1 {
            leaks.push((case, Arc::strong_count(&token)));
        }
    }
    let _ = Stuck;
    assert_eq!(leaks, []);
}

#[tokio::test(start_paused = true)]
async fn u03_a_join_that_is_dropped_leaves() {
    let (_server, connection, socket) = connected().await;
    let joining = socket.join("room:1", json!({})).into_future();
    assert!(timeout(Duration::from_secs(1), joining).await.is_err());
    connection.expect_join("room:1").await.ignore();
    connection.expect_leave("room:1").await.reply_ok(json!({}));
    let again = tokio::spawn(async move { socket.join("room:1", json!({})).await.map(drop) });
    connection.expect_join("room:1").await.reply_ok(json!({}));
    assert!(again.await.unwrap().is_ok());
}

/// All that waits, when the runtime that drives the socket goes.
#[test]
fn u04_nothing_waits_for_a_runtime_that_is_gone() {
    let driving = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let waiting = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (server, config) = server();
    let socket = driving.block_on(async { Socket::start(config).unwrap() });
    let connection = driving.block_on(async {
        let c = server.accept().await;
        socket.connected().await.unwrap();
        c
    });
    let channel = driving.block_on(async { join(&connection, &socket, "room:1").await });
    let mut waits = Vec::new();
    macro_rules! wait {
        ($name:literal, $future:expr) => {
            waits.push((
                $name,
                waiting.spawn(async move {
                    let _ = $future;
                }),
            ));
        };
    }
    let (s, c) = (socket.clone(), channel.clone());
    wait!("join", s.join("room:2", json!({})).await);
    let s = socket.clone();
    wait!("ended", s.ended().await);
    let s = socket.clone();
    wait!("ping", s.ping().await);
    wait!("push", c.push("e", json!({})).await);
    let c = channel.clone();
    wait!("recv", c.recv().await);
    let c = channel.clone();
    wait!("channel ended", c.ended().await);
    let c = channel.clone();
    wait!("retry", c.push("e", json!({})).retry_unconfirmed().await);
    let s = socket.clone();
    wait!("statuses", {
        let mut st = s.statuses();
        drop(s);
        while st.next().await.is_some() {}
    });
    let c = channel.clone();
    wait!("channel statuses", {
        let mut st = c.statuses();
        while st.next().await.is_some() {}
    });
    std::thread::sleep(Duration::from_millis(300));
    driving.shutdown_timeout(Duration::from_secs(1));
    let mut hang = Vec::new();
    for (name, wait) in waits {
        if waiting.block_on(async { tokio::time::timeout(Duration::from_secs(2), wait).await }).is_err() {
            hang.push(name);
        }
    }
    drop((socket, channel));
    assert_eq!(hang, Vec::<&str>::new());
}

/// Two receivers and a hundred messages, one of them dropped again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u05_receivers_lose_nothing() {
    let (_server, connection, _socket, channel) = joined().await;
    let got = Arc::new(AtomicUsize::new(0));
    for n in 0..4 {
        let (c, got) = (channel.clone(), Arc::clone(&got));
        tokio::spawn(async move {
            loop {
                let r = if n % 2 == 0 {
                    match tokio::time::timeout(Duration::from_micros(50), c.recv()).await {
                        Ok(r) => r,
                        Err(_) => continue,
                    }
                } else {
                    c.recv().await
                };
                if r.is_ok() {
                    got.fetch_add(1, Ordering::SeqCst);
                } else {
                    break;
                }
            }
        });
    }
    for _ in 0..5_000 {
        connection.push("room:1", "e", json!({}));
        tokio::task::yield_now().await;
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(got.load(Ordering::SeqCst), 5_000);
}

/// The last handle goes while another task joins or asks for the channel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u06_drop_races_with_join() {
    let (_server, connection, socket) = connected().await;
    connection.answer_joins();
    connection.answer_heartbeats();
    for n in 0..3_000 {
        let channel = loop {
            match socket.channel_join("room:1", json!({})) {
                Ok(c) => break c,
                Err(JoinError::AlreadyJoined { channel }) => break channel,
                Err(e) => panic!("{e}"),
            }
        };
        let s = socket.clone();
        let other = tokio::spawn(async move {
            match s.join("room:1", json!({})).await {
                Ok((_, c)) | Err(JoinError::AlreadyJoined { channel: c }) => {
                    let r = tokio::time::timeout(Duration::from_secs(3), c.joined()).await;
                    (Some(r.map(drop).map_err(drop)), c)
                }
                Err(e) => panic!("{e}"),
            }
        });
        if n % 2 == 0 {
            tokio::task::yield_now().await;
        }
        drop(channel);
        let (r, c) = other.await.unwrap();
        assert_eq!(r, Some(Ok(())), "{n} {c:?}");
    }
}

/// A push while the connection is being closed for the next one.
#[tokio::test(start_paused = true)]
async fn v02_a_push_behind_a_close_is_not_lost() {
    let (server, connection, socket, channel) = joined().await;
    connection.ignore_close();
    socket.reconfigure(|c| c.auth_token("new")).unwrap();
    sleep(Duration::from_millis(100)).await;
    assert!(!socket.is_connected());
    let sending = channel.push_async("e", json!({})).unwrap();
    let told = tokio::spawn(sending);
    let second = server.accept().await;
    second.expect_join("room:1").await.reply_ok(json!({}));
    let came = timeout(Duration::from_secs(3), second.expect_push("room:1", "e")).await.is_ok();
    eprintln!("told: {:?}", told.await.unwrap());
    assert!(came, "told that it was sent, and it was not");
}

/// The same over a real WebSocket, whose transport drops what comes behind its close frame.
#[tokio::test]
async fn v02b_a_push_behind_a_close_is_not_lost_over_a_websocket() {
    let (server, url) = bennu_testkit::ScriptedServer::listen().await.unwrap();
    let socket = Socket::start(SocketConfig::new(url)).unwrap();
    let connection = server.accept().await;
    socket.connected().await.unwrap();
    connection.ignore_close();
    let channel = join(&connection, &socket, "room:1").await;
    socket.reconfigure(|c| c.auth_token("new")).unwrap();
    sleep(Duration::from_millis(100)).await;
    eprintln!("status {:?}", socket.status());
    let told = channel.push_async("e", json!({})).unwrap().await;
    eprintln!("told: {told:?}");
    let second = server.within(Duration::from_secs(5)).accept().await;
    second.expect_join("room:1").await.reply_ok(json!({}));
    assert!(
        timeout(Duration::from_secs(2), second.expect_push("room:1", "e")).await.is_ok(),
        "told {told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn v01_a_stuck_handler_keeps_neither_channel_nor_socket_alive() {
    struct Stuck;
    impl bennu_client::CustomChannel for Stuck {
        async fn handle_in(
            &mut self,
            _: &str,
            _: &Payload,
            _: &bennu_client::Channel,
        ) -> bennu_client::Handled {
            std::future::pending().await
        }
    }
    let (_server, connection, socket) = connected_with(|c| {
        c.topic_channel("room:1", |_: &Socket, _: &bennu_protocol::Topic, _: &Payload| Stuck)
    })
    .await;
    connection.answer_heartbeats();
    let channel = join(&connection, &socket, "room:1").await;
    connection.push("room:1", "e", json!({}));
    sleep(Duration::from_secs(1)).await;
    drop((channel, socket));
    let _ = connection.within(Duration::from_secs(100)).expect_leave("room:1").await;
}

#[tokio::test(start_paused = true)]
async fn v05_ping_says_what_happened() {
    let (_server, connection, socket) = connected().await;
    connection.stop_reading();
    let pinging = tokio::spawn({
        let s = socket.clone();
        async move { s.ping().await }
    });
    sleep(Duration::from_millis(10)).await;
    connection.drop_link();
    assert_ne!(pinging.await.unwrap(), Err(PushError::ChannelClosed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v06_connected_and_its_channels_are_there() {
    let mut missing = 0;
    for _ in 0..500 {
        let (server, config) = server();
        server.answer_joins();
        let socket = Socket::start(config.join_channel("room:1")).unwrap();
        let s = socket.clone();
        let there = tokio::spawn(async move {
            s.connected().await.unwrap();
            s.channel("room:1").is_some()
        });
        let _c = server.accept().await;
        if !there.await.unwrap() {
            missing += 1;
        }
    }
    assert_eq!(missing, 0);
}

#[tokio::test(start_paused = true)]
async fn v07_a_join_of_a_stopped_socket_says_so() {
    let (_server, _connection, socket) = connected_with(|c| c.auto_connect(true)).await;
    socket.disconnect();
    sleep(Duration::from_secs(3)).await;
    socket.stop();
    assert!(matches!(socket.join("room:1", json!({})).await.map(drop), Err(JoinError::SocketEnded(_))));
}

/// Many clients are told the same.
#[tokio::test(start_paused = true)]
async fn v08_retry_after_is_spread() {
    let mut waits = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let (server, config) = server();
        server.refuse_next(bennu_client::transport::OpenError::Refused {
            status: 503,
            body: bytes::Bytes::new(),
            retry_after: Some(Duration::from_secs(20)),
        });
        let since = tokio::time::Instant::now();
        let _socket = Socket::start(config.reconnect_backoff(bennu_client::Backoff::reconnect())).unwrap();
        let _c = server.within(Duration::from_secs(60)).accept().await;
        waits.insert(since.elapsed().as_millis());
    }
    assert!(waits.len() > 1, "{waits:?}");
}

/// Settings that an ended socket refuses are dropped outside of its lock.
#[test]
fn w01_reconfigure_of_an_ended_socket_does_not_deadlock() {
    let (done, waits) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_server, _connection, socket, channel) = joined().await;
            socket.stop();
            socket.ended().await;
            let outcome = socket.reconfigure(move |c| {
                c.auth_token(Provider::from_fn(move || {
                    let _ = &channel;
                    String::new()
                }))
            });
            assert!(outcome.is_err());
        });
        done.send(()).unwrap();
    });
    waits.recv_timeout(Duration::from_secs(10)).expect("deadlock");
}

#[tokio::test(start_paused = true)]
async fn w02_start_channel_on_an_errored_topic_has_its_type() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    struct B;
    impl bennu_client::CustomChannel for B {}
    let (_server, connection, socket) = connected().await;
    let plain = socket.channel_join("room:1", json!({})).unwrap();
    connection.expect_join("room:1").await.reply_error(json!({}));
    sleep(Duration::from_millis(10)).await;
    assert!(matches!(plain.status(), ChannelStatus::Errored { .. }));
    let typed = socket
        .start_channel("room:1", json!({}), |_: &Socket, _: &bennu_protocol::Topic, _: &Payload| {
            MADE.fetch_add(1, Ordering::SeqCst);
            B
        })
        .unwrap();
    let _ = typed.core_is_same();
    connection.within(Duration::from_secs(3)).expect_join("room:1").await.reply_ok(json!({}));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(MADE.load(Ordering::SeqCst), 1);
}
trait Same {
    fn core_is_same(&self) {}
}
impl Same for bennu_client::Channel {}

/// A channel's task ends with its runtime... the last clone goes with a hook in flight.
#[tokio::test(start_paused = true)]
async fn w03_a_hook_may_do_anything() {
    let (_server, connection, socket, channel) = joined().await;
    let slot = Arc::new(std::sync::Mutex::new(Some((socket.clone(), channel.clone()))));
    let count = Arc::new(AtomicUsize::new(0));
    let (own, n) = (Arc::clone(&slot), Arc::clone(&count));
    channel.on("e", move |_: &Payload| {
        n.fetch_add(1, Ordering::SeqCst);
        let Some((socket, channel)) = own.lock().unwrap().take() else { return };
        let other = socket.channel_join("room:2", json!({})).unwrap();
        let _ = (
            socket.state(),
            channel.state(),
            socket.put_state("a", 1),
            socket.get_state("a"),
            channel.status(),
            socket.status(),
        );
        drop(channel.push_async("x", json!({})));
        channel.on("f", |_: &Payload| {});
        channel.off("e");
        other.stop();
        socket.reconfigure(|c| c.timeout(Duration::from_secs(1))).unwrap();
        drop(socket.pop_all_to_send());
        socket.disconnect();
        socket.connect().unwrap();
        channel.stop();
        drop(other);
        drop(channel);
        socket.stop();
        drop(socket);
    });
    connection.push("room:1", "e", json!({}));
    drop(channel);
    assert_eq!(timeout(LONG, socket.ended()).await, Ok(SocketEnd::Stopped));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// What the application pushes in the moment of a close by the server.
#[tokio::test(start_paused = true)]
async fn w04_join_replacing_while_errored_waiters() {
    let (_server, connection, socket) = connected().await;
    let first = tokio::spawn({
        let s = socket.clone();
        async move { s.join("room:1", json!({})).await.map(drop) }
    });
    connection.expect_join("room:1").await.ignore();
    let second = tokio::spawn({
        let s = socket.clone();
        async move { s.join_replacing("room:1", json!({})).await.map(|(_, c)| c) }
    });
    assert!(matches!(timeout(LONG, first).await.unwrap().unwrap(), Err(JoinError::Ended(_))));
    connection.expect_leave("room:1").await.reply_ok(json!({}));
    connection.expect_join("room:1").await.reply_ok(json!({}));
    assert!(second.await.unwrap().is_ok());
}

/// Several rounds of stop at each stage: it always ends within the patience.
#[tokio::test(start_paused = true)]
async fn w05_stop_at_each_stage_ends() {
    for stage in 0..6 {
        let (server, config) = server();
        let socket = Socket::start(config).unwrap();
        let mut held = Vec::new();
        match stage {
            0 => {}
            1 => {
                server.ignore().await;
            }
            2 => {
                server.fail("x").await;
                sleep(Duration::from_millis(5)).await;
            }
            3 => {
                let c = server.accept().await;
                c.ignore_close();
                held.push(c);
            }
            4 => {
                let c = server.accept().await;
                c.stop_reading();
                c.ignore_close();
                let ch = socket.channel_join("a", json!({})).unwrap();
                sleep(Duration::from_millis(1)).await;
                drop(ch);
                held.push(c);
            }
            _ => {
                let c = server.accept().await;
                socket.connected().await.unwrap();
                c.ignore_close();
                socket.disconnect();
                socket.connect().unwrap();
                held.push(c);
            }
        }
        socket.stop();
        assert_eq!(timeout(Duration::from_secs(2), socket.ended()).await, Ok(SocketEnd::Stopped), "{stage}");
    }
}
