//! Thousands of random schedules of everything that goes wrong.

use std::time::Duration;

use super::world::{Dice, PERIOD, TOPICS, Weather, World, options};

/// How many schedules run; long-checks.sh runs more.
fn schedules() -> u64 {
    std::env::var("BENNU_PRESENCE_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000)
}

/// One schedule of 3 to 8 nodes.
fn simulate(seed: u64) {
    let mut dice = Dice::new(seed);
    let nodes = 3 + dice.roll(6) as usize;
    // Small limits, so that deltas do not suffice and answers come in parts.
    let sizes = [[2, 4, 8], [4, 10, 30], [100, 1_000, 10_000]][dice.roll(3) as usize];
    let bytes = [1, 60, 200, 262_144][dice.roll(4) as usize];
    let options = options()
        .max_delta_sizes(sizes)
        .max_message_bytes(bytes)
        .permdown_period(PERIOD * [15, 60][dice.roll(2) as usize])
        .permdown_on_shutdown(dice.percent(50));
    let mut world = World::new(nodes, seed, options);
    world.weather = Weather {
        max_delay: [0, 20, 150][dice.roll(3) as usize],
        lost_percent: [0, 5, 30][dice.roll(3) as usize],
        twice_percent: [0, 20][dice.roll(2) as usize],
    };
    (0..nodes).for_each(|node| world.start(node));
    for _ in 0..80 {
        happen(&mut world, &mut dice, nodes);
        world.run(Duration::from_millis(dice.roll(60)));
    }
    // Whatever was, is over now.
    world.heal();
    world.weather = Weather::default();
    (0..nodes).for_each(|node| world.thaw(node));
    world.run(PERIOD * 10 + PERIOD * 12);
    world.check_all_equal_the_truth();
    world.sent.clear();
    world.run(PERIOD * 20);
    world.check_all_equal_the_truth();
    assert_eq!((world.sent("request"), world.sent("delta")), (0, 0), "nodes that agree have nothing to ask");
}

/// Something happens to one of the nodes.
fn happen(world: &mut World, dice: &mut Dice, nodes: usize) {
    let node = dice.roll(nodes as u64) as usize;
    match dice.roll(100) {
        0..=2 => world.kill(node),
        3 => world.stop(node),
        4..=6 => world.freeze(node),
        7..=11 => world.thaw(node),
        12..=14 => {
            let (ones, others): (Vec<usize>, Vec<usize>) = (0..nodes).partition(|_| dice.percent(50));
            world.partition(&ones, &others);
        }
        15 => {
            let other = dice.roll(nodes as u64) as usize;
            // One of them still hears the other.
            world.cut.insert((node, other));
        }
        16..=18 => world.heal(),
        19 => world.run(PERIOD * 13),
        20 => world.run(PERIOD * 4),
        _ if world.is_running(node) => act(world, dice, node),
        _ => {
            if dice.percent(30) && !world.nodes[node].is_alive() {
                world.start(node);
            }
        }
    }
}

/// Owners of a node do something.
fn act(world: &mut World, dice: &mut Dice, node: usize) {
    let (owner, topic) = (dice.roll(4), TOPICS[dice.roll(3) as usize]);
    let key = format!("k{}", dice.roll(5));
    match dice.roll(10) {
        0..=4 => world.join(node, owner, topic, &key),
        5..=6 => world.update(node, owner, topic, &key),
        7..=8 => world.leave(node, owner, topic, &key),
        _ => world.leave_owner(node, owner),
    }
}

#[test]
fn every_schedule_ends_with_all_nodes_listing_exactly_the_living() {
    let first = std::env::var("BENNU_PRESENCE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    for seed in first..first + schedules() {
        let result = std::panic::catch_unwind(|| simulate(seed));
        if let Err(panic) = result {
            eprintln!("schedule {seed}: BENNU_PRESENCE_SEED={seed} BENNU_PRESENCE_SCHEDULES=1 runs it alone");
            std::panic::resume_unwind(panic);
        }
    }
}
