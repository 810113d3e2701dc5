//! What crosses between nodes, and what is told when it does not.

use std::sync::Arc;
use std::time::Duration;

use bennu_pubsub::{
    ClusterOptions, ClusterOptionsError, CrossingError, Delivery, Gap, LinkStatus, PubSub, Subscriber,
    SubscriberId, Subscription,
};
use bennu_testkit::Hub;

pub(crate) const SECRET: &str = "a secret of the cluster";

pub(crate) fn node(hub: &Hub, name: &str) -> PubSub {
    PubSub::cluster(hub.adapter(), ClusterOptions::new(SECRET).node(name)).unwrap()
}

/// Lets everything happen that needs no time, and then some.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

pub(crate) const SHORT: Duration = Duration::from_millis(50);

/// What came: numbers as they are, lost ones as negative counts.
pub(crate) fn taken(subscription: &mut Subscription) -> Vec<i64> {
    let mut all = Vec::new();
    while let Some(delivery) = subscription.try_recv() {
        let delivery = delivery.unwrap();
        all.extend(delivery.get::<u32>().map(|number| i64::from(*number)));
        all.extend(delivery.get::<Gap>().map(|gap| -i64::try_from(gap.missed).unwrap()));
    }
    all
}

struct Pair {
    hub: Hub,
    a: PubSub,
    b: PubSub,
    /// Of b.
    heard: Subscription,
}

async fn pair() -> Pair {
    let hub = Hub::new();
    let (a, b) = (node(&hub, "a"), node(&hub, "b"));
    let heard = b.subscribe("room:1");
    hub.up(&[&a, &b]).await;
    b.settle("room:1").await;
    Pair { hub, a, b, heard }
}

/// Has a question answered on another thread before anybody else hears of it.
struct Answers(PubSub);

