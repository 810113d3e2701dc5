//! Those who track.

use std::fmt;
use std::num::NonZeroU64;

use bennu_protocol::presence::{Meta, Presences};
use serde::Serialize;
use thiserror::Error;

use crate::meta::object;
use crate::replica::OwnerId;
use crate::state::State;
use crate::tracker::Presence;

/// Tracks keys on topics for as long as it lives. Dropping it is a leave of all of them.
pub struct Owner {
    presence: Presence,
    /// None until it tracks something: before that there is nothing to end.
    id: Option<NonZeroU64>,
}

/// Why a key is not tracked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TrackError {
    /// This owner tracks the key on the topic already.
    #[error("{key:?} is already tracked on {topic:?} by this owner")]
    AlreadyTracked {
        /// The topic.
        topic: String,
        /// The key.
        key: String,
    },
    /// The key is empty, longer than 1,024 bytes, or a name that JavaScript objects have by themselves.
    #[error("{0:?} cannot be a presence key")]
    InvalidKey(String),
    /// A meta must be a JSON object.
    #[error("the meta is no JSON object")]
    NotAnObject,
    /// The meta has more bytes than [`max_meta_bytes`](crate::PresenceLimits::max_meta_bytes).
    #[error("the meta has {size} bytes, more than {limit}")]
    MetaTooLarge {
        /// Bytes of the meta as JSON.
        size: usize,
        /// How many it may have.
        limit: usize,
    },
    /// The key has as many metas as [`max_metas`](crate::PresenceLimits::max_metas) already.
    #[error("the key has {0} metas already")]
    TooManyMetas(usize),
    /// The topic has as many keys as [`max_keys`](crate::PresenceLimits::max_keys) already.
    #[error("the topic has {0} keys already")]
    TooManyKeys(usize),
}

/// Why a key is not updated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// This owner does not track the key on the topic.
    #[error("the key is not tracked on this topic by this owner")]
    NotTracked,
    /// A meta must be a JSON object.
    #[error("the meta is no JSON object")]
    NotAnObject,
    /// The meta has more bytes than [`max_meta_bytes`](crate::PresenceLimits::max_meta_bytes).
    #[error("the meta has {size} bytes, more than {limit}")]
    MetaTooLarge {
        /// Bytes of the meta as JSON.
        size: usize,
        /// How many it may have.
        limit: usize,
    },
}

impl Owner {
    pub(crate) fn new(presence: Presence) -> Self {
        Owner { presence, id: None }
    }

    /// Tracks `key` on `topic`, with what others should know about it, and returns the `phx_ref`.
    ///
    /// The server chooses the key: one that the client names lets it pose as somebody else.
    ///
    /// # Errors
    ///
    /// [`TrackError`] when the owner tracks the key already, the key is unfit, the meta is no object, or a limit is reached.
    pub fn track(
        &mut self,
        topic: impl AsRef<str>,
        key: impl Into<String>,
        meta: impl Serialize,
    ) -> Result<String, TrackError> {
        let (topic, key) = (topic.as_ref(), key.into());
        if !Presence::accepts_key(&key) {
            return Err(TrackError::InvalidKey(key.chars().take(64).collect()));
        }
        let meta = object(meta).ok_or(TrackError::NotAnObject)?;
        let id = self.id.unwrap_or_else(|| self.presence.next_owner());
        let reference = self.presence.track(OwnerId(id.get()), topic, &key, &meta)?;
        self.id = Some(id);
        Ok(reference)
    }

    /// Replaces what is known about a tracked key, and returns the new `phx_ref`.
    ///
    /// # Errors
    ///
    /// [`UpdateError`] when the owner does not track the key, or the meta is no object or too large.
    pub fn update(
        &mut self,
        topic: impl AsRef<str>,
        key: &str,
        meta: impl Serialize,
    ) -> Result<String, UpdateError> {
        let meta = object(meta).ok_or(UpdateError::NotAnObject)?;
        let id = self.id().ok_or(UpdateError::NotTracked)?;
        self.presence.update(id, topic.as_ref(), key, &meta)
    }

