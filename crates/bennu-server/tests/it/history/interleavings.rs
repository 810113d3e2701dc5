//! Broadcasts, joins, losses and reads in any order.

use std::collections::BTreeSet;

use bennu_server::{Endpoint, History};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::{endpoint, since};
use crate::client::Client;

/// How many broadcasts are kept.
const KEPT: u64 = 5;

const CLIENTS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Broadcast,
    /// A broadcast that is not kept.
    Other,
    BroadcastFrom(usize),
    /// Connects and joins, if it has no connection.
    Join(usize),
    /// Reads all that is there.
    Read(usize),
    /// Loses the connection, and what was not read.
    Lose(usize),
    /// Lets the server run for so many turns.
    Yield(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Broadcast),
        1 => Just(Step::Other),
        1 => (0..CLIENTS).prop_map(Step::BroadcastFrom),
        4 => (0..CLIENTS).prop_map(Step::Join),
        4 => (0..CLIENTS).prop_map(Step::Read),
        2 => (0..CLIENTS).prop_map(Step::Lose),
        3 => (1..4usize).prop_map(Step::Yield),
    ]
}

/// A client as docs/history.md tells to write one, that checks what it hears.
#[derive(Default)]
struct Follower {
    connection: Option<Client>,
    /// Epoch and offset.
    position: Option<(Value, u64)>,
    /// How many had been broadcast when it last asked to join.
    asked_at: u64,
    answered: bool,
    /// Offsets of its own `broadcast_from`, which do not come back over the connection that sent them.
    own: BTreeSet<u64>,
}

impl Follower {
    async fn join(&mut self, endpoint: &Endpoint, broadcasts: u64) {
        if self.connection.is_some() {
            return;
        }
        let mut client = Client::connect(endpoint).await;
        let params = match &self.position {
            Some((epoch, offset)) => since(epoch, *offset),
            None => json!({}),
        };
        client.send(json!(["1", "1", "room:a", "phx_join", params])).await;
        self.connection = Some(client);
        (self.asked_at, self.answered) = (broadcasts, false);
        self.own.clear();
    }

    async fn read(&mut self, broadcasts: u64) {
        let Some(mut client) = self.connection.take() else { return };
        while let Some(message) = client.recv_soon().await {
            match message[3].as_str().unwrap() {
                "phx_reply" => self.answered(&message[4], broadcasts),
                "msg" => self.heard(message[4]["phx_offset"].as_u64().unwrap(), &message),
                "other" => assert!(message[4].get("phx_offset").is_none()),
                event => panic!("{event}"),
            }
        }
        self.connection = Some(client);
    }

    fn answered(&mut self, reply: &Value, broadcasts: u64) {
        assert_eq!(reply["status"], "ok");
        let (response, offset) = (&reply["response"], reply["response"]["offset"].as_u64().unwrap());
        match (&self.position, response["recovered"].as_bool()) {
            (Some((_, asked)), Some(true)) => {
                assert_eq!(offset, *asked);
                assert!(self.asked_at - asked <= KEPT, "what was not kept any more is replayed");
            }
            (Some((_, asked)), Some(false)) => {
                assert!(broadcasts - asked > KEPT, "what was kept is not replayed");
                assert!((self.asked_at..=broadcasts).contains(&offset));
            }
            (None, None) => assert!((self.asked_at..=broadcasts).contains(&offset)),
            other => panic!("{other:?}"),
        }
        self.position = Some((response["epoch"].clone(), offset));
        self.answered = true;
    }

    /// Every broadcast is the next one, but for the own ones.
    fn heard(&mut self, offset: u64, message: &Value) {
        let (_, position) = self.position.as_mut().expect("the reply comes first");
        let skipped = *position + 1..offset;
        assert!(skipped.clone().all(|skipped| self.own.contains(&skipped)), "a gap {skipped:?}");
        assert!(offset > *position, "a duplicate: {message}");
        *position = offset;
    }
}

