//! What handlers return and send, and what clients see of it.

use std::time::Duration;

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, ChannelError, Channels, Context, Endpoint, Handled, HandlerResult, JoinRefusal,
    JoinRequest, Joined, SocketOptions,
};
use serde::Deserialize;
use serde_json::json;

use crate::client::Client;

struct Room;

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Channel for Room {
    type Assigns = ();

    async fn join(request: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        let greeting = request.route_value::<&str>().copied();
        match (request.rest(), greeting) {
            ("closed", _) => Err(JoinRefusal::reason("closed")),
            ("typed", _) => {
                let named: Named = request.payload().parse()?;
                Joined::with_response(Room, json!({ "hello": named.name }))
            }
            ("signed", _) => {
                let named: Named = request.payload().parse()?;
                let token = request.tokens().verify::<String>("room", &*named.name)?;
                Joined::with_response(Room, json!({ "hello": token.data }))
            }
            ("broken", _) => Err(std::io::Error::other("the disk is full").into()),
            ("slow", _) => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                Ok(Joined::new(Room))
            }
            (_, Some(greeting)) => Joined::with_response(Room, json!({ "greeting": greeting })),
            (_, None) => Ok(Joined::new(Room)),
        }
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
        match event {
            "name" => {
                let named: Named = payload.parse()?;
                Handled::reply(json!({ "hello": named.name }))
            }
            "wait" => {
                cx.push("waiting", json!({}))?;
                tokio::time::sleep(Duration::from_secs(2)).await;
                Handled::ok()
            }
            "verify" => {
                let named: Named = payload.parse()?;
                Handled::reply(cx.endpoint().tokens().verify::<String>("room", &*named.name)?.data)
            }
            "deny" => Err(ChannelError::reply(json!({ "reason": "not yours" }))),
            "fail" => Err(std::io::Error::other("the disk is full").into()),
            "echo" => Handled::reply(payload),
            _ => Handled::unknown_event(event),
        }
    }
}

