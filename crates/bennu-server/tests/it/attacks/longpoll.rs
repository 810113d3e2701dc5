//! Attacks on long polling.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, Channels, CheckOrigin, Context, Endpoint, Handled, HandlerResult, JoinRefusal,
    JoinRequest, Joined, LongPollOptions, SocketOptions, Transport,
};
use bennu_token::{SecretKeyBase, Tokens};
use bytes::Bytes;
use http::{Method, Request};
use http_body::{Body, Frame, SizeHint};
use serde_json::{Value, json};

use crate::poller::{Poller, get, json_of, post, send};

struct Room;

impl Channel for Room {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, _: &mut Context<()>) -> HandlerResult {
        if event == "wait" {
            std::future::pending::<()>().await;
        }
        Handled::reply(payload)
    }
}

const SECRET: &str = "a secret of thirty-two characters";

fn endpoint_with(secret: &str, options: LongPollOptions) -> Endpoint {
    let channels = || Channels::new().channel::<Room>("room:*");
    let options = || {
        let check_origin = CheckOrigin::list(["//good.example"]).unwrap();
        SocketOptions::default().check_origin(check_origin).longpoll(options.clone())
    };
    Endpoint::builder(PubSub::local())
        .secret_key_base(SecretKeyBase::new(secret).unwrap())
        .socket("/socket", AllowAnonymous, channels(), options())
        .socket("/other", AllowAnonymous, channels(), options())
        .build()
        .unwrap()
}

fn endpoint() -> Endpoint {
    endpoint_with(SECRET, LongPollOptions::new())
}

/// A body of `left` newlines in chunks of 64 KiB, which counts how many bytes were asked for.
struct Newlines {
    left: usize,
    announced: bool,
    read: Arc<AtomicU64>,
}

impl Body for Newlines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        static CHUNK: [u8; 65_536] = [b'\n'; 65_536];
        let length = CHUNK.len().min(self.left);
        self.left -= length;
        self.read.fetch_add(length as u64, Ordering::SeqCst);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(Bytes::from_static(&CHUNK[..length])))))
    }

    fn size_hint(&self) -> SizeHint {
        if self.announced { SizeHint::with_exact(self.left as u64) } else { SizeHint::default() }
    }
}

/// Posts newlines; the real status of the answer, and how many bytes of the body were taken.
async fn post_newlines(poller: &Poller, count: usize, announced: bool) -> (u16, u64) {
    let read = Arc::new(AtomicU64::new(0));
    let body = Newlines { left: count, announced, read: read.clone() };
    let parts = post(&poller.token).body(()).unwrap().into_parts().0;
    let Some(Transport::LongPoll(longpoll)) = poller.endpoint.route("/socket/longpoll") else {
        panic!("no long polling is mounted")
    };
    let response = longpoll.answer(parts, None, body).await;
    (response.status().as_u16(), read.load(Ordering::SeqCst))
}

