//! What sessions answer each other.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::watch;
use zenoh::handlers::FifoChannelHandler;
use zenoh::query::{ConsolidationMode, Query, QueryTarget, Queryable, Reply};
use zenoh::sample::Locality;
use zenoh::{Session, Wait};

use crate::session::Failure;

/// What a query carries that asks for neighbours.
const NEIGHBOURS: &str = "neighbours";

/// The most that is read of one answer: the identifiers of some thousand neighbours.
const MAX_ANSWER: usize = 64 << 10;

/// Answers other nodes' barriers, and those that ask for the neighbours of a session.
pub(crate) struct Echo {
    _queryable: Queryable<()>,
    neighbours: watch::Sender<String>,
}

impl Echo {
    /// Answers for a session, below the key of everyone.
    pub(crate) fn declare(session: &Session, everyone: &str) -> Result<Self, Failure> {
        let (neighbours, told) = watch::channel(String::new());
        let key = format!("{everyone}/echo/{}", session.zid());
        let answer = session.declare_queryable(key.clone());
        let queryable = answer.callback(move |query| answer_to(&query, &key, &told));
        let queryable = queryable.wait().map_err(Failure::Refused)?;
        Ok(Self { _queryable: queryable, neighbours })
    }

    /// Tells these from now on.
    pub(crate) fn tell<'a>(&self, neighbours: impl Iterator<Item = &'a str>) {
        self.neighbours.send_replace(neighbours.collect::<Vec<_>>().join(","));
    }
}

/// Lets go of a query, which is what a barrier waits for; before that, tells of neighbours if it asks for them.
fn answer_to(query: &Query, key: &str, neighbours: &watch::Receiver<String>) {
    if query.parameters().as_str() == NEIGHBOURS {
        let told = neighbours.borrow().clone();
        // Who asked asks again.
        let _ = query.reply(key, told).wait();
    }
}

/// The sessions that this one is connected to.
pub(crate) fn neighbours(session: &Session) -> HashSet<String> {
    session.info().peers_zid().wait().map(|zid| zid.to_string()).collect()
}

/// The neighbours that other sessions tell of.
pub(crate) fn neighbours_of_others(
    session: &Session,
    everyone: &str,
    patience: Duration,
) -> Result<HashSet<String>, Failure> {
    let replies = ask(session, &format!("{everyone}/echo/*?{NEIGHBOURS}"), patience)?;
    let mut told = HashSet::new();
    for reply in replies {
        let Ok(sample) = reply.into_result() else { continue };
        let bytes = sample.payload().to_bytes();
        let text = bytes.get(..MAX_ANSWER).unwrap_or(&bytes);
        let text = std::str::from_utf8(text).unwrap_or_default();
        told.extend(text.split(',').filter(|zid| !zid.is_empty()).map(str::to_owned));
    }
    Ok(told)
}

/// Returns when all nodes know what was declared before and have what was published. Nobody acknowledges either, but a query goes
/// the same way behind it, and ends when all nodes have let it go, or one has been silent for too long.
pub(crate) fn barrier(session: &Session, everyone: &str, patience: Duration) -> Result<(), Failure> {
    ask(session, &format!("{everyone}/echo/*"), patience)?.into_iter().for_each(drop);
    Ok(())
}

fn ask(session: &Session, selector: &str, patience: Duration) -> Result<FifoChannelHandler<Reply>, Failure> {
    let query = session
        .get(selector)
        .target(QueryTarget::All)
        .consolidation(ConsolidationMode::None)
        .allowed_destination(Locality::Remote)
        .timeout(patience);
    query.wait().map_err(Failure::Refused)
}
