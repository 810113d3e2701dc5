//! Merging, step by step and against two models: the rules of channels specification 12.3 written out naively, and what a server knows.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::payload::Payload;

fn payload(value: &Value) -> Payload {
    Payload::json(value).unwrap()
}

fn entry(value: &Value) -> Entry {
    serde_json::from_value(value.clone()).unwrap()
}

/// An entry whose metas have these refs.
fn metas(refs: &[&str]) -> Value {
    let metas = Vec::from_iter(refs.iter().map(|reference| json!({"phx_ref": reference})));
    json!({"metas": metas})
}

fn diff(joins: &Value, leaves: &Value) -> Payload {
    payload(&json!({"joins": joins, "leaves": leaves}))
}

fn joined(key: &str, current: Option<&Value>, new: &Value) -> PresenceChange {
    PresenceChange::Joined { key: key.to_owned(), current: current.map(entry), new: entry(new) }
}

fn left(key: &str, current: &Value, left: &Value) -> PresenceChange {
    PresenceChange::Left { key: key.to_owned(), current: entry(current), left: entry(left) }
}

/// A list that has this state.
fn synced(state: &Value) -> PresenceList {
    let mut list = PresenceList::new();
    list.handle_state(&payload(state)).unwrap();
    list
}

fn shown(list: &PresenceList) -> Value {
    serde_json::to_value(&**list.presences()).unwrap()
}

#[test]
fn check_158_diffs_before_the_state_are_applied_after_it() {
    let mut list = PresenceList::new();
    assert_eq!(list.handle_diff(&diff(&json!({"ben": metas(&["2"])}), &json!({}))), Ok(vec![]));
    assert_eq!(list.handle_diff(&diff(&json!({}), &json!({"ada": metas(&["1"])}))), Ok(vec![]));
    assert!(list.presences().is_empty() && !list.is_synced());
    let changes = list.handle_state(&payload(&json!({"ada": metas(&["1"])}))).unwrap();
    let expected = [
        joined("ada", None, &metas(&["1"])),
        joined("ben", None, &metas(&["2"])),
        left("ada", &metas(&[]), &metas(&["1"])),
        PresenceChange::Synced,
    ];
    assert_eq!(changes, expected);
    assert_eq!(shown(&list), json!({"ben": metas(&["2"])}));
    // They are applied once.
    list.begin_join();
    list.handle_state(&payload(&json!({}))).unwrap();
    assert!(list.presences().is_empty());
}

#[test]
fn check_158_an_update_never_makes_the_key_vanish() {
    let mut list = synced(&json!({"ada": metas(&["1"])}));
    let changes =
        list.handle_diff(&diff(&json!({"ada": metas(&["2"])}), &json!({"ada": metas(&["1"])}))).unwrap();
    let expected = [
        joined("ada", Some(&metas(&["1"])), &metas(&["2"])),
        left("ada", &metas(&["2"]), &metas(&["1"])),
        PresenceChange::Synced,
    ];
    assert_eq!(changes, expected);
    assert_eq!(shown(&list), json!({"ada": metas(&["2"])}));
    // A state that brings the update likewise.
    let changes = list.handle_state(&payload(&json!({"ada": metas(&["3"])}))).unwrap();
    let expected = [
        joined("ada", Some(&metas(&["2"])), &metas(&["3"])),
        left("ada", &metas(&["3"]), &metas(&["2"])),
        PresenceChange::Synced,
    ];
    assert_eq!(changes, expected);
}

#[test]
fn check_158_sync_is_told_once_for_a_state_and_once_for_each_applied_diff() {
    let syncs = |changes: Vec<PresenceChange>| {
        assert_eq!(
            changes.iter().rposition(|it| *it == PresenceChange::Synced),
            changes.len().checked_sub(1)
        );
        changes.iter().filter(|change| **change == PresenceChange::Synced).count()
    };
    let mut list = PresenceList::new();
    let empty = diff(&json!({}), &json!({}));
    assert_eq!(syncs(list.handle_diff(&empty).unwrap()), 0);
    assert_eq!(syncs(list.handle_diff(&empty).unwrap()), 0);
    assert_eq!(syncs(list.handle_state(&payload(&json!({"ada": metas(&["1"])}))).unwrap()), 1);
    assert_eq!(syncs(list.handle_diff(&empty).unwrap()), 1);
    assert_eq!(syncs(list.handle_state(&payload(&json!({}))).unwrap()), 1);
}

