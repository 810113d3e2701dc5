//! The same over a link that also loses, repeats, holds back and reorders single frames, which a WebSocket does not, but a proxy that
//! resends long polls may.
//!
//! What holds even then: a push ends once, and a reply is that of its own push. The client believes in no join that the server has not let in. When
//! nothing is under way any more, a channel that the client has is one that the server has, by the same join, unless its `phx_close` or
//! `phx_error` was lost: of that no client can know before its connection ends. The next connection puts that right, too.

use proptest::prelude::*;

use super::world::{Act, Fault, Way, World, act, configs};
use super::*;
use crate::serializer::Serializer;

fn fault() -> impl Strategy<Value = Act> {
    let way = prop_oneof![Just(Way::Up), Just(Way::Down)];
    let fault = prop_oneof![
        3 => Just(Fault::Lose),
        2 => Just(Fault::Repeat),
        2 => Just(Fault::Overtake),
        2 => Just(Fault::Hold),
        1 => Just(Fault::Release),
    ];
    (way, fault, any::<u8>()).prop_map(|(way, fault, place)| Act::Fault(way, fault, place))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn on_a_link_that_loses_repeats_and_reorders_frames_pushes_end_once_and_both_sides_agree_once_it_heals(
        config in configs(),
        serializer in prop_oneof![3 => Just(Serializer::V2), 1 => Just(Serializer::V1)],
        acts in prop::collection::vec(prop_oneof![5 => act(), 1 => fault()], 0..150),
    ) {
        let mut world = World::new(config, serializer);
        world.act(&Act::Connect);
        for act in &acts {
            world.act(act);
        }
        world.act(&Act::Connect);
        // A join whose frames were lost is given up when its time is over, and made again after the longest wait. A heartbeat that was lost may
        // end the connection just then; the next one is made at once.
        let timeout = ms(10_000);
        let limit = world.now + timeout + Backoff::rejoin().longest(u32::MAX) + Backoff::reconnect().longest(1);
        world.settle_until(limit, World::is_healed);
        prop_assert!(world.is_healed(), "{:?}", world.session.snapshot());
        world.check_agreement();
        // What was lost is told when its time is over.
        world.settle_until(world.now + timeout, |_| false);
        for push in world.asked.keys() {
            prop_assert!(world.ended.contains_key(push), "{:?} {:?}", push, world.session.snapshot());
        }
        let left = world.session.snapshot();
        prop_assert_eq!((left.buffered_pushes, left.buffered_bytes, left.pushes), (0, 0, vec![]));
        // On a connection of its own, both sides agree without exception.
        world.act(&Act::Breaks);
        world.settle_until(world.now + Backoff::reconnect().longest(1), World::is_healed);
        prop_assert!(world.is_healed() && world.check_agreement(), "{:?}", world.session.snapshot());
    }
}
