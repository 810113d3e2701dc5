//! What of one topic clients do not know yet.
//!
//! A change is noted here when it happens, and told when the topic's pace allows it. What happened in between becomes one diff:
//! who came and left without anyone having been sent a list with them is not mentioned, and updates in a row are one.
//!
//! A list that is sent in between (a *reading*) must agree with the diffs that follow it. So it shows what is told, and beside it
//! whoever came since: a diff that repeats them changes nothing. It goes on to show who left since, until the diff
//! takes them away; otherwise a client would be told of the leave of somebody it never saw.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::replica::EncodedMeta;

/// Changes of one topic on their way to its clients.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// What is being told: `fetch` runs for it.
    flight: Option<Changes>,
    /// What comes after that.
    pending: Changes,
}

/// One diff, as keys with their metas.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) joins: Vec<(Arc<str>, Vec<EncodedMeta>)>,
    pub(crate) leaves: Vec<(Arc<str>, Vec<EncodedMeta>)>,
}

impl Told {
    pub(crate) fn is_empty(&self) -> bool {
        self.joins.is_empty() && self.leaves.is_empty()
    }

    pub(crate) fn takes_nothing(&self) -> bool {
        self.leaves.is_empty()
    }
}

/// Whose view a reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// A client that is about to get all diffs that are not told yet.
    Joining,
    /// A client that has had all diffs that are told.
    Told,
}

#[derive(Debug, Default)]
struct Changes {
    keys: BTreeMap<Arc<str>, Vec<Change>>,
    /// How many joins were noted. Those with a lower number than `read` may be in somebody's list.
    joins: u64,
    read: u64,
}

#[derive(Debug)]
struct Change {
    meta: EncodedMeta,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It came as the join of this number.
    Joined(u64),
    /// It came in the place of one that left in the same diff, and that readings show until then.
    Replaced,
    /// It left.
    Left,
    /// It came and left; those who were sent a list in between know it.
    Both,
}

impl Window {
    /// Notes that `new` came, that `old` left, or that the one took the place of the other.
    pub(crate) fn note(&mut self, key: &Arc<str>, old: Option<&EncodedMeta>, new: Option<&EncodedMeta>) {
        self.pending.note(key, old, new);
    }

    /// Whether something is being told.
    pub(crate) fn is_flying(&self) -> bool {
        self.flight.is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.flight.is_none() && self.pending.keys.is_empty()
    }

    /// What is pending.
    pub(crate) fn pending(&self) -> Told {
        self.pending.told()
    }

    /// What is to be told now: what is pending of the keys that clients are shown. Until [`landed`](Self::landed) it is on its way.
    pub(crate) fn take_off(&mut self, is_shown: impl Fn(&str) -> bool) -> Told {
        let mut changes = std::mem::take(&mut self.pending);
        changes.keys.retain(|key, _| is_shown(key));
        let told = changes.told();
        self.flight = Some(changes);
        told
    }

    /// What took off is told.
    pub(crate) fn landed(&mut self) {
        self.flight = None;
    }

    /// Somebody is sent who is there, as [`read_key`](Self::read_key) has it: from now on, whoever is there has been seen.
    pub(crate) fn begin_reading(&mut self) {
        self.pending.read = self.pending.joins;
    }

    /// What a reading has of a key, given what is true of it.
    pub(crate) fn read_key(&self, reading: Reading, key: &str, metas: Vec<EncodedMeta>) -> Vec<EncodedMeta> {
        let changes = || self.changes().filter_map(|changes| changes.keys.get(key)).flatten();
        if changes().next().is_none() {
            return metas;
        }
        let hidden: HashSet<&str> = changes()
            .filter(|change| change.kind.is_hidden_from(reading))
            .map(|change| change.meta.reference())
            .collect();
        let left = changes().filter(|change| change.kind == Kind::Left).map(|change| &change.meta);
        let mut seen = HashSet::new();
        let all = left.chain(&metas);
        let shown = all.filter(|meta| !hidden.contains(meta.reference()) && seen.insert(meta.reference()));
        shown.cloned().collect()
    }

