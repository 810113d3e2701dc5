//! Clients of one presence topic, who come and go.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use clap::Args;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Load;
use crate::bench::Bench;
use crate::client::Workload;
use crate::fault::Fault;
use crate::figures::{Figures, Latency};
use crate::phase::{self, stray};
use crate::protocol::{Protocol, Purpose, Received};
use crate::sends::Sends;
use crate::topics::{Topics, presence_key};

/// How much presence.
#[derive(Clone, Debug, Args, serde::Serialize)]
pub(crate) struct Presence {
    /// How many clients join, each with a key of its own; the second half leaves again.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    clients: u32,
}

impl Load for Presence {
    fn purpose(&self) -> Purpose {
        Purpose::Mixed
    }

    fn topics(&self) -> Topics {
        Topics::Presence
    }

    fn measure(&self, bench: &mut Bench) -> anyhow::Result<Figures> {
        let phoenix = bench.common.protocol == Protocol::Phoenix;
        anyhow::ensure!(phoenix, "presence is a matter of Phoenix Channels alone");
        let concurrency = bench.common.concurrency();
        let (links, _) = phase::open(&mut bench.client, self.clients as usize, concurrency)?;
        let mut room = Room::new(links.clone(), concurrency);
        let mut figures = Figures::default();

        let window = bench.window()?;
        bench.client.run(&mut room)?;
        let joined = window.close(&bench.server)?;
        figures.costs("join_diff", room.diffs, &joined);
        figures.load(&joined);
        figures.latency("join", &room.latency);
        bench.put_resident(&mut figures, "resident_bytes")?;

        // Diffs of what a state told already may still come.
        room.unsettled = links.clone();
        bench.client.run(&mut room)?;
        room.diffs = 0;
        room.leave(links.len() / 2);
        let window = bench.window()?;
        bench.client.run(&mut room)?;
        let left = window.close(&bench.server)?;
        figures.costs("leave_diff", room.diffs, &left);
        bench.silence(room.present)?;
        Ok(figures)
    }
}

/// Clients who join until each sees all, and then see some leave.
#[derive(Debug)]
struct Room {
    /// Those who have joined or will; everyone shall see exactly them.
    present: Range<usize>,
    joining: Range<usize>,
    concurrency: usize,
    views: Vec<View>,
    begun: BTreeMap<usize, (Instant, u32)>,
    leaving: Range<usize>,
    /// Those to ping, and how many pongs are due.
    unsettled: Range<usize>,
    pongs: usize,
    latency: Latency,
    diffs: u64,
    /// Views that are not yet what they shall be.
    incomplete: usize,
}

/// Who is there, as one client was told.
#[derive(Clone, Debug)]
struct View {
    has_state: bool,
    keys: Vec<Seen>,
    present: usize,
}

/// By what a client knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Never,
    InState,
    /// By a diff, which comes once, even if the state had it too.
    Joined,
    Left,
}

#[derive(Deserialize)]
struct Diff<'a> {
    #[serde(borrow)]
    joins: BTreeMap<&'a str, IgnoredAny>,
    #[serde(borrow)]
    leaves: BTreeMap<&'a str, IgnoredAny>,
}

impl Room {
    fn new(links: Range<usize>, concurrency: usize) -> Self {
        let view = View { has_state: false, keys: vec![Seen::Never; links.len()], present: 0 };
        Self {
            joining: links.clone(),
            concurrency,
            views: vec![view; links.len()],
            begun: BTreeMap::new(),
            leaving: 0..0,
            unsettled: 0..0,
            pongs: 0,
            latency: Latency::new(),
            diffs: 0,
            incomplete: links.len(),
            present: links,
        }
    }

    /// All from `first` on leave.
    fn leave(&mut self, first: usize) {
        self.leaving = first..self.present.end;
        self.present.end = first;
        self.incomplete = first;
    }

    fn state(&mut self, link: usize, payload: &[u8]) -> Result<(), Fault> {
        let state: BTreeMap<&str, IgnoredAny> = parse(link, payload)?;
        let view = &mut self.views[link];
        if std::mem::replace(&mut view.has_state, true) {
            return Err(Fault::Stray { link, what: "a second presence state".to_owned() });
        }
        let was_complete = self.is_complete(link);
        for key in state.keys() {
            let seen = self.seen(link, key)?;
            if *seen == Seen::Never {
                *seen = Seen::InState;
                self.views[link].present += 1;
            }
        }
        self.note(link, was_complete);
        Ok(())
    }

    fn diff(&mut self, link: usize, payload: &[u8]) -> Result<(), Fault> {
        let diff: Diff<'_> = parse(link, payload)?;
        self.diffs += 1;
        let was_complete = self.is_complete(link);
        for key in diff.joins.keys() {
            let seen = self.seen(link, key)?;
            match *seen {
                Seen::Never => {
                    *seen = Seen::Joined;
                    self.views[link].present += 1;
                }
                Seen::InState => *seen = Seen::Joined,
                Seen::Joined | Seen::Left => return Err(told(link, key, "joined")),
            }
        }
        for key in diff.leaves.keys() {
            let seen = self.seen(link, key)?;
            match *seen {
                Seen::InState | Seen::Joined => {
                    *seen = Seen::Left;
                    self.views[link].present -= 1;
                }
                Seen::Never | Seen::Left => return Err(told(link, key, "left")),
            }
        }
        self.note(link, was_complete);
        Ok(())
    }