#[test]
fn after_a_rejoin_diffs_wait_for_the_new_state_and_the_list_stays_until_then() {
    let mut list = synced(&json!({"ada": metas(&["1"]), "ben": metas(&["2"])}));
    list.begin_join();
    assert_eq!(list.handle_diff(&diff(&json!({"eve": metas(&["4"])}), &json!({}))), Ok(vec![]));
    assert_eq!(shown(&list), json!({"ada": metas(&["1"]), "ben": metas(&["2"])}));
    let changes = list.handle_state(&payload(&json!({"ben": metas(&["3"])}))).unwrap();
    let expected = [
        joined("ben", Some(&metas(&["2"])), &metas(&["3"])),
        left("ada", &metas(&[]), &metas(&["1"])),
        left("ben", &metas(&["3"]), &metas(&["2"])),
        joined("eve", None, &metas(&["4"])),
        PresenceChange::Synced,
    ];
    assert_eq!(changes, expected);
    // What waited for a join that failed is not told of the next one.
    list.begin_join();
    list.handle_diff(&diff(&json!({"tom": metas(&["5"])}), &json!({}))).unwrap();
    list.begin_join();
    list.handle_state(&payload(&json!({}))).unwrap();
    assert!(list.presences().is_empty());
}

#[test]
fn metas_keep_their_order_and_other_members_are_the_newest() {
    let mut list =
        synced(&json!({"ada": {"metas": [{"phx_ref": "1", "n": 1}, {"phx_ref": "2"}], "name": "Ada"}}));
    let joins = json!({"ada": {"metas": [{"phx_ref": "3"}, {"phx_ref": "1", "n": 7}], "name": "Ada L."}});
    let changes = list.handle_diff(&diff(&joins, &json!({}))).unwrap();
    let current = json!({"metas": [{"phx_ref": "1", "n": 1}, {"phx_ref": "2"}], "name": "Ada"});
    assert_eq!(changes[0], joined("ada", Some(&current), &joins["ada"]));
    let merged = json!([{"phx_ref": "2"}, {"phx_ref": "3"}, {"phx_ref": "1", "n": 7}]);
    assert_eq!(shown(&list), json!({"ada": {"metas": merged, "name": "Ada L."}}));
    let changes = list.handle_diff(&diff(&json!({}), &json!({"ada": metas(&["3"])}))).unwrap();
    let rest = json!({"metas": [{"phx_ref": "2"}, {"phx_ref": "1", "n": 7}], "name": "Ada L."});
    assert_eq!(changes[0], left("ada", &rest, &metas(&["3"])));
}

#[test]
fn what_comes_twice_changes_nothing_and_who_is_not_there_does_not_leave() {
    let mut list = synced(&json!({"ada": metas(&["1"])}));
    let again = list.handle_diff(&diff(&json!({"ada": metas(&["1"])}), &json!({})));
    assert_eq!(again.unwrap()[0], joined("ada", Some(&metas(&["1"])), &metas(&["1"])));
    assert_eq!(shown(&list), json!({"ada": metas(&["1"])}));
    let unknown = list.handle_diff(&diff(&json!({}), &json!({"ben": metas(&["2"])})));
    assert_eq!(unknown, Ok(vec![PresenceChange::Synced]));
    let again = list.handle_state(&payload(&json!({"ada": metas(&["1"])})));
    assert_eq!(again, Ok(vec![PresenceChange::Synced]));
}

#[test]
fn keys_that_are_special_elsewhere_are_keys_like_any_other() {
    for key in ["__proto__", "constructor", "toString", "hasOwnProperty", "", "length", "ключ"] {
        let mut list = PresenceList::new();
        let changes = list.handle_state(&payload(&json!({key: metas(&["1"])}))).unwrap();
        assert_eq!(changes[0], joined(key, None, &metas(&["1"])));
        list.handle_diff(&diff(&json!({key: metas(&["2"])}), &json!({key: metas(&["1"])}))).unwrap();
        assert_eq!(shown(&list), json!({key: metas(&["2"])}));
        list.handle_diff(&diff(&json!({}), &json!({key: metas(&["2"])}))).unwrap();
        assert!(list.presences().is_empty(), "{key:?}");
    }
}

