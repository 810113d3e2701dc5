//! Joins, pushes and pings that something gets in the way of: crashes, lost and closing connections, ends, races of threads.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bennu_client::{
    ChannelEnd, ChannelStatus, JoinError, Message, Provider, ProviderError, PushError, RecvError, SendBuffer,
    Socket, SocketConfig, SocketEnd, SocketEnded, SocketStatus,
};
use bennu_protocol::Payload;
use bennu_testkit::scripted::advance;
use bennu_testkit::{ScriptedConnection, ScriptedServer};
use futures_util::FutureExt as _;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::scene::{connected, connected_with, join, joined, server};

/// What gets in the way of a join that the server has, and what the join is told.
type Interruption = (fn(&ScriptedConnection, &Socket), &'static str);

#[tokio::test(start_paused = true)]
async fn a_join_that_is_interrupted_says_by_what() {
    let interruptions: [Interruption; 6] = [
        (|connection, _| connection.error("room:1"), "the server's channel crashed"),
        (|connection, _| connection.drop_link(), "the connection was closed"),
        (|connection, _| connection.close(1012, "restart"), "the connection was closed"),
        (|_, socket| socket.disconnect(), "the connection was closed"),
        (|connection, _| connection.fail("broken"), "the connection failed"),
        // The server answers nothing.
        (|_, _| {}, "a heartbeat was not answered"),
    ];
    for (interrupt, why) in interruptions {
        let (_server, connection, socket) = connected_with(|config| config.reconnect(false)).await;
        let joining = socket.join("room:1", json!({})).timeout(Duration::from_secs(300));
        let joining = tokio::spawn(joining.into_future());
        connection.expect_join("room:1").await.ignore();
        interrupt(&connection, &socket);
        let outcome = timeout(Duration::from_secs(100), joining).await.expect(why).unwrap();
        let Err(JoinError::Interrupted(told)) = outcome else { panic!("{why}: {outcome:?}") };
        assert_eq!(told, why);
        assert!(socket.channel("room:1").is_none(), "the topic is left again: {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_tells_of_an_interrupted_join_and_is_joined_again() {
    let (server, connection, socket) = connected().await;
    let channel = socket.channel_join("room:1", json!({})).unwrap();
    let joining = tokio::spawn({
        let channel = channel.clone();
        async move { channel.joined().await }
    });
    connection.expect_join("room:1").await.ignore();
    connection.drop_link();
    assert!(matches!(joining.await.unwrap(), Err(JoinError::Interrupted(_))));
    let connection = server.accept().await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    channel.joined().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_join_ends_in_its_time_while_the_server_is_not_to_be_reached() {
    let (server, config) = server();
    let socket = Socket::start(config).unwrap();
    let _failing = tokio::spawn(async move {
        loop {
            server.within(Duration::from_secs(60)).fail("unreachable").await;
        }
    });
    let since = Instant::now();
    let joining = socket.join("room:1", json!({})).timeout(Duration::from_secs(7)).into_future();
    let outcome = timeout(Duration::from_secs(600), joining).await.expect("it has a time of its own");
    assert!(matches!(outcome, Err(JoinError::TimedOut)), "{outcome:?}");
    assert_eq!(since.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_dropped_on_the_way_leaves_the_topic() {
    let (_server, connection, socket) = connected().await;
    let joining = socket.join("room:1", json!({})).into_future();
    assert!(timeout(Duration::from_secs(1), joining).await.is_err());
    connection.expect_join("room:1").await.ignore();
    connection.expect_leave("room:1").await.reply_ok(json!({}));
    let again = tokio::spawn(socket.join("room:1", json!({})).into_future());
    connection.expect_join("room:1").await.reply_ok(json!({}));
    again.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_join_that_waits_is_told_that_another_replaces_it() {
    let (_server, connection, socket) = connected().await;
    let first = tokio::spawn(socket.join("room:1", json!({})).into_future());
    connection.expect_join("room:1").await.ignore();
    let second = tokio::spawn(socket.join_replacing("room:1", json!({})).into_future());
    assert!(matches!(first.await.unwrap(), Err(JoinError::Ended(ChannelEnd::Replaced))));
    connection.expect_leave("room:1").await.reply_ok(json!({}));
    connection.expect_join("room:1").await.reply_ok(json!({}));
    second.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_join_of_a_socket_that_was_disconnected_and_stopped_says_that_it_has_ended() {
    let (_server, connection, socket) = connected().await;
    socket.disconnect();
    connection.expect_closed().await;
    socket.stop();
    let outcome = socket.join("room:1", json!({})).await;
    assert!(matches!(outcome, Err(JoinError::SocketEnded(SocketEnded(SocketEnd::Stopped)))), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hook_of_the_join_hears_what_comes_right_behind_the_answer() {
    let (_server, connection, socket) = connected().await;
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let joining = socket.join("room:1", json!({})).on("history", move |_: &Payload| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let joining = tokio::spawn(joining.into_future());
    connection.expect_join("room:1").await.reply_ok(json!({}));
    connection.push("room:1", "history", json!({}));
    connection.push("room:1", "other", json!({}));
    let (_, channel) = joining.await.unwrap().unwrap();
    let message = channel.recv().await.unwrap();
    assert_eq!((message.event.as_str(), heard.load(Ordering::SeqCst)), ("other", 1));
}

/// A hook joins a topic anew in the moment in which the refusal of its last attempt has come, and is not told yet.
#[tokio::test(start_paused = true)]
async fn a_join_is_not_told_of_the_attempt_before_it() {
    let (_server, connection, socket, channel) = joined().await;
    let _refused = socket.channel_join("room:2", json!({})).unwrap();
    let first = connection.expect_join("room:2").await;
    let slot = Arc::new(Mutex::new(None));
    let (begun, own) = (Arc::clone(&slot), socket.clone());
    channel.on("go", move |_: &Payload| {
        let mut joining = own.join("room:2", json!({"again": true})).into_future();
        assert!(joining.as_mut().now_or_never().is_none());
        *begun.lock().unwrap() = Some(joining);
    });
    connection.push("room:1", "go", json!({}));
    first.reply_error(json!({"reason": "the first"}));
    connection.expect_join("room:2").await.reply_ok(json!({"hello": 2}));
    let joining = slot.lock().unwrap().take().unwrap();
    let (response, _) = joining.await.unwrap();
    assert_eq!(response.as_json().unwrap(), br#"{"hello":2}"#);
}

#[tokio::test(start_paused = true)]
async fn a_join_is_not_answered_with_the_response_before_the_crash() {
    let (_server, connection, socket, channel) = joined().await;
    let _crashing = join(&connection, &socket, "room:2").await;
    let (hooked, own) = (Arc::new(AtomicUsize::new(0)), socket.clone());
    let count = Arc::clone(&hooked);
    let was_answered = Arc::new(AtomicBool::new(false));
    let answered = Arc::clone(&was_answered);
    channel.on("go", move |_: &Payload| {
        count.fetch_add(1, Ordering::SeqCst);
        let outcome = own.join("room:2", json!({})).into_future().now_or_never();
        answered.store(matches!(outcome, Some(Ok(_))), Ordering::SeqCst);
    });
    connection.push("room:1", "go", json!({}));
    connection.error("room:2");
    advance(Duration::from_millis(10)).await;
    assert_eq!(hooked.load(Ordering::SeqCst), 1);
    assert!(!was_answered.load(Ordering::SeqCst), "answered before anything was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_fails_before_it_is_waited_for_is_told_all_the_same() {
    let (_server, connection, socket) =
        connected_with(|config| config.timeout(Duration::from_millis(200))).await;
    connection.answer_heartbeats();
    for n in 0..1_000 {
        let params = Provider::from_async(|| async { Err(ProviderError::new("none")) });
        let outcome = socket.join(format!("room:{n}"), json!({})).params_from(params).await;
        assert!(matches!(outcome, Err(JoinError::Params(_))), "{n}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_races_with_the_drop_of_the_last_handle_and_is_joined() {
    let (_server, connection, socket) = connected().await;
    connection.answer_joins();
    connection.answer_heartbeats();
    for n in 0..300 {
        let channel = socket.join_replacing("room:1", json!({})).start().unwrap();
        let own = socket.clone();
        let other = tokio::spawn(async move {
            let channel = match own.join("room:1", json!({})).await {
                Ok((_, channel)) | Err(JoinError::AlreadyJoined { channel }) => channel,
                Err(error) => panic!("{n}: {error}"),
            };
            timeout(Duration::from_secs(3), channel.joined()).await.expect("it stays").map(drop)
        });
        if n % 2 == 0 {
            tokio::task::yield_now().await;
        }
        drop(channel);
        let outcome = other.await.unwrap();
        assert!(outcome.is_ok(), "{n}: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_answers_is_asked_once_at_a_time() {
    struct Asked(Arc<AtomicUsize>);
    impl Drop for Asked {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let (_server, connection, socket) = connected().await;
    connection.answer_heartbeats();
    let (under_way, times) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (asked, count) = (Arc::clone(&under_way), Arc::clone(&times));
    let params = Provider::from_async(move || {
        count.fetch_add(1, Ordering::SeqCst);
        asked.fetch_add(1, Ordering::SeqCst);
        let asked = Asked(Arc::clone(&asked));
        async move {
            let _asked = asked;
            std::future::pending().await
        }
    });
    let channel = socket.join("room:1", json!({})).params_from(params).start().unwrap();
    advance(Duration::from_secs(3_600)).await;
    assert!(times.load(Ordering::SeqCst) > 100, "each attempt asks");
    assert!(under_way.load(Ordering::SeqCst) <= 1, "{under_way:?} are under way");
    channel.stop();
    advance(Duration::from_secs(1)).await;
    assert_eq!(under_way.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_join_long_ago_does_not_cost_the_connection() {
    let (_server, connection, socket) = connected().await;
    connection.answer_heartbeats();
    let slow = socket.channel_join("room:slow", json!({})).unwrap();
    connection.expect_join("room:slow").await.ignore();
    slow.stop();
    connection.expect_leave("room:slow").await.ignore();
    advance(Duration::from_secs(120)).await;
    let joining = tokio::spawn(socket.join("room:2", json!({})).into_future());
    connection.expect_join("room:2").await.ignore();
    assert!(matches!(joining.await.unwrap(), Err(JoinError::TimedOut)));
    assert!(socket.is_connected(), "{:?}", socket.status());
}

#[tokio::test(start_paused = true)]
async fn a_joined_channel_stays_so_beside_one_whose_join_is_never_answered() {
    let (_server, connection, socket, quiet) = joined().await;
    connection.answer_heartbeats();
    let silent = socket.channel_join("room:silent", json!({})).unwrap();
    let mut statuses = quiet.statuses();
    assert_eq!(statuses.next().await, Some(ChannelStatus::Joined));
    let change = timeout(Duration::from_secs(300), statuses.next()).await;
    assert!(change.is_err(), "{change:?}");
    assert_ne!(silent.status(), ChannelStatus::Joined);
}

#[tokio::test(start_paused = true)]
async fn a_retried_push_that_was_sent_is_unconfirmed_when_the_socket_stops() {
    let (_server, connection, socket, channel) = joined().await;
    let pushing = tokio::spawn(channel.push("e", json!({})).retry_unconfirmed().into_future());
    connection.expect_push("room:1", "e").await.ignore();
    socket.stop();
    assert_eq!(pushing.await.unwrap(), Err(PushError::Unconfirmed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_was_not_sent_is_told_how_the_socket_ended() {
    for n in 0..300 {
        let (_server, config) = server();
        let socket = Socket::start(config).unwrap();
        let channel = socket.channel_join("room:1", json!({})).unwrap();
        let pushing = tokio::spawn(async move { channel.push("e", json!({})).await });
        tokio::task::yield_now().await;
        socket.stop();
        let stopped = PushError::SocketEnded(SocketEnded(SocketEnd::Stopped));
        assert_eq!(pushing.await.unwrap(), Err(stopped), "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_raw_push_waits_for_a_connection_without_a_deadline() {
    let (server, config) = server();
    let socket = Socket::start(config.auto_connect(false).timeout(Duration::from_secs(1))).unwrap();
    socket.push(Message::push("room:1", "e", json!({})).unwrap()).unwrap();
    advance(Duration::from_secs(86_400)).await;
    socket.connect().unwrap();
    let connection = server.accept().await;
    connection.expect_push("room:1", "e").await;
}

/// The client has asked for the close, the server does not answer it, and then the link goes.
async fn push_behind_a_close(server: &ScriptedServer, connection: &ScriptedConnection, socket: &Socket) {
    let channel = join(connection, socket, "room:1").await;
    connection.ignore_close();
    socket.reconfigure(|config| config.auth_token("new")).unwrap();
    connection.expect_closed().await;
    assert_eq!(socket.status(), SocketStatus::Disconnecting);
    let sending = channel.push_async("e", json!({})).unwrap();
    connection.expect_nothing(Duration::from_millis(50)).await;
    connection.drop_link();
    let second = server.accept().await;
    second.expect_join("room:1").await.reply_ok(json!({}));
    second.expect_push("room:1", "e").await;
    assert_eq!(sending.await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_push_behind_a_close_goes_over_the_next_connection() {
    let (server, connection, socket) = connected().await;
    push_behind_a_close(&server, &connection, &socket).await;
}

/// Whose transport drops what it is given behind its close frame.
#[tokio::test]
async fn a_push_behind_a_close_goes_over_the_next_websocket() {
    let (server, url) = ScriptedServer::listen().await.unwrap();
    let socket = Socket::start(SocketConfig::new(url)).unwrap();
    let connection = server.accept().await;
    socket.connected().await.unwrap();
    push_behind_a_close(&server, &connection, &socket).await;
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_was_not_sent_when_the_connection_is_lost_says_that_there_is_none() {
    let (_server, connection, socket) = connected().await;
    connection.stop_reading();
    let pinging = tokio::spawn(async move { socket.ping().await });
    advance(Duration::from_millis(10)).await;
    connection.drop_link();
    assert_eq!(pinging.await.unwrap(), Err(PushError::NotConnected));
}

#[tokio::test(start_paused = true)]
async fn a_ping_needs_no_room_in_a_full_buffer_and_drops_nothing_from_it() {
    let full = SendBuffer::default().max_pushes(1);
    for buffer in [full.refuse(), full.drop_oldest()] {
        let (_server, connection, socket) = connected_with(|config| config.send_buffer(buffer)).await;
        connection.answer_heartbeats();
        let channel = socket.channel_join("room:1", json!({})).unwrap();
        let held = channel.push_async("e", json!({})).unwrap();
        socket.ping().await.unwrap();
        connection.expect_join("room:1").await.reply_ok(json!({}));
        connection.expect_push("room:1", "e").await;
        assert_eq!(held.await, Ok(()), "{buffer:?}");
    }
}

/// Half of the receivers give up again and again, in the middle of whatever they do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_that_are_dropped_lose_no_message() {
    #[derive(serde::Deserialize)]
    struct Numbered {
        n: u32,
    }
    let (_server, connection, _socket, channel) = joined().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for n in 0..4 {
        let (channel, tell) = (channel.clone(), tell.clone());
        tokio::spawn(async move {
            let patience = Duration::from_micros(if n % 2 == 0 { 50 } else { 50_000 });
            loop {
                match timeout(patience, channel.recv()).await {
                    Ok(Ok(message)) => tell.send(message.payload.parse::<Numbered>().unwrap().n).unwrap(),
                    Ok(Err(RecvError::Ended(_))) => return,
                    Ok(Err(missed)) => panic!("{missed}"),
                    Err(_) => {}
                }
            }
        });
    }
    for n in 0..1_000 {
        connection.push("room:1", "e", json!({"n": n}));
        tokio::task::yield_now().await;
    }
    let mut got = BTreeSet::new();
    while got.len() < 1_000 {
        let number = timeout(Duration::from_secs(5), told.recv()).await.expect("messages are lost").unwrap();
        assert!(got.insert(number), "{number} came twice");
    }
}
