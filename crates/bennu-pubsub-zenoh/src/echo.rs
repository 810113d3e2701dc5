//! What sessions answer each other.

use std::collections::{HashMap, HashSet};
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

    /// Tells of these neighbours from now on, and of the address that the session listens at, if others may look there.
    pub(crate) fn tell<'a>(&self, neighbours: impl Iterator<Item = &'a String>, listens: Option<&'a String>) {
        let tells: Vec<&str> = neighbours.chain(listens).map(String::as_str).collect();
        self.neighbours.send_replace(tells.join(","));
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

/// What the neighbours that answer tell, by their identifiers.
pub(crate) fn told(
    session: &Session,
    everyone: &str,
    patience: Duration,
) -> Result<HashMap<String, Vec<String>>, Failure> {
    let mut told = HashMap::new();
    for reply in ask(session, &format!("{everyone}/echo/*?{NEIGHBOURS}"), patience)? {
        let Ok(sample) = reply.into_result() else { continue };
        let Some((_, zid)) = sample.key_expr().rsplit_once('/') else { continue };
        let bytes = sample.payload().to_bytes();
        let text = std::str::from_utf8(bytes.get(..MAX_ANSWER).unwrap_or(&bytes)).unwrap_or_default();
        let tells = text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        told.insert(zid.to_owned(), tells);
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