#[test]
fn a_payload_of_another_shape_is_an_error_that_tells_no_secrets_and_changes_nothing() {
    let mut list = synced(&json!({"ada": metas(&["1"])}));
    for text in [
        "[]",
        "null",
        r#"{"joins":{}}"#,
        r#"{"joins":{},"leaves":[]}"#,
        r#"{"joins":{"ada":{}},"leaves":{}}"#,
        r#"{"joins":{"ada":{"metas":["secret"]}},"leaves":{}}"#,
        r#"{"joins":{"ben":{"metas":[]}},"leaves":{"ada":"secret"}}"#,
    ] {
        let error = list.handle_diff(&Payload::Json(text.into())).unwrap_err();
        assert!(matches!(error, PresenceError::Shape { .. }), "{text}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    for text in ["[]", r#"{"ada":[]}"#, r#"{"ada":{"metas":{}}}"#] {
        let error = list.handle_state(&Payload::Json(text.into())).unwrap_err();
        assert!(matches!(error, PresenceError::Shape { .. }), "{text}");
    }
    assert_eq!(list.handle_diff(&Payload::binary("x")), Err(PresenceError::Binary));
    assert_eq!(list.handle_state(&Payload::binary("x")), Err(PresenceError::Binary));
    assert_eq!(shown(&list), json!({"ada": metas(&["1"])}));
    assert_eq!(format!("{list:?}"), "PresenceList { keys: 1, metas: 1, is_synced: true, pending: 0, .. }");
}

#[test]
fn the_list_holds_no_more_than_its_limits() {
    let limits = PresenceLimits::default().max_metas(3);
    let mut list = PresenceList::with_limits(limits);
    let four = json!({"ada": metas(&["1", "2"]), "ben": metas(&["3", "4"])});
    assert_eq!(list.handle_state(&payload(&four)), Err(PresenceError::TooMany { limit: 3 }));
    list.handle_state(&payload(&json!({"ada": metas(&["1", "2"])}))).unwrap();
    let two = diff(&json!({"ben": metas(&["3", "4"])}), &json!({}));
    assert_eq!(list.handle_diff(&two), Err(PresenceError::TooMany { limit: 3 }));
    list.handle_diff(&diff(&json!({}), &json!({"ada": metas(&["1"])}))).unwrap();
    list.handle_diff(&two).unwrap();
    assert_eq!(shown(&list), json!({"ada": metas(&["2"]), "ben": metas(&["3", "4"])}));
    list.begin_join();
    list.handle_diff(&two).unwrap();
    let state = payload(&json!({"ada": metas(&["1", "2"])}));
    assert_eq!(list.handle_state(&state), Err(PresenceError::TooMany { limit: 3 }));
}

#[test]
fn of_diffs_that_wait_the_oldest_are_forgotten() {
    let one = |key: &str| diff(&json!({key: metas(&[key])}), &json!({}));
    let limits = PresenceLimits::default().max_pending_bytes(2 * one("1").len());
    let mut list = PresenceList::with_limits(limits);
    for key in ["1", "2", "3"] {
        list.handle_diff(&one(key)).unwrap();
    }
    list.handle_state(&payload(&json!({}))).unwrap();
    assert_eq!(shown(&list), json!({"2": metas(&["2"]), "3": metas(&["3"])}));
}

/// The rules of the specification, word for word, over plain JSON.
#[derive(Default)]
struct Naive {
    state: BTreeMap<String, Value>,
    pending: Vec<Value>,
    is_synced: bool,
    told: Vec<Value>,
}

fn refs(entry: &Value) -> Vec<&Value> {
    entry["metas"].as_array().unwrap().iter().map(|meta| &meta["phx_ref"]).collect()
}

/// The metas of one entry whose refs are not among those of another.
fn only_in(entry: &Value, other: &Value) -> Vec<Value> {
    let others = refs(other);
    let metas = entry["metas"].as_array().unwrap().iter();
    metas.filter(|meta| !others.contains(&&meta["phx_ref"])).cloned().collect()
}

impl Naive {
    fn state(&mut self, new: &Value) {
        let (mut joins, mut leaves) = (json!({}), json!({}));
        for (key, old) in &self.state {
            if new.get(key).is_none() {
                leaves[key] = old.clone();
            }
        }
        for (key, new) in new.as_object().unwrap() {
            match self.state.get(key) {
                None => joins[key] = new.clone(),
                Some(old) => {
                    let (added, gone) = (only_in(new, old), only_in(old, new));
                    if !added.is_empty() {
                        joins[key] = new.clone();
                        joins[key]["metas"] = added.into();
                    }
                    if !gone.is_empty() {
                        leaves[key] = old.clone();
                        leaves[key]["metas"] = gone.into();
                    }
                }
            }
        }
        self.merge(&json!({"joins": joins, "leaves": leaves}));
        for diff in std::mem::take(&mut self.pending) {
            self.merge(&diff);
        }
        self.is_synced = true;
        self.told.push(json!("sync"));
    }

    fn diff(&mut self, diff: &Value) {
        if self.is_synced {
            self.merge(diff);
            self.told.push(json!("sync"));
        } else {
            self.pending.push(diff.clone());
        }
    }

    fn merge(&mut self, diff: &Value) {
        for (key, new) in diff["joins"].as_object().unwrap() {
            let old = self.state.get(key).cloned();
            let mut merged = new.clone();
            if let Some(old) = &old {
                let mut metas = only_in(old, new);
                metas.extend(new["metas"].as_array().unwrap().clone());
                merged["metas"] = metas.into();
            }
            self.told.push(json!(["join", key, old, new]));
            self.state.insert(key.clone(), merged);
        }
        for (key, left) in diff["leaves"].as_object().unwrap() {
            let Some(mut rest) = self.state.get(key).cloned() else { continue };
            rest["metas"] = only_in(&rest, left).into();
            self.told.push(json!(["leave", key, rest, left]));
            match rest["metas"].as_array().unwrap().is_empty() {
                true => drop(self.state.remove(key)),
                false => drop(self.state.insert(key.clone(), rest)),
            }
        }
    }
}

fn told(change: &PresenceChange) -> Value {
    match change {
        PresenceChange::Joined { key, current, new } => json!(["join", key, current, new]),
        PresenceChange::Left { key, current, left } => json!(["leave", key, current, left]),
        PresenceChange::Synced => json!("sync"),
    }
}

/// What a server may send, readable but in no way sensible.
#[derive(Debug, Clone)]
enum Sent {
    State(Value),
    Diff(Value, Value),
    Rejoin,
}

fn any_side() -> impl Strategy<Value = Value> {
    let meta = (0..6u8, 0..3u8).prop_map(|(reference, n)| json!({"phx_ref": reference.to_string(), "n": n}));
    let entry = (prop::collection::vec(meta, 0..4), 0..3u8)
        .prop_map(|(metas, name)| json!({"metas": metas, "name": name}));
    prop::collection::btree_map("[abc]", entry, 0..4).prop_map(|side| json!(side))
}

fn any_sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        1 => any_side().prop_map(Sent::State),
        3 => (any_side(), any_side()).prop_map(|(joins, leaves)| Sent::Diff(joins, leaves)),
        1 => Just(Sent::Rejoin),
    ]
}

