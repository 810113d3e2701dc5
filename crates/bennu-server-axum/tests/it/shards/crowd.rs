//! Many clients on several topics and two shards, of whom each checks what it gets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, ChannelError, Channels, Context, DrainOptions, Endpoint, Handled, HandlerResult,
    History, Info, JoinRefusal, JoinRequest, Joined, SocketOptions,
};
use bennu_server_axum::ServerLimits;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::peer::{PATIENCE, Peer};
use crate::running::Running;

const TOPICS: usize = 3;
/// More than a slice has, on each shard.
const READERS: usize = 600;
const NARROW: usize = 12;
const RESTLESS: usize = 24;
const SENDERS: usize = 12;
/// What each sender says.
const SAID: usize = 45;

/// How a sender's words are spread.
const PLAIN: usize = 0;
const FROM: usize = 1;
const OTHER_THREAD: usize = 2;

/// One topic is kept and has no `handle_out`, behind which broadcasts of such a topic wait.
struct Room<const KEPT: bool>;

fn topic(number: usize) -> String {
    format!("room:{}", number % TOPICS)
}

fn how(number: usize) -> usize {
    number / TOPICS % 3
}

impl<const KEPT: bool> Channel for Room<KEPT> {
    type Assigns = ();

    const INTERCEPT: &'static [&'static str] = if KEPT { &[] } else { &["intercepted"] };

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }

    async fn after_join(&mut self, cx: &mut Context<()>) -> Result<(), ChannelError> {
        cx.push("welcome", json!({}))?;
        if **cx.topic() == *topic(2) {
            cx.subscribe(topic(0));
        }
        Ok(())
    }

    async fn handle_in(&mut self, _: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
        let said: Value = serde_json::from_slice(payload.as_json().unwrap())?;
        let number = said["number"].as_u64().unwrap() as usize;
        let endpoint = cx.endpoint().clone();
        match how(number) {
            PLAIN => {
                cx.push("before", &said)?;
                cx.broadcast("intercepted", &said)?;
                endpoint.broadcast(topic(number), "said", &said)?;
                cx.push("after", &said)?;
                Handled::ok()
            }
            FROM => {
                cx.broadcast_from("said", &said)?;
                Handled::ok()
            }
            _ => {
                let answer = cx.socket_ref().unwrap();
                std::thread::spawn(move || {
                    endpoint.broadcast(topic(number), "said", &said).unwrap();
                    answer.reply("ok", json!({})).unwrap();
                    endpoint.broadcast(topic(number + 1), "said too", &said).unwrap();
                });
                Handled::no_reply()
            }
        }
    }

    async fn handle_out(&mut self, event: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
        cx.push(event, payload)?;
        Handled::no_reply()
    }

    async fn handle_info(&mut self, info: Info, cx: &mut Context<()>) -> HandlerResult {
        if let Some(broadcast) = info.broadcast()
            && broadcast.event() == "said"
        {
            cx.push("heard", broadcast.payload().clone())?;
        }
        Handled::no_reply()
    }
}

/// What one client has got: numbers by event, topic and sender, and the last number of each sender.
#[derive(Default)]
struct Got {
    numbers: HashMap<(String, String, u64), Vec<u64>>,
    last: HashMap<u64, u64>,
    ends: usize,
}

impl Got {
    /// Takes note of a message, unless it is a reply.
    fn note(&mut self, message: &Value) {
        let (topic, event) = (message[2].as_str().unwrap(), message[3].as_str().unwrap());
        let (sender, number) = (message[4]["sender"].as_u64(), message[4]["number"].as_u64());
        self.ends += usize::from(event == "end");
        let (Some(sender), Some(number)) = (sender, number) else { return };
        if event == "said" {
            let last = self.last.insert(sender, number);
            assert!(last.is_none_or(|last| last < number), "{last:?} of {sender}, then {message}");
        }
        self.numbers.entry((event.to_owned(), topic.to_owned(), sender)).or_default().push(number);
    }

