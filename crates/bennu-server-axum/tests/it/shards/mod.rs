//! Connections on shards, over real sockets.

mod bounds;
mod crowd;
mod deaths;
mod ends;
mod files;
mod gaps;
mod slices;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, ChannelRef, Channels, ConnectRequest, Connected, Context, DrainOptions,
    Endpoint, Handled, HandlerResult, Info, JoinRefusal, JoinRequest, Joined, Refusal, RenewRequest, Renewed,
    Socket, SocketOptions, SocketRef,
};
use bennu_server_axum::ServerLimits;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::peer::{PATIENCE, Peer, UPGRADE};
use crate::running::Running;

/// What handlers of different connections show each other.
#[derive(Default)]
struct Stage {
    asked: Mutex<Option<SocketRef>>,
    channel: Mutex<Option<ChannelRef>>,
    /// Lets a handler go on that nobody wakes.
    opened: AtomicBool,
    /// Blocks a handler for as long as a test holds it.
    door: tokio::sync::Mutex<()>,
    /// Told when a handler is about to.
    blocking: tokio::sync::Notify,
}

struct Room;

impl Room {
    fn stage(cx: &Context<()>) -> Arc<Stage> {
        cx.route_value::<Arc<Stage>>().unwrap().clone()
    }
}

impl Channel for Room {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
        let stage = Room::stage(cx);
        match event {
            "echo" => Handled::reply(payload),
            "slow echo" => {
                tokio::task::yield_now().await;
                Handled::reply(payload)
            }
            "ask" => {
                *stage.asked.lock() = cx.socket_ref();
                *stage.channel.lock() = Some(cx.handle());
                Handled::no_reply()
            }
            "answer and tell" => {
                // The rest runs because another thread woke it.
                tokio::time::sleep(Duration::from_millis(1)).await;
                stage.asked.lock().take().unwrap().reply("ok", json!({}))?;
                cx.broadcast("told", json!({}))?;
                Handled::no_reply()
            }
            "broadcast once polled" => {
                std::future::poll_fn(|_| match stage.opened.load(Ordering::SeqCst) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                })
                .await;
                cx.broadcast_on("room:shared", "told");
                Handled::no_reply()
            }
            "follow" => {
                cx.subscribe("room:a");
                Handled::ok()
            }
            "block" => {
                stage.blocking.notify_one();
                drop(stage.door.blocking_lock());
                Handled::ok()
            }
            "shard" => Handled::reply(json!({ "thread": thread(), "ticks": ticks() })),
            "spawn blocking" => Handled::reply(tokio::task::spawn_blocking(|| json!({})).await?),
            "block in place" => Handled::reply(tokio::task::block_in_place(|| json!({}))),
            "spawn" => Handled::reply(tokio::spawn(async { json!({}) }).await?),
            "time out" => {
                let never = std::future::pending::<()>();
                assert!(tokio::time::timeout(Duration::from_millis(10), never).await.is_err());
                Handled::ok()
            }
            _ => Handled::unknown_event(event),
        }
    }

    async fn handle_info(&mut self, info: Info, cx: &mut Context<()>) -> HandlerResult {
        if let Some(broadcast) = info.broadcast()
            && broadcast.event() == "first"
        {
            cx.broadcast_on("room:a", "second");
        }
        Handled::no_reply()
    }
}

trait BroadcastOn {
    fn broadcast_on(&self, topic: &str, event: &str);
}

impl BroadcastOn for Context<()> {
    fn broadcast_on(&self, topic: &str, event: &str) {
        self.endpoint().broadcast(topic, event, json!({})).unwrap();
    }
}

/// The thread that this runs on, as the kernel counts.
fn thread() -> u64 {
    let link = std::fs::read_link("/proc/thread-self").unwrap();
    link.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// What this thread has used of the CPU, in hundredths of a second.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let numbers = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    numbers.map(|number| number.parse::<u64>().unwrap()).sum()
}

/// Whose credentials are about to expire.
struct Expiring;

/// How long a credential holds, and its client is told a second after it came.
const HOUR: Duration = Duration::from_secs(3_600);

impl Socket for Expiring {
    type Assigns = ();

    async fn connect(&self, _: &ConnectRequest) -> Result<Connected<()>, Refusal> {
        Ok(Connected::new(()).expires_at(SystemTime::now() + HOUR))
    }
}

/// Whose credentials expire soon, unless they are renewed.
struct Brief;

impl Socket for Brief {
    type Assigns = ();

    async fn connect(&self, _: &ConnectRequest) -> Result<Connected<()>, Refusal> {
        Ok(Connected::new(()).expires_at(SystemTime::now() + 2 * HASTE))
    }

    async fn renew(&self, _: &RenewRequest<()>) -> Result<Renewed, Refusal> {
        Ok(Renewed::until(SystemTime::now() + HOUR))
    }
}

/// How long nothing may come at `/hasty`.
const HASTE: Duration = Duration::from_secs(2);

/// `/socket`, `/expiring`, `/brief`, and `/hasty` that is closed when nothing comes for a while.
async fn start(shards: usize) -> (Running, Arc<Stage>) {
    start_with(shards, ServerLimits::default()).await
}

