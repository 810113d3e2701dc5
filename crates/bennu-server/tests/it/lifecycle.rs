//! Ends: of channels, of connections, of the endpoint.

use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    Channel, Channels, ConnectRequest, Connected, Context, Endpoint, Handled, HandlerResult, JoinRefusal,
    JoinRequest, Joined, Refusal, Socket, SocketOptions, StopReason, TerminateReason,
};
use parking_lot::Mutex;
use serde_json::json;

use crate::client::Client;

/// What the channels of a test went through.
type Log = Arc<Mutex<Vec<String>>>;

struct LogSocket(Log);

impl Socket for LogSocket {
    type Assigns = Log;

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<Log>, Refusal> {
        let connected = Connected::new(self.0.clone());
        Ok(match request.params().text("id") {
            Some(id) => connected.with_id(id),
            None => connected,
        })
    }
}

struct Logged(Log);

impl Drop for Logged {
    fn drop(&mut self) {
        self.0.lock().push("dropped".to_owned());
    }
}

impl Channel for Logged {
    type Assigns = Log;

    async fn join(request: JoinRequest<Log>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Logged(request.assigns().clone())))
    }

    async fn handle_in(&mut self, event: &str, _: Payload, _: &mut Context<Log>) -> HandlerResult {
        match event {
            "panic" => panic!("asked to panic"),
            "fail" => Handled::stop(StopReason::Failure("asked to fail".to_owned())),
            "stop" => Handled::stop(StopReason::Normal),
            "wait" => {
                tokio::time::sleep(Duration::from_secs(2)).await;
                self.0.lock().push("waited".to_owned());
                Handled::ok()
            }
            "wait_for_ever" => std::future::pending().await,
            _ => Handled::unknown_event(event),
        }
    }

    async fn terminate(&mut self, reason: &TerminateReason, cx: &mut Context<Log>) {
        self.0.lock().push(format!("{reason:?}"));
        cx.push("last words", json!({})).unwrap();
        if cx.topic().ends_with("slow to end") {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
}

fn endpoint() -> (Endpoint, Log) {
    let log = Log::default();
    let channels = Channels::new().channel::<Logged>("room:*");
    let endpoint = Endpoint::builder(PubSub::local())
        .socket("/socket", LogSocket(log.clone()), channels, SocketOptions::default())
        .build()
        .unwrap();
    (endpoint, log)
}

async fn joined() -> (Client, Endpoint, Log) {
    let (endpoint, log) = endpoint();
    let mut client = Client::connect(&endpoint).await;
    client.join("room:a").await;
    (client, endpoint, log)
}

#[tokio::test(start_paused = true)]
async fn terminate_learns_why_and_its_words_come_where_phoenix_puts_them() {
    for (event, reason, seen) in [
        ("phx_leave", "Left", vec!["phx_reply", "phx_close", "last words"]),
        ("stop", "Stopped(Normal)", vec!["phx_close", "last words"]),
        ("fail", "Stopped(Failure(\"asked to fail\"))", vec!["last words", "phx_error"]),
        ("unknown", "Crashed", vec!["last words", "phx_error"]),
        ("phx_join", "Replaced", vec!["last words", "phx_reply", "phx_close"]),
    ] {
        let (mut client, _endpoint, log) = joined().await;
        client.send(json!(["1", "2", "room:a", event, {}])).await;
        for expected in seen {
            assert_eq!(client.recv_event().await, expected, "{event}");
        }
        assert_eq!(*log.lock(), [reason, "dropped"], "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_drops_the_state_without_terminate() {
    let (mut client, _endpoint, log) = joined().await;
    client.send(json!(["1", "2", "room:a", "panic", {}])).await;
    assert_eq!(client.recv_event().await, "phx_error");
    assert_eq!(*log.lock(), ["dropped"]);
    client.join("room:a").await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_connection_terminates_its_channels() {
    let (client, endpoint, log) = joined().await;
    assert_eq!(endpoint.connection_count(), 1);
    client.cut().await;
    assert_eq!(
        (endpoint.connection_count(), &**log.lock()),
        (0, ["Closed".to_owned(), "dropped".to_owned()].as_slice())
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_finish_after_the_connection_was_cut() {
    let (mut client, _endpoint, log) = joined().await;
    client.send(json!(["1", "2", "room:a", "wait", {}])).await;
    client.hears_nothing().await;
    client.cut().await;
    assert_eq!(*log.lock(), ["waited", "Closed", "dropped"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_finishes_is_cut_off() {
    let (mut client, endpoint, log) = joined().await;
    client.send(json!(["1", "2", "room:a", "wait_for_ever", {}])).await;
    client.hears_nothing().await;
    client.cut().await;
    assert_eq!((endpoint.connection_count(), &**log.lock()), (0, ["dropped".to_owned()].as_slice()));
}

#[tokio::test(start_paused = true)]
async fn disconnect_closes_all_sockets_of_an_id_and_no_others() {
    let (endpoint, _) = endpoint();
    let mut clients = Vec::new();
    for id in ["u:9", "u:9", "u:8"] {
        clients.push(Client::connect_with(&endpoint, &format!("vsn=2.0.0&id={id}"), 65_536).await);
    }
    endpoint.disconnect("u:9");
    assert_eq!((clients[0].closed().await, clients[1].closed().await), (1001, 1001));
    clients[2].hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn silence_closes_with_1002_and_pings_put_it_off() {
    use bennu_protocol::websocket::Opcode;

    let (mut client, _endpoint, _) = joined().await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(59)).await;
        client.send_frame(Opcode::Ping, b"").await;
    }
    assert!(!client.has_ended());
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(client.closed().await, 1002);
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_channels_are_slow_to_end_is_not_heard_until_they_have() {
    let channels = Channels::new().channel::<Logged>("room:*");
    let endpoint = Endpoint::builder(PubSub::local())
        .socket("/socket", LogSocket(Log::default()), channels, SocketOptions::default().max_channels(10))
        .build()
        .unwrap();
    let mut client = Client::connect(&endpoint).await;
    let mut left = 0;
    loop {
        client.send(json!(["1", "1", "room:slow to end", "phx_join", {}])).await;
        if client.recv_soon().await.is_none() {
            break;
        }
        client.send(json!(["1", "2", "room:slow to end", "phx_leave", {}])).await;
        for event in ["phx_reply", "phx_close", "last words"] {
            assert_eq!(client.recv_event().await, event);
        }
        left += 1;
        assert!(left < 100, "as many wait to end as the client likes");
    }
    assert_eq!(left, 10);
    assert_eq!(client.recv_within(10).await[4]["status"], "ok");
}