async fn run(steps: &[Step]) {
    let endpoint = endpoint(History::last(KEPT as usize).events(["msg"]));
    // Somebody is there all the time, so the ring stays.
    let (_witness, _) = super::joined(&endpoint, "room:a", json!({})).await;
    let mut followers: [Follower; CLIENTS] = Default::default();
    let mut broadcasts = 0;
    for step in steps {
        match step {
            Step::Broadcast => {
                broadcasts += 1;
                super::shout(&endpoint, "room:a", broadcasts);
            }
            Step::Other => endpoint.broadcast("room:a", "other", json!({})).unwrap(),
            Step::BroadcastFrom(n) => {
                let follower = &mut followers[*n];
                follower.read(broadcasts).await;
                if let Some(client) = follower.connection.as_mut().filter(|_| follower.answered) {
                    broadcasts += 1;
                    follower.own.insert(broadcasts);
                    client.send(json!(["1", "2", "room:a", "shout_others", {}])).await;
                    assert_eq!(client.recv_soon().await, None);
                }
            }
            Step::Join(n) => followers[*n].join(&endpoint, broadcasts).await,
            Step::Read(n) => followers[*n].read(broadcasts).await,
            Step::Lose(n) => drop(followers[*n].connection.take()),
            Step::Yield(turns) => {
                for _ in 0..*turns {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
    for follower in &mut followers {
        follower.join(&endpoint, broadcasts).await;
        follower.read(broadcasts).await;
        let (_, position) = follower.position.as_ref().expect("joined");
        assert!(
            (position + 1..=broadcasts).all(|missing| follower.own.contains(&missing)),
            "the end is missing"
        );
    }
}

#[test]
fn whatever_the_order_every_client_hears_the_sequence_without_gap_or_duplicate() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut runner = TestRunner::new(ProptestConfig { cases: 2_000, ..ProptestConfig::default() });
    let steps = proptest::collection::vec(step(), 1..40);
    runner
        .run(&steps, |steps| {
            runtime.block_on(run(&steps));
            Ok(())
        })
        .unwrap();
}

/// How many broadcasts each of three threads makes.
const EACH: u64 = 1_000;

/// With threads in earnest: three that broadcast, and four clients that come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn joins_amid_broadcasts_of_other_threads_miss_nothing() {
    let endpoint = endpoint(History::last(usize::MAX).max_bytes(usize::MAX));
    let (_witness, response) = super::joined(&endpoint, "hall:a", json!({})).await;
    let clients: Vec<_> = (1..=4)
        .map(|n| tokio::spawn(come_and_go(endpoint.clone(), response["epoch"].clone(), 10 * n)))
        .collect();
    // Those of one thread go through `handle_out`.
    let threads = ["msg", "msg", "secret"].map(|event| {
        let endpoint = endpoint.clone();
        tokio::task::spawn_blocking(move || {
            for _ in 0..EACH {
                endpoint.broadcast("hall:a", event, json!({})).unwrap();
                std::thread::yield_now();
            }
        })
    });
    for thread in threads {
        thread.await.unwrap();
    }
    for client in clients {
        client.await.unwrap();
    }
}

/// Hears all broadcasts, over a new connection after each so many.
async fn come_and_go(endpoint: Endpoint, epoch: Value, each: usize) {
    let mut offset = 0;
    while offset < 3 * EACH {
        let mut client = Client::connect(&endpoint).await;
        let response = super::join(&mut client, "hall:a", since(&epoch, offset)).await;
        assert_eq!(response, json!({"epoch": epoch, "offset": offset, "recovered": true}));
        let mut heard = 0;
        while heard < each && offset < 3 * EACH {
            let message = client.recv().await;
            if message[3] != "hello" {
                assert_eq!(message[4]["phx_offset"], offset + 1, "{message}");
                (heard, offset) = (heard + 1, offset + 1);
            }
        }
    }
}