    /// Checks that all has come that was for a client, `this` if it is a sender.
    fn check(&self, this: Option<u64>, rooms: &[usize]) {
        for sender in 0..SENDERS as u64 {
            let is_own = this == Some(sender);
            for &room in rooms {
                let of = |event: &str| {
                    let key = (event.to_owned(), topic(room), sender);
                    self.numbers.get(&key).cloned().unwrap_or_default()
                };
                let here = |number: &u64| *number as usize % TOPICS == room;
                let is = |how: usize| move |number: &u64| self::how(*number as usize) == how;
                let all = 0..SAID as u64;
                let said = all.clone().filter(here).filter(|number| !is_own || !is(FROM)(number));
                assert_eq!(of("said"), said.collect::<Vec<_>>(), "{sender} in {room}");
                let too = all.clone().filter(is(OTHER_THREAD)).filter(|number| here(&(number + 1)));
                assert_eq!(of("said too"), too.collect::<Vec<_>>(), "{sender} in {room}");
                let plain = all.clone().filter(is(PLAIN)).filter(here).collect::<Vec<_>>();
                assert_eq!(of("intercepted"), plain, "{sender} in {room}");
                let own = if is_own { plain } else { Vec::new() };
                assert_eq!((of("before"), of("after")), (own.clone(), own), "{sender} in {room}");
            }
            let heard = self.numbers.get(&("heard".to_owned(), topic(2), sender));
            let first = (0..SAID as u64).step_by(TOPICS);
            assert_eq!(heard.cloned().unwrap_or_default(), first.collect::<Vec<_>>(), "{sender}");
        }
    }
}

async fn receive(peer: &mut Peer) -> Value {
    tokio::time::timeout(PATIENCE, peer.recv()).await.expect("something is missing")
}

/// Joins all topics; the first message of each is its welcome. Returns the client's position in each.
async fn join_all(peer: &mut Peer) -> Vec<Value> {
    let mut positions = Vec::new();
    for room in 0..TOPICS {
        positions.push(peer.join(&topic(room)).await);
        assert_eq!(receive(peer).await[3], "welcome");
    }
    positions
}

async fn read_to_the_end(peer: &mut Peer, got: &mut Got) {
    while got.ends < TOPICS {
        got.note(&receive(peer).await);
    }
}

/// Reads all; a narrow one begins late, and so is written to in parts.
async fn reader(address: SocketAddr, is_narrow: bool, ready: Arc<Barrier>, spoken: Arc<Barrier>) {
    let mut peer = match is_narrow {
        true => Peer::open_narrow(address).await.upgraded().await,
        false => Peer::connect(address).await,
    };
    join_all(&mut peer).await;
    ready.wait().await;
    if is_narrow {
        spoken.wait().await;
    }
    let mut got = Got::default();
    read_to_the_end(&mut peer, &mut got).await;
    got.check(None, &[0, 1, 2]);
}

/// Says everything; the answer to each comes where it belongs among what is broadcast.
async fn sender(address: SocketAddr, sender: u64, ready: Arc<Barrier>, spoken: Arc<Barrier>) {
    let mut peer = Peer::connect(address).await;
    join_all(&mut peer).await;
    ready.wait().await;
    let mut got = Got::default();
    for number in 0..SAID as u64 {
        let reference = format!("{number}");
        let said = json!({ "sender": sender, "number": number });
        peer.send(json!(["1", reference, topic(number as usize), "say", said])).await;
        let expected: &[&str] = match how(number as usize) {
            PLAIN => &["before", "said", "after", "phx_reply"],
            FROM => &["phx_reply"],
            _ => &["said", "phx_reply", "said too"],
        };
        let mut own = Vec::new();
        while own.last() != expected.last().map(ToString::to_string).as_ref() {
            let message = receive(&mut peer).await;
            got.note(&message);
            let is_own = message[4]["sender"] == sender && message[4]["number"] == number;
            let event = message[3].as_str().unwrap();
            if message[1] == reference || is_own && ["before", "said", "after", "said too"].contains(&event) {
                own.push(event.to_owned());
            }
        }
        assert_eq!(own, expected);
    }
    spoken.wait().await;
    read_to_the_end(&mut peer, &mut got).await;
    got.check(Some(sender), &[0, 1, 2]);
}