impl Subscriber for Answers {
    fn deliver(&self, _id: SubscriberId, delivery: &Delivery, _from: Option<SubscriberId>) {
        if delivery.get::<u32>() == Some(&1) {
            let pubsub = self.0.clone();
            std::thread::spawn(move || pubsub.broadcast("room:1", 2_u32)).join().unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_does_not_overtake_the_question_on_the_way_to_other_nodes() {
    let Pair { hub: _hub, a, b: _b, mut heard } = pair().await;
    let id = SubscriberId::unique();
    a.add_subscriber("room:1", id, Arc::new(Answers(a.clone())));
    a.broadcast("room:1", 1_u32);
    pass(SHORT).await;
    assert_eq!(taken(&mut heard), [1, 2]);
    a.remove_subscriber("room:1", id);
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_reaches_every_node_once_and_in_order() {
    let Pair { hub, a, b, mut heard } = pair().await;
    let mut own = a.subscribe("room:1");
    for number in 0..1_000_u32 {
        assert_eq!(a.broadcast("room:1", number).crossing(), Ok(()));
    }
    pass(SHORT).await;
    let all: Vec<i64> = (0..1_000).collect();
    assert_eq!((taken(&mut heard), taken(&mut own)), (all.clone(), all));
    assert!(hub.published() < 100, "many messages share a packet: {}", hub.published());
    b.broadcast_from(heard.id(), "room:1", 1_u32);
    pass(SHORT).await;
    assert_eq!((taken(&mut heard), taken(&mut own)), (vec![], vec![1]));
}

#[tokio::test(start_paused = true)]
async fn what_is_local_stays_and_what_is_direct_goes_to_one_node() {
    let Pair { hub, a, b, mut heard } = pair().await;
    let c = node(&hub, "c");
    let mut elsewhere = c.subscribe("room:1");
    hub.up(&[&c]).await;
    a.local_broadcast("room:1", 1_u32);
    a.direct_broadcast("b", "room:1", 2_u32).unwrap();
    a.direct_broadcast("nobody", "room:1", 3_u32).unwrap();
    b.direct_broadcast("b", "room:1", 4_u32).unwrap();
    pass(SHORT).await;
    heard_as(&mut heard, &[2, 4]);
    heard_as(&mut elsewhere, &[]);
}

fn heard_as(subscription: &mut Subscription, expected: &[i64]) {
    let mut taken = taken(subscription);
    taken.sort_unstable();
    assert_eq!(taken, expected);
}

#[tokio::test(start_paused = true)]
async fn nodes_without_subscribers_get_nothing() {
    let Pair { hub, a, b: _b, heard: _heard } = pair().await;
    pass(Duration::from_secs(1)).await;
    let (carried, published) = (hub.carried(), hub.published());
    for number in 0..100_u32 {
        a.broadcast("another:topic", number);
        pass(Duration::from_millis(1)).await;
    }
    assert!(hub.published() >= published + 100);
    assert!(hub.carried() <= carried + 4, "nobody listens; beacons go to both");
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_counted_and_told_also_when_nothing_follows() {
    let Pair { hub, a, b: _b, mut heard } = pair().await;
    a.broadcast("room:1", 1_u32);
    pass(SHORT).await;
    hub.lose_next(1);
    a.broadcast("room:1", 2_u32);
    pass(SHORT).await;
    a.broadcast("room:1", 3_u32);
    pass(SHORT).await;
    assert_eq!(taken(&mut heard), [1, -1, 3]);
    hub.lose_next(1);
    a.broadcast("room:1", 4_u32);
    a.broadcast("room:1", 5_u32);
    pass(SHORT).await;
    assert_eq!(taken(&mut heard), [] as [i64; 0]);
    pass(Duration::from_secs(6)).await;
    assert_eq!(taken(&mut heard), [-2]);
    a.broadcast("room:1", 6_u32);
    pass(SHORT).await;
    assert_eq!(taken(&mut heard), [6]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_reaches_local_subscribers_and_the_queue_reaches_the_others_after_it() {
    let Pair { hub, a, b, mut heard } = pair().await;
    let mut own = a.subscribe("room:1");
    hub.stop();
    pass(SHORT).await;
    assert!(matches!(a.link(), LinkStatus::Down { engine: "hub", .. }));
    for number in 0..100_u32 {
        assert_eq!(a.broadcast("room:1", number).crossing(), Ok(()));
    }
    assert_eq!(taken(&mut own).len(), 100);
    hub.start();
    hub.up(&[&a, &b]).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(taken(&mut heard), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_loses_the_oldest_and_the_others_are_told_how_many() {
    let hub = Hub::new();
    let options = ClusterOptions::new(SECRET).node("a").queue(10_000);
    let a = PubSub::cluster(hub.adapter(), options).unwrap();
    let b = node(&hub, "b");
    let mut heard = b.subscribe("room:1");
    hub.up(&[&a, &b]).await;
    b.settle("room:1").await;
    a.broadcast("room:1", 0_u32);
    pass(SHORT).await;
    hub.stop();
    pass(SHORT).await;
    for number in 1..=10_000_u32 {
        a.broadcast("room:1", number);
    }
    hub.start();
    hub.up(&[&a, &b]).await;
    pass(Duration::from_secs(1)).await;
    let taken = taken(&mut heard);
    let (lost, rest) = (-taken[1], &taken[2..]);
    assert_eq!(taken[0], 0);
    assert_eq!(rest, (lost + 1..=10_000).collect::<Vec<_>>());
    assert!((100..1_000).contains(&rest.len()), "as many as fit into 10,000 bytes: {}", rest.len());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_engine_does_not_carry_is_an_error_and_stays_here() {
    let Pair { hub, a: _a, b: _b, mut heard } = pair().await;
    hub.max_packet(1_000);
    let c = node(&hub, "c");
    hub.up(&[&c]).await;
    let mut own = c.subscribe("room:1");
    let delivery = c.broadcast("room:1", "x".repeat(2_000));
    assert!(matches!(delivery.crossing(), Err(CrossingError::TooLarge { size: 2_000.., limit: 900..1_000 })));
    assert_eq!(own.try_recv().unwrap().unwrap().get::<String>().unwrap().len(), 2_000);
    pass(SHORT).await;
    assert!(heard.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn another_secret_is_not_heard_and_neither_are_strangers() {
    let Pair { hub, a, b, mut heard } = pair().await;
    let stranger = ClusterOptions::new("the secret of somebody else").node("stranger");
    let stranger = PubSub::cluster(hub.adapter(), stranger).unwrap();
    hub.up(&[&stranger]).await;
    stranger.broadcast("room:1", 1_u32);
    for bytes in [&b""[..], b"hello", &[1; 43], &[1; 44], &[2; 400]] {
        for bucket in 0..1_024 {
            hub.inject(bennu_pubsub::Subject::Bucket(bucket), bytes);
        }
    }
    a.broadcast("room:1", 2_u32);
    pass(Duration::from_secs(30)).await;
    assert_eq!(taken(&mut heard), [2]);
    let names = |pubsub: &PubSub| pubsub.nodes().iter().map(|node| node.name.to_string()).collect::<Vec<_>>();
    assert_eq!((names(&a), names(&b), names(&stranger)), (vec!["b".into()], vec!["a".into()], vec![]));
}

#[tokio::test(start_paused = true)]
async fn nodes_come_and_go() {
    let Pair { hub, a, b, heard } = pair().await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(a.nodes().len(), 1);
    drop((b, heard));
    pass(SHORT).await;
    assert_eq!(a.nodes(), [], "who ends says goodbye");
    let b = node(&hub, "b");
    hub.up(&[&b]).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!((a.nodes().len(), b.nodes().len()), (1, 1));
    hub.partition(&["a"], &["b"]);
    pass(Duration::from_secs(20)).await;
    assert_eq!((a.nodes().len(), b.nodes().len()), (0, 0));
    hub.heal();
    pass(Duration::from_secs(6)).await;
    assert_eq!((a.nodes().len(), b.nodes().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn who_settles_misses_nothing_and_does_not_wait_while_the_engine_is_away() {
    let Pair { hub, a, b, heard: _heard } = pair().await;
    for round in 0..50_u32 {
        let topic = format!("room:late:{round}");
        let mut late = b.subscribe(&topic);
        b.settle(&topic).await;
        a.broadcast(&topic, round);
        pass(SHORT).await;
        assert_eq!(taken(&mut late), [i64::from(round)]);
    }
    hub.stop();
    pass(SHORT).await;
    let _unreachable = b.subscribe("room:out");
    b.settle("room:out").await;
    PubSub::local().settle("room:1").await;
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_the_engine() {
    let Pair { hub, a, b: _b, mut heard } = pair().await;
    for number in 0..10_000_u32 {
        a.broadcast("room:1", number);
    }
    a.flush().await;
    let published = hub.published();
    drop(a);
    pass(SHORT).await;
    assert!(hub.published() <= published + 1, "the goodbye alone was left");
    assert_eq!(taken_with_lag(&mut heard), 10_000);
}

fn taken_with_lag(subscription: &mut Subscription) -> u64 {
    let mut count = 0;
    while let Some(result) = subscription.try_recv() {
        count += result.map_or_else(|lagged| lagged.missed, |_| 1);
    }
    count
}

#[tokio::test]
async fn options_that_cannot_work_are_refused() {
    let hub = Hub::new();
    let refused = |options: ClusterOptions| PubSub::cluster(hub.adapter(), options).unwrap_err();
    let options = || ClusterOptions::new(SECRET);
    assert_eq!(refused(ClusterOptions::new("short")), ClusterOptionsError::ShortSecret(5));
    assert_eq!(refused(options().node("")), ClusterOptionsError::NodeName);
    assert_eq!(refused(options().node("x".repeat(129))), ClusterOptionsError::NodeName);
    assert_eq!(refused(options().namespace("a.b")), ClusterOptionsError::Namespace);
    assert_eq!(refused(options().buckets(0)), ClusterOptionsError::Buckets);
    let outside = std::thread::spawn(move || PubSub::cluster(hub.adapter(), ClusterOptions::new(SECRET)));
    assert_eq!(outside.join().unwrap().unwrap_err(), ClusterOptionsError::NoRuntime);
    assert!(!format!("{:?}", options()).contains("secret"));
}
