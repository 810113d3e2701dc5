//! What was heard of each other node, and what was not.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::beacon::Beacon;
use super::node::{Incarnation, Node, NodeName};
use super::subject::Subject;

/// So many lives of nodes are remembered; more than that push out those that were silent longest.
const MAX_PEERS: usize = 1_024;

/// The other nodes, each life of one by itself.
pub(crate) struct Peers {
    peers: HashMap<Incarnation, Peer>,
    /// After so long a message that was announced and did not come is lost.
    grace: Duration,
    /// After so long a silent node is not listed.
    silence: Duration,
}

struct Peer {
    name: Option<NodeName>,
    last_heard: Instant,
    /// It said goodbye, or another life of the same name began.
    gone: bool,
    /// It said goodbye, after which a life has no more to say than what it was saying meanwhile.
    left: bool,
    heard: HashMap<Subject, Heard>,
}

/// How far a node was heard on a subject.
struct Heard {
    last: u64,
    /// A number that the node says it reached, and when it said so, while that is ahead of `last`.
    announced: Option<(u64, Instant)>,
    /// `last` is what a beacon said, and when: frames up to it may be on their way, as order holds within a subject alone.
    told: Option<Instant>,
}

/// What to do with a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Frames in front that were heard before.
    pub(crate) repeated: usize,
    /// Frames that were lost before it.
    pub(crate) missed: u64,
}

/// What a beacon told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Introduction {
    /// A node that was not known: it will want to know how far we are.
    pub(crate) is_new: bool,
    /// Another living node has the same name.
    pub(crate) is_double: bool,
}

/// Messages that did not come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) sender: Incarnation,
    pub(crate) subject: Subject,
    pub(crate) missed: u64,
}

impl Peers {
    pub(crate) fn new(grace: Duration, silence: Duration) -> Self {
        Peers { peers: HashMap::new(), grace, silence }
    }

