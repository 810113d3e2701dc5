//! Long-poll sessions that are polled wherever a load balancer sends them.

use serde_json::{Value, json};

use super::engine::Kind;
use super::nodes::{Cluster, Node, quick};
use crate::client::ok;
use crate::longpoll::{NDJSON, V2, body, messages, token};
use crate::wire;

/// A session, and where it lives.
struct Session {
    path: String,
}

impl Session {
    fn open(node: &Node) -> Session {
        let opened = body(&wire::get(node.server.address, V2));
        assert_eq!(opened["status"], 410, "{opened}");
        Session { path: format!("{V2}&token={}", token(&opened)) }
    }

    /// The answer to a poll.
    fn poll(&self, node: &Node) -> Value {
        body(&wire::get(node.server.address, &self.path))
    }

    fn publish(&self, node: &Node, message: &Value) -> Value {
        body(&wire::request(node.server.address, "POST", &self.path, &[NDJSON], &message.to_string()))
    }
}

#[test]
fn a_session_is_polled_and_fed_through_any_node() {
    const COUNT: u64 = 30;
    const TOPIC: &str = "room:polls";
    for kind in Kind::all() {
        let cluster = Cluster::start(kind, &format!("polls-{}", kind.name()), &quick());
        let [home, second, third] = &*cluster.nodes else { panic!("three nodes") };
        let members = cluster.members("room:meet");
        let session = Session::open(home);
        let join = json!(["1", "1", TOPIC, "phx_join", {"user": "poller"}]);
        assert_eq!(session.publish(second, &join)["status"], 200, "{}", kind.name());
        let answer = messages(&session.poll(third));
        assert_eq!(answer[0], ok("1", "1", TOPIC, json!({"joined": TOPIC})));

        for number in 0..COUNT {
            let shout = json!(["1", "s", TOPIC, "shout", {"number": number}]);
            let node = &cluster.nodes[number as usize % 3];
            assert_eq!(session.publish(node, &shout)["status"], 200);
        }
        let mut numbers = Vec::new();
        for node in cluster.nodes.iter().cycle() {
            let answer = session.poll(node);
            assert!(answer["status"] == 200 || answer["status"] == 204, "{answer}");
            let shouts = messages(&answer).into_iter().filter(|message| message[3] == "shout");
            numbers.extend(shouts.map(|shout| shout[4]["number"].as_u64()));
            if numbers.len() as u64 >= COUNT {
                break;
            }
        }
        assert!(numbers.into_iter().eq((0..COUNT).map(Some)), "{}: each once and in order", kind.name());
        drop(members);
    }
}

#[test]
fn a_session_whose_node_died_is_gone_and_another_is_opened() {
    let mut cluster = Cluster::start(Kind::Nats, "polls-killed", &quick());
    let members = cluster.members("room:meet");
    let session = Session::open(&cluster.nodes[0]);
    let heartbeat = json!([null, "1", "phoenix", "heartbeat", {}]);
    assert_eq!(session.publish(&cluster.nodes[1], &heartbeat)["status"], 200);
    cluster.nodes[0].server.signal("KILL");
    cluster.nodes[0].server.ended();
    assert_eq!(session.publish(&cluster.nodes[1], &heartbeat)["status"], 410);
    let answer = session.poll(&cluster.nodes[2]);
    assert_eq!(answer["status"], 410, "{answer}");
    assert!(!session.path.ends_with(&token(&answer)), "a new one, to go on with");
    drop(members);
}
