//! Connections that a thread of their own runs, one thread for each core; see DESIGN.md.

mod batch;
mod input;
mod lane;
mod queue;
mod run;
mod stream;
mod subs;
mod topics;
mod watch;

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bennu_protocol::Topic;
use bennu_protocol::websocket::Decoder;
use bennu_pubsub::PubSub;
use metrics::Counter;
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

pub(crate) use batch::{Run, Sent};
pub(crate) use lane::Audience;
pub(crate) use queue::{Missed, ShardBounds};
pub(crate) use stream::ShardStream;
pub(crate) use topics::Pulled;

use crate::connection::Connection;
use queue::Queue;
use run::Runner;
use topics::{Key, Topics};

/// All shards of an endpoint. They end with the runtime that was current when they were started, or with this.
pub(crate) struct Shards {
    crew: Arc<Crew>,
    /// Ends the shards when the runtime drops it.
    watch: AbortHandle,
}

/// What a shard is started with.
#[derive(Clone)]
pub(crate) struct ShardStart {
    pub(crate) pubsub: PubSub,
    pub(crate) bounds: ShardBounds,
    /// Counts broadcasts that were lost.
    pub(crate) lost_total: Counter,
}

/// The shards that run, and how another is started.
struct Crew {
    start: ShardStart,
    runtime: Handle,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    all: Vec<Arc<Shard>>,
    /// Whether there will be no others.
    has_ended: bool,
}

/// What a shard shares with other threads.
pub(crate) struct Shard {
    queue: Arc<Queue>,
    topics: Mutex<Topics>,
    /// Whether anything waits in the topics.
    is_dirty: AtomicBool,
    /// How often its thread has looked after its sockets.
    turns: AtomicU64,
    /// The connection that was run last.
    running: AtomicU64,
}

/// A connection's place in its shard.
pub(crate) struct Seat {
    shard: Arc<Shard>,
    key: Key,
}

/// A connection on its way to its shard.
pub(crate) struct Arrival {
    pub(crate) tcp: TcpStream,
    /// What the client sent behind its handshake.
    pub(crate) early: Box<[u8]>,
    pub(crate) connection: Connection,
    pub(crate) decoder: Decoder,
    /// Given back when the stream is closed.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

impl Shards {
    /// Starts so many shards in the current runtime.
    ///
    /// # Errors
    ///
    /// When the system has no more threads or files.
    pub(crate) fn start(count: usize, start: ShardStart) -> io::Result<Self> {
        let runtime = Handle::current();
        let crew = Arc::new(Crew { start, runtime: runtime.clone(), members: Mutex::default() });
        // A shard cannot outlive the runtime that its handlers need.
        let end = EndOnDrop(crew.clone());
        for number in 0..count {
            let shard = crew.start_one(number)?;
            crew.members.lock().all.push(shard);
        }
        let watch = runtime.spawn(async move { watch::watch(&end.0).await });
        Ok(Shards { crew, watch: watch.abort_handle() })
    }

    /// Whether they take connections: not after their runtime has ended.
    pub(crate) fn are_running(&self) -> bool {
        !self.crew.members.lock().has_ended
    }

    /// Gives a connection to the shard that has the fewest. One that died is replaced before.
    ///
    /// # Errors
    ///
    /// When there is no shard, and none can be started.
    pub(crate) fn admit(&self, arrival: Arrival) -> io::Result<()> {
        self.crew.least()?.queue.arrive(arrival);
        Ok(())
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.crew.end();
        // Else it would keep their memory and their wakers' files as long as the runtime lives.
        self.watch.abort();
    }
}

impl Crew {
    fn start_one(&self, number: usize) -> io::Result<Arc<Shard>> {
        let ShardStart { pubsub, bounds, lost_total } = self.start.clone();
        let poll = mio::Poll::new()?;
        let queue = Queue::new(mio::Waker::new(poll.registry(), run::WAKER)?, bounds, lost_total);
        let shard = Arc::new(Shard::new(queue));
        let runner = Runner::new(poll, shard.clone(), pubsub);
        let entered = self.runtime.clone();
        let thread = std::thread::Builder::new().name(format!("bennu-shard-{number}"));
        thread.spawn(move || {
            // Handlers find the application's timers, tasks and pools.
            let _entered = entered.enter();
            runner.run();
        })?;
        Ok(shard)
    }

