//! A client session against the server session of this crate, over a link that delays, closes, and loses what is under way then.

use proptest::prelude::*;

use super::world::{Act, Kind, World, act, configs};
use super::*;
use crate::serializer::Serializer;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn every_push_ends_once_with_its_own_reply_and_what_is_wanted_is_joined_once_the_link_heals(
        config in configs(),
        serializer in prop_oneof![3 => Just(Serializer::V2), 1 => Just(Serializer::V1)],
        acts in prop::collection::vec(act(), 0..120),
    ) {
        let mut world = World::new(config, serializer);
        world.act(&Act::Connect);
        for act in &acts {
            world.act(act);
        }
        world.act(&Act::Connect);
        // The socket is open at once, as it was just asked for, so the longest wait for a rejoin is left.
        let limit = world.now + Backoff::rejoin().longest(u32::MAX);
        world.settle_until(limit, World::is_healed);
        prop_assert!(world.is_healed(), "{:?}", world.session.snapshot());
        prop_assert!(world.check_agreement());
        for topic in 0..3 {
            world.act(&Act::Push(topic, Kind::Plain));
            world.settle();
            let asked = world.asked.iter().find(|(_, asked)| asked.number == Some(world.numbers));
            let outcome = asked.and_then(|(push, _)| world.ended.get(push));
            let is_answered = matches!(outcome, Some(PushOutcome::Reply { status: Status::Ok, .. }));
            prop_assert!(is_answered || world.channel(topic).is_none(), "{:?}", outcome);
        }
        // What the server passed over, as it came for a join that had ended, is told when its time is over.
        let limit = world.now + ms(10_000);
        world.settle_until(limit, |_| false);
        for push in world.asked.keys() {
            prop_assert!(world.ended.contains_key(push), "{:?} {:?}", push, world.session.snapshot());
        }
        let left = world.session.snapshot();
        prop_assert_eq!((left.buffered_pushes, left.buffered_bytes, left.pushes), (0, 0, vec![]));
    }
}
