//! What of a topic's broadcasts somebody has who read the state that they change.
//!
//! Who tells changes of a state counts what it tells in a [`Sequence`]. Whoever reads the state is then at a [`Place`] of it: what was
//! told up to there is in what it read, and what is told later is not. A channel that pushes to its client what it read so knows which of
//! the broadcasts that wait for the client are no news to it.

use std::cell::RefCell;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the broadcasts that tell how a state changes, on this node.
///
/// It belongs beside the state, under its lock: a broadcast is numbered and delivered, and the state is read, while that is held.
#[derive(Debug)]
pub struct Sequence {
    id: NonZero<u64>,
    told: u64,
}

/// How many broadcasts of a [`Sequence`] somebody has, or which of them a broadcast is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    sequence: NonZero<u64>,
    /// In the last bit whether the broadcast only adds to the state, and before it which one it is.
    number: u64,
}

impl Default for Sequence {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id =
            NonZero::new(NEXT.fetch_add(1, Ordering::Relaxed)).expect("64 bits are never counted through");
        Sequence { id, told: 0 }
    }
}

impl Sequence {
    /// The place of the next broadcast.
    #[must_use = "what is counted has to be told"]
    pub fn advance(&mut self) -> Place {
        self.told += 1;
        self.place()
    }

    /// The place of the last broadcast, and of what is read now.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { sequence: self.id, number: self.told << 1 }
    }
}

impl Place {
    /// Whether who is at this place has what was told at the other. Nobody has what another sequence told.
    #[must_use]
    pub fn includes(self, other: Place) -> bool {
        self.sequence == other.sequence && other.number >> 1 <= self.number >> 1
    }

    /// The place of a broadcast that only adds to the state. It may be told to who has it already, unless something was told
    /// in between that takes away.
    #[must_use]
    pub fn adding(self) -> Self {
        Place { number: self.number | 1, ..self }
    }

    /// Whether the broadcast only adds to the state.
    #[must_use]
    pub fn only_adds(self) -> bool {
        self.number & 1 == 1
    }
}

tokio::task_local! {
    static READING: Reading;
}

/// What a task read of one topic and has not passed on yet.
#[derive(Debug)]
pub struct Reading {
    topic: Arc<str>,
    /// Each with the event as which it is passed on.
    places: RefCell<Vec<(&'static str, Place)>>,
}

impl Reading {
    /// Runs `task`, and remembers until its end what it reads of `topic`.
    pub async fn of<F: Future>(topic: impl Into<Arc<str>>, task: F) -> F::Output {
        let reading = Reading { topic: topic.into(), places: RefCell::default() };
        READING.scope(reading, task).await
    }

    /// The running task reads of `topic` what clients are sent as `event`, and which includes all up to `place`. Nothing
    /// happens if it is not asked what it reads of this topic.
    pub fn note(topic: &str, event: &'static str, place: Place) {
        let note = |reading: &Reading| {
            if *reading.topic != *topic {
                return;
            }
            let mut places = reading.places.borrow_mut();
            let is_same = |(other, at): &(&str, Place)| *other == event && at.sequence == place.sequence;
            // Nobody knows which of several readings is going to be passed on; all include what the first does.
            if !places.iter().any(is_same) {
                places.push((event, place));
            }
        };
        // Most tasks are asked nothing.
        let _ = READING.try_with(note);
    }

    /// The running task passes on what it read as `event`: up to where its receiver has all that was told.
    #[must_use]
    pub fn pass_on(event: &str) -> Vec<Place> {
        let take = |reading: &Reading| {
            let mut places = reading.places.borrow_mut();
            places.extract_if(.., |(noted, _)| *noted == event).map(|(_, place)| place).collect()
        };
        READING.try_with(take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_includes_what_its_own_sequence_told_before() {
        let (mut own, mut other) = (Sequence::default(), Sequence::default());
        let (first, foreign) = (own.advance(), other.advance());
        let here = own.place();
        let later = own.advance();
        assert!(here.includes(first) && later.includes(first));
        assert!(!here.includes(later) && !later.includes(foreign));
        assert!(
            here.includes(first.adding()) && here.adding().includes(here) && !here.includes(later.adding())
        );
        assert!(first.adding().only_adds() && !first.only_adds());
    }

    #[tokio::test]
    async fn what_is_read_of_the_topic_is_passed_on_once_by_its_event() {
        let mut sequence = Sequence::default();
        let first = sequence.place();
        let second = sequence.advance();
        Reading::note("room:1", "state", first);
        Reading::of("room:1", async {
            Reading::note("room:2", "state", second);
            assert_eq!(Reading::pass_on("state"), []);
            Reading::note("room:1", "state", first);
            tokio::task::yield_now().await;
            Reading::note("room:1", "state", second);
            Reading::note("room:1", "count", second);
            assert_eq!((Reading::pass_on("other"), Reading::pass_on("state")), (vec![], vec![first]));
            assert_eq!((Reading::pass_on("state"), Reading::pass_on("count")), (vec![], vec![second]));
        })
        .await;
        assert_eq!(Reading::pass_on("state"), []);
    }
}
