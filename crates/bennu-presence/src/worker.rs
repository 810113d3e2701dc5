//! The task that runs `fetch` and the observer for each change, in order.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};

use bennu_protocol::Payload;
use bennu_protocol::presence::{Diff, Presences};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::change::{After, Change};
use crate::shard::Shard;
use crate::telling::News;
use crate::window::Told;
use crate::wire;

pub(crate) type Fetch = Arc<dyn Fn(String, Presences) -> BoxFuture<'static, Presences> + Send + Sync>;
pub(crate) type Observer = Arc<dyn Fn(&Change) + Send + Sync>;

/// What an application has to say to changes.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) fetch: Option<Fetch>,
    pub(crate) observer: Option<Observer>,
}

/// Ends when the shard it works for is dropped.
pub(crate) struct Worker {
    /// Unbounded, and yet there is at most one piece of news of each topic in it: the next one gathers what happens meanwhile.
    news: mpsc::UnboundedSender<News>,
    task: JoinHandle<()>,
}

impl Hooks {
    pub(crate) fn is_needed(&self) -> bool {
        self.fetch.is_some() || self.observer.is_some()
    }

    /// What `fetch` makes of these presences.
    pub(crate) async fn fetch(&self, topic: &str, presences: Presences) -> Presences {
        match self.fetch.as_ref().filter(|_| !presences.is_empty()) {
            Some(fetch) => fetch(topic.to_owned(), presences).await,
            None => presences,
        }
    }

    async fn fetch_diff(&self, topic: &str, told: &Told) -> Diff {
        let joins = self.fetch_side(topic, &told.joins).await;
        Diff { joins, leaves: self.fetch_side(topic, &told.leaves).await }
    }

    /// If `fetch` panics, the presences are what they were: clients must be told all the same.
    async fn fetch_side(&self, topic: &str, keys: &wire::Keys) -> Presences {
        let fetched = AssertUnwindSafe(self.fetch(topic, wire::presences(keys))).catch_unwind().await;
        fetched.unwrap_or_else(|_| {
            tracing::error!(topic, "the fetch of a presence panicked: what it adds is missing in a diff");
            wire::presences(keys)
        })
    }

    /// A panic of the observer ends what it does for this change alone.
    fn observe(&self, change: &Change) {
        let Some(observer) = &self.observer else { return };
        if std::panic::catch_unwind(AssertUnwindSafe(|| observer(change))).is_err() {
            tracing::error!(topic = change.topic, "an observer of a presence panicked");
        }
    }
}

impl Worker {
    pub(crate) fn start(shard: Weak<Shard>, hooks: Hooks) -> Self {
        let (news, queue) = mpsc::unbounded_channel();
        Worker { news, task: tokio::spawn(run(queue, shard, hooks)) }
    }

    /// Hands news over; it gets them back when its runtime is gone.
    pub(crate) fn send(&self, news: News) -> Result<(), Box<News>> {
        self.news.send(news).map_err(|error| Box::new(error.0))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(mut queue: mpsc::UnboundedReceiver<News>, shard: Weak<Shard>, hooks: Hooks) {
    while let Some(news) = queue.recv().await {
        let mut told = None;
        let mut payload = news.diff();
        if hooks.fetch.is_some() && payload.is_some() {
            let diff = hooks.fetch_diff(&news.topic, &news.shown).await;
            payload = written(&news.topic, &diff).or(payload);
            told = Some(diff);
        }
        let Some(told_by) = shard.upgrade() else { return };
        told_by.land(&news, payload);
        drop(told_by);
        if hooks.observer.is_none() || news.observed().is_empty() {
            continue;
        }
        let diff = match told.filter(|_| news.all.is_none()) {
            Some(diff) => diff,
            None => hooks.fetch_diff(&news.topic, news.observed()).await,
        };
        let presences = After::new(shard.clone(), news.topic.clone());
        hooks.observe(&Change { topic: news.topic.to_string(), diff, presences });
    }
}

/// Metas are JSON objects, and so is what `fetch` makes of them; writing them cannot fail.
fn written(topic: &str, diff: &Diff) -> Option<Payload> {
    let payload = Payload::json(diff);
    payload.inspect_err(|error| tracing::error!(topic, %error, "a presence diff cannot be written")).ok()
}
