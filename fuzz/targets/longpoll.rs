//! The body of a long poll's POST, as one frame and as lines: always an answer, and the next session is not harmed.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use bennu_pubsub::PubSub;
use bennu_server::{AllowAnonymous, Channels, Endpoint, LongPollOptions, SocketOptions, Transport};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
});

static ENDPOINT: LazyLock<Endpoint> = LazyLock::new(|| {
    let window = Duration::from_millis(1);
    let options = SocketOptions::default().longpoll(LongPollOptions::new().window(window));
    let endpoint = Endpoint::builder(PubSub::local());
    endpoint.socket("/socket", AllowAnonymous, Channels::new(), options).build().expect("an endpoint")
});

// The first byte chooses content type and version.
fuzz_target!(|bytes: &[u8]| {
    let [choice, body @ ..] = bytes else { return };
    RUNTIME.block_on(async {
        let vsn = if choice & 1 == 0 { "2.0.0" } else { "1.0.0" };
        let created = request(Method::GET, &format!("vsn={vsn}"), "application/json", &[]).await;
        let created: serde_json::Value = serde_json::from_slice(created.body()).expect("JSON");
        let token = created["token"].as_str().expect("a new session");

        let content_type = if choice & 2 == 0 { "application/x-ndjson" } else { "application/json" };
        let query = format!("vsn={vsn}&token={token}");
        let posted = request(Method::POST, &query, content_type, body).await;
        match posted.status().as_u16() {
            200 => {
                let answer: serde_json::Value = serde_json::from_slice(posted.body()).expect("JSON");
                assert!([200, 408, 410].contains(&answer["status"].as_u64().expect("a status")), "{answer}");
            }
            400 => {}
            other => panic!("answered {other}"),
        }
        let polled = request(Method::GET, &query, "application/json", &[]).await;
        let polled: serde_json::Value = serde_json::from_slice(polled.body()).expect("JSON");
        for message in polled["messages"].as_array().expect("messages") {
            let message = message.as_str().expect("messages are text");
            serde_json::from_str::<serde_json::Value>(message).expect("and JSON inside");
        }
    });
});

async fn request(method: Method, query: &str, content_type: &str, body: &[u8]) -> Response<Bytes> {
    let uri = format!("/socket/longpoll?{query}");
    let request = Request::builder().method(method).uri(uri).header("content-type", content_type).body(());
    let (parts, ()) = request.expect("a request").into_parts();
    let Some(Transport::LongPoll(longpoll)) = ENDPOINT.route("/socket/longpoll") else {
        panic!("long polling is mounted");
    };
    longpoll.answer(parts, None, Full::new(Bytes::copy_from_slice(body))).await
}
