//! Changes on their way to observers and clients.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::TopicDiff;
use super::table::Table;

/// What changes at one moment, by topic.
#[derive(Default)]
pub(super) struct Changes {
    diffs: Vec<TopicDiff>,
    index: HashMap<Arc<str>, usize>,
}

impl Changes {
    /// Makes an entry visible.
    pub(super) fn join(&mut self, table: &mut Table, entry: u32) {
        table.show(entry);
        let (topic, key, meta) = table.describe(entry);
        self.diff(topic).joins.push((key.clone(), meta.clone()));
    }

    /// Makes an entry invisible.
    pub(super) fn leave(&mut self, table: &mut Table, entry: u32) {
        let (topic, key, meta) = table.describe(entry);
        self.diff(topic).leaves.push((key.clone(), meta.clone()));
        table.hide(entry);
    }

    pub(super) fn into_queue(self, queue: &mut VecDeque<TopicDiff>) {
        queue.extend(self.diffs);
    }

    fn diff(&mut self, topic: &Arc<str>) -> &mut TopicDiff {
        // Nearly always all changes are on one topic.
        let is_last = self.diffs.last().is_some_and(|diff| diff.topic == *topic);
        let at = match is_last {
            true => self.diffs.len() - 1,
            false => self.find(topic),
        };
        &mut self.diffs[at]
    }

    fn find(&mut self, topic: &Arc<str>) -> usize {
        if let Some(at) = self.index.get(topic) {
            return *at;
        }
        let at = self.diffs.len();
        self.diffs.push(TopicDiff { topic: topic.clone(), joins: Vec::new(), leaves: Vec::new() });
        self.index.insert(topic.clone(), at);
        at
    }
}
