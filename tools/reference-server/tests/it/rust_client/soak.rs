//! Random faults for as long as one likes, at the end of which every push is accounted for.
//!
//! Three seconds a day; `./long-checks.sh soak` takes ten minutes.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bennu_client::transport::{LongPoll, WebSocket};
use bennu_client::{Channel, SendBuffer, Socket, SocketConfig};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::link::Link;
use super::tally::Tally;
use super::{PATIENCE, assert_echoes, config, server, within_patience};
use crate::server::Server;

/// Channels of each socket, and tasks that push into each.
const CHANNELS: usize = 8;
const PUSHERS: usize = 2;

/// A generator that a seed starts, so that a run can be had again: xorshift64*.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn number(&mut self, range: Range<u64>) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        range.start + (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % (range.end - range.start)
    }

    fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// One of each kind of client.
fn kinds(link: &Link) -> [(&'static str, SocketConfig); 4] {
    let config = |path| {
        let config = config(link.url(path)).connect_timeout(Duration::from_secs(1));
        config.heartbeat_interval(Duration::from_millis(400))
    };
    let few = SendBuffer::default().max_pushes(12);
    [
        ("websocket", config("/socket").send_buffer(few)),
        ("version 1", config("/socket").vsn("1.0.0")),
        (
            "compressed",
            config("/idle/1").transport(WebSocket::new().compression(true)).send_buffer(few.drop_oldest()),
        ),
        ("long polling", config("/socket").transport(LongPoll::new().timeout(Duration::from_secs(3)))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_push_is_accounted_for_after_random_faults() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = setting("BENNU_SOAK_SEED", now.as_millis() as u64);
    let until = Instant::now() + Duration::from_secs(setting("BENNU_SOAK_SECONDS", 3));
    println!("BENNU_SOAK_SEED={seed}");
    let mut random = Random::new(seed);
    let first = server("soak", &[]).await;
    let mut links = Vec::new();
    let mut clients = Vec::new();
    for kind in 0..4 {
        let link = Link::to(first.address).await;
        let (name, config) = kinds(&link)[kind].clone();
        clients.push(Client::start(name, config, until, &mut random));
        links.push(link);
    }
    let server = break_links(&links, first, until, &mut random).await;
    for client in clients {
        let (name, tally) = client.check().await;
        println!("{name}: {} pushes, {tally:?}", tally.total());
    }
    drop(server);
}

/// One fault after the other, and all is well at the end.
async fn break_links(links: &[Link], mut running: Server, until: Instant, random: &mut Random) -> Server {
    while Instant::now() < until {
        let link = &links[random.number(0..links.len() as u64) as usize];
        match random.number(0..20) {
            0..=6 => link.cut(),
            7..=10 => link.delay(random.millis(1..60)),
            11..=13 => link.refuse(),
            14..=17 => link.half_open(),
            18 => {
                tokio::task::spawn_blocking(move || drop(running)).await.unwrap();
                tokio::time::sleep(random.millis(0..500)).await;
                running = server("soak", &[]).await;
                links.iter().for_each(|link| link.lead_to(running.address));
            }
            _ => links.iter().for_each(Link::cut),
        }
        tokio::time::sleep(random.millis(20..1_200)).await;
        link.heal();
        tokio::time::sleep(random.millis(0..300)).await;
    }
    links.iter().for_each(Link::heal);
    running
}

struct Client {
    name: &'static str,
    socket: Socket,
    channels: Vec<Channel>,
    pushers: Vec<tokio::task::JoinHandle<Tally>>,
}

/// Pushes that were begun, by all.
static BEGUN: AtomicU64 = AtomicU64::new(0);

impl Client {
    fn start(name: &'static str, config: SocketConfig, until: Instant, random: &mut Random) -> Self {
        let socket = Socket::start(config).unwrap();
        let topics = (0..CHANNELS).map(|number| format!("room:soak-{}-{number}", name.replace(' ', "-")));
        let channels: Vec<_> = topics.map(|topic| socket.channel_join(topic, json!({})).unwrap()).collect();
        let pushers = channels.iter().flat_map(|channel| std::iter::repeat_n(channel, PUSHERS));
        let pushers = pushers.map(|channel| {
            let random = Random::new(random.number(1..u64::from(u32::MAX)));
            tokio::spawn(push_until(channel.clone(), until, random))
        });
        Client { name, socket, pushers: pushers.collect(), channels }
    }

    /// Every push has ended, the client still works, and it has forgotten all of them.
    async fn check(self) -> (&'static str, Tally) {
        let tally: Tally = join_all(self.pushers).await.into_iter().map(Result::unwrap).sum();
        assert!(tally.replied > 0, "{}", self.name);
        for channel in &self.channels {
            within_patience(assert_echoes(channel, &json!("healed"))).await;
        }
        let state = self.socket.state();
        assert_eq!(
            (state.pushes.len(), state.buffered_pushes, state.buffered_bytes),
            (0, 0, 0),
            "{}",
            self.name
        );
        assert_eq!(state.channels.len(), CHANNELS, "{}", self.name);
        assert!(state.channels.values().all(|channel| channel.pushes.is_empty()), "{}", self.name);
        drop(self.channels);
        self.socket.stop();
        within_patience(self.socket.ended()).await;
        (self.name, tally)
    }
}

/// Pushes of all kinds; the sum of the outcomes is what was begun.
async fn push_until(channel: Channel, until: Instant, mut random: Random) -> Tally {
    let mut tally = Tally::default();
    let mut begun = 0;
    while Instant::now() < until {
        begun += 1;
        let number = BEGUN.fetch_add(1, Ordering::Relaxed);
        let size = if random.number(0..20) == 0 { 20_000 } else { 10 };
        let value = json!({"number": number, "filler": "x".repeat(size)});
        let event = ["echo", "echo", "echo", "ok", "err", "noreply"][random.number(0..6) as usize];
        let push = channel.push(event, &value).timeout(random.millis(20..2_000));
        let push = if random.number(0..3) == 0 { push.retry_unconfirmed() } else { push };
        let outcome = tokio::time::timeout(PATIENCE, push).await.expect("a push ends");
        tally.count(&outcome);
        match (event, outcome) {
            ("echo", Ok(reply)) => {
                assert_eq!(reply.parse::<Value>().unwrap(), value, "the reply to another push")
            }
            ("err" | "noreply", Ok(reply)) => panic!("{event} was answered with {reply:?}"),
            _ => {}
        }
        tokio::time::sleep(random.millis(0..30)).await;
    }
    assert_eq!(tally.total(), begun, "{tally:?}");
    tally
}