    fn seen(&mut self, link: usize, key: &str) -> Result<&mut Seen, Fault> {
        let number = key.strip_prefix("bench-").and_then(|number| number.parse::<usize>().ok());
        let number = number.filter(|number| presence_key(*number) == key);
        let seen = number.and_then(|number| self.views[link].keys.get_mut(number));
        seen.ok_or_else(|| Fault::Stray { link, what: format!("{key:?} is present, which is nobody") })
    }

    fn is_complete(&self, link: usize) -> bool {
        let view = &self.views[link];
        let all = || self.present.clone().all(|key| matches!(view.keys[key], Seen::InState | Seen::Joined));
        view.has_state && view.present == self.present.len() && all()
    }

    /// Counts a view that has become what it shall be, or has ceased to be.
    fn note(&mut self, link: usize, was_complete: bool) {
        match (was_complete, self.is_complete(link)) {
            (false, true) => self.incomplete -= 1,
            (true, false) => self.incomplete += 1,
            (true, true) | (false, false) => {}
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(link: usize, payload: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(payload)
        .map_err(|error| Fault::Stray { link, what: format!("presences: {error}") })
}

fn told(link: usize, key: &str, verb: &str) -> Fault {
    Fault::Stray { link, what: format!("{key} {verb} again, or without having been there") }
}

impl Workload for Room {
    fn receive(&mut self, link: usize, received: Received<'_>, _: &mut Sends) -> Result<(), Fault> {
        match received {
            Received::Joined { reference } => match self.begun.remove(&link) {
                Some((begun, due)) if due == reference => {
                    self.latency.record(begun.elapsed());
                    Ok(())
                }
                _ => Err(stray(link, &received)),
            },
            // Those who leave are no longer asked what they saw.
            _ if !self.present.contains(&link) => Ok(()),
            Received::PresenceState { payload } => self.state(link, payload),
            Received::PresenceDiff { payload } => self.diff(link, payload),
            Received::Alive => {
                self.pongs = self.pongs.saturating_sub(1);
                Ok(())
            }
            other => Err(stray(link, &other)),
        }
    }

    fn tick(&mut self, now: Instant, sends: &mut Sends) -> Option<Instant> {
        while self.begun.len() < self.concurrency {
            let Some(link) = self.joining.next() else { break };
            let reference = sends.join(link);
            self.begun.insert(link, (now, reference));
        }
        for link in std::mem::take(&mut self.unsettled) {
            sends.ping(link);
            self.pongs += 1;
        }
        sends.close.extend(std::mem::take(&mut self.leaving));
        None
    }

    fn is_done(&self) -> bool {
        self.incomplete == 0 && self.pongs == 0
    }

    fn missing(&self) -> String {
        format!("{} clients to see the {} who are present", self.incomplete, self.present.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> Room {
        let mut room = Room::new(0..2, 1);
        room.views.truncate(1);
        room
    }

    const BOTH: &str = r#"{"bench-0000000":{"metas":[]},"bench-0000001":{"metas":[]}}"#;
    const SELF: &str = r#"{"bench-0000000":{"metas":[]}}"#;

    #[test]
    fn views_are_complete_by_state_or_by_diffs() {
        let diff = |joins: &str, leaves: &str| format!(r#"{{"joins":{joins},"leaves":{leaves}}}"#);
        for (name, state, diffs, complete) in [
            ("all in the state", BOTH, vec![], true),
            ("state and its diffs", BOTH, vec![diff(BOTH, "{}")], true),
            ("one by a diff", SELF, vec![diff(r#"{"bench-0000001":{"metas":[]}}"#, "{}")], true),
            ("one is missing", SELF, vec![diff(SELF, "{}")], false),
            ("one has left", BOTH, vec![diff("{}", SELF)], false),
        ] {
            let mut room = room();
            room.state(0, state.as_bytes()).unwrap();
            diffs.iter().for_each(|diff| room.diff(0, diff.as_bytes()).unwrap());
            assert_eq!(room.is_complete(0), complete, "{name}");
        }
    }

    #[test]
    fn diffs_that_cannot_be_are_faults() {
        let joins = format!(r#"{{"joins":{SELF},"leaves":{{}}}}"#);
        let leaves = format!(r#"{{"joins":{{}},"leaves":{SELF}}}"#);
        let stranger = r#"{"joins":{"someone":{"metas":[]}},"leaves":{}}"#.to_owned();
        for (name, diffs) in [
            ("joined twice", vec![&joins, &joins]),
            ("left without joining", vec![&leaves]),
            ("left twice", vec![&joins, &leaves, &leaves]),
            ("a stranger", vec![&stranger]),
        ] {
            let mut room = room();
            let told: Result<(), Fault> = diffs.iter().try_for_each(|diff| room.diff(0, diff.as_bytes()));
            assert!(told.is_err(), "{name}");
        }
    }
}
