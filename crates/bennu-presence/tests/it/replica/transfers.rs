//! Who asks whom for what it missed.

use bennu_presence::replica::{
    Basis, Clock, Message, OwnerId, ReplicaOptions, ReplicaRef, Status, Target, TransferRequest,
};

use super::world::{PERIOD, Weather, World, options};

/// Nodes that agree, with someone on each; then the first hears nobody while `news` happen, and the others hear each other.
fn after_absence(nodes: usize, options: ReplicaOptions, news: impl FnOnce(&mut World)) -> World {
    let mut world = World::settled(nodes, options);
    (0..nodes).for_each(|node| world.join(node, 1, "a", &format!("n{node}")));
    world.run(PERIOD * 4);
    let others: Vec<usize> = (1..nodes).collect();
    world.partition(&[0], &others);
    news(&mut world);
    world.run(PERIOD * 3);
    world.sent.clear();
    world.heal();
    world
}

#[test]
fn requests_collapse_to_one_node_that_knows_everything() {
    let mut world = after_absence(5, options(), |world| {
        (1..5).for_each(|node| world.join(node, 2, "a", &format!("new{node}")));
    });
    world.run(PERIOD * 8);
    assert_eq!((world.sent("request"), world.sent("ack")), (1, 1));
    world.check_all_equal_the_truth();
}

#[test]
fn nodes_that_each_know_something_alone_are_each_asked() {
    let mut world = after_absence(3, options(), |world| {
        world.partition(&[1], &[2]);
        world.join(1, 2, "a", "new1");
        world.join(2, 2, "a", "new2");
    });
    world.run(PERIOD * 8);
    // The first asks both, and each of those asks for the other's.
    assert_eq!(world.sent("request"), 4);
    world.check_all_equal_the_truth();
}

#[test]
fn a_node_that_knows_everything_asks_nobody() {
    let mut world = after_absence(4, options(), |_| {});
    world.run(PERIOD * 12);
    assert_eq!(world.sent("request"), 0);
}

#[test]
fn a_newcomer_hears_of_everyone_within_a_period_and_asks_once() {
    let mut world = World::settled(4, options());
    world.kill(3);
    for node in 0..3 {
        (0..50).for_each(|owner| world.join(node, owner, "a", &format!("n{node}o{owner}")));
    }
    world.run(PERIOD * 12);
    world.sent.clear();
    world.start(3);
    world.run(PERIOD);
    assert_eq!((world.keys(3).len(), world.sent("request")), (150, 1));
}

#[test]
fn what_others_take_for_down_is_not_asked_about() {
    let mut world = World::settled(4, options());
    world.kill(3);
    (0..3).for_each(|node| world.join(node, 1, "a", &format!("n{node}")));
    world.run(PERIOD * 6);
    // For one of them, a node is still up that nobody else hears.
    world.start(3);
    world.partition(&[3], &[1, 2]);
    world.join(3, 1, "a", "n3");
    world.run(PERIOD * 12);
    assert_eq!((world.status(0, 3), world.status(1, 3)), (Some(Status::Up), Some(Status::Down)));
    world.sent.clear();
    world.run(PERIOD * 30);
    assert_eq!(world.sent("request"), 0);
}

#[test]
fn nodes_are_replaced_one_by_one_and_nobody_who_stays_ever_leaves() {
    let mut world = World::settled(3, options());
    (0..3).for_each(|node| world.join(node, 1, "a", &format!("old{node}")));
    world.run(PERIOD * 3);
    for node in 0..3 {
        (0..3).for_each(|node| drop(world.changes(node)));
        world.stop(node);
        world.run(PERIOD * 2);
        world.start(node);
        world.join(node, 1, "a", &format!("new{node}"));
        world.run(PERIOD * 3);
        world.check_all_equal_the_truth();
        for other in (0..3).filter(|other| *other != node) {
            assert_eq!(world.changes(other), [format!("+new{node}"), format!("-old{node}")]);
        }
    }
    world.run(PERIOD * 70);
    world.check_all_equal_the_truth();
    assert_eq!(world.keys(0), ["new0", "new1", "new2"]);
}

#[test]
fn a_lost_delta_is_noticed_with_the_next_heartbeat() {
    let mut world = World::settled(2, options());
    world.run(PERIOD * 5);
    world.weather = Weather { lost_percent: 100, ..Weather::default() };
    world.join(1, 1, "a", "bob");
    world.run(PERIOD);
    world.weather = Weather::default();
    world.run(PERIOD * 3);
    assert_eq!(world.keys(0), ["bob"]);
}

#[test]
fn a_gap_has_the_sender_asked_before_it_speaks_again() {
    let mut world = World::settled(2, options());
    world.run(PERIOD * 5);
    world.weather = Weather { lost_percent: 100, ..Weather::default() };
    world.join(1, 1, "a", "bob");
    world.run(PERIOD);
    world.weather = Weather::default();
    let now = world.now;
    world.machine(0).handle_gap(Some("n1"), now);
    world.run(PERIOD / 3);
    assert_eq!(world.keys(0), ["bob"]);
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    // Nobody speaks for long, so that no heartbeat reminds the one that asks.
    let silent = options().max_silent_periods(100).down_period(PERIOD * 300).permdown_period(PERIOD * 400);
    let mut world = after_absence(2, silent, |world| world.join(1, 2, "a", "new"));
    world.join(1, 3, "a", "newer");
    while world.sent("request") == 0 {
        world.run(PERIOD / 100);
    }
    world.weather = Weather { lost_percent: 100, ..Weather::default() };
    world.run(PERIOD * 3 / 2);
    world.weather = Weather::default();
    assert_eq!((world.sent("request"), world.keys(0).contains(&"new".to_owned())), (1, false));
    world.run(PERIOD * 2);
    world.check_all_equal_the_truth();
}