async fn start_with(shards: usize, limits: ServerLimits) -> (Running, Arc<Stage>) {
    let stage = Arc::new(Stage::default());
    let channels = || Channels::new().channel_with::<Room>("room:*", stage.clone());
    let hasty = SocketOptions::default().timeout(HASTE);
    let expiring = SocketOptions::default().expiry_notice(HOUR - Duration::from_secs(1));
    let endpoint = Endpoint::builder(PubSub::local())
        .socket("/socket", AllowAnonymous, channels(), SocketOptions::default())
        .socket("/expiring", Expiring, channels(), expiring)
        .socket("/brief", Brief, channels(), SocketOptions::default())
        .socket("/hasty", AllowAnonymous, channels(), hasty)
        .shards(shards)
        .build()
        .unwrap();
    let running = Running::serve(endpoint, limits, DrainOptions::default()).await;
    (running, stage)
}

impl Peer {
    /// A socket on which nothing may be silent for long.
    async fn hasty(server: &Running) -> Peer {
        Peer::at(server, "/hasty").await
    }

    async fn at(server: &Running, path: &str) -> Peer {
        let mut peer = Peer::open(server.address).await;
        peer.write(UPGRADE.replace("/socket", path)).await;
        assert_eq!(peer.answer().await.status, 101);
        peer
    }

    async fn tell(&mut self, topic: &str, event: &str) {
        self.send(json!(["1", "2", topic, event, {}])).await;
    }

    /// The response to an event.
    async fn ask(&mut self, topic: &str, event: &str) -> Value {
        self.tell(topic, event).await;
        let answer = self.recv().await;
        assert_eq!(answer[4]["status"], "ok", "{event}: {answer}");
        answer[4]["response"].clone()
    }

    /// The next event, which is awaited for a while.
    async fn event(&mut self) -> Value {
        tokio::time::timeout(PATIENCE, self.recv()).await.expect("nothing came")[3].clone()
    }
}

#[tokio::test]
async fn what_a_deadline_finds_broadcast_is_not_forgotten() {
    let (server, stage) = start(1).await;
    let mut witness = Peer::joined(server.address, "room:shared").await;
    let mut expiring = Peer::at(&server, "/expiring").await;
    expiring.join("room:b").await;
    expiring.tell("room:b", "broadcast once polled").await;
    // So it waits.
    expiring.join("room:c").await;
    stage.opened.store(true, Ordering::SeqCst);
    // It is polled when its client is to be told, and by nobody before.
    assert_eq!(expiring.event().await, "token_expiring");
    assert_eq!(witness.event().await, "told");
}

#[tokio::test]
async fn an_answer_to_another_client_precedes_what_is_broadcast_after_it() {
    let (server, _) = start(1).await;
    let mut asking = Peer::joined(server.address, "room:a").await;
    let mut other = Peer::joined(server.address, "room:a").await;
    for _ in 0..50 {
        asking.tell("room:a", "ask").await;
        // Answered behind it, so that the other finds what was asked.
        asking.ask("room:a", "echo").await;
        other.tell("room:a", "answer and tell").await;
        assert_eq!(asking.event().await, "phx_reply");
        assert_eq!(asking.event().await, "told");
        assert_eq!(other.event().await, "told");
    }
}

#[tokio::test]
async fn what_a_channel_broadcasts_upon_a_broadcast_comes_behind_it() {
    let (server, _) = start(1).await;
    // The one that follows comes first in the topic's list.
    let mut peer = Peer::joined(server.address, "room:b").await;
    peer.ask("room:b", "follow").await;
    peer.join("room:a").await;
    for _ in 0..20 {
        server.endpoint.broadcast("room:a", "first", json!({})).unwrap();
        assert_eq!(peer.event().await, "first");
        assert_eq!(peer.event().await, "second");
    }
}

#[tokio::test]
async fn a_shard_sleeps_while_a_connection_closes_for_which_something_comes() {
    let (server, stage) = start(1).await;
    let mut observer = Peer::joined(server.address, "room:b").await;
    let mut closing = Peer::joined(server.address, "room:a").await;
    closing.tell("room:a", "ask").await;
    // No frame at all; the stream stays open behind it.
    closing.write([0xff; 8]).await;
    assert_eq!(closing.closed().await, 1002);
    let before = observer.ask("room:b", "shard").await["ticks"].as_u64().unwrap();
    stage.channel.lock().take().unwrap().send("too late");
    stage.asked.lock().take().unwrap().reply("ok", json!({})).unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    let after = observer.ask("room:b", "shard").await["ticks"].as_u64().unwrap();
    assert!(after - before < 10, "{} hundredths of a second", after - before);
}

#[tokio::test]
async fn a_handler_that_blocks_holds_up_its_own_shard_alone() {
    let (server, stage) = start(2).await;
    let (mut one, mut two) =
        (Peer::joined(server.address, "room:a").await, Peer::joined(server.address, "room:b").await);
    let (shard, other) = (one.ask("room:a", "shard").await, two.ask("room:b", "shard").await);
    assert_ne!(shard["thread"], other["thread"]);
    let door = stage.door.lock().await;
    one.tell("room:a", "block").await;
    for _ in 0..10 {
        two.ask("room:b", "echo").await;
    }
    drop(door);
    assert_eq!(one.event().await, "phx_reply");
}

