//! This node among the others.

use std::collections::HashMap;
use std::sync::Arc;

use bennu_pubsub::{Change, Link, Packet, Subject};
use bytes::Bytes;
use zenoh::pubsub::Subscriber;
use zenoh::qos::CongestionControl;
use zenoh::sample::{Locality, Sample};
use zenoh::{Session, Wait};

use crate::adapter::Zenoh;
use crate::echo::{self, Echo};
use crate::listen::Places;
use crate::session::Failure;
use crate::settings;
use crate::watch::{Missing, Watch};
use crate::worker::Worker;

/// Subjects are key expressions, whose parts Zenoh separates so.
const SEPARATOR: char = '/';

/// A session and its threads. One publishes, and waits while another node does not keep up; one subscribes; and one looks
/// after the connections, and waits for nodes that do not answer.
pub(crate) struct Peer {
    publisher: Worker<Session>,
    subscriber: Worker<Subscriptions>,
    watch: Worker<Watch>,
}

/// What the session has declared to the other nodes.
struct Subscriptions {
    zenoh: Zenoh,
    places: Places,
    session: Session,
    subscribers: HashMap<Subject, Subscriber<()>>,
    echo: Arc<Echo>,
    /// The key of everyone.
    everyone: String,
}

impl Peer {
    pub(crate) async fn open(zenoh: &Zenoh, link: &Link) -> Result<Self, Failure> {
        let everyone = link.subject_name(&Subject::Everyone, SEPARATOR);
        let zenoh = zenoh.clone();
        let open = move || Subscriptions::open(zenoh, everyone);
        let subscriber = Worker::start("bennu-zenoh", open).await?;
        let watch = subscriber.run(|subscriptions| subscriptions.watch()).await?;
        let session = subscriber.run(|subscriptions| subscriptions.session.clone()).await?;
        let publisher = Worker::start("bennu-zenoh-publish", || Ok(session)).await?;
        let watch = Worker::start("bennu-zenoh-watch", || Ok(watch)).await?;
        Ok(Self { publisher, subscriber, watch })
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

    /// Looks after the connections to other nodes.
    pub(crate) async fn look(&self) -> Result<(), Failure> {
        self.watch.run(Watch::look).await?
    }

    /// Waits until the other nodes have what was published. Until then it may be in a queue of Zenoh's, which the end of the
    /// process or of the session drops.
    pub(crate) async fn flush(&self) -> Result<(), Failure> {
        // Who waited for the last to be published may have stopped waiting.
        self.publisher.run(|_| ()).await?;
        self.subscriber.run(|subscriptions| subscriptions.barrier()).await?
    }

    /// Leaves the other nodes, when they have what was published.
    pub(crate) async fn close(self) {
        // Both fail when the session is closed, which is what is wanted.
        let _ = self.flush().await;
        let _ = self.subscriber.run(|subscriptions| subscriptions.session.close().wait()).await;
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
    fn open(zenoh: Zenoh, everyone: String) -> Result<Self, Failure> {
        let listen = zenoh.listen.as_deref();
        let places = Places::choose(&zenoh.addresses, listen).map_err(Failure::Listen)?;
        let config = settings::config(&zenoh, &places)?;
        let session = zenoh::open(config).wait().map_err(Failure::Open)?;
        let echo = Arc::new(Echo::declare(&session, &everyone)?);
        Ok(Self { zenoh, places, session, subscribers: HashMap::new(), echo, everyone })
    }

    fn watch(&self) -> Watch {
        Watch {
            zenoh: self.zenoh.clone(),
            places: self.places.clone(),
            session: self.session.clone(),
            echo: self.echo.clone(),
            everyone: self.everyone.clone(),
            host: None,
            missing: Missing::default(),
        }
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

    fn barrier(&self) -> Result<(), Failure> {
        echo::barrier(&self.session, &self.everyone, self.zenoh.timeout)
    }
}
