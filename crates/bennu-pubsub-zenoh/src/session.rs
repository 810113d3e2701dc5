//! A session among the nodes.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bennu_pubsub::{Change, Link};
use tokio::select;
use tokio::time::sleep;

use crate::adapter::Zenoh;
use crate::peer::Peer;

/// How long to wait before a session is opened again. What prevents it is on this machine, so nobody is flooded.
const PAUSE: Duration = Duration::from_secs(1);

/// The pause between two looks at the connections to other nodes.
const LOOK: Duration = Duration::from_secs(1);

/// The most packets in one call: so many can be lost on the way into a session that is cut.
const BATCH: usize = 64;

/// Why there is no session, in words for an operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{} cannot be used: {error}", file.display())]
    File { file: PathBuf, error: io::Error },
    #[error("zenoh refuses its settings: {0}")]
    Settings(String),
    #[error("no address to listen at: {0}")]
    Listen(io::Error),
    #[error("no threads: {0}")]
    Threads(io::Error),
    #[error("zenoh does not open a session: {0}")]
    Open(zenoh::Error),
    #[error("zenoh does not take it: {0}")]
    Refused(zenoh::Error),
    #[error("zenoh panicked")]
    Panicked,
}

/// Sessions until the PubSub is gone. One lasts: other nodes come and go within it.
pub(crate) async fn run(zenoh: Box<Zenoh>, link: Link) {
    while let Err(failure) = session(&zenoh, &link).await {
        link.down(failure);
        select! {
            () = sleep(PAUSE) => {}
            () = link.closed() => return,
        }
    }
}

/// Is over in peace when the PubSub is gone.
async fn session(zenoh: &Zenoh, link: &Link) -> Result<(), Failure> {
    let peer = select! {
        peer = open(zenoh, link) => peer?,
        () = link.closed() => return Ok(()),
    };
    link.up(zenoh.max_packet);
    let ended = select! {
        failure = publish(&peer, link) => Err(failure),
        failure = follow(&peer, link) => Err(failure),
        failure = confirm(&peer, link) => Err(failure),
        failure = watch(&peer) => Err(failure),
        () = link.closed() => flush(&peer, link).await,
    };
    peer.close().await;
    ended
}

/// Opens a session, and subscribes to all that is wanted.
async fn open(zenoh: &Zenoh, link: &Link) -> Result<Peer, Failure> {
    let peer = Peer::open(zenoh, link).await?;
    subscribe(&peer, link, link.wanted().into_iter().map(Change::Subscribe).collect()).await?;
    Ok(peer)
}

async fn publish(peer: &Peer, link: &Link) -> Failure {
    loop {
        let packets = link.outgoing(BATCH).await;
        if let Err(failure) = peer.publish(link, packets).await {
            return failure;
        }
    }
}

/// Publishes what is left when the PubSub is gone.
async fn flush(peer: &Peer, link: &Link) -> Result<(), Failure> {
    loop {
        let packets = link.take(BATCH);
        // Nobody is left to be told of a failure.
        if packets.is_empty() || peer.publish(link, packets).await.is_err() {
            return Ok(());
        }
    }
}

async fn follow(peer: &Peer, link: &Link) -> Failure {
    loop {
        let changes = link.changed().await;
        if let Err(failure) = subscribe(peer, link, changes).await {
            return failure;
        }
    }
}

/// Answers for what was published, when somebody asks.
async fn confirm(peer: &Peer, link: &Link) -> Failure {
    loop {
        let asked = link.flushing().await;
        if let Err(failure) = peer.flush().await {
            return failure;
        }
        link.confirm(asked);
    }
}

/// Looks after the connections to other nodes.
async fn watch(peer: &Peer) -> Failure {
    loop {
        sleep(LOOK).await;
        if let Err(failure) = peer.look().await {
            return failure;
        }
    }
}

async fn subscribe(peer: &Peer, link: &Link, changes: Vec<Change>) -> Result<(), Failure> {
    let subscribed = peer.subscribe(link, changes).await?;
    link.subscribed(&subscribed);
    Ok(())
}