#[tokio::test(start_paused = true)]
async fn attack_038_no_token_but_a_genuine_one_of_this_mount_opens_a_session() {
    let endpoint = endpoint();
    let poller = Poller::open(&endpoint).await;
    let genuine = poller.token.clone();
    let elsewhere =
        Poller::open(&endpoint_with("another secret of that length!", LongPollOptions::new())).await;
    let request = Request::get("/other/longpoll?vsn=2.0.0");
    let other_mount = json_of(&send(&endpoint, request, "").await)["token"].as_str().unwrap().to_owned();
    let [head, data, signature] = genuine.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let mut changed = URL_SAFE_NO_PAD.decode(data).unwrap();
    changed[20] ^= 1;
    let forged = format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(changed));
    // Genuine by the secret, but signed for another purpose.
    let tokens = Tokens::new(SecretKeyBase::new(SECRET).unwrap());
    let other_purpose = tokens.sign("user socket", &json!({"topic": "phx:lp:x"})).unwrap();
    for (name, token) in [
        ("none", ""),
        ("garbage", "garbage"),
        ("forged", &forged),
        ("without its end", &genuine[..genuine.len() - 1]),
        ("without a signature", &format!("{head}.{data}.")),
        ("two parts", &format!("{head}.{data}")),
        ("of another secret", &elsewhere.token),
        ("of another mount", &other_mount),
        ("of another purpose", &other_purpose),
    ] {
        let stranger = Poller { endpoint: endpoint.clone(), token: token.to_owned() };
        assert_eq!(stranger.post([json!([null, "1", "phoenix", "heartbeat", {}])]).await, 410, "{name}");
        let answer = json_of(&send(&endpoint, get(token), "").await);
        assert_eq!((&answer["status"], &answer["messages"]), (&json!(410), &json!([])), "{name}");
        assert_ne!(answer["token"], genuine, "{name}");
    }
    // A header that is there counts, even if the parameter holds a genuine token.
    let request = post(&genuine).header("x-phoenix-longpoll-token", "garbage");
    assert_eq!(json_of(&send(&endpoint, request, "[]").await), json!({"status": 410}));
    // Nothing of it touched the session.
    poller.join("room:a").await;
}

#[tokio::test(start_paused = true)]
async fn attack_038_a_token_expires() {
    let endpoint = endpoint_with(SECRET, LongPollOptions::new().max_age(Duration::ZERO));
    let poller = Poller::open(&endpoint).await;
    assert_eq!(poller.post([json!([null, "1", "phoenix", "heartbeat", {}])]).await, 410);
}

#[tokio::test(start_paused = true)]
async fn attack_039_ten_million_newlines_are_neither_kept_nor_looked_at() {
    let poller = Poller::open(&endpoint()).await;
    poller.join("room:a").await;
    // More than a body may have: read up to the bound, if it was not announced.
    let (status, read) = post_newlines(&poller, 10_000_000, false).await;
    assert_eq!(status, 400);
    assert!(read < 8_000_000 + 2 * 65_536, "{read}");
    // As many as fit behind a hundred messages: those are used, the rest is ignored.
    let echoes: Vec<String> =
        (0..100).map(|n| json!(["1", n.to_string(), "room:a", "echo", {}]).to_string()).collect();
    let body = format!("{}\n{}", echoes.join("\n"), "\n".repeat(7_900_000));
    assert_eq!(poller.post_body(&body).await, 200);
    assert_eq!(poller.poll().await.1.len(), 100);
    assert_eq!(poller.post([json!(["1", "2", "room:a", "echo", {}])]).await, 200);
}

#[tokio::test(start_paused = true)]
async fn attack_040_a_body_that_announces_too_much_is_not_read() {
    let poller = Poller::open(&endpoint()).await;
    assert_eq!(post_newlines(&poller, 50_000_000, true).await, (400, 0));
    let (status, read) = post_newlines(&poller, 50_000_000, false).await;
    assert!(status == 400 && read < 8_000_000 + 2 * 65_536, "{status}, {read}");
    // Without a session nothing is read at all.
    let stranger = Poller { token: "garbage".to_owned(), ..poller.clone() };
    assert_eq!(post_newlines(&stranger, 50_000_000, false).await, (200, 0));
    poller.join("room:a").await;
}

#[tokio::test(start_paused = true)]
async fn attack_040_a_line_that_is_no_base64_costs_the_rest_of_its_batch_only() {
    let poller = Poller::open(&endpoint()).await;
    poller.join("room:a").await;
    let echo = |reference: &str| json!(["1", reference, "room:a", "echo", {}]).to_string();
    for bad in ["not json!", "AA", " []", "AAAA=", "\u{e9}", &"!".repeat(1_000_000)] {
        let body = format!("{}\n{bad}\n{}", echo("before"), echo("after"));
        let response = send(&poller.endpoint, post(&poller.token), &body).await;
        assert_eq!((response.status().as_u16(), response.body().len()), (400, 0), "{bad:.20}");
        let references: Vec<Value> = poller.poll().await.1.iter().map(|message| message[1].clone()).collect();
        assert_eq!(references, ["before"], "{bad:.20}");
    }
}

