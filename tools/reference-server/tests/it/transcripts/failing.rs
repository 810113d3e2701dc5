//! That a replay can fail: recordings that were tampered with are not answered alike.

use super::recording::{Act, Event, Received, Recording};
use super::replay::{Pace, play_scene};

/// Plays a recording, changed, which must fail, and returns what the failure says.
fn failure(change: impl FnOnce(&mut Vec<Event>)) -> String {
    let mut recording = Recording::read("v1_default");
    change(&mut recording.events);
    play_scene(&recording, &[1..=u32::MAX], Pace::Barriers).expect_err("the changed recording is not ours")
}

/// The position of the event of this number.
fn at(events: &[Event], number: u32) -> usize {
    events.iter().position(|event| event.number == number).expect("an event of the recording")
}

#[test]
fn an_answer_that_was_not_recorded_fails() {
    // Event 4 is the reply to the join; without it the recording shows silence until event 5.
    let failure = failure(|events| drop(events.remove(at(events, 4))));
    assert!(failure.starts_with("v1_default: event 5: "), "{failure}");
    assert!(failure.contains("should have been silent"), "{failure}");
}

#[test]
fn another_payload_fails() {
    let failure = failure(|events| {
        let at = at(events, 7);
        let Act::Received(Received::Text(text)) = &mut events[at].act else { panic!("a text frame") };
        *text = text.replace(r#"{"x":1}"#, r#"{"x":2}"#);
    });
    assert!(failure.starts_with(r#"v1_default: event 7: at "/payload/x""#), "{failure}");
}

#[test]
fn another_kind_of_frame_fails() {
    let failure = failure(|events| {
        let at = at(events, 7);
        events[at].act = Act::Received(Received::Binary(vec![1]));
    });
    assert!(failure.starts_with("v1_default: event 7: another frame"), "{failure}");
}

#[test]
fn another_close_code_fails() {
    let failure = failure(|events| {
        let at = at(events, 9);
        events[at].act = Act::Received(Received::Close(Some(1001), String::new()));
    });
    assert!(failure.starts_with("v1_default: event 9: another frame; got Close(Some((1000"), "{failure}");
}

#[test]
fn another_header_or_status_fails() {
    let with = |change: fn(&mut u16, &mut Vec<(String, String)>)| {
        failure(move |events| {
            let at = at(events, 2);
            let Act::Received(Received::Response { status, headers, .. }) = &mut events[at].act else {
                panic!("a response")
            };
            change(status, headers);
        })
    };
    let failure = with(|status, _| *status = 200);
    assert!(failure.starts_with("v1_default: event 2: status 101, not 200"), "{failure}");
    let failure = with(|_, headers| headers.retain(|(name, _)| name != "cache-control"));
    assert!(failure.starts_with("v1_default: event 2: headers "), "{failure}");
}

#[test]
fn a_failure_of_the_raw_client_names_its_event() {
    // A status of the recording that no answer can have, for want of an answer: the client has closed.
    let failure = failure(|events| {
        let at = at(events, 9);
        let headers = Vec::new();
        events[at].act = Act::Received(Received::Response { status: 200, headers, body: String::new() });
    });
    assert!(failure.starts_with("v1_default: event 9: the connection ended inside a response"), "{failure}");
}