/// What happens on a server; owners and keys are a few.
#[derive(Debug, Clone)]
enum Act {
    Track(u8, u8),
    Untrack(u8, u8),
    /// The client joins, or joins anew: diffs reach it from here on.
    Join,
    /// The server sends its state to the client that has joined.
    SendState,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => (0..4u8, 0..3u8).prop_map(|(owner, key)| Act::Track(owner, key)),
        3 => (0..4u8, 0..3u8).prop_map(|(owner, key)| Act::Untrack(owner, key)),
        1 => Just(Act::Join),
        2 => Just(Act::SendState),
    ]
}

/// A server's table: who tracks what, with the ref of the latest meta.
#[derive(Default)]
struct Server {
    tracked: BTreeMap<(u8, u8), u32>,
    last_ref: u32,
}

impl Server {
    fn track(&mut self, owner: u8, key: u8) -> Payload {
        self.last_ref += 1;
        let reference = self.last_ref.to_string();
        let old = self.tracked.insert((key, owner), self.last_ref).map(|old| old.to_string());
        let leaves = old.map_or(json!({}), |old| json!({key.to_string(): metas(&[&old])}));
        diff(&json!({key.to_string(): metas(&[&reference])}), &leaves)
    }

    fn untrack(&mut self, owner: u8, key: u8) -> Option<Payload> {
        let old = self.tracked.remove(&(key, owner))?.to_string();
        Some(diff(&json!({}), &json!({key.to_string(): metas(&[&old])})))
    }

