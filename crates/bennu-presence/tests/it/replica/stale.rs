//! Answers that rest on something which is not so any more.

use std::time::Duration;

use bennu_presence::replica::{
    Answer, Basis, Clock, EncodedMeta, Heartbeat, Machine, Message, OwnerId, Presence, Ranges, ReplicaRef,
    Resume, Section, Target, TransferAck, TransferRequest,
};

use super::world::{PERIOD, options};

const TOPIC: &str = "a";

fn replica(name: &str) -> ReplicaRef {
    ReplicaRef { name: name.into(), version: 1 }
}

fn meta(number: u64) -> EncodedMeta {
    EncodedMeta::new(format!(r#"{{"phx_ref":"{number}"}}"#))
}

fn presences(clocks: std::ops::RangeInclusive<u64>) -> Vec<Presence> {
    let presence = |clock: u64| Presence {
        clock,
        topic: TOPIC.into(),
        key: format!("k{clock}").into(),
        meta: meta(clock),
    };
    clocks.map(presence).collect()
}

fn heartbeat(from: &str, clocks: &[(&str, u64)], section: Option<Section>) -> Message {
    let clock: Clock = clocks.iter().map(|(name, clock)| (replica(name), *clock)).collect();
    Message::Heartbeat(Heartbeat { from: replica(from), clock, section, answer: Answer::Unneeded })
}

fn requests(machine: &mut Machine) -> Vec<TransferRequest> {
    let messages = std::iter::from_fn(|| machine.poll_message());
    let requests = messages.filter_map(|(_, message)| match message {
        Message::TransferRequest(request) => Some(request),
        Message::Heartbeat(_) | Message::TransferAck(_) | Message::Farewell { .. } => None,
    });
    requests.collect()
}

#[test]
fn an_answer_to_a_question_from_before_a_node_was_forgotten_is_not_taken() {
    let mut machine = Machine::new(replica("n0"), options(), Duration::ZERO);
    machine.handle_timeout(Duration::ZERO);
    let basis = Basis::Delta { gone: Ranges::default() };
    let section = Section { replica: replica("n2"), after: 0, upto: 5, basis, presences: presences(1..=5) };
    machine.receive(heartbeat("n2", &[("n2", 5)], Some(section)), Duration::ZERO);

    // This node was stopped for so long that it forgets n2, as soon as it judges again; before, it asks n1 about it.
    let thawed = PERIOD * 100;
    machine.handle_timeout(thawed);
    machine.receive(heartbeat("n1", &[("n1", 0), ("n2", 20)], None), thawed);
    requests(&mut machine);
    let mut asked = Vec::new();
    for period in 1..=2 {
        while machine.poll_timeout().is_some_and(|due| due <= thawed + PERIOD * period) {
            machine.handle_timeout(thawed + PERIOD * period);
        }
        asked.extend(requests(&mut machine));
    }
    let request = asked.last().unwrap();
    assert_eq!(request.clock.get(&replica("n2")), Some(5));
    assert!(machine.replicas().all(|(known, _)| *known != replica("n2")), "it is forgotten");

    // It is back before the answer is here, which tells nothing more of those who were known when it was asked.
    let now = thawed + PERIOD * 2;
    machine.receive(heartbeat("n2", &[("n2", 20)], None), now);
    let basis = Basis::State { kept: Ranges::run(1, 5) };
    let section = Section { replica: replica("n2"), after: 0, upto: 20, basis, presences: presences(6..=20) };
    let ack = TransferAck { from: replica("n1"), id: request.id, sections: vec![section], resume: None };
    machine.receive(Message::TransferAck(ack), now);
    while machine.poll_timeout().is_some_and(|due| due <= now + PERIOD) {
        machine.handle_timeout(now + PERIOD);
    }
    let again = requests(&mut machine);
    assert_eq!(again.iter().map(|request| request.clock.get(&replica("n2"))).collect::<Vec<_>>(), [Some(0)]);
}

#[test]
fn an_answer_in_parts_ends_where_it_began() {
    let options = options().max_delta_sizes([1, 1, 1]).max_message_bytes(1);
    let mut machine = Machine::new(replica("n1"), options, Duration::ZERO);
    for owner in 1..=6 {
        machine.join(OwnerId(owner), TOPIC, &format!("k{owner}"), meta(owner)).unwrap();
        let due = machine.poll_timeout().unwrap();
        machine.handle_timeout(due);
        while machine.poll_message().is_some() {}
    }

    let mut resume: Option<Resume> = None;
    for part in 1.. {
        let clock = [(replica("n1"), 3)].into_iter().collect();
        let request = TransferRequest { from: replica("n0"), id: part, clock, resume };
        machine.receive(Message::TransferRequest(request), Duration::ZERO);
        let Some((Target::Node(_), Message::TransferAck(ack))) = machine.poll_message() else {
            panic!("no answer")
        };
        let [section] = &ack.sections[..] else { panic!("one section") };
        assert_eq!((section.after, section.upto), (part - 1, part));
        if part == 1 {
            assert_eq!(section.basis, Basis::State { kept: Ranges::run(1, 1) });
            // Who was told to be there leaves, which the rest of this answer must not seem to have told.
            machine.leave(OwnerId(1), TOPIC, "k1");
        }
        resume = ack.resume;
        if resume.is_none() {
            assert_eq!(part, 6, "the leave has the number 7");
            return;
        }
    }
}
