//! What a server does wrong is noticed.

use std::net::TcpListener;

use crate::small::{self, Manners};
use crate::{run, said};

/// The exit status of a run that failed by the server's fault.
const SERVER_FAULT: i32 = 3;

/// Enough for a message to be sent, however slow the machine is: the first one is wrong already.
const FANOUT: &str =
    "fanout --subscribers 6 --outstanding 4 --warmup 0 --seconds 0.3 --patience 2 --protocol plain";
const ECHO: &str = "echo --connections 6 --warmup 0 --seconds 0.3 --patience 2 --protocol plain";
const MIXED: &str = "mixed --users 6 --publishers 2 --warmup 0 --seconds 0.3 --patience 2 --protocol plain";
const CONNS: &str = "conns --connections 6 --settle 0 --patience 2 --protocol plain";
const CHURN: &str =
    "churn --subscribers 6 --churners 4 --warmup 0 --seconds 0.3 --patience 2 --protocol plain";
const SOCKETIO: &str =
    "fanout --subscribers 6 --outstanding 4 --warmup 0 --seconds 0.3 --patience 2 --protocol socketio";

#[test]
fn an_honest_server_passes() {
    for mode in [FANOUT, ECHO, MIXED, CONNS, CHURN, SOCKETIO] {
        let output = run(mode, small::start(Manners::Honest), &[]);
        assert!(output.status.success(), "{mode}: {}", said(&output));
    }
}

#[test]
fn a_wrong_delivery_fails_the_run() {
    for (mode, manners, reason) in [
        (FANOUT, Manners::Lose, "lost or out of order"),
        (FANOUT, Manners::Repeat, "came again or late"),
        (FANOUT, Manners::Reorder, "lost or out of order"),
        (FANOUT, Manners::Corrupt, "corrupted payload"),
        (FANOUT, Manners::Invent, "who is none"),
        (FANOUT, Manners::HangUp, "closed by the server"),
        (FANOUT, Manners::RepeatAtTheEnd, "not due"),
        (FANOUT, Manners::Refuse, "HTTP/1.1 403 Forbidden"),
        (ECHO, Manners::Lose, "echoes"),
        (ECHO, Manners::Repeat, "was due"),
        (ECHO, Manners::Corrupt, "corrupted payload"),
        (ECHO, Manners::HangUp, "closed by the server"),
        (ECHO, Manners::RepeatAtTheEnd, "not due"),
        (MIXED, Manners::Repeat, "connection 3"),
        (CONNS, Manners::Corrupt, "corrupted payload"),
        (CHURN, Manners::Repeat, "came again or late"),
        (SOCKETIO, Manners::Lose, "lost or out of order"),
        (SOCKETIO, Manners::Corrupt, "corrupted payload"),
    ] {
        let output = run(mode, small::start(manners), &[]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(SERVER_FAULT), "{manners:?} in {mode}: {said}");
        assert!(said.contains(reason), "{manners:?} in {mode}: {said}");
    }
}

/// With one message on its way no later one shows that it is lost: only time does.
#[test]
fn a_last_message_that_is_lost_fails_the_run() {
    let one = FANOUT.replace("--outstanding 4", "--outstanding 1");
    let output = run(&one, small::start(Manners::Lose), &[]);
    assert_eq!(output.status.code(), Some(SERVER_FAULT), "{}", said(&output));
    assert!(said(&output).contains("1 deliveries"), "{}", said(&output));
}

#[test]
fn a_fault_in_another_process_fails_the_run() {
    let shared = FANOUT.replace("--subscribers 6", "--subscribers 6 --processes 6");
    let output = run(&shared, small::start(Manners::Corrupt), &[]);
    assert_eq!(output.status.code(), Some(SERVER_FAULT), "{}", said(&output));
    assert!(said(&output).contains("corrupted payload"), "{}", said(&output));
}

#[test]
fn nobody_there_fails_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let output = run(ECHO, address, &[]);
    assert_eq!(output.status.code(), Some(SERVER_FAULT), "{}", said(&output));
}
