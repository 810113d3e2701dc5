//! One list of who is there, merged from states and diffs.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::view::{Diff, Entry, Meta, Presences};
use crate::payload::Payload;

/// Who is there, as a client of one channel knows it.
///
/// It merges as the official JavaScript client does: metas are told apart by their `phx_ref`, joins are applied before leaves, so that an
/// update never makes a key vanish, and what comes twice changes nothing. Diffs that come before the state of the current join wait for
/// it. Keys are any text.
#[doc(alias = "Presence")]
#[derive(Default)]
pub struct PresenceList {
    /// Shared with those who look at it; what they hold does not change.
    presences: Arc<Presences>,
    /// Of all keys together.
    metas: usize,
    /// Whether the state of the current join has come.
    is_synced: bool,
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    limits: PresenceLimits,
}

struct Pending {
    diff: Diff,
    bytes: usize,
}

/// What a [`PresenceList`] holds at most, whatever the server sends.
#[derive(Debug, Clone, Copy)]
pub struct PresenceLimits {
    max_metas: usize,
    max_pending_bytes: usize,
}

/// A change of the list, to be told in order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PresenceChange {
    /// A key is there, once or once more, or its meta was updated.
    #[doc(alias = "onJoin")]
    Joined {
        /// The key.
        key: String,
        /// What was known of it before; `None` of one that was not there.
        current: Option<Entry>,
        /// The metas that are new, with the members that `fetch` added.
        new: Entry,
    },
    /// Metas of a key are gone.
    #[doc(alias = "onLeave")]
    Left {
        /// The key.
        key: String,
        /// What is left of it; without metas, the key is not there any more.
        current: Entry,
        /// The metas that are gone.
        left: Entry,
    },
    /// The list is whole again: once for each state with the diffs that waited for it, and once for each further diff.
    #[doc(alias = "onSync")]
    Synced,
}

/// Why a payload changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PresenceError {
    /// It is bytes.
    #[error("expected JSON, got binary")]
    Binary,
    /// It is no state or no diff.
    #[error("not what presence sends, at line {line}, column {column}")]
    Shape {
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
    },
    /// There would be more metas than allowed.
    #[error("more than {limit} metas")]
    TooMany {
        /// So many are.
        limit: usize,
    },
}

impl Default for PresenceLimits {
    fn default() -> Self {
        PresenceLimits { max_metas: 100_000, max_pending_bytes: 1 << 20 }
    }
}

impl PresenceLimits {
    /// How many metas all keys may have together; 100,000 by default. What would exceed it is refused with [`PresenceError::TooMany`].
    #[must_use]
    pub fn max_metas(self, max_metas: usize) -> Self {
        PresenceLimits { max_metas, ..self }
    }

    /// How many bytes of diffs may wait for a state; 1 MiB by default. Of more, the oldest are forgotten: the state that comes after them is the
    /// likeliest to know what they say.
    #[must_use]
    pub fn max_pending_bytes(self, max_pending_bytes: usize) -> Self {
        PresenceLimits { max_pending_bytes, ..self }
    }
}

