//! Connecting again and again, and what happens while connected.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use async_nats::{Client, RequestErrorKind, Subscriber};
use bennu_pubsub::{Adapter, Change, Link, Packet, Subject};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

use crate::connection::{Connection, News};
use crate::nats::Nats;

/// Between subject parts.
const SEPARATOR: char = '.';

/// Packets that are published before the next flush.
const BATCH: usize = 64;

/// The longest pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A connection that held so long was a good one: the next pause is a first one.
const STABLE: Duration = Duration::from_secs(10);

/// How long the server may take to confirm subscriptions.
const CONFIRMATION: Duration = Duration::from_secs(1);

/// How long the end may take.
const FAREWELL: Duration = Duration::from_secs(2);

impl Adapter for Nats {
    fn engine(&self) -> &'static str {
        "nats"
    }

    fn run(self: Box<Self>, link: Link) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { self.stay_connected(&link).await })
    }
}

impl Nats {
    /// Until the link is closed.
    async fn stay_connected(&self, link: &Link) {
        let inbox = format!("{}.answers", link.subject_name(&Subject::Everyone, SEPARATOR));
        let mut failures = 0_u32;
        let mut turn = random(u32::MAX) as usize;
        loop {
            let server = &self.servers[turn % self.servers.len()];
            let connected = tokio::select! {
                connected = self.connect(server, &inbox) => connected,
                () = link.closed() => return,
            };
            let since = Instant::now();
            let reason = match connected {
                Ok(connection) => match serve(connection, link).await {
                    Some(reason) => reason,
                    None => return,
                },
                Err(reason) => reason,
            };
            link.down(format_args!("{server}: {reason}"));
            failures = if since.elapsed() > STABLE { 0 } else { failures.saturating_add(1) };
            turn = turn.wrapping_add(1);
            // Another server may be well, so only the round of all of them is slowed down.
            let rounds = failures / u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
            tokio::select! {
                () = tokio::time::sleep(pause(rounds)) => {}
                () = link.closed() => return,
            }
        }
    }
}

/// A random time from a half of what is due to all of it, so that nodes which lost one server do not come back at one moment.
fn pause(failures: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_PAUSE);
    let longest = u32::try_from(longest.as_millis()).unwrap_or(u32::MAX);
    Duration::from_millis(u64::from(longest / 2 + random(longest / 2)))
}

/// From 0 to `most`; not to be relied on for secrets.
fn random(most: u32) -> u32 {
    // Without the operating system's randomness all wait the same, and everything else works.
    getrandom::u32().unwrap_or_default() % most.saturating_add(1).max(1)
}

/// Carries packets until the connection ends, which is told, or the link is closed.
async fn serve(connection: Connection, link: &Link) -> Option<String> {
    let Connection { client, mut news } = connection;
    let mut subscriptions = Subscriptions::new(link.clone());
    let ended = tokio::select! {
        reason = end(&mut news) => Some(reason),
        reason = carry(&client, &mut subscriptions, link) => Some(reason),
        () = link.closed() => None,
    };
    if ended.is_none() {
        // What cannot be sent in time is lost, and the others will notice.
        let _ = timeout(FAREWELL, farewell(&client, link)).await;
    }
    drop(client);
    // What has arrived is handed over before a next connection brings more.
    let _ = timeout(FAREWELL, subscriptions.end()).await;
    ended
}

/// Why the connection ended, once it has.
async fn end(news: &mut mpsc::Receiver<News>) -> String {
    let mut slow = false;
    loop {
        match news.recv().await {
            Some(News::Ended(reason)) => return reason,
            Some(News::Slow) if slow => {}
            Some(News::Slow) => {
                slow = true;
                tracing::warn!("packets of other nodes come faster than they can be taken; some are dropped");
            }
            None => return "the connection was closed".to_owned(),
        }
    }
}

/// Subscribes and publishes; returns why it cannot go on.
async fn carry(client: &Client, subscriptions: &mut Subscriptions, link: &Link) -> String {
    let wanted = link.wanted();
    let changes = wanted.iter().copied().map(Change::Subscribe).collect();
    if let Err(reason) = subscriptions.change(client, changes).await {
        return reason;
    }
    link.subscribed(&wanted);
    link.up(client.max_payload());
    let Err(reason) = tokio::select! {
        ended = follow(client, subscriptions, link) => ended,
        ended = publish(client, link) => ended,
    };
    reason
}

/// Keeps up with what is wanted.
async fn follow(client: &Client, subscriptions: &mut Subscriptions, link: &Link) -> Result<Never, String> {
    loop {
        let changes = link.changed().await;
        let fresh: Vec<Subject> = changes.iter().filter_map(fresh).collect();
        subscriptions.change(client, changes).await?;
        link.subscribed(&fresh);
    }
}

fn fresh(change: &Change) -> Option<Subject> {
    match change {
        Change::Subscribe(subject) => Some(*subject),
        Change::Unsubscribe(_) => None,
    }
}

/// Publishes what comes.
async fn publish(client: &Client, link: &Link) -> Result<Never, String> {
    loop {
        let mut batch = Batch { link, packets: link.outgoing(BATCH).await };
        batch.publish(client).await?;
    }
}