    /// Keys that changed.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.changes().flat_map(|changes| changes.keys.keys())
    }

    /// Keys of which a reading has something else than is true. A join alone makes no difference to somebody who joins.
    pub(crate) fn differing(&self, reading: Reading) -> impl Iterator<Item = &Arc<str>> {
        let differs = move |change: &Change| change.kind == Kind::Left || change.kind.is_hidden_from(reading);
        let keys = self.changes().flat_map(|changes| &changes.keys);
        keys.filter(move |(_, changes)| changes.iter().any(differs)).map(|(key, _)| key)
    }

    /// Keys of which something is being told.
    pub(crate) fn flight_keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.flight.iter().flat_map(|changes| changes.keys.keys())
    }

    /// The oldest first.
    fn changes(&self) -> impl Iterator<Item = &Changes> {
        self.flight.iter().chain([&self.pending])
    }
}

impl Kind {
    fn is_hidden_from(self, reading: Reading) -> bool {
        match self {
            Kind::Replaced => true,
            Kind::Joined(_) => reading == Reading::Told,
            Kind::Left | Kind::Both => false,
        }
    }
}

impl Changes {
    fn note(&mut self, key: &Arc<str>, old: Option<&EncodedMeta>, new: Option<&EncodedMeta>) {
        let read = self.read;
        let changes = self.keys.entry(key.clone()).or_default();
        // What the new one replaces, as far as clients are told of it.
        let replaced = old.and_then(|old| leave(changes, old, read));
        if let Some(new) = new {
            let number = self.joins;
            self.joins += 1;
            join(changes, new, old.is_some(), replaced.as_deref(), number);
        }
        if changes.is_empty() {
            self.keys.remove(key);
        }
    }

    fn told(&self) -> Told {
        let side = |is_wanted: fn(Kind) -> bool| {
            let wanted = |changes: &[Change]| -> Vec<EncodedMeta> {
                changes
                    .iter()
                    .filter(|change| is_wanted(change.kind))
                    .map(|change| change.meta.clone())
                    .collect()
            };
            let keys = self.keys.iter().map(|(key, changes)| (key.clone(), wanted(changes)));
            keys.filter(|(_, metas)| !metas.is_empty()).collect()
        };
        Told {
            joins: side(|kind| kind != Kind::Left),
            leaves: side(|kind| matches!(kind, Kind::Left | Kind::Both)),
        }
    }
}

/// Notes a leave, and returns the ref of what is told to be gone in its place.
fn leave(changes: &mut Vec<Change>, old: &EncodedMeta, read: u64) -> Option<String> {
    let at = changes.iter().position(|change| change.meta.reference() == old.reference());
    let Some(at) = at else {
        changes.push(Change { meta: old.clone(), kind: Kind::Left });
        return Some(old.reference().to_owned());
    };
    match changes[at].kind {
        Kind::Joined(number) if number < read => changes[at].kind = Kind::Both,
        Kind::Joined(_) | Kind::Replaced => {
            return changes
                .remove(at)
                .meta
                .previous()
                .map(str::to_owned)
                .filter(|previous| changes.iter().any(|change| change.meta.reference() == previous));
        }
        Kind::Left | Kind::Both => {}
    }
    Some(old.reference().to_owned())
}

fn join(changes: &mut Vec<Change>, new: &EncodedMeta, is_update: bool, replaced: Option<&str>, number: u64) {
    let at = changes.iter().position(|change| change.meta.reference() == new.reference());
    match at.map(|at| (at, changes[at].kind)) {
        // It is back, and nobody missed it.
        Some((at, Kind::Left)) => drop(changes.remove(at)),
        // Somebody has seen it before.
        Some((at, Kind::Both)) => changes[at].kind = Kind::Joined(0),
        Some((_, Kind::Joined(_) | Kind::Replaced)) => {}
        None => {
            // In a diff, `phx_ref_prev` is the ref of a meta that leaves in it.
            let meta = if is_update { new.with_previous(replaced) } else { new.clone() };
            let is_left =
                |change: &Change| change.kind == Kind::Left && Some(change.meta.reference()) == replaced;
            let kind = if changes.iter().any(is_left) { Kind::Replaced } else { Kind::Joined(number) };
            changes.push(Change { meta, kind });
        }
    }
}
