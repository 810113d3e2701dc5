//! The end of a node.

use std::sync::Arc;
use std::time::Duration;

use bennu_server::DrainOptions;
use bennu_testkit::Hub;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use super::{builder, nodes, pubsub};
use crate::client::Client;

#[tokio::test(start_paused = true)]
async fn what_is_to_be_done_at_the_shutdown_is_done_once_when_everybody_has_gone_and_leaves_the_node() {
    let hub = Hub::new();
    let [a] = nodes(&hub, ["a"]).await;
    let mut listener = Client::connect(&a).await;
    listener.join("room:1").await;
    let node = pubsub(&hub, "b");
    let done = Arc::<Mutex<Vec<String>>>::default();
    let note = |text: &'static str, panics: bool| {
        let (done, node) = (done.clone(), node.clone());
        async move || {
            tokio::task::yield_now().await;
            done.lock().push(format!("{text} {}", node.subscriber_count("room:1")));
            assert!(!panics, "as the test wants it");
        }
    };
    let b =
        builder(&node).on_shutdown(note("first", true)).on_shutdown(note("second", false)).build().unwrap();
    hub.up(&[&node]).await;
    let mut client = Client::connect(&b).await;
    client.join("room:1").await;
    b.broadcast("room:1", "last words", json!({})).unwrap();
    let (one, other) = tokio::join!(b.drain(DrainOptions::default()), b.drain(DrainOptions::default()));
    assert_eq!((one.left, other.left), (0, 0));
    assert_eq!(*done.lock(), ["first 0", "second 0"]);
    assert_eq!(listener.recv_event().await, "last words");
}

#[tokio::test(start_paused = true)]
async fn neither_an_engine_that_is_away_nor_an_act_without_end_holds_up_the_end() {
    let hub = Hub::new();
    let node = pubsub(&hub, "b");
    let b = builder(&node).on_shutdown(std::future::pending).build().unwrap();
    hub.up(&[&node]).await;
    hub.stop();
    tokio::time::sleep(Duration::from_millis(10)).await;
    b.broadcast("room:1", "last words", json!({})).unwrap();
    let started = Instant::now();
    b.drain(DrainOptions::default()).await;
    assert_eq!(started.elapsed().as_secs(), 5);
}