/// Sends what is left.
async fn farewell(client: &Client, link: &Link) -> Result<(), String> {
    loop {
        let mut batch = Batch { link, packets: link.take(BATCH) };
        if batch.packets.is_empty() {
            // What the server has read cannot be lost by our closing.
            return confirm(client, link).await;
        }
        batch.publish(client).await?;
    }
}

/// What never is: these loops end with an error alone.
enum Never {}

/// Packets that go back to the link unless they have been handed to the operating system.
struct Batch<'a> {
    link: &'a Link,
    packets: Vec<Packet>,
}

impl Batch<'_> {
    async fn publish(&mut self, client: &Client) -> Result<(), String> {
        for packet in &self.packets {
            let subject = self.link.subject_name(&packet.subject, SEPARATOR);
            client.publish(subject, packet.bytes.clone()).await.map_err(|error| error.to_string())?;
        }
        client.flush().await.map_err(|error| error.to_string())?;
        self.packets.clear();
        Ok(())
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if !self.packets.is_empty() {
            // Those that did arrive come twice, and are recognised.
            self.link.put_back(std::mem::take(&mut self.packets));
        }
    }
}

/// A task for each subscription, as the library has a queue for each.
struct Subscriptions {
    link: Link,
    tasks: JoinSet<()>,
    by_subject: HashMap<Subject, AbortHandle>,
}

impl Subscriptions {
    fn new(link: Link) -> Self {
        Subscriptions { link, tasks: JoinSet::new(), by_subject: HashMap::new() }
    }

    /// Returns when the server has taken note.
    async fn change(&mut self, client: &Client, changes: Vec<Change>) -> Result<(), String> {
        for change in changes {
            match change {
                Change::Subscribe(subject) => {
                    let name = self.link.subject_name(&subject, SEPARATOR);
                    let subscriber = client.subscribe(name).await.map_err(|error| error.to_string())?;
                    let task = self.tasks.spawn(hand_over(subscriber, subject, self.link.clone()));
                    self.by_subject.insert(subject, task);
                }
                Change::Unsubscribe(subject) => {
                    // The library unsubscribes when the subscriber is dropped.
                    if let Some(task) = self.by_subject.remove(&subject) {
                        task.abort();
                    }
                }
            }
        }
        while self.tasks.try_join_next().is_some() {}
        confirm(client, &self.link).await
    }

    /// Hands over what has arrived; the connection is gone, so nothing follows.
    async fn end(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn hand_over(mut subscriber: Subscriber, subject: Subject, link: Link) {
    while let Some(message) = subscriber.next().await {
        link.received(&subject, message.payload);
    }
}

/// Waits until the server has read all that was written before.
///
/// The library has no question for that, so this asks for something on a subject that nobody has, and the server says so.
/// If somebody listens to all subjects, perhaps to see what is going on, nobody says anything, and time has to do.
async fn confirm(client: &Client, link: &Link) -> Result<(), String> {
    let everyone = link.subject_name(&Subject::Everyone, SEPARATOR);
    let asked = timeout(CONFIRMATION, client.request(format!("{everyone}.is.it.there"), Bytes::new())).await;
    match asked {
        Err(_) | Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use bennu_engines::{NatsServer, Proxy};
    use bennu_pubsub::{ClusterOptions, PubSub};
    use tokio::sync::oneshot;

    use super::*;

    /// An adapter that leaves its link to the test.
    struct Handed(oneshot::Sender<Link>);

    impl Adapter for Handed {
        fn engine(&self) -> &'static str {
            "none"
        }

        fn run(self: Box<Self>, link: Link) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            self.0.send(link).expect("the test waits for it");
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn what_a_connection_did_not_take_is_for_the_next_one() {
        let (handed, link) = oneshot::channel();
        let options = ClusterOptions::new("a secret of twenty bytes");
        let pubsub = PubSub::cluster(Handed(handed), options).unwrap();
        let link = link.await.unwrap();
        link.up(1 << 20);
        let server = NatsServer::start().await.unwrap();
        let proxy = Proxy::start(server.address()).await.unwrap();
        let nats = Nats::from_url(&proxy.url(&server.url())).unwrap();
        let mut connection = nats.connect(&nats.servers[0], "inbox").await.unwrap();
        proxy.cut();
        while connection.news.recv().await.is_some() {}

        for topic in ["one", "two", "three"] {
            pubsub.broadcast(topic, 1_u32);
        }
        let mut batch = Batch { link: &link, packets: link.outgoing(BATCH).await };
        let taken = batch.packets.clone();
        assert!(batch.publish(&connection.client).await.is_err());
        drop(batch);
        let bytes =
            |packets: &[Packet]| packets.iter().map(|packet| packet.bytes.clone()).collect::<Vec<_>>();
        let again = link.take(BATCH);
        assert_eq!(bytes(&again)[..taken.len()], bytes(&taken));
    }

    #[test]
    fn pauses_grow_and_end_at_five_seconds() {
        for (failures, longest) in [(0, 100), (1, 200), (3, 800), (6, 5_000), (60, 5_000), (u32::MAX, 5_000)]
        {
            for _ in 0..100 {
                let pause = pause(failures).as_millis();
                assert!((longest / 2..=longest).contains(&pause), "{failures}: {pause}");
            }
        }
    }
}