/// Leaves a topic and joins it again all the time. While it is there it misses nothing, and if it `recovers`
/// it gets what was said meanwhile.
async fn restless(address: SocketAddr, recovers: bool, ready: Arc<Barrier>) {
    let mut peer = Peer::connect(address).await;
    let mut position = join_all(&mut peer).await.swap_remove(1);
    ready.wait().await;
    let mut got = Got::default();
    let mut here: HashMap<u64, u64> = HashMap::new();
    let (mut join_ref, mut seen) = (1, 0);
    let (mut is_welcome, mut has_ended) = (true, false);
    // Who does not recover may be away when the end of that topic is told.
    while got.ends < TOPICS - 1 || recovers && !has_ended {
        let message = receive(&mut peer).await;
        if message[2] != topic(1) {
            got.note(&message);
            continue;
        }
        if message[4]["phx_offset"].is_number() {
            position["offset"] = message[4]["phx_offset"].clone();
        }
        match message[3].as_str().unwrap() {
            "said" => {
                assert!(is_welcome || recovers, "{message} before the welcome");
                let sender = message[4]["sender"].as_u64().unwrap();
                let number = message[4]["number"].as_u64().unwrap();
                match here.insert(sender, number) {
                    Some(last) => assert_eq!(last + TOPICS as u64, number, "of {sender}"),
                    None => assert!(!recovers || number == 1, "{number} of {sender}"),
                }
                seen += 1;
            }
            "welcome" => is_welcome = true,
            "end" => has_ended = true,
            _ => {}
        }
        if seen == 5 {
            join_ref += 1;
            leave_and_join(&mut peer, &mut got, join_ref, recovers.then_some(&position)).await;
            (seen, is_welcome) = (0, false);
            if !recovers {
                here.clear();
            }
        }
    }
    got.check(None, &[0, 2]);
    let last = (0..SAID as u64).rfind(|number| *number as usize % TOPICS == 1);
    assert!(!recovers || here.len() == SENDERS && here.values().all(|number| Some(*number) == last));
}

/// Leaves the restless' topic and joins it; what was on its way comes before the answer.
async fn leave_and_join(peer: &mut Peer, got: &mut Got, join_ref: u64, position: Option<&Value>) {
    peer.send(json!([(join_ref - 1).to_string(), "leave", topic(1), "phx_leave", {}])).await;
    peer.send(json!([join_ref.to_string(), "join", topic(1), "phx_join", { "recover": position }])).await;
    loop {
        let message = receive(peer).await;
        if message[2] != topic(1) {
            got.note(&message);
        }
        if message[1] == "join" {
            let recovered = &message[4]["response"]["recovered"];
            assert_eq!(recovered.as_bool(), position.map(|_| true), "{message}");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_everything_once_and_in_order() {
    rlimit::increase_nofile_limit(4_000).unwrap();
    let options = SocketOptions::default().max_backlog(64 << 20).max_backlog_frames(100_000);
    let history = History::last(10_000).events(["said", "end"]);
    let channels =
        Channels::new().channel::<Room<true>>(&topic(1)).history(history).channel::<Room<false>>("room:*");
    let endpoint = Endpoint::builder(PubSub::local())
        .socket("/socket", AllowAnonymous, channels, options)
        .shards(2)
        .build()
        .unwrap();
    let limits = ServerLimits::default().send_buffer(4 * 1024);
    let server = Running::serve(endpoint, limits, DrainOptions::default()).await;
    let address = server.address;
    let ready = Arc::new(Barrier::new(READERS + NARROW + RESTLESS + SENDERS));
    let spoken = Arc::new(Barrier::new(NARROW + SENDERS + 1));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..READERS + NARROW {
        clients.spawn(reader(address, number >= READERS, ready.clone(), spoken.clone()));
    }
    for number in 0..RESTLESS {
        clients.spawn(restless(address, number % 2 == 0, ready.clone()));
    }
    for number in 0..SENDERS {
        clients.spawn(sender(address, number as u64, ready.clone(), spoken.clone()));
    }
    let ending = async {
        spoken.wait().await;
        for room in 0..TOPICS {
            server.endpoint.broadcast(topic(room), "end", json!({})).unwrap();
        }
        std::future::pending::<()>().await
    };
    let all = async {
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
    };
    tokio::select! { () = all => {} () = ending => {} }
}