    fn state(&self) -> Value {
        let mut state: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for ((key, _), reference) in &self.tracked {
            state.entry(key.to_string()).or_default().push(reference.to_string());
        }
        let entries =
            state.iter().map(|(key, refs)| (key, metas(&Vec::from_iter(refs.iter().map(|it| &**it)))));
        json!(BTreeMap::from_iter(entries))
    }
}

/// Keys with their refs, whatever their order.
fn sets(state: &Value) -> BTreeMap<String, Vec<String>> {
    let entries = state.as_object().unwrap().iter().map(|(key, entry)| {
        let mut refs = Vec::from_iter(refs(entry).iter().map(ToString::to_string));
        refs.sort();
        (key.clone(), refs)
    });
    entries.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn merging_is_what_the_specification_says(sent in prop::collection::vec(any_sent(), 0..20)) {
        let (mut list, mut naive) = (PresenceList::new(), Naive::default());
        for sent in &sent {
            let changes = match sent {
                Sent::State(state) => {
                    naive.state(state);
                    list.handle_state(&payload(state)).unwrap()
                }
                Sent::Diff(joins, leaves) => {
                    naive.diff(&json!({"joins": joins, "leaves": leaves}));
                    list.handle_diff(&diff(joins, leaves)).unwrap()
                }
                Sent::Rejoin => {
                    naive.is_synced = false;
                    naive.pending.clear();
                    list.begin_join();
                    Vec::new()
                }
            };
            prop_assert_eq!(Vec::from_iter(changes.iter().map(told)), std::mem::take(&mut naive.told));
            prop_assert_eq!(shown(&list), json!(naive.state));
            prop_assert_eq!(list.presences().count_metas(), list.metas());
        }
    }

    #[test]
    fn a_client_that_has_the_state_knows_what_the_server_knows(acts in prop::collection::vec(act(), 0..60)) {
        let (mut server, mut list, mut is_joined) = (Server::default(), PresenceList::new(), false);
        let mut told: BTreeMap<String, Entry> = BTreeMap::new();
        for act in acts {
            let changes = match act {
                Act::Track(owner, key) => Some(server.track(owner, key)),
                Act::Untrack(owner, key) => server.untrack(owner, key),
                Act::Join => {
                    is_joined = true;
                    list.begin_join();
                    None
                }
                Act::SendState => None,
            };
            let mut changes = match changes.filter(|_| is_joined) {
                Some(diff) => list.handle_diff(&diff).unwrap(),
                None => Vec::new(),
            };
            if matches!(act, Act::SendState) && is_joined {
                changes = list.handle_state(&payload(&server.state())).unwrap();
            }
            // Whoever follows the changes alone knows the same keys.
            for change in changes {
                match change {
                    PresenceChange::Joined { key, new, .. } => drop(told.insert(key, new)),
                    PresenceChange::Left { key, current, .. } if current.metas.is_empty() => drop(told.remove(&key)),
                    PresenceChange::Left { .. } | PresenceChange::Synced => {}
                }
            }
            prop_assert!(told.keys().eq(list.presences().iter().map(|(key, _)| key)));
            if list.is_synced() {
                prop_assert_eq!(sets(&shown(&list)), sets(&server.state()));
            }
        }
    }
}
