//! The table of what happens when a node is heard, is silent, comes back, or stops: one test for each row.

use bennu_presence::replica::{Clock, Heartbeat, Message, ReplicaRef, Status};

use super::world::{PERIOD, World, options};

/// Longer than the down period, with the heartbeats that may have been on their way.
fn until_down(world: &mut World) {
    world.run(PERIOD * 12);
}

fn until_permdown(world: &mut World) {
    world.run(PERIOD * 62);
}

/// Two nodes, with someone on each.
fn couple() -> World {
    let mut world = World::settled(2, options());
    world.join(0, 1, "a", "ann");
    world.join(1, 1, "a", "bob");
    world.run(PERIOD * 2);
    assert_eq!((world.changes(0), world.changes(1)), (told("+ann +bob"), told("+bob +ann")));
    world
}

fn told(changes: &str) -> Vec<String> {
    changes.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_first_heartbeat_of_a_name_brings_it_up() {
    let mut world = World::new(2, 1, options());
    world.start(0);
    world.run(PERIOD);
    assert_eq!(world.status(0, 1), None);
    world.start(1);
    world.join(1, 1, "a", "bob");
    world.run(PERIOD / 2);
    assert_eq!((world.status(0, 1), world.changes(0)), (Some(Status::Up), told("+bob")));
}

#[test]
fn a_heartbeat_keeps_a_node_up() {
    let mut world = couple();
    until_permdown(&mut world);
    assert_eq!((world.status(0, 1), world.changes(0)), (Some(Status::Up), told("")));
}

#[test]
fn silence_takes_a_node_down_and_hides_what_it_has() {
    let mut world = couple();
    world.partition(&[0], &[1]);
    world.run(PERIOD * 5);
    assert_eq!((world.status(0, 1), world.changes(0)), (Some(Status::Up), told("")));
    until_down(&mut world);
    assert_eq!((world.status(0, 1), world.changes(0)), (Some(Status::Down), told("-bob")));
    assert_eq!((world.keys(0), world.keys(1)), (told("ann"), told("bob")));
}

#[test]
fn a_node_that_was_down_comes_back_with_the_same_metas_and_no_transfer() {
    let mut world = couple();
    let before = world.listed(0);
    world.partition(&[0], &[1]);
    until_down(&mut world);
    world.heal();
    world.sent.clear();
    world.run(PERIOD * 6);
    assert_eq!(world.changes(0), told("-bob +bob"));
    assert_eq!((world.listed(0), world.status(0, 1)), (before, Some(Status::Up)));
    assert_eq!(world.sent("request"), 0);
}

#[test]
fn what_changed_during_a_partition_follows_by_a_transfer() {
    let mut world = couple();
    world.partition(&[0], &[1]);
    until_down(&mut world);
    world.join(1, 2, "a", "bill");
    world.leave(1, 1, "a", "bob");
    world.join(0, 2, "a", "amy");
    world.run(PERIOD * 3);
    world.changes(0);
    world.heal();
    world.run(PERIOD * 6);
    world.check_all_equal_the_truth();
    assert_eq!(world.keys(0), told("amy ann bill"));
    assert_eq!(world.changes(0), told("+bob +bill -bob"));
}

#[test]
fn a_new_life_of_a_node_that_is_up_ends_the_old_one_at_once() {
    let mut world = couple();
    world.kill(1);
    world.start(1);
    world.join(1, 1, "a", "ben");
    world.run(PERIOD / 2);
    assert_eq!((world.changes(0), world.keys(0)), (told("+ben -bob"), told("ann ben")));
    world.run(PERIOD * 3);
    world.check_all_equal_the_truth();
}

#[test]
fn a_new_life_of_a_node_that_is_down_replaces_it() {
    let mut world = couple();
    world.kill(1);
    until_down(&mut world);
    world.start(1);
    world.join(1, 1, "a", "ben");
    world.run(PERIOD / 2);
    assert_eq!(world.changes(0), told("-bob +ben"));
    assert_eq!(world.machine(0).replicas().count(), 1);
    world.run(PERIOD * 3);
    world.check_all_equal_the_truth();
}

#[test]
fn a_long_silence_forgets_a_node_and_what_it_has() {
    let mut world = couple();
    world.partition(&[0], &[1]);
    until_permdown(&mut world);
    assert_eq!((world.status(0, 1), world.changes(0)), (None, told("-bob")));
    // Only the own ones still need memory, for there is nobody else on the topic.
    world.leave(0, 1, "a", "ann");
    assert_eq!(world.machine(0).topics(), 0);
}

#[test]
fn a_forgotten_node_is_learned_again_with_the_same_metas() {
    let mut world = couple();
    let before = world.listed(0);
    world.partition(&[0], &[1]);
    until_permdown(&mut world);
    world.heal();
    world.run(PERIOD * 6);
    assert_eq!((world.changes(0), world.listed(0)), (told("-bob +bob"), before));
}

#[test]
fn a_farewell_takes_a_node_down_and_forgets_it_at_once() {
    let mut world = World::settled(2, options().permdown_on_shutdown(true));
    world.join(1, 1, "a", "bob");
    world.run(PERIOD * 2);
    world.stop(1);
    world.run(PERIOD / 20);
    assert_eq!((world.changes(0), world.status(0, 1)), (told("+bob -bob"), None));
}

#[test]
fn a_node_that_stops_without_farewell_still_says_what_it_did_last() {
    let mut world = couple();
    world.leave(1, 1, "a", "bob");
    world.stop(1);
    world.run(PERIOD / 20);
    assert_eq!((world.changes(0), world.status(0, 1)), (told("-bob"), Some(Status::Up)));
}

#[test]
fn what_a_node_sent_before_its_farewell_does_not_bring_it_back() {
    let mut world = couple();
    let late = heartbeat("n1", 2);
    world.deliver(0, Message::Farewell { from: late.from().clone() });
    assert_eq!((world.changes(0), world.status(0, 1)), (told("-bob"), None));
    world.deliver(0, late);
    assert_eq!(world.status(0, 1), None);
}

#[test]
fn the_words_of_an_earlier_life_come_too_late() {
    let mut world = couple();
    world.kill(1);
    world.start(1);
    world.run(PERIOD);
    world.changes(0);
    world.deliver(0, heartbeat("n1", 2));
    world.deliver(0, Message::Farewell { from: ReplicaRef { name: "n1".into(), version: 2 } });
    world.join(1, 7, "a", "ben");
    world.run(PERIOD * 2);
    assert_eq!((world.changes(0), world.status(0, 1)), (told("+ben"), Some(Status::Up)));
}

#[test]
fn a_node_whose_clock_was_put_back_is_believed_once_its_old_life_is_silent() {
    let mut world = couple();
    world.kill(1);
    world.deliver(0, heartbeat("n1", 1));
    assert_eq!(world.keys(0), told("ann bob"));
    until_down(&mut world);
    world.deliver(0, heartbeat("n1", 1));
    assert_eq!((world.status(0, 1), world.keys(0)), (Some(Status::Up), told("ann")));
    assert!(world.machine(0).replicas().all(|(replica, _)| replica.version == 1));
}

#[test]
fn a_frozen_node_leaves_and_comes_back_before_and_after_it_is_forgotten() {
    for silence in [15, 70] {
        let mut world = couple();
        let before = world.listed(0);
        world.freeze(1);
        world.run(PERIOD * silence);
        assert_eq!(world.changes(0), told("-bob"));
        world.thaw(1);
        world.run(PERIOD * 6);
        assert_eq!((world.changes(0), world.listed(0)), (told("+bob"), before), "after {silence} periods");
        // The node itself takes nobody for dead only because it did not listen.
        assert_eq!((world.changes(1), world.keys(1)), (told(""), told("ann bob")), "after {silence} periods");
    }
}

#[test]
fn who_died_while_a_node_was_frozen_is_noticed_soon_after() {
    let mut world = couple();
    world.freeze(0);
    world.kill(1);
    world.run(PERIOD * 30);
    world.thaw(0);
    assert_eq!(world.changes(0), told(""));
    world.run(PERIOD * 4);
    assert_eq!(world.changes(0), told("-bob"));
}

#[test]
fn nodes_say_that_they_are_there_as_often_as_documented() {
    let mut world = World::settled(2, options());
    world.run(PERIOD * 8);
    world.sent.clear();
    world.run(PERIOD * 40);
    assert_eq!(world.sent("heartbeat"), 2 * 40 / 4);
}

fn heartbeat(name: &str, version: u64) -> Message {
    let from = ReplicaRef { name: name.into(), version };
    let answer = bennu_presence::replica::Answer::Unneeded;
    Message::Heartbeat(Heartbeat { from, clock: Clock::default(), section: None, answer })
}

#[test]
fn many_who_leave_last_are_told_before_a_node_stops() {
    let mut world = World::settled(2, options().max_delta_sizes([2, 4, 8]));
    (0..20).for_each(|owner| world.join(1, owner, "a", &format!("k{owner}")));
    world.run(PERIOD * 6);
    assert_eq!(world.keys(0).len(), 20);
    (0..20).for_each(|owner| world.leave_owner(1, owner));
    world.stop(1);
    world.run(PERIOD / 20);
    assert!(world.keys(0).is_empty());
}
