//! Order, repetition and grouping of what is merged change nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bennu_presence::replica::{EncodedMeta, Machine, Message, OwnerId, ReplicaRef};
use proptest::prelude::*;

use super::viewer::{Listing, Viewer, listing};
use super::world::{PERIOD, TOPICS, options};

/// What an owner of one of two replicas does.
#[derive(Debug, Clone)]
struct Act {
    replica: usize,
    owner: u64,
    topic: &'static str,
    key: String,
    deed: Deed,
}

#[derive(Debug, Clone, Copy)]
enum Deed {
    Join,
    Update,
    Leave,
    LeaveAll,
}

fn act() -> impl Strategy<Value = Act> {
    let deed = prop_oneof![
        5 => Just(Deed::Join),
        2 => Just(Deed::Update),
        3 => Just(Deed::Leave),
        1 => Just(Deed::LeaveAll),
    ];
    (0..2usize, 0..3u64, prop::sample::select(&TOPICS[..]), "[xyz]", deed)
        .prop_map(|(replica, owner, topic, key, deed)| Act { replica, owner, topic, key, deed })
}

/// The naive model: everything that everyone tracks, with perfect knowledge.
#[derive(Default)]
struct Model(BTreeMap<(usize, u64, &'static str, String), EncodedMeta>);

impl Model {
    fn act(&mut self, act: &Act, meta: &EncodedMeta) {
        let known = (act.replica, act.owner, act.topic, act.key.clone());
        match act.deed {
            Deed::Join => drop(self.0.entry(known).or_insert(meta.clone())),
            Deed::Update => drop(self.0.get_mut(&known).map(|known| *known = meta.clone())),
            Deed::Leave => drop(self.0.remove(&known)),
            Deed::LeaveAll => {
                self.0.retain(|(replica, owner, ..), _| (*replica, *owner) != (act.replica, act.owner));
            }
        }
    }

    fn listing(&self) -> Listing {
        let mut all = Listing::new();
        for ((_, _, topic, key), meta) in &self.0 {
            let metas = all.entry((*topic).to_owned()).or_default().entry(key.clone()).or_default();
            metas.push(meta.clone());
        }
        sorted(all)
    }
}

fn sorted(mut listing: Listing) -> Listing {
    listing.values_mut().flat_map(BTreeMap::values_mut).for_each(|metas| metas.sort());
    listing
}

fn meta(number: usize) -> EncodedMeta {
    EncodedMeta::new(format!(r#"{{"phx_ref":"{number}"}}"#))
}

fn perform(machine: &mut Machine, act: &Act, meta: EncodedMeta) {
    let owner = OwnerId(act.owner);
    match act.deed {
        Deed::Join => drop(machine.join(owner, act.topic, &act.key, meta)),
        Deed::Update => drop(machine.update(owner, act.topic, &act.key, meta)),
        Deed::Leave => drop(machine.leave(owner, act.topic, &act.key)),
        Deed::LeaveAll => machine.leave_owner(owner),
    }
}

/// What two replicas say to all, when they speak after the acts of these numbers, and at the end.
fn heartbeats(acts: &[Act], speak_after: &BTreeSet<usize>, bytes: usize) -> Vec<Message> {
    let options = options().max_message_bytes(bytes);
    let replica = |name: &str| ReplicaRef { name: name.into(), version: 1 };
    let mut machines =
        ["one", "two"].map(|name| Machine::new(replica(name), options.clone(), Duration::ZERO));
    let (mut messages, mut now) = (Vec::new(), Duration::ZERO);
    for (number, act) in acts.iter().enumerate() {
        perform(&mut machines[act.replica], act, meta(number));
        if speak_after.contains(&number) || number + 1 == acts.len() {
            for machine in &mut machines {
                machine.handle_timeout(now);
                messages.extend(std::iter::from_fn(|| machine.poll_message()).map(|(_, message)| message));
            }
            now += PERIOD;
        }
    }
    messages
}

/// What a third replica lists when it has heard all this in this order.
fn heard<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Listing {
    let me = ReplicaRef { name: "three".into(), version: 1 };
    let mut machine = Machine::new(me, options(), Duration::ZERO);
    let mut viewer = Viewer::default();
    for message in messages {
        machine.receive(message.clone(), Duration::ZERO);
        while let Some(diff) = machine.poll_change() {
            viewer.apply(&diff);
        }
        viewer.check(&machine, &TOPICS);
    }
    sorted(listing(&machine, &TOPICS))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn order_repetition_and_grouping_change_nothing(
        acts in prop::collection::vec(act(), 1..40),
        speak in prop::collection::btree_set(0..40usize, 0..20),
        speak_otherwise in prop::collection::btree_set(0..40usize, 0..20),
        bytes in prop::sample::select(vec![400usize, 10_000]),
        order in prop::collection::vec(any::<(u32, bool)>(), 200),
    ) {
        let mut model = Model::default();
        acts.iter().enumerate().for_each(|(number, act)| model.act(act, &meta(number)));
        let expected = model.listing();

        let messages = heartbeats(&acts, &speak, bytes);
        prop_assert_eq!(&heard(&messages), &expected, "in order");

        let mut shuffled: Vec<_> = messages.iter().zip(&order).collect();
        shuffled.sort_by_key(|(_, (rank, _))| *rank);
        prop_assert_eq!(&heard(shuffled.iter().map(|(message, _)| *message)), &expected, "in another order");

        let again = shuffled.iter().filter(|(_, (_, is_repeated))| *is_repeated);
        let repeated = messages.iter().rev().chain(again.map(|(message, _)| *message)).chain(&messages);
        prop_assert_eq!(&heard(repeated), &expected, "more than once");

        let grouped = heartbeats(&acts, &speak_otherwise, 10_000);
        prop_assert_eq!(&heard(&grouped), &expected, "in other groups");
    }
}
