//! Category 7: close handling.

use super::*;

fn body(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

fn close(code: u16, reason: &str) -> Frame {
    whole(CLOSE, body(code, reason))
}

#[test]
fn category_7_close_handling() {
    let full = "*".repeat(123);
    let mut cases = vec![
        Case::new("after a message", &[whole(TEXT, "hi"), close(1000, "")], &[text("hi"), closed(1000, "")]),
        Case::new("twice", &[close(1000, ""), close(1000, "")], &[closed(1000, "")]),
        Case::new("ping behind it", &[close(1000, ""), whole(PING, "")], &[closed(1000, "")]),
        Case::new("text behind it", &[close(1000, ""), whole(TEXT, "late")], &[closed(1000, "")]),
        Case::new(
            "the end of a message behind it",
            &[part(TEXT, "a"), close(1000, ""), whole(CONTINUATION, "b")],
            &[closed(1000, "")],
        ),
        Case::new("nonsense behind it", &[close(1000, ""), (0xff, vec![0xff; 300])], &[closed(1000, "")]),
        Case::new(
            "a large message in front",
            &[whole(TEXT, vec![b'x'; 262_144]), close(1000, "")],
            &[text(vec![b'x'; 262_144]), closed(1000, "")],
        ),
        Case::new("empty", &[whole(CLOSE, "")], &[Item::Close(None)]),
        Case::new("one byte", &[whole(CLOSE, "a")], &[]).violates(1002),
        Case::new("code and reason", &[close(1000, "Hello World!")], &[closed(1000, "Hello World!")]),
        Case::new("the longest reason", &[close(1000, &full)], &[closed(1000, &full)]),
        Case::new("a longer reason", &[close(1000, &format!("{full}*"))], &[]).violates(1002),
        Case::new("a reason that is not utf-8", &[whole(CLOSE, b"\x03\xe8\xce\xba\xed\xa0\x80")], &[])
            .violates(1002),
        Case::new("a reason cut in a character", &[whole(CLOSE, b"\x03\xe8\xce")], &[]).violates(1002),
    ];
    for code in
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
    {
        cases.push(Case::new(format!("{code}"), &[close(code, "")], &[closed(code, "")]));
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999] {
        cases.push(Case::new(format!("{code}"), &[close(code, "")], &[]).violates(1002));
    }
    // Undefined ones, which Bandit lets pass as well.
    for code in [5000, 6000, 65_535] {
        cases.push(Case::new(format!("{code}"), &[close(code, "")], &[closed(code, "")]));
    }
    play(&cases, 44, plain);
}
