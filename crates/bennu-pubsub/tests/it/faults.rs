//! Engines, members and users that do what they should not.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bennu_pubsub::{Adapter, Change, ClusterOptions, Link, PubSub, Subject, Subscription};
use bennu_testkit::Hub;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::cluster::{SECRET, SHORT, node, pass, taken};

type Inbox = mpsc::UnboundedSender<(Subject, Bytes)>;

/// An engine that keeps all in order and loses nothing. A node hands over what waits once in `pause`, as one does
/// whose socket is full.
#[derive(Clone, Default)]
struct Busy {
    inboxes: Arc<Mutex<Vec<Inbox>>>,
    pause: Duration,
}

impl Adapter for Busy {
    fn engine(&self) -> &'static str {
        "busy"
    }

    fn run(self: Box<Self>, link: Link) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let (inbox, mut packets) = mpsc::unbounded_channel();
            self.inboxes.lock().unwrap().push(inbox);
            link.subscribed(&link.wanted());
            link.up(1 << 20);
            let mut turns = tokio::time::interval(self.pause.max(Duration::from_millis(1)));
            loop {
                tokio::select! {
                    () = link.closed() => return,
                    Some((subject, bytes)) = packets.recv() => link.received(&subject, bytes),
                    changes = link.changed() => {
                        let fresh: Vec<Subject> = changes.iter().filter_map(|change| match change {
                            Change::Subscribe(subject) => Some(*subject),
                            _ => None,
                        }).collect();
                        link.subscribed(&fresh);
                    }
                    _ = turns.tick() => for packet in link.take(64) {
                        for inbox in self.inboxes.lock().unwrap().iter() {
                            let _ = inbox.send((packet.subject, packet.bytes.clone()));
                        }
                    }
                }
            }
        })
    }
}

/// A message that nobody lost is neither delivered nor told.
#[tokio::test(start_paused = true)]
async fn a_beacon_that_is_before_the_first_message_does_not_swallow_it() {
    let quick = Busy::default();
    let slow = Busy { pause: Duration::from_secs(4), ..quick.clone() };
    let a = PubSub::cluster(slow, ClusterOptions::new(SECRET).node("a")).unwrap();
    let b = PubSub::cluster(quick, ClusterOptions::new(SECRET).node("b")).unwrap();
    pass(Duration::from_millis(4_500)).await;
    // a's complete beacon is out.
    let mut heard = b.subscribe("room:1");
    pass(SHORT).await;
    b.settle("room:1").await;
    // Two beacons share a packet, and the message that is between them goes behind it.
    a.broadcast("another", 0_u32);
    pass(Duration::from_millis(1_200)).await;
    a.broadcast("room:1", 1_u32);
    pass(Duration::from_secs(30)).await;
    assert_eq!(taken(&mut heard), [1]);
}

/// Lost after `settle`, and nobody is told: there is no number to begin from for up to 10 s.
#[tokio::test(start_paused = true)]
async fn what_is_lost_after_settle_is_told() {
    let hub = Hub::new();
    let (a, b) = (node(&hub, "a"), node(&hub, "b"));
    hub.up(&[&a, &b]).await;
    pass(Duration::from_millis(1_500)).await;
    let mut heard = b.subscribe("room:late");
    b.settle("room:late").await;
    pass(SHORT).await;
    hub.lose_next(1);
    a.broadcast("room:late", 1_u32);
    pass(SHORT).await;
    a.broadcast("room:late", 2_u32);
    pass(Duration::from_secs(60)).await;
    let mut taken = taken(&mut heard);
    taken.sort_unstable();
    assert_eq!(taken, [-1, 2]);
}

/// 2b. The same with nothing behind it.
#[tokio::test(start_paused = true)]
async fn the_only_message_lost_after_settle_is_told() {
    let hub = Hub::new();
    let (a, b) = (node(&hub, "a"), node(&hub, "b"));
    hub.up(&[&a, &b]).await;
    pass(Duration::from_millis(1_500)).await;
    let mut heard = b.subscribe("room:late");
    b.settle("room:late").await;
    pass(SHORT).await;
    hub.lose_next(1);
    a.broadcast("room:late", 1_u32);
    pass(Duration::from_secs(60)).await;
    assert_eq!(taken(&mut heard), [-1]);
}

/// A panic in a hook ends the link for good, and `link()` goes on saying that it is up.
#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_does_not_end_the_link() {
    let hub = Hub::new();
    let (a, b) = (node(&hub, "a"), node(&hub, "b"));
    let mut heard = b.subscribe("room:1");
    let panics = AtomicBool::new(true);
    b.on_remote::<String>(move |_, _| assert!(!panics.swap(false, Ordering::SeqCst), "a bug of the user's"));
    hub.up(&[&a, &b]).await;
    b.settle("room:1").await;
    a.broadcast("room:1", "boom".to_owned());
    pass(SHORT).await;
    a.broadcast("room:1", 1_u32);
    pass(SHORT).await;
    assert_eq!((taken(&mut heard), b.link().is_up()), (vec![1], true));
}

