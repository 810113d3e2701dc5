//! Someone who sees nothing of a node but its diffs.

use std::collections::BTreeMap;
use std::sync::Arc;

use bennu_presence::replica::{EncodedMeta, Machine, TopicDiff};
use bennu_protocol::Payload;
use bennu_protocol::presence::PresenceList;
use serde_json::Value;

/// The lists of all topics: the metas of each key, in their order.
pub(crate) type Listing = BTreeMap<String, BTreeMap<String, Vec<EncodedMeta>>>;

/// Applies diffs, and does not forgive any that a client would have to overlook.
#[derive(Default)]
pub(crate) struct Viewer {
    listing: Listing,
    /// The same by the algorithm of the official client.
    clients: BTreeMap<Arc<str>, PresenceList>,
}

impl Viewer {
    pub(crate) fn apply(&mut self, diff: &TopicDiff) {
        assert!(!diff.joins.is_empty() || !diff.leaves.is_empty(), "an empty diff");
        let topic = self.listing.entry(diff.topic.to_string()).or_default();
        for (key, meta) in &diff.joins {
            let metas = topic.entry(key.to_string()).or_default();
            assert!(!metas.contains(meta), "{key} joins twice with {}", meta.as_str());
            metas.push(meta.clone());
        }
        for (key, meta) in &diff.leaves {
            let metas = topic.get_mut(&**key).unwrap_or_else(|| panic!("{key} leaves unseen"));
            let at = metas.iter().position(|seen| seen == meta);
            metas.remove(at.unwrap_or_else(|| panic!("a meta of {key} leaves unseen")));
            if metas.is_empty() {
                topic.remove(&**key);
            }
        }
        if topic.is_empty() {
            self.listing.remove(&*diff.topic);
        }
        let client = self.clients.entry(diff.topic.clone()).or_insert_with(|| {
            let mut list = PresenceList::new();
            list.handle_state(&Payload::Json("{}".into())).unwrap();
            list
        });
        let json = format!(r#"{{"joins":{},"leaves":{}}}"#, side(&diff.joins), side(&diff.leaves));
        client.handle_diff(&Payload::Json(json.into())).unwrap();
    }

    /// Checks that the diffs led to what the machine lists.
    pub(crate) fn check(&self, machine: &Machine, topics: &[&str]) {
        assert_eq!(self.listing, listing(machine, topics), "diffs and list differ");
        for (topic, client) in &self.clients {
            let seen = client.presences().iter().map(|(key, entry)| (key.clone(), entry.metas.clone()));
            let seen: BTreeMap<String, Vec<_>> = seen.collect();
            let listed = self.listing.get(&**topic).cloned().unwrap_or_default();
            let listed = listed.into_iter().map(|(key, metas)| {
                (key, metas.iter().map(|meta| serde_json::from_str(meta.as_str()).unwrap()).collect())
            });
            assert_eq!(seen, listed.collect(), "a client of {topic} has another list");
        }
    }
}

/// What a machine lists, read in each way that there is.
pub(crate) fn listing(machine: &Machine, topics: &[&str]) -> Listing {
    let mut all = Listing::new();
    for name in topics {
        let Some(topic) = machine.topic(name) else { continue };
        let mut keys = BTreeMap::new();
        for key in topic.keys() {
            let metas: Vec<EncodedMeta> = key.metas().cloned().collect();
            assert_eq!(metas.len(), key.count_metas());
            assert_eq!(topic.key(key.name()).unwrap().count_metas(), metas.len());
            assert!(keys.insert(key.name().to_string(), metas).is_none(), "{name} lists a key twice");
        }
        assert_eq!(topic.count(), keys.len());
        assert_eq!(topic.count_metas(), keys.values().map(Vec::len).sum::<usize>());
        all.insert((*name).to_owned(), keys);
    }
    all
}

/// One side of a diff as it goes to clients.
fn side(metas: &[(Arc<str>, EncodedMeta)]) -> Value {
    let mut keys: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (key, meta) in metas {
        keys.entry(key).or_default().push(serde_json::from_str(meta.as_str()).unwrap());
    }
    keys.into_iter().map(|(key, metas)| (key.to_owned(), serde_json::json!({ "metas": metas }))).collect()
}