async fn check_ways_out() {
    let (server, _) = start(1).await;
    let mut peer = Peer::joined(server.address, "room:a").await;
    for event in ["spawn blocking", "block in place", "spawn", "time out", "slow echo"] {
        tokio::time::timeout(PATIENCE, peer.ask("room:a", event)).await.unwrap();
    }
}

#[tokio::test]
async fn blocking_work_timers_and_tasks_are_the_runtimes_with_one_thread() {
    check_ways_out().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_work_timers_and_tasks_are_the_runtimes_with_several_threads() {
    check_ways_out().await;
}

#[tokio::test]
async fn what_was_sent_before_the_end_of_the_stream_is_answered() {
    let (server, _) = start(2).await;
    for round in 0..30 {
        let mut peer = Peer::joined(server.address, "room:a").await;
        for _ in 0..round {
            peer.tell("room:a", "echo").await;
        }
        peer.stream.shutdown().await.unwrap();
        for _ in 0..round {
            assert_eq!(peer.event().await, "phx_reply");
        }
        while peer.next().await.is_some() {}
    }
}

#[tokio::test]
async fn streams_that_are_reset_leave_nothing() {
    let (server, _) = start(2).await;
    for round in 0..50 {
        let mut peer = Peer::joined(server.address, "room:a").await;
        peer.write(&[0x81, 0xfe, 0x10][..round % 4]).await;
        peer.stream.set_zero_linger().unwrap();
    }
    let all_gone = async {
        while server.endpoint.pubsub().subscriber_count("room:a") > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_gone).await.unwrap();
}

#[tokio::test]
async fn a_client_that_asks_more_than_may_wait_is_answered_in_order() {
    const COUNT: usize = 5_000;
    let (server, _) = start(1).await;
    for event in ["echo", "slow echo"] {
        let peer = Peer::joined(server.address, "room:a").await;
        let (reader, mut writer) = tokio::io::split(peer.stream);
        let writing = tokio::spawn(async move {
            let fill = "x".repeat(1_000);
            for number in 0..COUNT {
                let message = json!(["1", number.to_string(), "room:a", event, { "fill": fill }]).to_string();
                let frame = bennu_protocol::websocket::encode_masked(
                    bennu_protocol::websocket::Opcode::Text,
                    message.as_bytes(),
                    [1, 2, 3, 4],
                );
                writer.write_all(&frame).await.unwrap();
            }
            writer
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut peer = Peer::on(tokio::io::join(reader, tokio::io::sink()));
        for number in 0..COUNT {
            let answer = tokio::time::timeout(PATIENCE, peer.recv()).await.expect("the shard forgot it");
            assert_eq!(answer[1], number.to_string());
        }
        drop(writing.await.unwrap());
    }
}

#[tokio::test]
async fn who_spoke_while_a_handler_blocked_is_not_ended_for_silence() {
    let (server, stage) = start(1).await;
    let mut blocking = Peer::joined(server.address, "room:blocked").await;
    let mut lively = Peer::hasty(&server).await;
    lively.join("room:a").await;
    let door = stage.door.lock().await;
    blocking.tell("room:blocked", "block").await;
    stage.blocking.notified().await;
    lively.send(json!(["1", "echo", "room:a", "echo", {}])).await;
    tokio::time::sleep(2 * HASTE).await;
    drop(door);
    assert_eq!(lively.recv().await[1], "echo");
}

#[tokio::test]
async fn silence_is_ended_in_time_and_not_before() {
    let (server, _) = start(1).await;
    let began = Instant::now();
    let (mut silent, mut lively) = (Peer::hasty(&server).await, Peer::hasty(&server).await);
    lively.join("room:a").await;
    let silence = tokio::spawn(async move { (silent.closed().await, began.elapsed()) });
    let mut last = Instant::now();
    while !silence.is_finished() {
        last = Instant::now();
        lively.ask("room:a", "echo").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (code, after) = silence.await.unwrap();
    assert_eq!(code, 1002);
    assert!(after >= HASTE, "{after:?}");
    // Whoever talked is there still, until it falls silent.
    assert_eq!(lively.closed().await, 1002);
    assert!(last.elapsed() >= HASTE, "{:?}", last.elapsed());
}

#[tokio::test]
async fn a_renewed_credential_outlives_its_first_deadline() {
    let (server, _) = start(1).await;
    let mut renewed = Peer::at(&server, "/brief").await;
    renewed.join("room:a").await;
    let mut forgetful = Peer::at(&server, "/brief").await;
    renewed.send(json!([null, "9", "phoenix", "token", { "token": "" }])).await;
    let answer = loop {
        let message = renewed.recv().await;
        if message[1] == "9" {
            break message;
        }
    };
    assert_eq!(answer[4]["status"], "ok");
    // It came later, so the deadline of the first has passed when it is closed.
    assert_eq!(forgetful.closed().await, 4401);
    renewed.expect_echo("room:a").await;
}
