//! A shard whose thread panics where no handler does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bennu_pubsub::PubSub;
use bennu_server::{AllowAnonymous, Channels, DrainOptions, Endpoint, SocketOptions};
use bennu_server_axum::ServerLimits;
use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde_json::json;

use super::{Room, Stage};
use crate::peer::{PATIENCE, Peer};
use crate::running::Running;

/// A recorder whose counter of what was sent panics once when it is armed.
struct Explosive {
    inner: DebuggingRecorder,
    fuse: Arc<Fuse>,
}

#[derive(Default)]
struct Fuse {
    armed: AtomicBool,
    /// What was sent so far. A shard adds it at the end of its turn, when clients may have it already.
    sent: AtomicU64,
}

impl CounterFn for Fuse {
    fn increment(&self, sent: u64) {
        assert!(!self.armed.swap(false, Ordering::SeqCst), "asked to panic");
        self.sent.fetch_add(sent, Ordering::SeqCst);
    }

    fn absolute(&self, _: u64) {}
}

impl Recorder for Explosive {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        match key.name() {
            "bennu_sent_frames_total" => Counter::from_arc(self.fuse.clone()),
            _ => self.inner.register_counter(key, metadata),
        }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.inner.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.inner.register_histogram(key, metadata)
    }
}

async fn thread_of(peer: &mut Peer, topic: &str) -> u64 {
    peer.ask(topic, "shard").await["thread"].as_u64().unwrap()
}

async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

#[tokio::test]
async fn a_shard_that_panics_ends_alone_and_is_replaced() {
    let explosive = Explosive { inner: DebuggingRecorder::new(), fuse: Arc::default() };
    let snapshotter = explosive.inner.snapshotter();
    let stage = Arc::new(Stage::default());
    let channels = Channels::new().channel_with::<Room>("room:*", stage);
    let endpoint = metrics::with_local_recorder(&explosive, || {
        let builder = Endpoint::builder(PubSub::local()).shards(2);
        builder.socket("/socket", AllowAnonymous, channels, SocketOptions::default()).build().unwrap()
    });
    // So many places as there are clients at first: they have to be given back.
    let limits = ServerLimits::default().max_connections(4);
    let server = Running::serve(endpoint, limits, DrainOptions::default()).await;
    let mut peers = Vec::new();
    for _ in 0..4 {
        peers.push(Peer::joined(server.address, "room:shared").await);
    }
    let dying = thread_of(&mut peers[0], "room:shared").await;
    let (mut doomed, mut others) = (Vec::new(), Vec::new());
    for mut peer in peers {
        match thread_of(&mut peer, "room:shared").await == dying {
            true => doomed.push(peer),
            false => others.push(peer),
        }
    }
    assert_eq!((doomed.len(), others.len()), (2, 2));
    doomed[0].join("room:doomed").await;
    // Five answers to joins and five to questions: then no shard is about to add anything.
    until(|| explosive.fuse.sent.load(Ordering::SeqCst) == 10).await;
    explosive.fuse.armed.store(true, Ordering::SeqCst);
    server.endpoint.broadcast("room:doomed", "said", json!({})).unwrap();
    assert_eq!(doomed[0].event().await, "said");
    for peer in &mut doomed {
        peer.ended().await;
    }
    until(|| server.endpoint.connection_count() == 2).await;
    // The others go on, where they were.
    for peer in &mut others {
        peer.expect_echo("room:shared").await;
        assert_ne!(thread_of(peer, "room:shared").await, dying);
    }
    // Their places are free, and on a shard that works.
    let living = thread_of(&mut others[0], "room:shared").await;
    for _ in 0..2 {
        let mut next = Peer::joined(server.address, "room:shared").await;
        assert_ne!(thread_of(&mut next, "room:shared").await, living);
        others.push(next);
    }
    server.endpoint.broadcast("room:shared", "said", json!({})).unwrap();
    for peer in &mut others {
        assert_eq!(peer.event().await, "said");
    }
    assert_eq!(server.endpoint.pubsub().subscriber_count("room:doomed"), 0);
    assert_eq!(server.endpoint.pubsub().subscriber_count("room:shared"), 4);
    let open = snapshotter.snapshot().into_vec().into_iter().find_map(|(key, _, _, value)| {
        (key.key().name() == "bennu_connections"
            && key.key().labels().any(|label| label.value() == "websocket"))
        .then_some(value)
    });
    assert_eq!(open, Some(DebugValue::Gauge(4.0.into())));
}
