//! Where our server answers otherwise than the recorded one, why, and what it answers instead.

use std::ops::RangeInclusive;

/// Something that we do otherwise.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) phoenix: &'static str,
    pub(crate) here: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) places: &'static [Place],
}

/// Events of a recording in whose place something else happens.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) file: &'static str,
    pub(crate) events: RangeInclusive<u32>,
    /// What is sent and received in place of these events.
    pub(crate) ours: &'static [Ours],
}

/// One event of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ours {
    /// One of the recorded events, perhaps in another order.
    Recorded(u32),
    /// A recorded response with another value of this header.
    With(u32, (&'static str, &'static str)),
    /// A text frame on a connection.
    Text(&'static str, &'static str),
    /// A close frame on a connection.
    Close(&'static str, u16),
    /// The server's end of a TCP connection.
    Fin(&'static str),
    /// A response to a request on a connection of its own.
    Response(&'static Response),
}

/// A response of ours, compared as the recorded ones are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) body: &'static str,
}

/// What takes the place of an event, if something does.
pub(crate) fn at(file: &str, event: u32) -> Option<&'static Place> {
    let places = DIFFERENCES.iter().flat_map(|difference| difference.places);
    places.into_iter().find(|place| place.file == file && place.events.contains(&event))
}

/// The recorded events, in this order.
const fn order<const N: usize>(numbers: [u32; N]) -> [Ours; N] {
    let mut events = [Ours::Recorded(0); N];
    let mut at = 0;
    while at < N {
        events[at] = Ours::Recorded(numbers[at]);
        at += 1;
    }
    events
}

const fn at_place(file: &'static str, events: RangeInclusive<u32>, ours: &'static [Ours]) -> Place {
    Place { file, events, ours }
}

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        phoenix: "The offer of `permessage-deflate` is accepted as it is, and one context serves the whole connection",
        here: "It is accepted with both `no_context_takeover` parameters: each message is compressed by itself",
        reason: "A context would cost each connection some 300 KB, and a broadcast would be compressed anew for each \
                 subscriber",
        places: &[at_place(
            "connect_http",
            114..=114,
            &[Ours::With(114, ("sec-websocket-extensions", WITHOUT_CONTEXT))],
        )],
    },
    Difference {
        phoenix: "Of two members with one name a handler gets the first, and so `echo` answers it",
        here: "`echo` answers both, as they came",
        reason: "A payload that no handler reads is validated and passed on, not written anew",
        places: &[at_place("malformed", 237..=237, &[Ours::Text("c", DUPLICATE_MEMBERS)])],
    },
    Difference {
        phoenix: "A join takes 400 ms: a heartbeat and a push to another topic are answered after it",
        here: "They are answered at once; what is for the joining topic waits for it, in order",
        reason: "A slow join is no reason to keep the other channels of a connection waiting, or to time it out",
        places: &[
            at_place("v1_slow", 16..=26, &order([16, 17, 18, 19, 20, 22, 23, 21, 24, 25, 26])),
            at_place("v2_slow", 16..=26, &order([16, 17, 18, 19, 20, 22, 23, 21, 24, 25, 26])),
        ],
    },
    Difference {
        phoenix: "Twelve requests on two topics at once: the answers on one topic are in order, those on the other come later",
        here: "All are in the order of the requests",
        reason: "Handlers that need not wait run one after another; each topic has its order in both",
        places: &[at_place(
            "pipelined_order",
            19..=34,
            &order([19, 20, 21, 22, 29, 23, 24, 30, 25, 31, 32, 26, 33, 27, 28, 34]),
        )],
    },
    Difference {
        phoenix: "Who joins gets the `presence_diff` with itself before the `presence_state`",
        here: "After it",
        reason: "`after_join` lets no broadcast through until it has returned, so that no client gets a change of \
                 a state that it does not have yet",
        places: &[
            at_place("v1_presence", 5..=6, &order([6, 5])),
            at_place("v1_presence", 12..=13, &order([13, 12])),
            at_place("v1_presence", 26..=27, &order([27, 26])),
            at_place("v1_presence", 67..=68, &order([68, 67])),
            at_place("v1_presence", 72..=75, &order([75, 72, 73, 74])),
            at_place("v1_presence", 78..=82, &order([82, 78, 79, 80, 81])),
            at_place("v1_presence", 85..=90, &order([90, 85, 86, 87, 88, 89])),
            at_place("v2_presence", 5..=6, &order([6, 5])),
            at_place("v2_presence", 12..=13, &order([13, 12])),
            at_place("v2_presence", 26..=27, &order([27, 26])),
        ],
    },
    Difference {
        phoenix: "Who tracks, updates or untracks gets the reply of the handler before the `presence_diff`",
        here: "After it",
        reason: "What a handler sends goes out in the order in which it sends it, and its reply is the last; in \
                 Phoenix another process tells the change, and may be faster than the handler",
        places: &[
            at_place("v1_presence", 16..=17, &order([17, 16])),
            at_place("v1_presence", 32..=34, &order([33, 34, 32])),
            at_place("v1_presence", 47..=48, &order([48, 47])),
            at_place("v1_presence", 52..=53, &order([53, 52])),
            at_place("v2_presence", 16..=18, &order([16, 18, 17])),
            at_place("v2_presence", 34..=35, &order([35, 34])),
            at_place("v2_presence", 46..=47, &order([47, 46])),
            at_place("v2_presence", 51..=52, &order([52, 51])),
        ],
    },
    Difference {
        phoenix: "Four clients join at once, and leave at once: what each hears of the others is a race",
        here: "They do it one after another; each hears of all that happens while it is there",
        reason: "A race cannot be compared, so the replay leaves the client no choice",
        places: &[
            at_place("v1_presence", 92..=100, &order([92, 93, 97, 94, 98, 95, 99, 96, 100])),
            at_place(
                "v2_presence",
                64..=89,
                &order([
                    64, 65, 68, 67, 66, 69, 70, 77, 74, 72, 73, 71, 76, 87, 86, 78, 80, 79, 75, 81, 85, 84,
                    89, 83, 82, 88,
                ]),
            ),
            at_place("v2_presence", 91..=102, &order([91, 92, 95, 93, 94, 96, 97, 100, 98, 102, 99, 101])),
        ],
    },
    Difference {
        phoenix: "A channel that crashes does not get the leave of its own presence (in `v1_presence` it does)",
        here: "It does, before its `phx_error`",
        reason: "The state of a crashed channel, and with it its presence, ends before its subscription; in Phoenix it \
                 is a race",
        places: &[at_place("v2_presence", 104..=104, &[Ours::Text("a", OWN_LEAVE), Ours::Recorded(104)])],
    },
    Difference {
        phoenix: "A join whose response has no JSON form closes the connection with 1011",
        here: "The join is answered as crashed, and the connection stays",
        reason: "An error of one channel is no reason to end the others",
        places: &[at_place(
            "v2_binary",
            78..=80,
            &[Ours::Text("e", JOIN_CRASHED), Ours::Recorded(80), Ours::Close("e", 1000), Ours::Fin("e")],
        )],
    },
    Difference {
        phoenix: "A binary message makes the poll that fetches it fail with 500, and all that waited is lost",
        here: "It is dropped with a warning in the log, and the text beside it arrives",
        reason: "Long polling carries text alone, and one message that cannot be sent is no reason to lose others",
        places: &[
            at_place("longpoll", 29..=29, &[Ours::Response(&NOTHING_WAITS)]),
            at_place("longpoll", 34..=34, &[Ours::Response(&ONLY_TEXT)]),
            at_place("longpoll", 39..=39, &[Ours::Response(&NOTHING_WAITS)]),
        ],
    },
    Difference {
        phoenix: "A line that is neither an array nor base64 is answered with 500",
        here: "With 400",
        reason: "The client is at fault",
        places: &[at_place("longpoll", 58..=58, &[Ours::Response(&BAD_REQUEST)])],
    },
    Difference {
        phoenix: "When the server stops, a connection without channels is closed with 1000",
        here: "With 1012, as all others",
        reason: "The official client does not reconnect after 1000",
        places: &[at_place("shutdown", 10..=10, &[Ours::Close("b", 1012)])],
    },
];