    fn peer(&mut self, sender: Incarnation, now: Instant) -> &mut Peer {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&sender) {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.last_heard).map(|(id, _)| *id);
            oldest.map(|oldest| self.peers.remove(&oldest));
        }
        let peer = self.peers.entry(sender).or_insert_with(|| Peer {
            name: None,
            last_heard: now,
            gone: false,
            left: false,
            heard: HashMap::new(),
        });
        peer.last_heard = now;
        peer
    }

    /// Takes note of the frames `first..first + count` of a node. Whoever is heard for the first time on a subject has
    /// missed nothing there: it may have been subscribed to just now.
    pub(crate) fn packet(
        &mut self,
        sender: Incarnation,
        subject: Subject,
        first: u64,
        count: u16,
        now: Instant,
    ) -> Verdict {
        let grace = self.grace;
        let peer = self.peer(sender, now);
        let last = first.saturating_add(u64::from(count)).saturating_sub(1);
        let Some(heard) = peer.heard.get_mut(&subject) else {
            peer.heard.insert(subject, Heard { last, announced: None, told: None });
            return Verdict { repeated: 0, missed: 0 };
        };
        if let Some(at) = heard.told.take()
            && first <= heard.last
            && now.duration_since(at) < grace
        {
            // The beacon has overtaken it: counting begins here, and what the beacon told of is awaited.
            heard.announced = Some((heard.last, at));
            heard.last = first.saturating_sub(1);
        }
        let missed = first.saturating_sub(heard.last.saturating_add(1));
        let repeated = heard.last.saturating_add(1).saturating_sub(first).min(u64::from(count));
        heard.last = heard.last.max(last);
        heard.announced = heard.announced.filter(|(announced, _)| *announced > heard.last);
        // At most a u16.
        Verdict { repeated: repeated as usize, missed }
    }

    /// Takes note of how far a node says it is.
    pub(crate) fn beacon(
        &mut self,
        sender: Incarnation,
        beacon: &Beacon,
        is_wanted: impl Fn(u16) -> bool,
        buckets: u16,
        now: Instant,
    ) -> Introduction {
        let is_new = self.peers.get(&sender).is_none_or(|peer| peer.name.is_none());
        let mut is_double = false;
        for (other, peer) in &mut self.peers {
            if *other != sender && peer.name.as_ref() == Some(&beacon.name) && !peer.gone {
                // A new life of the name takes its place. One that speaks up again after that is a double.
                is_double |= !is_new;
                peer.gone = is_new;
            }
        }
        let peer = self.peer(sender, now);
        peer.name = Some(beacon.name.clone());
        peer.left |= beacon.leaving;
        peer.gone = peer.left;
        for (bucket, number) in beacon.reached.iter().copied().filter(|(bucket, _)| is_wanted(*bucket)) {
            let heard = peer.heard.entry(Subject::Bucket(bucket));
            let heard = heard.or_insert(Heard { last: number, announced: None, told: Some(now) });
            if number > heard.last && heard.announced.is_none() {
                heard.announced = Some((number, now));
            }
        }
        if beacon.complete {
            let silent = (0..buckets).filter(|bucket| is_wanted(*bucket)).map(Subject::Bucket);
            for subject in silent {
                peer.heard.entry(subject).or_insert(Heard { last: 0, announced: None, told: None });
            }
        }
        Introduction { is_new, is_double }
    }

    /// What was announced and did not come in time.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<Loss> {
        let mut losses = Vec::new();
        for (sender, peer) in &mut self.peers {
            for (subject, heard) in &mut peer.heard {
                let Some((announced, at)) = heard.announced else { continue };
                if now.duration_since(at) >= self.grace {
                    losses.push(Loss { sender: *sender, subject: *subject, missed: announced - heard.last });
                    heard.last = announced;
                    heard.announced = None;
                }
            }
        }
        losses
    }

    /// This process stood still since `looked`. What was announced gets its whole time once more, and so does who was listed.
    pub(crate) fn postpone(&mut self, looked: Instant, now: Instant) {
        for peer in self.peers.values_mut() {
            if looked.saturating_duration_since(peer.last_heard) < self.silence {
                peer.last_heard = now;
            }
            let heard = peer.heard.values_mut();
            heard.filter_map(|heard| heard.announced.as_mut()).for_each(|(_, at)| *at = now);
        }
    }

    /// Nothing of these is subscribed to any more.
    pub(crate) fn forget(&mut self, subjects: &HashSet<Subject>) {
        for peer in self.peers.values_mut() {
            peer.heard.retain(|subject, _| !subjects.contains(subject));
        }
    }

    pub(crate) fn name(&self, sender: Incarnation) -> Option<NodeName> {
        self.peers.get(&sender)?.name.clone()
    }

    /// The nodes that live, by name.
    pub(crate) fn nodes(&self, now: Instant) -> Vec<Node> {
        let lives = self
            .peers
            .values()
            .filter(|peer| !peer.gone && now.duration_since(peer.last_heard) < self.silence);
        let mut nodes: Vec<Node> = lives
            .filter_map(|peer| Some(Node { name: peer.name.clone()?, last_heard: peer.last_heard }))
            .collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name).then(b.last_heard.cmp(&a.last_heard)));
        nodes.dedup_by(|a, b| a.name == b.name);
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Incarnation = Incarnation(1);
    const B: Incarnation = Incarnation(2);
    const S: Subject = Subject::Bucket(1);

    fn peers() -> (Peers, Instant) {
        (Peers::new(Duration::from_secs(3), Duration::from_secs(15)), Instant::now())
    }

    fn beacon(name: &str, reached: &[(u16, u64)], complete: bool) -> Beacon {
        let name = NodeName::new(name).unwrap();
        Beacon { name, asks: vec![], reached: reached.to_vec(), complete, leaving: false }
    }

    fn verdict(repeated: usize, missed: u64) -> Verdict {
        Verdict { repeated, missed }
    }

    #[test]
    fn numbers_tell_what_was_lost_and_what_comes_twice() {
        let (mut peers, now) = peers();
        let mut packet = |first, count| peers.packet(A, S, first, count, now);
        assert_eq!(packet(5, 3), verdict(0, 0), "what was before is not known");
        assert_eq!(packet(8, 1), verdict(0, 0));
        assert_eq!(packet(8, 2), verdict(1, 0));
        assert_eq!(packet(1, 4), verdict(4, 0));
        assert_eq!(packet(13, 1), verdict(0, 3));
        assert_eq!(packet(10, 3), verdict(3, 0), "what was counted as lost does not come late");
        assert_eq!(peers.packet(B, S, 1, 1, now), verdict(0, 0), "each node counts for itself");
    }

    #[test]
    fn the_last_messages_before_a_silence_are_missed_by_the_beacon() {
        let (mut peers, now) = peers();
        peers.packet(A, S, 1, 2, now);
        peers.beacon(A, &beacon("a", &[(1, 5)], false), |_| true, 4, now);
        assert_eq!(peers.overdue(now + Duration::from_secs(2)), []);
        peers.beacon(A, &beacon("a", &[(1, 6)], false), |_| true, 4, now + Duration::from_secs(2));
        peers.packet(A, S, 3, 1, now);
        let later = now + Duration::from_secs(3);
        assert_eq!(peers.overdue(later), [Loss { sender: A, subject: S, missed: 2 }]);
        assert_eq!(peers.overdue(later + Duration::from_secs(9)), [], "six was not announced again");
        peers.beacon(A, &beacon("a", &[(1, 6)], true), |_| true, 4, later);
        assert_eq!(peers.overdue(later + Duration::from_secs(3))[0].missed, 1);
    }

    #[test]
    fn frames_that_a_beacon_overtook_are_delivered() {
        let (mut peers, now) = peers();
        // Order holds within a subject alone, and beacons have one of their own.
        peers.beacon(A, &beacon("a", &[(1, 5)], true), |_| true, 4, now);
        let soon = now + Duration::from_millis(10);
        assert_eq!(peers.packet(A, S, 1, 2, soon), verdict(0, 0));
        assert_eq!(peers.packet(A, S, 3, 3, soon), verdict(0, 0));
        assert_eq!(peers.packet(A, S, 3, 3, soon), verdict(3, 0));
    }

    #[test]
    fn a_complete_beacon_tells_where_counting_begins() {
        let (mut peers, now) = peers();
        let wanted = |bucket| bucket < 3;
        peers.beacon(A, &beacon("a", &[(2, 9)], false), wanted, 4, now);
        assert_eq!(peers.packet(A, Subject::Bucket(2), 12, 1, now), verdict(0, 2));
        assert_eq!(peers.packet(A, Subject::Bucket(0), 12, 1, now), verdict(0, 0));
        peers.beacon(A, &beacon("a", &[(2, 12)], true), wanted, 4, now);
        assert_eq!(peers.packet(A, Subject::Bucket(1), 3, 1, now), verdict(0, 2));
        assert_eq!(peers.packet(A, Subject::Bucket(3), 3, 1, now), verdict(0, 0), "not subscribed to then");
        peers.forget(&HashSet::from([Subject::Bucket(1)]));
        assert_eq!(peers.packet(A, Subject::Bucket(1), 30, 1, now), verdict(0, 0));
    }

    #[test]
    fn nodes_live_while_they_are_heard_and_a_new_life_takes_the_place_of_the_old() {
        let (mut peers, now) = peers();
        let names = |peers: &Peers, after| {
            let nodes = peers.nodes(now + Duration::from_secs(after));
            nodes.iter().map(|node| node.name.to_string()).collect::<Vec<_>>()
        };
        assert!(peers.beacon(A, &beacon("a", &[], true), |_| true, 4, now).is_new);
        assert!(!peers.beacon(A, &beacon("a", &[], true), |_| true, 4, now).is_new);
        assert_eq!((names(&peers, 14), names(&peers, 15)), (vec!["a".to_owned()], vec![]));
        let restarted = peers.beacon(B, &beacon("a", &[], true), |_| true, 4, now);
        assert_eq!(restarted, Introduction { is_new: true, is_double: false });
        assert_eq!(names(&peers, 0), ["a"]);
        let double = peers.beacon(A, &beacon("a", &[], true), |_| true, 4, now);
        assert!(double.is_double, "the old life goes on beside the new one");
        let mut goodbye = beacon("a", &[], true);
        goodbye.leaving = true;
        peers.beacon(A, &goodbye, |_| true, 4, now);
        peers.beacon(B, &goodbye, |_| true, 4, now);
        assert_eq!(names(&peers, 0), Vec::<String>::new());
        peers.beacon(B, &beacon("a", &[], true), |_| true, 4, now);
        assert_eq!(names(&peers, 0), Vec::<String>::new(), "a beacon that went out beside the goodbye");
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut peers, now) = peers();
        for life in 0..5_000 {
            peers.packet(Incarnation(life), S, 1, 1, now + Duration::from_millis(life as u64));
        }
        assert_eq!(peers.peers.len(), MAX_PEERS);
        assert!(peers.peers.contains_key(&Incarnation(4_999)));
    }
}