/// 3b. An adapter that ends, as after a panic in it.
struct Ends;

impl Adapter for Ends {
    fn engine(&self) -> &'static str {
        "ends"
    }

    fn run(self: Box<Self>, link: Link) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let _ = link.wanted();
            link.up(1 << 20);
            tokio::time::sleep(Duration::from_secs(1)).await;
            panic!("a bug of the adapter's");
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_ends_is_a_link_that_is_down() {
    let a = PubSub::cluster(Ends, ClusterOptions::new(SECRET).node("a")).unwrap();
    pass(Duration::from_secs(2)).await;
    assert!(a.link().is_down(), "{:?}", a.link());
    let _own = a.subscribe("room:1");
    tokio::time::timeout(Duration::from_secs(60), a.settle("room:1")).await.unwrap();
}

/// Whoever joins and leaves before the engine has answered leaves a `settle` behind that never ends.
#[tokio::test(start_paused = true)]
async fn settle_ends_when_nobody_is_subscribed_any_more() {
    let hub = Hub::new();
    let a = node(&hub, "a");
    hub.up(&[&a]).await;
    let subscription = a.subscribe("room:1");
    let waits = tokio::spawn({
        let a = a.clone();
        async move { a.settle("room:1").await }
    });
    drop(subscription);
    tokio::time::timeout(Duration::from_secs(60), waits).await.unwrap().unwrap();
}

/// The Hub sends one batch at the end, not what is left.
#[tokio::test(start_paused = true)]
async fn what_waits_at_the_end_is_sent() {
    let hub = Hub::new();
    let (a, b) = (node(&hub, "a"), node(&hub, "b"));
    let mut heard: Vec<Subscription> = (0..300).map(|room| b.subscribe(format!("room:{room}"))).collect();
    hub.up(&[&a, &b]).await;
    b.settle("room:299").await;
    pass(SHORT).await;
    (0..300_u32).for_each(|room| drop(a.broadcast(format!("room:{room}"), room)));
    drop(a);
    pass(Duration::from_secs(30)).await;
    let came: usize = heard.iter_mut().map(|heard| taken(heard).len()).sum();
    assert_eq!((came, b.nodes().len()), (300, 0));
}

/// "What was broadcast so far" never ends while others broadcast.
#[tokio::test(start_paused = true)]
async fn flush_ends_although_others_go_on() {
    let quick = Busy { pause: Duration::from_millis(10), ..Busy::default() };
    let a = PubSub::cluster(Steady(quick), ClusterOptions::new(SECRET).node("a")).unwrap();
    pass(Duration::from_secs(1)).await;
    let others = tokio::spawn({
        let a = a.clone();
        async move {
            loop {
                a.broadcast("room:1", 1_u32);
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    });
    pass(SHORT).await;
    a.broadcast("room:1", 2_u32);
    let ended = tokio::time::timeout(Duration::from_secs(60), a.flush()).await;
    others.abort();
    ended.expect("what was broadcast before went out within 10 ms");
}

/// Publishes with `outgoing`, as the docs say; each publish takes a while.
struct Steady(Busy);

impl Adapter for Steady {
    fn engine(&self) -> &'static str {
        "steady"
    }

    fn run(self: Box<Self>, link: Link) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let _ = link.wanted();
            link.up(1 << 20);
            loop {
                tokio::select! {
                    () = link.closed() => return,
                    _ = link.outgoing(64) => tokio::time::sleep(self.0.pause).await,
                }
            }
        })
    }
}

struct Refuses(Arc<AtomicU32>);

impl Adapter for Refuses {
    fn engine(&self) -> &'static str {
        "refuses"
    }

    fn run(self: Box<Self>, link: Link) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let _ = link.wanted();
            link.up(1 << 20);
            // The first three attempts fail, as when the connection breaks.
            for attempt in 0..4 {
                let packets = link.outgoing(64).await;
                if attempt < 3 {
                    link.put_back(packets);
                } else {
                    self.0.fetch_add(packets.len() as u32, Ordering::SeqCst);
                }
            }
            // Who comes back for more says that it was published.
            let _ = tokio::select! {
                packets = link.outgoing(64) => packets,
                () = link.closed() => vec![],
            };
            link.closed().await;
        })
    }
}

