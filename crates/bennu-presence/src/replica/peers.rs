//! Messages of other nodes, and the passing of time.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use super::changes::Changes;
use super::message::{Answer, Heartbeat, Resume, Section, TransferAck, TransferRequest};
use super::network::{Network, Replica, Transfer};
use super::origin::{Generation, Origin, Packing};
use super::{Clock, Machine, Message, ReplicaRef, Status, Target};

/// Parts of its own changes that a node sends to all at one tick. Of more, it sends its clock alone, and each node asks for them as fast as it can
/// take them.
const MAX_PARTS: usize = 4;

impl Machine {
    /// Takes in a message of another node that arrived at `now`. One that is late, repeated or about unknown nodes does no harm.
    pub fn receive(&mut self, message: Message, now: Duration) {
        let Some(network) = &mut self.network else { return };
        let from = message.from();
        if network.has_left || from.name == network.me.name || network.has_departed(from) {
            return;
        }
        if let Some(replica) = network.replica(from) {
            replica.last_heard = now;
        }
        let mut changes = Changes::default();
        match message {
            Message::Heartbeat(heartbeat) => self.handle_heartbeat(heartbeat, now, &mut changes),
            Message::TransferRequest(request) => self.handle_request(&request),
            Message::TransferAck(ack) => self.handle_ack(ack, now, &mut changes),
            Message::Farewell { from } => self.handle_farewell(&from, now, &mut changes),
        }
        changes.into_queue(&mut self.changes);
    }

    /// Something that a node sent was lost, so it is asked soon for what that may have been; all are, if nobody knows which node it was.
    pub fn handle_gap(&mut self, node: Option<&str>, now: Duration) {
        let Some(network) = &mut self.network else { return };
        let is_it = |name: &&Arc<str>| node.is_none_or(|node| ***name == *node);
        network.missed.extend(network.replicas.keys().filter(is_it).cloned());
        if !network.missed.is_empty() {
            network.sample_soon(now);
        }
    }

    /// The way to the other nodes is open, for the first time or again: this node speaks, and has them answer. Nodes whose engine came back
    /// hear of it together, and should not all choose the same `moment`.
    pub fn handle_link_up(&mut self, moment: Duration) {
        let Some(network) = &mut self.network else { return };
        network.next_tick = network.next_tick.min(moment);
        network.wants_answers = true;
    }

    /// Messages were too large for the engine: from now on they are smaller. What was lost is asked for again.
    pub fn limit_messages(&mut self, bytes: usize) {
        let Some(network) = &mut self.network else { return };
        network.options.max_message_bytes = network.options.max_message_bytes.min(bytes);
    }

    /// Lets time pass. To be called when [`poll_timeout`](Self::poll_timeout) says so.
    pub fn handle_timeout(&mut self, now: Duration) {
        let Some(network) = self.network.as_mut().filter(|network| !network.has_left) else { return };
        if now >= network.next_tick {
            self.tick(now);
        } else if network.early_sample.is_some_and(|sample| sample <= now) {
            self.sample(now);
        }
    }

    /// Says what others do not know yet, or with `permdown_on_shutdown` that this node stops, after which it says nothing more.
    pub fn shut_down(&mut self) {
        let Some(network) = &mut self.network else { return };
        if network.options.permdown_on_shutdown {
            let farewell = Message::Farewell { from: network.me.clone() };
            network.outgoing.push_back((Target::All, farewell));
            network.has_left = true;
        } else {
            self.send_delta();
        }
    }

    fn tick(&mut self, now: Duration) {
        let Some(network) = &mut self.network else { return };
        let period = network.options.broadcast_period;
        let was_stopped = now > network.next_tick + period && network.ticks > 0;
        network.next_tick = match was_stopped {
            true => now + period,
            false => network.next_tick + period,
        };
        if was_stopped && !network.has_postponed {
            // Those who are there answer the next heartbeat; until they could, their silence means nothing. A node that is always late judges all the same.
            network.judges_from = now + period * 2;
            network.has_postponed = true;
        }
        let wants_answers = std::mem::take(&mut network.wants_answers) || was_stopped;
        network.ticks = network.ticks.wrapping_add(1);
        let samples = network.ticks.is_multiple_of(network.options.clock_sample_periods);
        self.speak(if wants_answers { Answer::Wanted } else { Answer::Unneeded });
        if samples {
            self.sample(now);
        }
        self.detect_downs(now);
    }

