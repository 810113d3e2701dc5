//! Connections that a thread of their own runs, one thread for each core; see DESIGN.md.

mod batch;
mod lane;
mod queue;
mod run;
mod stream;
mod subs;
mod topics;

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bennu_protocol::Topic;
use bennu_protocol::websocket::Decoder;
use bennu_pubsub::PubSub;
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

pub(crate) use batch::{Run, Sent};
pub(crate) use lane::Audience;
pub(crate) use stream::ShardStream;
pub(crate) use topics::Pulled;

use crate::connection::Connection;
use queue::Queue;
use run::Runner;
use topics::{Key, Topics};

/// All shards of an endpoint. They end with the runtime that was current when they were started, or with this.
pub(crate) struct Shards {
    all: Vec<Arc<Shard>>,
    /// Ends the shards when the runtime drops it.
    watch: Option<AbortHandle>,
}

/// What a shard shares with other threads.
pub(crate) struct Shard {
    queue: Arc<Queue>,
    topics: Mutex<Topics>,
    /// Whether anything waits in the topics.
    is_dirty: AtomicBool,
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
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let runtime = Handle::current();
        let mut shards = Shards { all: Vec::with_capacity(count), watch: None };
        for number in 0..count {
            let poll = mio::Poll::new()?;
            let queue = Queue::new(mio::Waker::new(poll.registry(), run::WAKER)?);
            let shard = Arc::new(Shard { queue, topics: Mutex::default(), is_dirty: AtomicBool::new(false) });
            shards.all.push(shard.clone());
            let runner = Runner::new(poll, shard.clone());
            let entered = runtime.clone();
            let thread = std::thread::Builder::new().name(format!("bennu-shard-{number}"));
            thread.spawn(move || {
                // Handlers find the application's timers, tasks and pools.
                let _entered = entered.enter();
                // Nobody is let in any more if it panics.
                let _end = StopOnDrop(vec![shard]);
                runner.run();
            })?;
        }
        // A shard cannot outlive the runtime that its handlers need.
        let end = StopOnDrop(shards.all.clone());
        let watch = runtime.spawn(async move {
            let _end = end;
            std::future::pending::<()>().await;
        });
        shards.watch = Some(watch.abort_handle());
        Ok(shards)
    }

    /// Whether they take connections: not after their runtime has ended.
    pub(crate) fn are_running(&self) -> bool {
        self.all.iter().all(|shard| !shard.queue.stops())
    }

    /// Gives a connection to the shard that has the fewest.
    pub(crate) fn admit(&self, arrival: Arrival) {
        let shard = self.all.iter().min_by_key(|shard| shard.queue.connections());
        shard.expect("there is at least one shard").queue.arrive(arrival);
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.all.iter().for_each(|shard| shard.queue.stop());
        // Else it would keep their memory and their wakers' files as long as the runtime lives.
        self.watch.iter().for_each(AbortHandle::abort);
    }
}

impl Shard {
    /// The topics, with all that was broadcast until now.
    fn absorbed(&self) -> MutexGuard<'_, Topics> {
        let mut topics = self.topics.lock();
        topics.absorb(&self.queue);
        self.is_dirty.store(topics.is_dirty(), Ordering::Relaxed);
        topics
    }
}

struct StopOnDrop(Vec<Arc<Shard>>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.iter().for_each(|shard| shard.queue.stop());
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
        let Shard { queue, is_dirty, .. } = &*self.shard;
        // What another thread broadcast before it sent something is seen by who has seen that.
        if !queue.has_deliveries() && !is_dirty.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.shard.absorbed().pull(self.key, owner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn shards_that_are_dropped_leave_nothing_in_the_runtime() {
        let shards = Shards::start(2).unwrap();
        let one = Arc::downgrade(&shards.all[0]);
        drop(shards);
        let gone = async {
            while one.strong_count() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), gone).await.expect("somebody keeps a shard");
    }
}