#[tokio::test(start_paused = true)]
async fn attack_040_a_body_that_never_ends_is_given_up() {
    struct Endless;
    impl Body for Endless {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut TaskContext<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }
    let poller = Poller::open(&endpoint()).await;
    let parts = post(&poller.token).body(()).unwrap().into_parts().0;
    let Some(Transport::LongPoll(longpoll)) = poller.endpoint.route("/socket/longpoll") else {
        panic!("no long polling is mounted")
    };
    assert_eq!(longpoll.answer(parts, None, Endless).await.status(), 400);
}

#[tokio::test(start_paused = true)]
async fn attack_040_what_waits_for_a_handler_is_bounded_by_all_that_it_keeps() {
    let poller = Poller::open(&endpoint()).await;
    poller.join("room:wait").await;
    assert_eq!(poller.post([json!(["1", "2", "room:wait", "wait", {}])]).await, 200);
    // Each keeps a long name and carries next to nothing.
    let mut taken = 0;
    while taken < 10 && poller.post([json!(["1", "3", "room:wait", "e".repeat(100_000), {}])]).await == 200 {
        taken += 1;
    }
    assert!((2..=3).contains(&taken), "{taken} of 100 kB each");
}

#[tokio::test(start_paused = true)]
async fn attack_043_a_push_to_a_dead_session_is_told_so_and_old_clients_rejoin() {
    let endpoint = endpoint();
    let poller = Poller::open(&endpoint).await;
    poller.join("room:a").await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(poller.post([json!(["1", "2", "room:a", "echo", {}])]).await, 410);
    // phoenix.js 1.5 to 1.7 take the new token and push as if they were joined still.
    let answer = json_of(&send(&endpoint, get(&poller.token), "").await);
    let poller = Poller { endpoint, token: answer["token"].as_str().unwrap().to_owned() };
    assert_eq!(poller.post([json!(["1", "3", "room:a", "echo", {}])]).await, 200);
    let reason = json!({"reason": "unmatched topic"});
    let unmatched = json!([null, "3", "room:a", "phx_reply", {"status": "error", "response": reason}]);
    let ended = json!(["1", "1", "room:a", "phx_error", reason]);
    assert_eq!(poller.poll().await, (200, vec![unmatched, ended]));
    poller.join("room:a").await;
}

#[tokio::test(start_paused = true)]
async fn attack_044_answers_are_json_that_nobody_keeps_and_other_types_are_one_message() {
    let endpoint = endpoint();
    let poller = Poller::open(&endpoint).await;
    let heartbeat = r#"[null,"1","phoenix","heartbeat",{}]"#;
    for content_type in ["application/json", "text/html", "application/x-ndjson; charset=utf-8", "x"] {
        let request = get(&poller.token).method(Method::POST).header("content-type", content_type);
        let response = send(&endpoint, request, heartbeat).await;
        assert_eq!(json_of(&response), json!({"status": 200}), "{content_type}");
        let polled = send(&endpoint, get(&poller.token), "").await;
        for response in [&response, &polled] {
            let header = |name| response.headers().get(name).unwrap().to_str().unwrap();
            assert_eq!(header("content-type"), "application/json; charset=utf-8");
            assert_eq!(header("cache-control"), "no-store");
            assert_eq!(header("access-control-allow-origin"), "*");
        }
        assert_eq!(json_of(&polled)["status"], 200);
    }
    // The preflight of a page that may not connect is refused as everything else of it is.
    for (origin, allowed) in [("https://good.example", true), ("https://evil.example", false)] {
        let request = Request::options("/socket/longpoll").header("origin", origin);
        let response = send(&endpoint, request.header("access-control-request-headers", "x-a"), "").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().contains_key("access-control-allow-headers"), allowed, "{origin}");
        assert_eq!(response.body().is_empty(), allowed, "{origin}");
    }
}