    fn speak(&mut self, answer: Answer) {
        let has_sent = self.send_delta();
        let Some(network) = &mut self.network else { return };
        network.quiet += 1;
        if has_sent {
            // One more heartbeat follows soon: who missed the delta learns it from its clock.
            network.quiet = network.options.max_silent_periods - 1;
        }
        if answer == Answer::Wanted || (!has_sent && network.quiet >= network.options.max_silent_periods) {
            network.quiet = 0;
            self.send_heartbeat(Target::All, None, answer);
        }
    }

    /// Sends what this node did since the last time, and says whether there was anything.
    fn send_delta(&mut self) -> bool {
        let Some(network) = &mut self.network else { return false };
        network.delta.upto = self.own.clock;
        if network.delta.after == network.delta.upto {
            return false;
        }
        let clock = self.own.clock;
        let next = Generation { after: clock, upto: clock, ..Generation::default() };
        let delta = std::mem::replace(&mut network.delta, next);
        let options = &network.options;
        self.own.generations.push(delta.clone(), &options.max_delta_sizes);
        let (mut sections, mut told) = (Vec::new(), delta.after);
        if delta.gone_bytes() <= options.max_message_bytes / 2 {
            // Each part tells all that have left: who knows a clock knows of every leave up to it. So a key that is updated may be away between two parts.
            while told < delta.upto && sections.len() < MAX_PARTS {
                let mut packing = Packing::new(&self.table, options.max_message_bytes);
                let section = self.own.delta(&network.me, told, &delta, &mut packing);
                told = section.upto;
                sections.push(section);
            }
        }
        if told < delta.upto {
            self.send_heartbeat(Target::All, None, Answer::Unneeded);
            return true;
        }
        for section in sections {
            self.send_heartbeat(Target::All, Some(section), Answer::Unneeded);
        }
        true
    }

    fn send_heartbeat(&mut self, target: Target, section: Option<Section>, answer: Answer) {
        let Some(network) = &mut self.network else { return };
        // What was not told yet comes with the next tick, and needs no asking.
        let (from, clock) = (network.me.clone(), network.clock(network.delta.after));
        let heartbeat = Heartbeat { from, clock, section, answer };
        network.outgoing.push_back((target, Message::Heartbeat(heartbeat)));
    }