impl PresenceList {
    /// A list that waits for its first state.
    #[must_use]
    pub fn new() -> Self {
        PresenceList::default()
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(limits: PresenceLimits) -> Self {
        PresenceList { limits, ..PresenceList::default() }
    }

    /// Who is there, as far as is known: nobody before the first state, and between two joins what was known last.
    #[doc(alias = "list")]
    #[must_use]
    pub fn presences(&self) -> &Arc<Presences> {
        &self.presences
    }

    /// Whether the state of the current join has come. Until it has, diffs wait.
    #[doc(alias = "inPendingSyncState")]
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// The channel is about to be joined, anew or for the first time: diffs wait for the state of this join.
    ///
    /// Those that waited for the state of an earlier join are forgotten. The official client keeps them, and thus someone who joined and left while it had
    /// no connection may stay in its list.
    pub fn begin_join(&mut self) {
        self.is_synced = false;
        self.forget_pending();
    }

    /// Takes in a `presence_state`, and what waited for it.
    ///
    /// # Errors
    ///
    /// [`PresenceError`]. The list is as it was.
    #[doc(alias = "syncState")]
    pub fn handle_state(&mut self, payload: &Payload) -> Result<Vec<PresenceChange>, PresenceError> {
        let state: Presences = parse(payload)?;
        let pending = self.pending.iter().map(|pending| pending.diff.joins.count_metas());
        self.check_room(state.count_metas() + pending.sum::<usize>())?;
        let mut changes = Vec::new();
        let diff = self.difference(state);
        self.apply(diff, &mut changes);
        for Pending { diff, .. } in std::mem::take(&mut self.pending) {
            self.apply(diff, &mut changes);
        }
        self.pending_bytes = 0;
        self.is_synced = true;
        changes.push(PresenceChange::Synced);
        Ok(changes)
    }

    /// Takes in a `presence_diff`. Before the state it changes nothing yet.
    ///
    /// # Errors
    ///
    /// [`PresenceError`]. The list is as it was.
    #[doc(alias = "syncDiff")]
    pub fn handle_diff(&mut self, payload: &Payload) -> Result<Vec<PresenceChange>, PresenceError> {
        let diff: Diff = parse(payload)?;
        if !self.is_synced {
            self.keep(diff, payload.len());
            return Ok(Vec::new());
        }
        self.check_room(self.metas.saturating_add(diff.joins.count_metas()))?;
        let mut changes = Vec::new();
        self.apply(diff, &mut changes);
        changes.push(PresenceChange::Synced);
        Ok(changes)
    }

    /// How many metas it takes itself to have.
    #[cfg(test)]
    pub(super) fn metas(&self) -> usize {
        self.metas
    }

    fn check_room(&self, metas: usize) -> Result<(), PresenceError> {
        let limit = self.limits.max_metas;
        if metas > limit { Err(PresenceError::TooMany { limit }) } else { Ok(()) }
    }

    fn keep(&mut self, diff: Diff, bytes: usize) {
        self.pending.push_back(Pending { diff, bytes });
        self.pending_bytes += bytes;
        while self.pending_bytes > self.limits.max_pending_bytes {
            let Some(oldest) = self.pending.pop_front() else { return };
            self.pending_bytes -= oldest.bytes;
        }
    }

    fn forget_pending(&mut self) {
        self.pending.clear();
        self.pending_bytes = 0;
    }

    /// What makes the list into this state.
    fn difference(&self, state: Presences) -> Diff {
        let gone = self.presences.iter().filter(|(key, _)| state.get(key).is_none());
        let mut leaves: Presences = gone.map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let mut joins = Presences::default();
        for (key, mut new) in state {
            let Some(current) = self.presences.get(&key) else {
                joins.insert(key, new);
                continue;
            };
            let left = without(&current.metas, &new.metas);
            new.metas = without(&new.metas, &current.metas);
            if !left.is_empty() {
                leaves.insert(key.clone(), Entry { metas: left, extra: current.extra.clone() });
            }
            if !new.metas.is_empty() {
                joins.insert(key, new);
            }
        }
        Diff { joins, leaves }
    }

    /// Joins come before leaves, so that the key of an update stays.
    fn apply(&mut self, Diff { joins, leaves }: Diff, changes: &mut Vec<PresenceChange>) {
        for (key, new) in joins {
            changes.push(self.join(key, new));
        }
        for (key, left) in leaves {
            changes.extend(self.leave(key, left));
        }
    }

    fn join(&mut self, key: String, new: Entry) -> PresenceChange {
        let presences = Arc::make_mut(&mut self.presences);
        let current = presences.remove(&key);
        let mut merged = new.clone();
        if let Some(current) = &current {
            let mut metas = without(&current.metas, &new.metas);
            metas.append(&mut merged.metas);
            merged.metas = metas;
            self.metas -= current.metas.len();
        }
        self.metas += merged.metas.len();
        presences.insert(key.clone(), merged);
        PresenceChange::Joined { key, current, new }
    }

    /// Nothing, of a key that is not there.
    fn leave(&mut self, key: String, left: Entry) -> Option<PresenceChange> {
        self.presences.get(&key)?;
        let presences = Arc::make_mut(&mut self.presences);
        let found = presences.get_mut(&key)?;
        let before = found.metas.len();
        found.metas = without(&found.metas, &left.metas);
        self.metas -= before - found.metas.len();
        let current = match found.metas.is_empty() {
            true => presences.remove(&key)?,
            false => found.clone(),
        };
        Some(PresenceChange::Left { key, current, left })
    }
}

/// The metas whose `phx_ref` none of the others has. Those that have none, which no Phoenix sends, count as equal.
fn without(metas: &[Meta], others: &[Meta]) -> Vec<Meta> {
    let others: HashSet<_> = others.iter().map(reference).collect();
    metas.iter().filter(|meta| !others.contains(&reference(meta))).cloned().collect()
}

fn reference(meta: &Meta) -> Option<&str> {
    meta.get("phx_ref").and_then(Value::as_str)
}

/// The error tells where, and not what: a payload may hold secrets.
fn parse<T: DeserializeOwned>(payload: &Payload) -> Result<T, PresenceError> {
    let text = payload.as_json().ok_or(PresenceError::Binary)?;
    serde_json::from_slice(text)
        .map_err(|error| PresenceError::Shape { line: error.line(), column: error.column() })
}

impl fmt::Debug for PresenceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresenceList")
            .field("keys", &self.presences.len())
            .field("metas", &self.metas)
            .field("is_synced", &self.is_synced)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}