fn endpoint() -> Endpoint {
    let channels = Channels::new().channel_with::<Room>("greet:*", "hi").channel::<Room>("room:*");
    Endpoint::builder(PubSub::local())
        .socket("/socket", AllowAnonymous, channels, SocketOptions::default())
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn joins_are_answered_with_what_join_returned() {
    let mut client = Client::connect(&endpoint()).await;
    for (topic, status, response) in [
        ("room:a", "ok", json!({})),
        (
            "room:typed",
            "error",
            json!({"reason": "invalid payload", "detail": "missing field `name` at line 1 column 2"}),
        ),
        ("room:closed", "error", json!({"reason": "closed"})),
        ("room:broken", "error", json!({"reason": "join crashed"})),
        ("greet:a", "ok", json!({"greeting": "hi"})),
        ("other:a", "error", json!({"reason": "unmatched topic"})),
    ] {
        client.send(json!(["1", "1", topic, "phx_join", {}])).await;
        let reply = client.recv().await;
        assert_eq!(reply[4], json!({"status": status, "response": response}), "{topic}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_payload_is_the_clients_fault_and_the_channel_lives() {
    let mut client = Client::connect(&endpoint()).await;
    client.join("room:a").await;
    client.send(json!(["1", "2", "room:a", "name", {"name": 7}])).await;
    let reply = client.recv().await;
    assert_eq!((&reply[1], &reply[4]["status"]), (&json!("2"), &json!("error")));
    assert_eq!(reply[4]["response"]["reason"], "invalid payload");
    client.send(json!(["1", "3", "room:a", "deny", {}])).await;
    assert_eq!(client.recv().await[4], json!({"status": "error", "response": {"reason": "not yours"}}));
    client.send(json!(["1", "4", "room:a", "name", {"name": "ada"}])).await;
    assert_eq!(client.recv().await[4]["response"], json!({"hello": "ada"}));
}

#[tokio::test(start_paused = true)]
async fn an_error_and_an_unknown_event_crash_the_channel_alone() {
    let mut client = Client::connect(&endpoint()).await;
    client.join("room:other").await;
    for event in ["fail", "nobody-knows"] {
        client.join("room:a").await;
        client.send(json!(["1", "2", "room:a", event, {}])).await;
        assert_eq!(
            client.recv().await,
            json!(["1", "1", "room:a", "phx_error", {"reason": "channel_crash"}])
        );
    }
    client.send(json!(["1", "3", "room:other", "echo", {"still": "here"}])).await;
    assert_eq!(client.recv().await[4]["response"], json!({"still": "here"}));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_holds_up_its_own_channel_alone_and_in_order() {
    let mut client = Client::connect(&endpoint()).await;
    client.join("room:a").await;
    client.join("room:b").await;
    client.send(json!(["1", "2", "room:a", "wait", {}])).await;
    client.send(json!(["1", "3", "room:a", "echo", {"n": 1}])).await;
    client.send(json!(["1", "4", "room:a", "phx_leave", {}])).await;
    client.send(json!(["1", "5", "room:b", "echo", {}])).await;
    client.send(json!([null, "6", "phoenix", "heartbeat", {}])).await;
    assert_eq!(client.recv_event().await, "waiting");
    let refs = [client.recv().await[1].clone(), client.recv().await[1].clone()];
    assert_eq!(refs, ["5", "6"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    for reference in ["2", "3", "4"] {
        assert_eq!(client.recv().await[1], reference);
    }
    assert_eq!(client.recv_event().await, "phx_close");
}

#[tokio::test(start_paused = true)]
async fn a_join_that_waits_holds_up_its_own_topic_alone() {
    let mut client = Client::connect(&endpoint()).await;
    client.join("room:b").await;
    client.send(json!(["2", "2", "room:slow", "phx_join", {}])).await;
    client.send(json!(["2", "3", "room:slow", "echo", {"n": 1}])).await;
    client.send(json!(["1", "4", "room:b", "echo", {}])).await;
    assert_eq!(client.recv().await[1], "4");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((client.recv().await[1].clone(), client.recv().await[1].clone()), (json!("2"), json!("3")));
}

#[tokio::test(start_paused = true)]
async fn two_endpoints_with_their_own_pubsub_do_not_hear_each_other() {
    let (one, other) = (endpoint(), endpoint());
    let mut client = Client::connect(&one).await;
    client.join("room:a").await;
    other.broadcast("room:a", "msg", json!({})).unwrap();
    client.hears_nothing().await;
    one.broadcast("room:a", "msg", json!({"n": 1})).unwrap();
    assert_eq!(client.recv().await, json!([null, null, "room:a", "msg", {"n": 1}]));
}

#[test]
fn an_endpoint_that_cannot_work_is_not_built() {
    let build = |first: &str, second: &str, pattern: &str| {
        let channels = || Channels::new().channel::<Room>(pattern);
        Endpoint::builder(PubSub::local())
            .socket(first, AllowAnonymous, channels(), SocketOptions::default())
            .socket(second, AllowAnonymous, channels(), SocketOptions::default())
            .build()
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(build("/a", "/b", "room:*"), Ok(()));
    assert_eq!(build("/a", "/a", "room:*"), Err(r#"two sockets are mounted at "/a""#.to_owned()));
    let wrong = r#"the socket at "/a" has a channel for "a*b", which is no topic pattern"#;
    assert_eq!(build("/a", "/b", "a*b"), Err(wrong.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_accepted_is_unauthorized_in_joins_and_handlers() {
    let endpoint = endpoint();
    let token = endpoint.tokens().sign("room", "Ada").unwrap();
    let mut client = Client::connect(&endpoint).await;
    client.send(json!(["1", "1", "room:signed", "phx_join", {"name": "forged"}])).await;
    let refused = json!({"status": "error", "response": {"reason": "unauthorized"}});
    assert_eq!(client.recv().await, json!(["1", "1", "room:signed", "phx_reply", refused]));
    client.send(json!(["2", "2", "room:signed", "phx_join", {"name": token}])).await;
    let accepted = json!({"status": "ok", "response": {"hello": "Ada"}});
    assert_eq!(client.recv().await, json!(["2", "2", "room:signed", "phx_reply", accepted]));
    client.send(json!(["2", "3", "room:signed", "verify", {"name": "forged"}])).await;
    assert_eq!(client.recv().await, json!(["2", "3", "room:signed", "phx_reply", refused]));
    client.send(json!(["2", "4", "room:signed", "verify", {"name": token}])).await;
    let accepted = json!({"status": "ok", "response": "Ada"});
    assert_eq!(client.recv().await, json!(["2", "4", "room:signed", "phx_reply", accepted]));
}
