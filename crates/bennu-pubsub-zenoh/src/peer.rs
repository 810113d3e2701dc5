//! This node among the others.

use std::collections::HashMap;
use std::time::Duration;

use bennu_pubsub::{Change, Link, Packet, Subject};
use bytes::Bytes;
use zenoh::pubsub::Subscriber;
use zenoh::qos::CongestionControl;
use zenoh::query::{ConsolidationMode, QueryTarget, Queryable};
use zenoh::sample::{Locality, Sample};
use zenoh::{Config, Session, Wait};

use crate::session::Failure;
use crate::worker::Worker;

/// Subjects are key expressions, whose parts Zenoh separates so.
const SEPARATOR: char = '/';

/// A session and its threads. One publishes, and waits while another node does not keep up; the other does the rest.
pub(crate) struct Peer {
    publisher: Worker<Session>,
    subscriber: Worker<Subscriptions>,
}

/// What the session has declared to the other nodes.
struct Subscriptions {
    session: Session,
    subscribers: HashMap<Subject, Subscriber<()>>,
    /// What answers other nodes' barriers.
    _echo: Queryable<()>,
    /// The key of all nodes' echoes.
    echoes: String,
    /// How long a barrier waits.
    patience: Duration,
}

impl Peer {
    pub(crate) async fn open(
        settings: impl FnOnce() -> Result<Config, Failure> + Send + 'static,
        link: &Link,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let everyone = link.subject_name(&Subject::Everyone, SEPARATOR);
        let open = move || Subscriptions::open(settings()?, &everyone, patience);
        let subscriber = Worker::start("bennu-zenoh", open).await?;
        let session = subscriber.run(|subscriptions| subscriptions.session.clone()).await?;
        let publisher = Worker::start("bennu-zenoh-publish", || Ok(session)).await?;
        Ok(Self { publisher, subscriber })
    }

    /// Publishes packets in order, and returns when the last is on its way to all nodes. What could not be published goes back.
    pub(crate) async fn publish(&self, link: &Link, packets: Vec<Packet>) -> Result<(), Failure> {
        let link = link.clone();
        self.publisher.run(move |session| publish(session, &link, packets)).await?
    }

    /// Makes changes, and returns what is subscribed to once all nodes know.
    pub(crate) async fn subscribe(&self, link: &Link, changes: Vec<Change>) -> Result<Vec<Subject>, Failure> {
        let link = link.clone();
        self.subscriber.run(move |subscriptions| subscriptions.change(&link, changes)).await?
    }

    /// Waits until the other nodes have what was published, and leaves them.
    pub(crate) async fn close(self) {
        let close = |subscriptions: &mut Subscriptions| {
            // Both fail when the session is closed, which is what is wanted. Closing drops what is still on its way.
            subscriptions.barrier().is_ok() && subscriptions.session.close().wait().is_ok()
        };
        let _ = self.subscriber.run(close).await;
    }
}

fn publish(session: &Session, link: &Link, packets: Vec<Packet>) -> Result<(), Failure> {
    let mut packets = packets.into_iter();
    while let Some(packet) = packets.next() {
        // Blocking rather than dropping: the queue behind it is bounded and counts, and Zenoh's would drop at every burst.
        // A node that takes nothing is cut off after a while, see the settings.
        let put = session
            .put(link.subject_name(&packet.subject, SEPARATOR), packet.bytes.clone())
            .congestion_control(CongestionControl::Block)
            .allowed_destination(Locality::Remote);
        if let Err(error) = put.wait() {
            link.put_back([packet].into_iter().chain(packets).collect());
            return Err(Failure::Refused(error));
        }
    }
    Ok(())
}

impl Subscriptions {
    fn open(config: Config, everyone: &str, patience: Duration) -> Result<Self, Failure> {
        let session = zenoh::open(config).wait().map_err(Failure::Open)?;
        let key = format!("{everyone}/echo/{}", session.zid());
        // A query that is let go of is answered: it ends, with nothing in it.
        let echo = session.declare_queryable(key).callback(drop).wait().map_err(Failure::Refused)?;
        let echoes = format!("{everyone}/echo/*");
        Ok(Self { session, subscribers: HashMap::new(), _echo: echo, echoes, patience })
    }

    fn change(&mut self, link: &Link, changes: Vec<Change>) -> Result<Vec<Subject>, Failure> {
        let mut subscribed = Vec::new();
        for change in changes {
            match change {
                Change::Subscribe(subject) => {
                    let subscriber = self.subscriber(link, subject)?;
                    self.subscribers.insert(subject, subscriber);
                    subscribed.push(subject);
                }
                Change::Unsubscribe(subject) => {
                    self.subscribers.remove(&subject);
                }
            }
        }
        if !subscribed.is_empty() {
            self.barrier()?;
        }
        Ok(subscribed)
    }

    fn subscriber(&self, link: &Link, subject: Subject) -> Result<Subscriber<()>, Failure> {
        let key = link.subject_name(&subject, SEPARATOR);
        let link = link.clone();
        let receive = move |sample: Sample| {
            link.received(&subject, Bytes::copy_from_slice(&sample.payload().to_bytes()));
        };
        let subscriber = self.session.declare_subscriber(key).allowed_origin(Locality::Remote);
        subscriber.callback(receive).wait().map_err(Failure::Refused)
    }

    /// Returns when all nodes know what was declared before. Nobody acknowledges a declaration, but a query goes the same way
    /// behind it, and ends when all nodes have let it go, or one has been silent for too long.
    fn barrier(&self) -> Result<(), Failure> {
        let query = self
            .session
            .get(&self.echoes)
            .target(QueryTarget::All)
            .consolidation(ConsolidationMode::None)
            .allowed_destination(Locality::Remote)
            .timeout(self.patience);
        let answers = query.wait().map_err(Failure::Refused)?;
        answers.into_iter().for_each(drop);
        Ok(())
    }
}
