//! What a session of Zenoh's does not look after by itself: that nodes which lost each other meet again.
//!
//! Zenoh connects again to an address that it was given, but not to a node that others told it of, and nobody takes over an
//! address that a node which ended had listened at. Both are mended by one more session of this process, a host, which
//! connects to whom this node and the list lead to: each of its neighbours is told of all others, and connects to those it lacks.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zenoh::{Session, Wait};

use crate::adapter::Zenoh;
use crate::echo::{self, Echo};
use crate::listen::{Places, is_held};
use crate::session::Failure;
use crate::settings;

/// How long others have to tell of their neighbours.
const ANSWER: Duration = Duration::from_secs(1);

/// How long a node may be missed before it is introduced: longer than it takes a new one to connect to all.
const MISSED: Duration = Duration::from_secs(3);

/// The longest pause between introductions that do not help.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Looks after the connections of a session.
pub(crate) struct Watch {
    pub(crate) zenoh: Zenoh,
    pub(crate) places: Places,
    pub(crate) session: Session,
    /// What this node answers.
    pub(crate) echo: Arc<Echo>,
    /// The key of everyone.
    pub(crate) everyone: String,
    /// Listens at a listed address, for as long as this node lives.
    pub(crate) host: Option<Host>,
    pub(crate) missing: Missing,
}

/// A session that is there for nodes to hear of each other.
pub(crate) struct Host {
    session: Session,
    listens: Option<String>,
    echo: Echo,
}

/// How it stands with nodes that this one should be connected to.
#[derive(Default)]
pub(crate) struct Missing {
    /// What introduces, until nobody is missing.
    introduction: Option<Host>,
    /// When to introduce next, and how long to wait after that.
    due: Option<(Instant, Duration)>,
}

impl Watch {
    /// Mends what it finds. Waits for nodes that do not answer.
    pub(crate) fn look(&mut self) -> Result<(), Failure> {
        if !self.zenoh.gossip {
            // Each two have an address of one of them, and Zenoh connects to that as often as it takes.
            return Ok(());
        }
        self.take_over();
        let is_missing = self.is_anybody_missing()?;
        if self.missing.is_due(is_missing, Instant::now()) {
            // The one before has not helped; nor may this one, and there is another time.
            self.missing.introduction = None;
            self.missing.introduction = self.introduce(None).ok();
        }
        Ok(())
    }

    /// Listens where newcomers look for somebody, when nobody does any more.
    fn take_over(&mut self) {
        if self.host.is_some() {
            return;
        }
        if let Some(vacant) = self.places.vacant() {
            // Another node may have been faster. If that goes too, the next look finds it.
            self.host = self.introduce(Some(vacant.clone())).ok();
        }
    }

    /// Makes this node known to all that it and the list lead to, and them to each other.
    fn introduce(&self, listens: Option<String>) -> Result<Host, Failure> {
        let config = settings::introduction(&self.zenoh, &self.places, listens.as_slice())?;
        let session = zenoh::open(config).wait().map_err(Failure::Open)?;
        let echo = Echo::declare(&session, &self.everyone)?;
        Ok(Host { session, listens, echo })
    }

    /// Whether this node lacks somebody: it has no neighbour, or not all that the others have, or not who listens at a listed
    /// address of this machine. A neighbour is who answers: Zenoh may keep a connection with a session that was closed while
    /// it was being made.
    fn is_anybody_missing(&self) -> Result<bool, Failure> {
        let connected = echo::neighbours(&self.session);
        let told = echo::told(&self.session, &self.everyone, ANSWER)?;
        let hosts: Vec<&Host> = self.host.iter().chain(&self.missing.introduction).collect();
        let own: Vec<String> = hosts.iter().map(|host| host.session.zid().to_string()).collect();
        for host in hosts {
            host.echo.tell(echo::neighbours(&host.session).intersection(&connected), host.listens.as_ref());
        }
        let others = || told.keys().filter(|zid| !own.contains(zid));
        self.echo.tell(others(), Some(&self.places.listen));
        if others().next().is_none() && self.host.is_none() {
            return Ok(!self.places.connect.is_empty());
        }
        let me = self.session.zid().to_string();
        let tells: HashSet<&String> = told.values().flatten().collect();
        let is_unheard = |address: &String| {
            self.host.is_none() && !tells.contains(address) && is_held(address) == Some(true)
        };
        let is_lacking = |part: &String| !part.contains(':') && *part != me && !connected.contains(part);
        Ok(self.places.taken.iter().any(is_unheard) || tells.into_iter().any(is_lacking))
    }
}

impl Missing {
    /// Takes note of whether anybody is missing, and says whether to introduce now.
    fn is_due(&mut self, is_missing: bool, now: Instant) -> bool {
        if !is_missing {
            *self = Self::default();
            return false;
        }
        let (due, pause) = *self.due.get_or_insert((now + MISSED, MISSED));
        let is_due = now >= due;
        if is_due {
            let pause = (2 * pause).min(MAX_PAUSE);
            self.due = Some((now + pause, pause));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_missing_is_introduced_after_a_while_and_again_less_and_less_often() {
        let began = Instant::now();
        let mut missing = Missing::default();
        let mut introduced = Vec::new();
        for second in 0..200 {
            if missing.is_due(true, began + Duration::from_secs(second)) {
                introduced.push(second);
            }
        }
        assert_eq!(introduced, [3, 9, 21, 45, 93, 153]);
        let later = began + Duration::from_secs(200);
        assert!(!missing.is_due(false, later));
        assert!(!missing.is_due(true, later), "another time begins");
        assert!(missing.is_due(true, later + MISSED));
    }
}
