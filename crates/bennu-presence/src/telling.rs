//! One topic whose clients are being told something.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::crowd::{Crowd, Shown};
use crate::pace::Pace;
use crate::replica::EncodedMeta;
use crate::replica::{Topic, TopicDiff};
use crate::window::{Reading, Told, Window};

/// What clients of a topic know, and what is on its way to them. It exists from a change on until its topic has been quiet.
#[derive(Debug)]
pub(crate) struct Telling {
    window: Window,
    pace: Pace,
    shown: Shown,
    /// What the clients take the number of keys to be; `None` if they may differ.
    count: Option<usize>,
    /// Something changed, whether or not the window has it.
    has_changed: bool,
    /// Somebody waits until the pace allows a diff.
    pub(crate) is_timed: bool,
}

/// What is told of a topic at one moment.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) topic: Arc<str>,
    /// What the clients are told.
    pub(crate) shown: Told,
    /// What an observer hears, if that is something else.
    pub(crate) all: Option<Told>,
    /// How many keys there are, if the clients are told.
    pub(crate) count: Option<usize>,
}

impl Telling {
    pub(crate) fn new(crowd: Crowd) -> Self {
        Telling {
            window: Window::default(),
            pace: Pace::default(),
            shown: Shown::new(crowd),
            count: None,
            has_changed: false,
            is_timed: false,
        }
    }

    /// Notes what changed. Of keys that neither clients nor an observer hear of, only that something did.
    pub(crate) fn note(&mut self, diff: &TopicDiff, is_observed: bool) {
        self.has_changed = true;
        if matches!(self.shown, Shown::None) && !is_observed {
            return;
        }
        let mut leaves: Vec<_> = diff.leaves.iter().map(Some).collect();
        let mut joins: Vec<_> = diff.joins.iter().map(|join| (join, take_exact(&mut leaves, join))).collect();
        for (join, old) in &mut joins {
            *old = old.or_else(|| take_unknown(&mut leaves, join));
        }
        for ((key, new), old) in joins {
            self.window.note(key, old, Some(new));
        }
        for (key, old) in leaves.into_iter().flatten() {
            self.window.note(key, Some(old), None);
        }
    }

    /// Whether there is something to tell, and nothing being told.
    pub(crate) fn is_due(&self) -> bool {
        self.has_changed && !self.window.is_flying()
    }

    /// When the next diff may go out; `None` is now.
    pub(crate) fn wait(&self, now: Instant, window: Duration) -> Option<Instant> {
        self.pace.wait(now, window)
    }

    /// What is to be told now; nothing, if everything that happened has been undone.
    pub(crate) fn take_off(
        &mut self,
        topic: &Arc<str>,
        there: Option<&Topic<'_>>,
        is_observed: bool,
    ) -> Option<News> {
        self.has_changed = false;
        let is_partial = self.shown.is_counted();
        let all = (is_partial && is_observed).then(|| self.window.pending());
        let changed: Vec<Arc<str>> = self.window.keys().cloned().collect();
        let mut shown = self.window.take_off(|key| self.shown.contains(key));
        let is_there = |key: &str| there.is_some_and(|topic| topic.key(key).is_some());
        let names = there.into_iter().flat_map(Topic::keys).map(|key| key.name());
        for key in self.shown.refill(changed.iter(), is_there, names) {
            let metas = there.and_then(|topic| topic.key(&key)).map(|key| key.metas().cloned().collect());
            shown.joins.push((key, metas.unwrap_or_default()));
        }
        let count = there.map_or(0, Topic::count);
        let count = (is_partial && self.count != Some(count)).then_some(count);
        if shown.is_empty() && count.is_none() && all.as_ref().is_none_or(Told::is_empty) {
            self.window.landed();
            return None;
        }
        self.count = count.or(self.count);
        Some(News { topic: topic.clone(), shown, all, count })
    }

    /// A diff goes out.
    pub(crate) fn tell(&mut self, now: Instant, window: Duration) {
        self.pace.tell(now, window);
    }

    /// What took off is told.
    pub(crate) fn landed(&mut self) {
        self.window.landed();
    }

    /// Whether it can be forgotten.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        !self.has_changed
            && !self.is_timed
            && self.window.is_empty()
            && self.shown.is_empty()
            && self.pace.is_full(now)
    }

    /// What a client that joins knows from now on, if clients are told of all keys.
    pub(crate) fn begin_reading(&mut self) {
        self.window.begin_reading();
    }

    /// Some client is told that there are so many keys.
    pub(crate) fn begin_counting(&mut self, count: usize) {
        if self.count != Some(count) {
            self.count = None;
        }
    }

    /// Whether clients are told of some keys only.
    pub(crate) fn is_partial(&self) -> bool {
        self.shown.is_counted()
    }

    /// Keys of which a reading has something else than is true.
    pub(crate) fn differing(&self, reading: Reading) -> impl Iterator<Item = &Arc<str>> {
        self.window.differing(reading)
    }

    /// Whether clients are shown a key. One of which the leave is on its way is not, whoever comes under it from now on.
    pub(crate) fn shows(&self, key: &str) -> bool {
        self.shown.contains(key)
    }

    /// The keys that a client which joins is shown, when it is not shown all.
    pub(crate) fn shown_keys(&self) -> Vec<Arc<str>> {
        let Shown::Some { keys, .. } = &self.shown else { return Vec::new() };
        let leaving = self.window.flight_keys().filter(|key| !keys.contains(*key));
        keys.iter().chain(leaving).cloned().collect()
    }

    /// What a reading has of a key, given what is true of it.
    pub(crate) fn read_key(&self, reading: Reading, key: &str, metas: Vec<EncodedMeta>) -> Vec<EncodedMeta> {
        self.window.read_key(reading, key, metas)
    }
}

type KeyedMeta = (Arc<str>, EncodedMeta);

/// The meta in whose place one came, out of those that left at the same time.
fn take_exact<'a>(leaves: &mut [Option<&'a KeyedMeta>], (key, new): &KeyedMeta) -> Option<&'a EncodedMeta> {
    let previous = new.previous()?;
    let is_it = |leave: &&mut Option<&KeyedMeta>| {
        leave.is_some_and(|(other, old)| other == key && old.reference() == previous)
    };
    leaves.iter_mut().find(is_it)?.take().map(|(_, old)| old)
}

/// A node that missed an update in between does not know the meta by its ref: any other of the key will do.
fn take_unknown<'a>(leaves: &mut [Option<&'a KeyedMeta>], (key, new): &KeyedMeta) -> Option<&'a EncodedMeta> {
    new.previous()?;
    let is_of_key = |leave: &&mut Option<&KeyedMeta>| leave.is_some_and(|(other, _)| other == key);
    leaves.iter_mut().find(is_of_key)?.take().map(|(_, old)| old)
}
