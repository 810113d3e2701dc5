//! The task that runs `fetch` and the observer for each change, in the order of each topic.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bennu_protocol::Payload;
use bennu_protocol::presence::{Diff, Presences};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::change::{After, Change};
use crate::shard::Shard;
use crate::telling::News;
use crate::window::Told;
use crate::wire;

pub(crate) type Fetch = Arc<dyn Fn(String, Presences) -> BoxFuture<'static, Presences> + Send + Sync>;
pub(crate) type Observer = Arc<dyn Fn(&Change) + Send + Sync>;

/// Topics of a shard whose news `fetch` is run for at the same time. The others wait for one of them.
const MAX_FETCHING: usize = 64;

/// How long `fetch` may take, unless told otherwise.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// What an application has to say to changes.
#[derive(Clone)]
pub(crate) struct Hooks {
    pub(crate) fetch: Option<Fetch>,
    pub(crate) observer: Option<Observer>,
    /// How long `fetch` may take.
    pub(crate) fetch_timeout: Duration,
    /// How often it took longer.
    late: Arc<AtomicU64>,
}

impl Default for Hooks {
    fn default() -> Self {
        Hooks { fetch: None, observer: None, fetch_timeout: FETCH_TIMEOUT, late: Arc::default() }
    }
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

    /// What `fetch` makes of these presences; what they are without it, if it takes too long.
    pub(crate) async fn fetch(&self, topic: &str, keys: &wire::Keys) -> Presences {
        let presences = wire::presences(keys);
        let Some(fetch) = self.fetch.as_ref().filter(|_| !presences.is_empty()) else { return presences };
        let fetched = tokio::time::timeout(self.fetch_timeout, fetch(topic.to_owned(), presences)).await;
        fetched.unwrap_or_else(|_| {
            self.note_late(topic);
            wire::presences(keys)
        })
    }

    fn note_late(&self, topic: &str) {
        metrics::counter!("bennu_presence_late_fetches_total").increment(1);
        let so_far = self.late.fetch_add(1, Ordering::Relaxed) + 1;
        // One that hangs would fill the log.
        if so_far.is_power_of_two() {
            let timeout = self.fetch_timeout;
            tracing::warn!(
                topic,
                ?timeout,
                so_far,
                "the fetch of a presence takes too long: what it adds is missing"
            );
        }
    }

    async fn fetch_diff(&self, topic: &str, told: &Told) -> Diff {
        let joins = self.fetch_side(topic, &told.joins).await;
        Diff { joins, leaves: self.fetch_side(topic, &told.leaves).await }
    }

    /// If `fetch` panics, the presences are what they were: clients must be told all the same.
    async fn fetch_side(&self, topic: &str, keys: &wire::Keys) -> Presences {
        let fetched = AssertUnwindSafe(self.fetch(topic, keys)).catch_unwind().await;
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

/// Has one topic's news told one after the other, and those of others meanwhile if `fetch` has to be waited for.
async fn run(mut queue: mpsc::UnboundedReceiver<News>, shard: Weak<Shard>, hooks: Hooks) {
    let most = if hooks.fetch.is_some() { MAX_FETCHING } else { 1 };
    let mut telling = FuturesUnordered::new();
    // What waits behind the news of the same topic that are being told.
    let mut behind: HashMap<Arc<str>, VecDeque<News>> = HashMap::new();
    loop {
        tokio::select! {
            biased;
            Some(topic) = telling.next() => {
                match behind.get_mut(&topic).and_then(VecDeque::pop_front) {
                    Some(next) => telling.push(tell(&shard, &hooks, next)),
                    None => drop(behind.remove(&topic)),
                }
            }
            news = queue.recv(), if telling.len() < most => {
                let Some(news) = news else { return };
                if let Some(behind) = behind.get_mut(&news.topic) {
                    behind.push_back(news);
                } else {
                    behind.insert(news.topic.clone(), VecDeque::new());
                    telling.push(tell(&shard, &hooks, news));
                }
            }
        }
    }
}

/// Tells news to clients, and then to the observer. Returns their topic.
async fn tell(shard: &Weak<Shard>, hooks: &Hooks, news: News) -> Arc<str> {
    let mut told = None;
    let mut payload = news.diff();
    if hooks.fetch.is_some() && payload.is_some() {
        let diff = hooks.fetch_diff(&news.topic, &news.shown).await;
        payload = written(&news.topic, &diff).or(payload);
        told = Some(diff);
    }
    if let Some(shard) = shard.upgrade() {
        shard.land(&news, payload);
    }
    if hooks.observer.is_some() && !news.observed().is_empty() {
        let diff = match told.filter(|_| news.all.is_none()) {
            Some(diff) => diff,
            None => hooks.fetch_diff(&news.topic, news.observed()).await,
        };
        let presences = After::new(shard.clone(), news.topic.clone());
        hooks.observe(&Change { topic: news.topic.to_string(), diff, presences });
    }
    news.topic
}

/// Metas are JSON objects, and so is what `fetch` makes of them; writing them cannot fail.
fn written(topic: &str, diff: &Diff) -> Option<Payload> {
    let payload = Payload::json(diff);
    payload.inspect_err(|error| tracing::error!(topic, %error, "a presence diff cannot be written")).ok()
}
