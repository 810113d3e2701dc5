//! Clients that merge what they are told, as the official one does.

use std::collections::{BTreeMap, BTreeSet};

use bennu_presence::{Diff, Presence, Presences};
use bennu_protocol::presence::{DIFF, PresenceList, STATE};
use bennu_protocol::{Broadcast, Payload};
use bennu_pubsub::{PubSub, Subscription};
use serde_json::Value;

/// Subscribed like a channel, and then sent the state.
pub(crate) struct Client {
    broadcasts: Subscription,
    pub(crate) list: PresenceList,
    /// The numbers of keys it was told, the first at its join.
    pub(crate) counts: Vec<u64>,
    /// Diffs it was told.
    pub(crate) diffs: usize,
}

impl Client {
    pub(crate) async fn join(pubsub: &PubSub, presence: &Presence, topic: &str) -> Self {
        let broadcasts = pubsub.subscribe(topic);
        let mut client = Client { broadcasts, list: PresenceList::new(), counts: Vec::new(), diffs: 0 };
        for (event, payload) in presence.state(topic).await {
            client.receive(event, &payload);
        }
        client
    }

    /// The same with what applications have pushed since before there was `Presence::state`.
    pub(crate) async fn join_with_list(pubsub: &PubSub, presence: &Presence, topic: &str) -> Self {
        let broadcasts = pubsub.subscribe(topic);
        let mut client = Client { broadcasts, list: PresenceList::new(), counts: Vec::new(), diffs: 0 };
        client.receive(STATE, &Payload::json(&presence.list(topic).await).expect("a list is JSON"));
        client
    }

    /// Takes in what was broadcast.
    ///
    /// # Panics
    ///
    /// When it is told of the leave of something that it never saw.
    pub(crate) fn catch_up(&mut self) {
        while let Some(Ok(delivery)) = self.broadcasts.try_recv() {
            let broadcast = delivery.get::<Broadcast>().expect("nothing else is broadcast");
            self.receive(broadcast.event(), broadcast.payload());
        }
    }

    fn receive(&mut self, event: &str, payload: &Payload) {
        match event {
            STATE => drop(self.list.handle_state(payload).expect("a state")),
            DIFF => {
                self.diffs += 1;
                self.check(&payload.parse().expect("a diff"));
                self.list.handle_diff(payload).expect("a diff");
            }
            "presence_count" => self.counts.push(payload.parse::<Count>().expect("a count").count),
            other => panic!("{other} is no event of presence"),
        }
    }

    fn check(&self, diff: &Diff) {
        let known = &refs(self.list.presences());
        let (joined, left) = (refs(&diff.joins), refs(&diff.leaves));
        assert!(!left.is_empty() || !joined.is_empty(), "a diff of nothing");
        for (key, left) in &left {
            let has = |refs: &Refs, reference| refs.get(key).is_some_and(|refs| refs.contains(reference));
            for reference in left {
                assert!(has(known, reference) || has(&joined, reference), "{key} {reference} left unseen");
            }
        }
    }
}

#[derive(serde::Deserialize)]
struct Count {
    count: u64,
}

type Refs = BTreeMap<String, BTreeSet<String>>;

/// The refs of all metas by key.
pub(crate) fn refs(presences: &Presences) -> Refs {
    let refs = |metas: &[bennu_presence::Meta]| {
        metas.iter().map(|meta| meta["phx_ref"].as_str().expect("a ref").to_owned()).collect()
    };
    presences.iter().map(|(key, entry)| (key.clone(), refs(&entry.metas))).collect()
}

/// Everything but `phx_ref_prev`, which a diff of several updates says differently, in any order of the metas.
pub(crate) fn comparable(presences: &Presences) -> BTreeMap<String, BTreeSet<String>> {
    let text = |meta: &bennu_presence::Meta| {
        let mut meta = meta.clone();
        meta.remove("phx_ref_prev");
        Value::Object(meta).to_string()
    };
    presences.iter().map(|(key, entry)| (key.clone(), entry.metas.iter().map(text).collect())).collect()
}
