//! What one node does and clients of another see.

use serde_json::{Value, json};

use super::engine::{Engine, Kind};
use super::nodes::{Cluster, quick};
use crate::client::{Client, V2, admin};
use crate::wire::Received;

#[test]
fn a_broadcast_reaches_the_clients_of_all_nodes_once_and_in_order() {
    const COUNT: u64 = 200;
    for kind in Kind::all() {
        let cluster = Cluster::start(kind, &format!("broadcast-{}", kind.name()), &quick());
        let members = cluster.members("room:all");
        // Another topic at one node only: nobody else is subscribed to it, and it goes to nobody else.
        let alone = super::member::Member::join(&cluster.nodes[0], "room:alone", "user-alone");
        for number in 0..COUNT {
            for member in &members {
                member.push("s", "shout", json!({"from": member.node, "number": number}));
            }
        }
        for receiver in &members {
            for sender in &members {
                let name = kind.name();
                let what = format!("{name}: all of {}", sender.node);
                let numbers = receiver.wait(&what, |seen| {
                    let shouts = seen.messages.iter().filter(|message| message[3] == "shout");
                    let of_sender = shouts.filter(|message| message[4]["from"] == sender.node);
                    let numbers: Vec<_> = of_sender.map(|message| message[4]["number"].as_u64()).collect();
                    (numbers.len() as u64 >= COUNT).then_some(numbers)
                });
                assert!(
                    numbers.into_iter().eq((0..COUNT).map(Some)),
                    "{name}: {} at {}",
                    sender.node,
                    receiver.node
                );
            }
        }
        assert!(alone.look(|seen| seen.messages.iter().all(|message| message[3] != "shout")));
    }
}

#[test]
fn bytes_reach_another_node_as_they_are() {
    for kind in Kind::all() {
        let engine = Engine::start(kind);
        let cluster = Cluster::start_on(engine, "checklist", &format!("bytes-{}", kind.name()), &quick());
        let [from, to, _] = &*cluster.nodes else { panic!("three nodes") };
        let mut client = Client::connect_to(to.server.address, V2);
        client.join("1", "room:bytes");
        let body = json!({"topic": "room:bytes", "event": "b", "binary": "AP+AAQ=="});
        let received = loop {
            // Until the two have found each other.
            assert!(admin(from.server.address, "/admin/broadcast", body.clone()));
            if let Some(received) = client.wire.receive_within(std::time::Duration::from_millis(200)) {
                break received;
            }
        };
        let Received::Binary(bytes) = received else { panic!("{received:?}") };
        assert_eq!(bytes[bytes.len() - 4..], [0, 0xff, 0x80, 1], "{}", kind.name());
    }
}

#[test]
fn a_disconnect_by_id_reaches_another_node() {
    for kind in Kind::all() {
        let engine = Engine::start(kind);
        let cluster =
            Cluster::start_on(engine, "checklist", &format!("disconnect-{}", kind.name()), &quick());
        let connect = |node: usize, user: &str| {
            let path = format!("{V2}&uid={user}");
            let mut client = Client::connect_to(cluster.nodes[node].server.address, &path);
            client.join("1", "room:a");
            client
        };
        let (mut gone, mut other) = (connect(1, "ada"), connect(2, "bob"));
        loop {
            assert!(admin(cluster.nodes[0].server.address, "/admin/disconnect", json!({"id": "u:ada"})));
            // Until the two nodes have found each other.
            match gone.wire.receive_within(std::time::Duration::from_millis(200)) {
                None => {}
                Some(Received::Close(_) | Received::End) => break,
                Some(other) => panic!("{}: {other:?}", kind.name()),
            }
        }
        other.expect_echo("room:a");
        drop(other);
    }
}

/// The value with `name` in the metrics of a node grew by what is sent to nobody: nothing.
#[test]
fn a_topic_without_subscribers_elsewhere_costs_other_nodes_nothing() {
    let cluster = Cluster::start(Kind::Nats, "interest", &super::account::silent_presence());
    let members = cluster.members("room:all");
    let received = |node: usize| cluster.nodes[node].metric("bennu_pubsub_received_messages_total");
    let before = [received(1), received(2)];
    for number in 0..100 {
        cluster.nodes[0].broadcast("room:nobody-is-there", "e", json!({"number": number}));
    }
    // Behind all of them, on the same connection to the engine.
    cluster.nodes[0].broadcast("room:all", "last", json!({}));
    for member in &members {
        member.wait("the last", |seen| seen.messages.iter().any(|m: &Value| m[3] == "last").then_some(()));
    }
    assert_eq!([received(1) - before[0], received(2) - before[1]], [1, 1], "the last alone");
}