    /// Asks those who are ahead, as few as know everything together.
    fn sample(&mut self, now: Duration) {
        let Some(network) = &mut self.network else { return };
        network.early_sample = None;
        let patience = network.options.broadcast_period * network.options.clock_sample_periods;
        let (stalled, moving) = std::mem::take(&mut network.transfers)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, transfer)| now.saturating_sub(transfer.asked) >= patience);
        network.transfers.extend(moving);
        for (name, transfer) in stalled {
            // The question or the answer was lost.
            let Some(replica) = network.replicas.get(&name) else { continue };
            let reference = replica.reference.clone();
            network.want(&reference, &transfer.clock);
        }
        let me = network.me.clone();
        network.pending.append(me.clone(), network.clock(self.own.clock));
        let mut ahead = network.pending.take();
        for name in std::mem::take(&mut network.missed) {
            let Some(replica) = network.replicas.get(&name) else { continue };
            if !ahead.iter().any(|(other, _)| other.name == name) {
                ahead.push((replica.reference.clone(), Clock::default()));
            }
        }
        for (replica, clock) in ahead {
            if replica == me || !network.is_up(&replica) {
                continue;
            }
            if network.transfers.contains_key(&replica.name) {
                // Its answer is on its way, and may not have all of this yet.
                network.want(&replica, &clock);
                continue;
            }
            network.request(&replica, clock, None, self.own.clock, now);
        }
    }

    fn detect_downs(&mut self, now: Duration) {
        let Some(network) = &mut self.network else { return };
        network.departed.retain(|(_, until)| *until > now);
        if now < network.judges_from {
            return;
        }
        network.has_postponed = false;
        let (down, permdown) = (network.options.down(), network.options.permdown_period);
        let mut changes = Changes::default();
        let silent: Vec<(ReplicaRef, Duration)> = network
            .replicas
            .values()
            .map(|replica| (replica.reference.clone(), now.saturating_sub(replica.last_heard)))
            .filter(|(_, silence)| *silence > down)
            .collect();
        for (replica, silence) in silent {
            match silence > permdown {
                true => self.permdown(&replica, &mut changes),
                false => self.down(&replica, &mut changes),
            }
        }
        changes.into_queue(&mut self.changes);
    }

    fn handle_heartbeat(&mut self, heartbeat: Heartbeat, now: Duration, changes: &mut Changes) {
        let Heartbeat { from, clock, section, answer } = heartbeat;
        let Some(network) = &mut self.network else { return };
        if let Some(replica) = network.replicas.get(&from.name) {
            match (from.version.cmp(&replica.reference.version), replica.status) {
                (Ordering::Equal, _) => {}
                // An earlier life, whose words come late. When the known one is silent, it may as well be a new life of a node whose clock was put back.
                (Ordering::Less, Status::Up) => return self.answer(&from.name, answer),
                (Ordering::Less, Status::Down) | (Ordering::Greater, _) => {
                    let old = replica.reference.clone();
                    self.permdown(&old, changes);
                }
            }
        }
        let Some(network) = &mut self.network else { return };
        let replica = network.replicas.entry(from.name.clone()).or_insert_with(|| Replica {
            reference: from.clone(),
            status: Status::Down,
            last_heard: now,
            parts_upto: 0,
            origin: Origin::default(),
        });
        let comes_up = replica.status == Status::Down;
        // Whatever is new becomes visible together with what is known.
        if let Some(section) = section.filter(|section| section.replica == from) {
            replica.parts_upto = clock.get(&from).filter(|upto| section.upto < *upto).unwrap_or(0);
            self.merge(section, changes);
        }
        if comes_up {
            self.up(&from, changes);
        }
        let Some(network) = &mut self.network else { return };
        network.heard_clock(&from, &clock);
        if comes_up {
            network.sample_soon(now);
        }
        if !comes_up && answer == Answer::Unneeded {
            return;
        }
        if network.ticks == 0 {
            // The first heartbeat of this node is the better answer: it has what is new.
            network.next_tick = network.next_tick.min(now);
        } else {
            self.answer(&from.name, Answer::Wanted);
        }
    }

    fn answer(&mut self, name: &Arc<str>, answer: Answer) {
        if answer == Answer::Wanted {
            self.send_heartbeat(Target::Node(name.clone()), None, Answer::Unneeded);
        }
    }

    fn handle_request(&mut self, request: &TransferRequest) {
        let Some(network) = &mut self.network else { return };
        let mut packing = Packing::new(&self.table, network.options.max_message_bytes);
        let (mut sections, mut resume) = (Vec::new(), None);
        let first = request.resume.as_ref().map(|resume| &resume.replica);
        for (replica, known) in request.clock.iter() {
            let is_done = first.is_some_and(|first| replica < first);
            if is_done || resume.is_some() || replica.name == request.from.name {
                continue;
            }
            if !packing.has_room() {
                resume = Some(Resume { replica: replica.clone(), within: None });
                break;
            }
            let within = request.resume.as_ref().filter(|resume| resume.replica == *replica);
            let within = within.and_then(|resume| resume.within);
            let (origin, end) = match network.replicas.get(&replica.name) {
                Some(known) if known.reference == *replica => (&known.origin, known.origin.clock),
                // What was not told yet comes with the next tick, in a few bytes.
                None if network.me == *replica => (&self.own, network.delta.after),
                Some(_) | None => continue,
            };
            if let Some((section, rest)) = origin.section(replica, (*known, end), within, &mut packing) {
                sections.push(section);
                resume = rest;
            }
        }
        let ack = TransferAck { from: network.me.clone(), id: request.id, sections, resume };
        let target = Target::Node(request.from.name.clone());
        network.outgoing.push_back((target, Message::TransferAck(ack)));
    }

    fn handle_ack(&mut self, ack: TransferAck, now: Duration, changes: &mut Changes) {
        let Some(network) = &mut self.network else { return };
        // What was not asked for, or before a replica was forgotten, may rest on more than is known here.
        let awaited = network.transfers.get(&ack.from.name);
        if awaited.is_none_or(|transfer| transfer.id != ack.id) {
            return;
        }
        let transfer = network.transfers.remove(&ack.from.name);
        for section in ack.sections {
            self.merge(section, changes);
        }
        let Some(network) = &mut self.network else { return };
        if let (Some(resume), Some(transfer)) = (ack.resume, transfer) {
            network.request(&ack.from, transfer.clock, Some(resume), self.own.clock, now);
        }
    }

    fn handle_farewell(&mut self, from: &ReplicaRef, now: Duration, changes: &mut Changes) {
        let Some(network) = &mut self.network else { return };
        network.departed.push_back((from.clone(), now + network.options.down()));
        if network.replica(from).is_some() {
            self.permdown(from, changes);
        }
    }

    /// Takes in what is told of a known replica. What comes twice, or late, changes nothing.
    fn merge(&mut self, section: Section, changes: &mut Changes) {
        let Some(network) = &mut self.network else { return };
        let sizes = network.options.max_delta_sizes;
        let Some(replica) = network.replica(&section.replica) else { return };
        let is_up = replica.status == Status::Up;
        let left = replica.origin.left(&section);
        for presence in &section.presences {
            let clock = presence.clock;
            if clock <= section.after || clock > section.upto || replica.origin.knows(clock) {
                continue;
            }
            let (topic, key) = (presence.topic.clone(), presence.key.clone());
            let entry = self.table.insert(topic, key, presence.meta.clone(), clock);
            replica.origin.insert(clock, entry);
            if is_up {
                changes.join(&mut self.table, entry);
            }
        }
        for clock in left {
            let Some(entry) = replica.origin.remove(clock) else { continue };
            if is_up {
                changes.leave(&mut self.table, entry);
            }
            self.table.remove(entry);
        }
        replica.origin.note(&section, &sizes);
    }

    fn up(&mut self, reference: &ReplicaRef, changes: &mut Changes) {
        let replica = self.network.as_mut().and_then(|network| network.replica(reference));
        let Some(replica) = replica.filter(|replica| replica.status == Status::Down) else { return };
        replica.status = Status::Up;
        for entry in replica.origin.entries() {
            changes.join(&mut self.table, entry);
        }
    }

    fn down(&mut self, reference: &ReplicaRef, changes: &mut Changes) {
        let replica = self.network.as_mut().and_then(|network| network.replica(reference));
        let Some(replica) = replica.filter(|replica| replica.status == Status::Up) else { return };
        replica.status = Status::Down;
        for entry in replica.origin.entries() {
            changes.leave(&mut self.table, entry);
        }
    }

    /// Forgets a replica.
    fn permdown(&mut self, reference: &ReplicaRef, changes: &mut Changes) {
        self.down(reference, changes);
        let Some(network) = &mut self.network else { return };
        let Some(replica) = network.replicas.remove(&reference.name) else { return };
        for entry in replica.origin.entries() {
            self.table.remove(entry);
        }
        // Answers that are on their way may rest on what is forgotten. They are asked for again.
        for (name, transfer) in std::mem::take(&mut network.transfers) {
            let Some(asked) = network.replicas.get(&name).map(|replica| replica.reference.clone()) else {
                continue;
            };
            network.heard_clock(&asked, &transfer.clock);
        }
    }
}

impl Network {
    fn request(&mut self, replica: &ReplicaRef, why: Clock, resume: Option<Resume>, own: u64, now: Duration) {
        self.next_transfer = self.next_transfer.wrapping_add(1);
        let (from, id, clock) = (self.me.clone(), self.next_transfer, self.clock(own));
        let is_begun = resume.is_some();
        self.transfers.insert(replica.name.clone(), Transfer { id, clock: why, asked: now, is_begun });
        let request = TransferRequest { from, id, clock, resume };
        self.outgoing.push_back((Target::Node(replica.name.clone()), Message::TransferRequest(request)));
    }

    /// It is to be asked at the next sample for what it has said to know, or for whatever that may be.
    fn want(&mut self, replica: &ReplicaRef, clock: &Clock) {
        match clock.iter().next() {
            Some(_) => self.heard_clock(replica, clock),
            None => drop(self.missed.insert(replica.name.clone())),
        }
    }
}
