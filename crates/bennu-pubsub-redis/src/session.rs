//! A session with the server, and then the next.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bennu_pubsub::{Change, Link, Packet};
use redis::Pipeline;
use redis::aio::MultiplexedConnection;
use tokio::select;
use tokio::time::{Instant, sleep};

use crate::adapter::Redis;
use crate::backoff::{Backoff, random};
use crate::connection::{Connections, SEPARATOR, ping, send};
use crate::failure::Failure;

/// The most commands in one round trip.
const BATCH: usize = 512;

/// The most bytes in one round trip, unless one packet has more: what is in flight when a connection ends is sent again.
const BATCH_BYTES: usize = 1 << 20;

/// Sessions, one after another, until the PubSub is gone.
pub(crate) async fn run(redis: Box<Redis>, link: Link) {
    let mut backoff = Backoff::new();
    while let Err(failure) = session(&redis, &link, &mut backoff).await {
        link.down(failure);
        select! {
            () = sleep(backoff.pause(random())) => {}
            () = link.closed() => return,
        }
    }
}

/// Is over in peace when the PubSub is gone.
async fn session(redis: &Redis, link: &Link, backoff: &mut Backoff) -> Result<(), Failure> {
    let mut connections = select! {
        connections = open(redis, link) => connections?,
        () = link.closed() => return Ok(()),
    };
    link.up(redis.max_packet);
    let since = Instant::now();
    let mut publisher = connections.publisher.clone();
    let (follower, watched) = (connections.subscriber.clone(), connections.subscriber.clone());
    let arrived = Arc::clone(&connections.arrived);
    let failure = select! {
        failure = publish(redis, link, &mut publisher) => failure,
        failure = follow(redis, link, follower) => failure,
        failure = watch(redis, watched, || arrived.load(Ordering::Relaxed)) => failure,
        () = connections.ended() => Failure::Closed,
        () = link.closed() => return flush(redis, link, &mut publisher).await,
    };
    backoff.ended(since.elapsed());
    Err(failure)
}

/// Connects, and subscribes to all that is wanted.
async fn open(redis: &Redis, link: &Link) -> Result<Connections, Failure> {
    let mut connections = Connections::open(redis, link).await?;
    let wanted: Vec<Change> = link.wanted().into_iter().map(Change::Subscribe).collect();
    subscribe(redis, link, &mut connections.subscriber, &wanted).await?;
    Ok(connections)
}

/// Publishes what goes out.
async fn publish(redis: &Redis, link: &Link, publisher: &mut MultiplexedConnection) -> Failure {
    loop {
        let taken = Taken { link, packets: link.outgoing(BATCH).await };
        if let Err(failure) = publish_all(redis, publisher, taken).await {
            return failure;
        }
    }
}

/// Publishes what is left when the PubSub is gone.
async fn flush(redis: &Redis, link: &Link, publisher: &mut MultiplexedConnection) -> Result<(), Failure> {
    loop {
        let taken = Taken { link, packets: link.take(BATCH) };
        if taken.packets.is_empty() {
            return Ok(());
        }
        // Nobody is left to be told of a failure.
        if publish_all(redis, publisher, taken).await.is_err() {
            return Ok(());
        }
    }
}

async fn publish_all(
    redis: &Redis,
    publisher: &mut MultiplexedConnection,
    mut taken: Taken<'_>,
) -> Result<(), Failure> {
    let command = if redis.sharded { "SPUBLISH" } else { "PUBLISH" };
    while let Some((count, bytes)) = taken.batch() {
        let mut commands = Pipeline::with_capacity(count);
        for packet in &taken.packets[..count] {
            let channel = taken.link.subject_name(&packet.subject, SEPARATOR);
            commands.cmd(command).arg(channel).arg(&packet.bytes[..]).ignore();
        }
        send(publisher, &commands, bytes, redis).await?;
        taken.packets.drain(..count);
    }
    Ok(())
}

/// Packets that were taken out of the queue. They go back when they are dropped before they are published: whether the server
/// had them is not known, and receivers drop what they have had.
struct Taken<'a> {
    link: &'a Link,
    packets: Vec<Packet>,
}

impl Taken<'_> {
    /// How many packets are next in one round trip, and their bytes.
    fn batch(&self) -> Option<(usize, usize)> {
        let (mut count, mut bytes) = (0, 0);
        for packet in &self.packets {
            if count > 0 && bytes + packet.bytes.len() > BATCH_BYTES {
                break;
            }
            (count, bytes) = (count + 1, bytes + packet.bytes.len());
        }
        (count > 0).then_some((count, bytes))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.packets.is_empty() {
            self.link.put_back(std::mem::take(&mut self.packets));
        }
    }
}

/// Subscribes to what becomes wanted, and unsubscribes from what no longer is.
async fn follow(redis: &Redis, link: &Link, mut subscriber: MultiplexedConnection) -> Failure {
    loop {
        let changes = link.changed().await;
        if let Err(failure) = subscribe(redis, link, &mut subscriber, &changes).await {
            return failure;
        }
    }
}

/// One command for each subject, as many as there may be in a round trip: each has one answer, whatever becomes of the others.
async fn subscribe(
    redis: &Redis,
    link: &Link,
    subscriber: &mut MultiplexedConnection,
    changes: &[Change],
) -> Result<(), Failure> {
    let [on, off] = match redis.sharded {
        true => ["SSUBSCRIBE", "SUNSUBSCRIBE"],
        false => ["SUBSCRIBE", "UNSUBSCRIBE"],
    };
    for changes in changes.chunks(BATCH) {
        let mut commands = Pipeline::with_capacity(changes.len());
        let mut subscribed = Vec::new();
        for change in changes {
            let (command, subject) = match change {
                Change::Subscribe(subject) => {
                    subscribed.push(*subject);
                    (on, subject)
                }
                Change::Unsubscribe(subject) => (off, subject),
            };
            commands.cmd(command).arg(link.subject_name(subject, SEPARATOR)).ignore();
        }
        send(subscriber, &commands, 0, redis).await?;
        link.subscribed(&subscribed);
    }
    Ok(())
}

/// Asks the subscriptions' connection for signs of life, which would else be silent when nothing is broadcast. The other one
/// needs none: it awaits answers to all that it sends.
async fn watch(redis: &Redis, mut subscriber: MultiplexedConnection, arrived: impl Fn() -> u64) -> Failure {
    loop {
        sleep(redis.timeout).await;
        let before = arrived();
        let Err(failure) = ping(&mut subscriber, redis).await else { continue };
        // An answer may have to wait behind a flood, and a flood is a sign of life.
        if !matches!(failure, Failure::Silent(_)) || arrived() == before {
            return failure;
        }
    }
}