    fn least(&self) -> io::Result<Arc<Shard>> {
        let replaced = self.replace_dead();
        let members = self.members.lock();
        let running = members.all.iter().filter(|shard| !shard.queue.stops());
        let least = running.min_by_key(|shard| shard.queue.connections()).cloned();
        drop(members);
        match (least, replaced) {
            (Some(shard), replaced) => {
                if let Err(error) = replaced {
                    tracing::error!(%error, "a shard that died cannot be replaced yet");
                }
                Ok(shard)
            }
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(io::Error::other("the shards have ended")),
        }
    }

    fn replace_dead(&self) -> io::Result<()> {
        let mut members = self.members.lock();
        let Members { all, has_ended: false } = &mut *members else { return Ok(()) };
        for (number, shard) in all.iter_mut().enumerate() {
            if shard.queue.stops() {
                *shard = self.start_one(number)?;
            }
        }
        Ok(())
    }

    fn end(&self) {
        let mut members = self.members.lock();
        members.has_ended = true;
        members.all.iter().for_each(|shard| shard.queue.stop());
    }
}

struct EndOnDrop(Arc<Crew>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Shard {
    fn new(queue: Arc<Queue>) -> Self {
        Shard {
            queue,
            topics: Mutex::default(),
            is_dirty: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            running: AtomicU64::new(0),
        }
    }

    /// The topics, with all that was broadcast until now.
    fn absorbed(&self) -> MutexGuard<'_, Topics> {
        let mut topics = self.topics.lock();
        topics.absorb(&self.queue);
        self.is_dirty.store(topics.is_dirty(), Ordering::Relaxed);
        topics
    }
}

impl Seat {
    /// Has the connection polled.
    pub(crate) fn schedule(&self) {
        self.shard.queue.wake(self.key);
    }

    /// How many broadcasts the shard was given so far.
    pub(crate) fn delivered(&self) -> u64 {
        self.shard.queue.delivered()
    }

    /// Adds a subscription, and returns the topic in the memory that all share who have one.
    pub(crate) fn subscribe(
        &self,
        pubsub: &PubSub,
        topic: Topic,
        token: u64,
        audience: Option<Audience>,
    ) -> Topic {
        let mut topics = self.shard.topics.lock();
        let topic = topics.subscribe(&self.shard.queue, pubsub, topic, (self.key, token), audience);
        self.shard.is_dirty.store(topics.is_dirty(), Ordering::Relaxed);
        topic
    }

    /// Ends a subscription, and takes what was broadcast to it until now.
    pub(crate) fn unsubscribe(&self, pubsub: &PubSub, topic: &str, token: u64, owner: u64) -> Vec<Pulled> {
        let mut topics = self.shard.absorbed();
        topics.unsubscribe(pubsub, topic, (self.key, token), owner)
    }

    /// Takes what was broadcast to the connection's channels until now.
    pub(crate) fn pull(&self, owner: u64) -> Vec<Pulled> {
        match self.may_pull() {
            true => self.shard.absorbed().pull(self.key, owner),
            false => Vec::new(),
        }
    }

    /// Whether anything was broadcast that the shard has not delivered to all.
    pub(crate) fn may_pull(&self) -> bool {
        // What another thread broadcast before it sent something is seen by who has seen that.
        self.shard.queue.has_deliveries() || self.shard.is_dirty.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn shards_that_are_dropped_leave_nothing_in_the_runtime() {
        let start = ShardStart {
            pubsub: PubSub::local(),
            bounds: ShardBounds { bytes: 1 << 20, broadcasts: 1_000 },
            lost_total: Counter::noop(),
        };
        let shards = Shards::start(2, start).unwrap();
        let one = Arc::downgrade(&shards.crew.members.lock().all[0]);
        drop(shards);
        let gone = async {
            while one.strong_count() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), gone).await.expect("somebody keeps a shard");
    }
}
