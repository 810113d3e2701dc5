//! The task that runs `fetch` and the observer for each change, in order.

use bennu_protocol::presence::{Diff, Presences};
use bennu_pubsub::PubSub;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::tracker::{Fetch, Observer, broadcast};

/// A change of a topic, as an observer hears of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Change {
    /// Where it happened.
    pub topic: String,
    /// What changed, after `fetch`.
    pub diff: Diff,
    /// Who is there after the change, without what `fetch` adds.
    pub presences: Presences,
}

/// Ends when the presence it works for is dropped.
pub(crate) struct Worker {
    /// Unbounded: a change that is not told would leave ghosts, and there are as
    /// many changes as owners make, each of whom is bounded elsewhere.
    changes: mpsc::UnboundedSender<Change>,
    task: JoinHandle<()>,
}

impl Worker {
    pub(crate) fn start(pubsub: PubSub, fetch: Option<Fetch>, observer: Option<Observer>) -> Self {
        let (changes, queue) = mpsc::unbounded_channel();
        let task = tokio::spawn(run(queue, pubsub, fetch, observer));
        Worker { changes, task }
    }

    pub(crate) fn send(&self, change: Change) {
        if self.changes.send(change).is_err() {
            tracing::error!("presence changes are not told any more: fetch or an observer panicked");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    mut queue: mpsc::UnboundedReceiver<Change>,
    pubsub: PubSub,
    fetch: Option<Fetch>,
    observer: Option<Observer>,
) {
    while let Some(mut change) = queue.recv().await {
        if let Some(fetch) = &fetch {
            change.diff.joins = side(fetch, &change.topic, change.diff.joins).await;
            change.diff.leaves = side(fetch, &change.topic, change.diff.leaves).await;
        }
        broadcast(&pubsub, &change.topic, &change.diff);
        if let Some(observer) = &observer {
            observer(&change);
        }
    }
}

async fn side(fetch: &Fetch, topic: &str, presences: Presences) -> Presences {
    match presences.is_empty() {
        true => presences,
        false => fetch(topic.to_owned(), presences).await,
    }
}
