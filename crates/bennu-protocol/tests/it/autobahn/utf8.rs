//! Category 6: UTF-8.

use super::*;

/// What is valid, at the edges of each length and of the gap of the surrogates.
const VALID: &[&[u8]] = &[
    b"",
    b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
    b"\x00",
    b"\xc2\x80",
    b"\xe0\xa0\x80",
    b"\xf0\x90\x80\x80",
    b"\x7f",
    b"\xdf\xbf",
    b"\xef\xbf\xbf",
    b"\xf4\x8f\xbf\xbf",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    b"\xef\xbf\xbe",
    b"\xef\xb7\x90",
    b"\xf0\x9f\xbf\xbe",
    b"\xf0\xaf\xbf\xbf",
    b"\xf3\xbf\xbf\xbe",
    b"\xf0\x9f\x98\x80 \xf0\x9f\x9a\x80",
];

/// What is not: stray, missing, overlong, too high, surrogates, and bytes that never occur.
const INVALID: &[&[u8]] = &[
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64",
    b"\xf4\x90\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    b"\xf8\x88\x80\x80\x80",
    b"\xfb\xbf\xbf\xbf\xbf",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xfd\xbf\xbf\xbf\xbf\xbf",
    b"\x80",
    b"\xbf",
    b"\x80\xbf",
    b"\x80\xbf\x80\xbf\x80\xbf",
    b"\xc0 \xc1 \xc2 ",
    b"\xe0 \xe1 \xef ",
    b"\xf0 \xf1 \xf4 ",
    b"\xf8 \xfb ",
    b"\xfc \xfd ",
    b"\xc0",
    b"\xe0\x80",
    b"\xf0\x80\x80",
    b"\xdf",
    b"\xef\xbf",
    b"\xf7\xbf\xbf",
    b"\xe1\x80\xc2",
    b"\xfe",
    b"\xff",
    b"\xfe\xfe\xff\xff",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xed\xad\xbf",
    b"\xed\xae\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xed\xaf\xbf\xed\xbf\xbf",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce",
];

/// In one frame, in two that are cut in the middle, and byte by byte with pings between them.
fn fragmentations(payload: &[u8]) -> [(&'static str, Vec<Frame>, usize); 3] {
    let (start, end) = payload.split_at(payload.len() / 2);
    let mut tiny = vec![part(TEXT, "")];
    for byte in payload {
        tiny.push(part(CONTINUATION, [*byte]));
        tiny.push(whole(PING, ""));
    }
    tiny.push(whole(CONTINUATION, ""));
    [
        ("whole", vec![whole(TEXT, payload)], 0),
        ("in two", vec![part(TEXT, start), whole(CONTINUATION, end)], 0),
        ("byte by byte", tiny, payload.len()),
    ]
}

#[test]
fn category_6_utf8() {
    let mut cases = Vec::new();
    for payload in VALID {
        for (name, frames, pings) in fragmentations(payload) {
            let mut items = vec![ping(""); pings];
            items.push(text(*payload));
            cases.push(Case::new(format!("{payload:x?} {name}"), &frames, &items));
        }
    }
    // Seen when the message is complete, not before: what comes between its fragments still counts.
    for (index, payload) in INVALID.iter().enumerate() {
        for (name, frames, pings) in fragmentations(payload) {
            // Two ways are enough for those that end too early.
            if index % 2 == 0 || name != "in two" {
                let case = Case::new(format!("{payload:x?} {name}"), &frames, &vec![ping(""); pings]);
                cases.push(case.violates(1007));
            }
        }
    }
    // Nobody asks whether bytes are text.
    cases.extend(INVALID.iter().map(|payload| {
        Case::new(format!("{payload:x?} binary"), &[whole(BINARY, *payload)], &[binary(*payload)])
    }));
    play(&cases, 200, plain);
}
