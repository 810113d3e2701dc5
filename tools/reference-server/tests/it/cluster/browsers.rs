//! The official client's `Presence` in two browsers, each at a node of its own.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use super::engine::Kind;
use super::member::Member;
use super::nodes::{Cluster, quick};
use crate::browser::{Browser, PATIENCE, page};
use crate::server::TMP;

#[test]
fn presence_of_phoenix_1_8_16_shows_the_same_at_two_nodes_before_and_after_one_is_killed() {
    let mut cluster = Cluster::start(Kind::Nats, "browsers", &quick());
    let (address, outcomes) = cluster.engine.runtime.block_on(page("cluster.mjs"));
    let _browsers = [0, 1].map(|node| {
        let node = &cluster.nodes[node];
        let url = format!("http://{address}/?{}&page-{}", node.server.address, node.name);
        Browser::open(&format!("cluster-{}", node.name), &url)
    });
    let third = Member::join(&cluster.nodes[2], "room:browsers", "user-c");
    let mut shown = Shown { outcomes, latest: BTreeMap::new() };
    let before = cluster.engine.runtime.block_on(shown.by_both(&["page-a", "page-b", "user-c"]));

    cluster.nodes[2].server.signal("KILL");
    drop(third);
    let after = cluster.engine.runtime.block_on(shown.by_both(&["page-a", "page-b"]));
    for user in ["page-a", "page-b"] {
        assert_eq!(before[user], after[user], "those who stayed are who they were");
    }
}

/// What the pages showed last.
struct Shown {
    outcomes: UnboundedReceiver<Value>,
    latest: BTreeMap<String, Value>,
}

impl Shown {
    /// Waits until both pages show the same, which is these users; each with one `phx_ref`.
    async fn by_both(&mut self, users: &[&str]) -> Value {
        loop {
            let lists: Vec<&Value> = self.latest.values().collect();
            if let [one, other] = *lists
                && one == other
                && one.as_object().is_some_and(|list| list.keys().eq(users))
            {
                assert!(
                    one.as_object().is_some_and(|list| list.values().all(|refs| refs[1].is_null())),
                    "{one}"
                );
                return one.clone();
            }
            let told = tokio::time::timeout(PATIENCE, self.outcomes.recv()).await;
            let told = told
                .unwrap_or_else(|_| panic!("the pages show {:?}; see Chromium's log in {TMP}", self.latest));
            let mut told = told.expect("the pages are served");
            assert_eq!(told["error"], Value::Null);
            let user = told["user"].as_str().expect("text").to_owned();
            self.latest.insert(user, told["list"].take());
        }
    }
}