#[test]
fn an_answer_comes_in_parts_each_of_which_is_asked_for() {
    let mut world = World::settled(2, options().max_message_bytes(1_000));
    world.kill(1);
    (0..500).for_each(|owner| world.join(0, owner, "a", &format!("owner {owner}")));
    world.run(PERIOD * 3);
    world.sent.clear();
    world.start(1);
    world.run(PERIOD * 3);
    world.check_all_equal_the_truth();
    let parts = world.sent("ack");
    assert!((15..40).contains(&parts), "{parts} parts");
    assert_eq!(world.sent("request"), parts);
}

#[test]
fn a_broken_off_answer_goes_on_without_harm() {
    let mut world = World::settled(2, options().max_message_bytes(300));
    world.kill(1);
    (0..200).for_each(|owner| world.join(0, owner, "a", &format!("owner {owner}")));
    world.run(PERIOD * 3);
    world.start(1);
    world.weather = Weather { lost_percent: 30, twice_percent: 30, max_delay: 30 };
    for owner in 0..200 {
        world.run(PERIOD / 10);
        world.leave(0, owner, "a", &format!("owner {owner}"));
        world.join(0, 1_000 + owner, "a", "late");
    }
    world.weather = Weather::default();
    world.run(PERIOD * 20);
    world.check_all_equal_the_truth();
}

/// What node 1 answers to one that knows so much of it.
fn answer(world: &mut World, known: u64) -> Vec<Basis> {
    let (from, asked) =
        (ReplicaRef { name: "n0".into(), version: 9 }, ReplicaRef { name: "n1".into(), version: 2 });
    let clock: Clock = [(asked, known)].into_iter().collect();
    let now = world.now;
    let machine = world.machine(1);
    machine.receive(Message::TransferRequest(TransferRequest { from, id: 1, clock, resume: None }), now);
    let Some((Target::Node(to), Message::TransferAck(ack))) = machine.poll_message() else {
        panic!("no answer")
    };
    assert_eq!(&*to, "n0");
    ack.sections.into_iter().map(|section| section.basis).collect()
}

#[test]
fn who_missed_little_gets_a_delta_and_who_missed_much_the_whole_state() {
    let mut world = World::settled(2, options().max_delta_sizes([2, 4, 8]));
    for owner in 0..30 {
        world.join(1, owner, "a", "k");
        world.run(PERIOD);
    }
    let is_delta = |bases: &[Basis]| matches!(bases, [Basis::Delta { .. }]);
    for (known, expected) in [(29, true), (24, true), (23, false), (10, false), (0, false)] {
        assert_eq!(is_delta(&answer(&mut world, known)), expected, "{known}");
    }
    assert_eq!(answer(&mut world, 30), []);
    // Those who left are all that needs to be told of what is known already.
    world.machine(1).leave(OwnerId(3), "a", "k");
    world.run(PERIOD);
    let [Basis::Delta { gone }] = &answer(&mut world, 29)[..] else { panic!("a delta suffices") };
    assert_eq!(gone.runs().collect::<Vec<_>>(), [(4, 4)]);
    let [Basis::State { kept }] = &answer(&mut world, 10)[..] else { panic!("a delta does not suffice") };
    assert_eq!(kept.runs().collect::<Vec<_>>(), [(1, 3), (5, 10)]);
}

#[test]
fn gaps_do_not_break_off_an_answer_that_is_on_its_way() {
    let mut world = World::settled(2, options());
    world.run(PERIOD * 5);
    world.weather = Weather { lost_percent: 100, ..Weather::default() };
    world.join(1, 1, "a", "bob");
    world.run(PERIOD);
    // An early sample follows a gap after a quarter of a period.
    let step = PERIOD * 3 / 10;
    let mut on_the_way: Vec<(std::time::Duration, Message)> = Vec::new();
    for _ in 0..20 {
        world.now += step;
        let now = world.now;
        let (due, later): (Vec<_>, Vec<_>) = on_the_way.drain(..).partition(|(at, _)| *at <= now);
        on_the_way = later;
        let machine = world.machine(0);
        due.into_iter().for_each(|(_, answer)| machine.receive(answer, now));
        machine.handle_gap(Some("n1"), now);
        machine.handle_timeout(now);
        let said: Vec<Message> =
            std::iter::from_fn(|| machine.poll_message()).map(|(_, said)| said).collect();
        let other = world.machine(1);
        for request in said.into_iter().filter(|said| matches!(said, Message::TransferRequest(_))) {
            other.receive(request, now);
            // Slower than an early sample, faster than a regular one.
            let answers = std::iter::from_fn(|| other.poll_message());
            on_the_way.extend(answers.map(|(_, answer)| (now + step * 5, answer)));
        }
    }
    assert_eq!(world.machine(0).topic("a").map(|topic| topic.count()), Some(1));
}

#[test]
fn a_node_with_untold_news_does_not_answer_with_everything() {
    let mut world = World::settled(2, options());
    (0..50).for_each(|owner| world.join(1, owner, "a", &format!("k{owner}")));
    world.run(PERIOD * 4);
    world.join(1, 99, "a", "untold");
    let bases = answer(&mut world, 50);
    assert!(bases.iter().all(|basis| matches!(basis, Basis::Delta { .. })), "{bases:?}");
}