/// The token of the first session of the recording.
macro_rules! first_token {
    () => {
        "SFMyNTY.g2gDaAR3AnYxbQAAABZoRHhyUVZkR0ZndDRMLzJJSGRXMS9BWHcNbm9ub2RlQG5vaG9zdAAABu0AAAAAAAAAAG0AAAAscGh4OmxwOmtmeW9uSWgvNlk0NU5KeGFQTlVHY3c9PTE3OTUyMzg1NDQ3NjFuBgB5RY78oQFiABJ1AA.ceYfumOpjq9inlJKwezpRGZcPboAvkRjTJqtloy_gu8"
    };
}

const WITHOUT_CONTEXT: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

const ANSWERS_OF_LONGPOLL: &[(&str, &str)] = &[
    ("connection", "close"),
    ("cache-control", "no-store"),
    ("access-control-allow-origin", "*"),
    ("content-type", "application/json; charset=utf-8"),
];
const NOTHING_WAITS: Response = Response {
    status: 200,
    headers: ANSWERS_OF_LONGPOLL,
    body: concat!(r#"{"messages":[],"status":204,"token":""#, first_token!(), r#""}"#),
};
const ONLY_TEXT: Response = Response {
    status: 200,
    headers: ANSWERS_OF_LONGPOLL,
    body: concat!(
        r#"{"messages":["[\"1\",\"61\",\"room:lobby\",\"phx_reply\",{\"status\":\"ok\",\"response\":{}}]"],"#,
        r#""status":200,"token":""#,
        first_token!(),
        r#""}"#
    ),
};
const BAD_REQUEST: Response = Response {
    status: 400,
    headers: &[
        ("connection", "close"),
        ("cache-control", "max-age=0, private, must-revalidate"),
        ("access-control-allow-origin", "*"),
    ],
    body: "",
};

const DUPLICATE_MEMBERS: &str =
    r#"["1","2","room:lobby","phx_reply",{"status":"ok","response":{"a":1,"a":2}}]"#;
const JOIN_CRASHED: &str =
    r#"["31","31","room:bin","phx_reply",{"status":"error","response":{"reason":"join crashed"}}]"#;
const OWN_LEAVE: &str = r#"[null,null,"presence:pv2","presence_diff",{"leaves":{"extra":{"metas":[{"phx_ref":"GOn2qa3UZJiLjgjh","a":1}]}},"joins":{}}]"#;