    /// Like [`update`](Self::update), given what is known so far.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub fn update_with<M: Serialize>(
        &mut self,
        topic: impl AsRef<str>,
        key: &str,
        change: impl FnOnce(&Meta) -> M,
    ) -> Result<String, UpdateError> {
        let topic = topic.as_ref();
        // Nobody else changes what this owner tracks.
        let old = self.id().and_then(|id| self.presence.tracked(id, topic, key));
        let old = old.ok_or(UpdateError::NotTracked)?;
        self.update(topic, key, change(&old))
    }

    /// Ends the tracking of a key; nothing happens if it is not tracked.
    pub fn untrack(&mut self, topic: impl AsRef<str>, key: &str) {
        if let Some(id) = self.id() {
            self.presence.untrack(id, topic.as_ref(), key);
        }
    }

    /// What a client that joins `topic` is to be told: the same as [`Presence::state`].
    pub async fn state(&self, topic: impl AsRef<str>) -> State {
        self.presence.state(topic).await
    }

    /// Who is on `topic` now, whoever tracks them: the same as [`Presence::list`].
    pub async fn list(&self, topic: impl AsRef<str>) -> Presences {
        self.presence.list(topic).await
    }

    fn id(&self) -> Option<OwnerId> {
        self.id.map(|id| OwnerId(id.get()))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(id) = self.id() {
            self.presence.untrack_all(id);
        }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bennu_protocol::Broadcast;
    use bennu_pubsub::{PubSub, Subscription};
    use serde_json::json;

    use super::*;
    use bennu_protocol::presence::Diff;

    fn diffs(subscription: &mut Subscription) -> Vec<Diff> {
        let mut all = Vec::new();
        while let Some(Ok(delivery)) = subscription.try_recv() {
            let broadcast = delivery.get::<Broadcast>().unwrap();
            assert_eq!(broadcast.event(), "presence_diff");
            all.push(broadcast.payload().parse().unwrap());
        }
        all
    }

    fn phx_refs(presences: &Presences, key: &str) -> Vec<String> {
        let metas = presences.get(key).map(|entry| entry.metas.clone()).unwrap_or_default();
        metas.iter().map(|meta| meta["phx_ref"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn an_entry_lives_as_long_as_its_owner() {
        let pubsub = PubSub::local();
        let mut room = pubsub.subscribe("room:1");
        let presence = Presence::new(pubsub);
        let mut owner = presence.owner();
        let reference = owner.track("room:1", "u1", json!({"n": 1})).unwrap();
        assert_eq!(phx_refs(&presence.list("room:1").await, "u1"), std::slice::from_ref(&reference));
        drop(owner);
        assert!(presence.list("room:1").await.is_empty());
        let [joined, left] = &diffs(&mut room)[..] else { panic!("two diffs") };
        assert_eq!((phx_refs(&joined.joins, "u1"), joined.leaves.len()), (vec![reference.clone()], 0));
        assert_eq!((left.joins.len(), phx_refs(&left.leaves, "u1")), (0, vec![reference]));
    }

    #[tokio::test]
    async fn owners_of_one_key_each_give_a_meta() {
        let presence = Presence::new(PubSub::local());
        let (mut phone, mut laptop) = (presence.owner(), presence.owner());
        phone.track("t", "u1", json!({"device": "phone"})).unwrap();
        laptop.track("t", "u1", json!({"device": "laptop"})).unwrap();
        assert_eq!((presence.count("t"), presence.get_by_key("t", "u1").await.unwrap().metas.len()), (1, 2));
        phone.untrack("t", "u1");
        let left = presence.get_by_key("t", "u1").await.unwrap();
        assert_eq!(left.metas[0]["device"], "laptop");
        laptop.untrack("t", "u1");
        assert_eq!((presence.count("t"), presence.get_by_key("t", "u1").await), (0, None));
    }

    #[tokio::test]
    async fn an_update_is_a_join_and_a_leave_in_one_diff() {
        let pubsub = PubSub::local();
        let presence = Presence::new(pubsub.clone());
        let mut owner = presence.owner();
        let first = owner.track("t", "u1", json!({"n": 1, "kept": true})).unwrap();
        let mut room = pubsub.subscribe("t");
        let second = owner.update_with("t", "u1", |old| json!({"n": 2, "kept": old["kept"]})).unwrap();
        let [diff] = &diffs(&mut room)[..] else { panic!("one diff") };
        let joined = &diff.joins.get("u1").unwrap().metas[0];
        assert_eq!(joined["phx_ref"], second.as_str());
        assert_eq!(joined["phx_ref_prev"], first.as_str());
        assert_eq!((joined["n"].clone(), joined["kept"].clone()), (json!(2), json!(true)));
        assert_eq!(phx_refs(&diff.leaves, "u1"), [first]);
    }

    #[test]
    fn what_cannot_be_tracked_is_refused_and_leaves_nothing() {
        let presence = Presence::new(PubSub::local());
        let mut owner = presence.owner();
        for key in ["", "__proto__", "constructor", "toString", &"k".repeat(1_025)] {
            assert!(matches!(owner.track("t", key, json!({})), Err(TrackError::InvalidKey(_))), "{key}");
        }
        assert_eq!(owner.track("t", "u", json!([1])), Err(TrackError::NotAnObject));
        owner.track("t", "u", json!({})).unwrap();
        let again = owner.track("t", "u", json!({}));
        assert_eq!(again, Err(TrackError::AlreadyTracked { topic: "t".into(), key: "u".into() }));
        assert_eq!(owner.update("t", "other", json!({})), Err(UpdateError::NotTracked));
        assert_eq!(presence.count("t"), 1);
    }

    #[tokio::test]
    async fn fetch_adds_to_lists_and_diffs_and_observers_hear_in_order() {
        let pubsub = PubSub::local();
        let mut room = pubsub.subscribe("t");
        let (seen, mut changes) = tokio::sync::mpsc::unbounded_channel();
        let presence = Presence::builder(pubsub)
            .fetch(|_, mut presences| async {
                for (key, entry) in presences.iter_mut() {
                    entry.extra.insert("name".into(), key.to_uppercase().into());
                }
                presences
            })
            .observer(move |change| seen.send((change.diff.clone(), change.presences.len())).unwrap())
            .build();
        let mut owner = presence.owner();
        for (count, key) in ["a", "b", "c"].into_iter().enumerate() {
            owner.track("t", key, json!({})).unwrap();
            let (diff, after) = changes.recv().await.unwrap();
            assert_eq!(diff.joins.get(key).unwrap().extra["name"], key.to_uppercase());
            assert_eq!(after, count + 1);
        }
        assert_eq!(diffs(&mut room).len(), 3);
        assert_eq!(presence.list("t").await.get("b").unwrap().extra["name"], "B");
    }
}