fn counter(snapshot: &metrics_util::debugging::Snapshotter, name: &str) -> u64 {
    let all = snapshot.snapshot().into_vec();
    let of = |(key, _, _, value): (metrics_util::CompositeKey, _, _, _)| match value {
        metrics_util::debugging::DebugValue::Counter(value) if key.key().name() == name => Some(value),
        _ => None,
    };
    all.into_iter().filter_map(of).sum()
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_put_back_is_counted_as_sent_once() {
    let recorder = metrics_util::debugging::DebuggingRecorder::new();
    let snapshot = recorder.snapshotter();
    let published = Arc::new(AtomicU32::new(0));
    let a = metrics::with_local_recorder(&recorder, || {
        PubSub::cluster(Refuses(published.clone()), ClusterOptions::new(SECRET).node("a")).unwrap()
    });
    a.broadcast("room:1", 1_u32);
    pass(SHORT).await;
    assert!(published.load(Ordering::SeqCst) > 0);
    assert_eq!(counter(&snapshot, "bennu_pubsub_sent_messages_total"), 1);
}

struct Stuck;

impl Adapter for Stuck {
    fn engine(&self) -> &'static str {
        "stuck"
    }

    fn run(self: Box<Self>, link: Link) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let _ = link.wanted();
            link.up(1 << 20);
            link.closed().await;
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_beacon_that_is_dropped_is_no_message() {
    let recorder = metrics_util::debugging::DebuggingRecorder::new();
    let snapshot = recorder.snapshotter();
    let options = ClusterOptions::new(SECRET).node("a").queue(0);
    let _a = metrics::with_local_recorder(&recorder, || PubSub::cluster(Stuck, options).unwrap());
    pass(Duration::from_secs(30)).await;
    assert_eq!(counter(&snapshot, "bennu_pubsub_dropped_messages_total"), 0, "nobody broadcast anything");
}

/// Right after SIGCONT the list of nodes is empty, although all of them live.
#[tokio::test(start_paused = true)]
async fn who_stood_still_does_not_take_the_others_for_dead() {
    let hub = Hub::new();
    let (a, b) = (node(&hub, "a"), node(&hub, "b"));
    hub.up(&[&a, &b]).await;
    pass(Duration::from_millis(1_500)).await;
    assert_eq!(a.nodes().len(), 1);
    // The process stands still: no timer fires and nothing is read.
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(a.nodes().len(), 1);
}

/// Held: whatever the engine does, what came and what was told as missed is what was sent, once, in order.
#[tokio::test(start_paused = true)]
async fn the_account_is_exact_after_any_faults() {
    for seed in 0..100_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let hub = Hub::new();
        let a = PubSub::cluster(hub.adapter(), ClusterOptions::new(SECRET).node("a").queue(3_000)).unwrap();
        let b = node(&hub, "b");
        let mut heard = b.subscribe("room:1");
        hub.up(&[&a, &b]).await;
        b.settle("room:1").await;
        pass(Duration::from_secs(1)).await;
        let mut sent = 0_u32;
        let mut log = Vec::new();
        for _ in 0..60 {
            let step = draw(10);
            log.push(step);
            match step {
                0 => hub.lose_next(draw(4)),
                1 => hub.stop(),
                2 => hub.start(),
                3 => hub.partition(&["a"], &["b"]),
                4 => hub.heal(),
                5 => hub.delay(Duration::from_millis(draw(2_500))),
                _ => {
                    for _ in 0..draw(40) {
                        a.broadcast("room:1", sent);
                        sent += 1;
                    }
                }
            }
            pass(Duration::from_millis([0, 1, 30, 700, 1_100, 4_000][draw(6) as usize])).await;
        }
        hub.start();
        hub.heal();
        hub.lose_next(0);
        hub.delay(Duration::ZERO);
        pass(Duration::from_secs(40)).await;
        let taken = taken(&mut heard);
        let came: Vec<i64> = taken.iter().copied().filter(|number| *number >= 0).collect();
        assert!(came.windows(2).all(|pair| pair[0] < pair[1]), "{seed}: {came:?}");
        let missed: i64 = -taken.iter().filter(|number| **number < 0).sum::<i64>();
        assert_eq!(came.len() as i64 + missed, i64::from(sent), "{seed}: {log:?} {taken:?}");
    }
}

/// The same while the subscriptions come and go: nothing twice, nothing out of order, and nobody waits for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn subscriptions_that_come_and_go_on_many_threads_settle_and_hear_what_follows() {
    let hub = Hub::new();
    let a = node(&hub, "a");
    let options = ClusterOptions::new(SECRET).node("b").linger(Duration::ZERO).buckets(1_024);
    let b = PubSub::cluster(hub.adapter(), options).unwrap();
    hub.up(&[&a, &b]).await;
    let until = std::time::Instant::now() + Duration::from_secs(2);
    let tasks: Vec<_> = (0..4_u32)
        .map(|task| {
            let (a, b) = (a.clone(), b.clone());
            tokio::spawn(async move {
                let mut rounds = 0_u32;
                while std::time::Instant::now() < until {
                    // Two tasks share each topic.
                    let topic = format!("room:{}", task / 2);
                    let mut heard = b.subscribe(&topic);
                    tokio::time::timeout(Duration::from_secs(60), b.settle(&topic)).await.expect("settles");
                    a.broadcast(&topic, task << 24 | rounds);
                    loop {
                        let came = tokio::time::timeout(Duration::from_secs(60), heard.recv()).await;
                        let came = came.unwrap_or_else(|_| panic!("task {task} round {rounds}")).unwrap();
                        if came.get::<u32>() == Some(&(task << 24 | rounds)) {
                            break;
                        }
                    }
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap() > 10);
    }
}
