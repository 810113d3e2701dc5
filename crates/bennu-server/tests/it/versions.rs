//! Which versions of the protocol a mount speaks, and what a channel knows of its join.

use bennu_protocol::{Payload, Serializer};
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, Channels, Context, Endpoint, Handled, HandlerResult, JoinRefusal, JoinRequest,
    Joined, SocketOptions, Transport,
};
use serde_json::{Value, json};

use crate::client::Client;

struct Room;

impl Channel for Room {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }

    async fn handle_in(&mut self, _: &str, _: Payload, cx: &mut Context<()>) -> HandlerResult {
        Handled::reply(json!({ "join_ref": cx.join_ref() }))
    }
}

fn endpoint(options: SocketOptions) -> Endpoint {
    let channels = Channels::new().channel::<Room>("room");
    Endpoint::builder(PubSub::local()).socket("/socket", AllowAnonymous, channels, options).build().unwrap()
}

/// The status of the answer to an upgrade with this query.
async fn status(endpoint: &Endpoint, query: &str) -> u16 {
    let request = http::Request::builder()
        .uri(format!("/socket/websocket?{query}"))
        .header("host", "localhost")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "13");
    let parts = request.body(()).unwrap().into_parts().0;
    let Some(Transport::WebSocket(handshake)) = endpoint.route("/socket/websocket") else {
        panic!("no WebSocket is mounted")
    };
    let answer = handshake.accept(parts, None).await;
    answer.map_or_else(|refused| refused.status(), |upgrade| upgrade.response.status()).as_u16()
}

#[tokio::test]
async fn only_the_versions_of_the_mount_are_served() {
    let (both, v1, v2) = (
        endpoint(SocketOptions::default()),
        endpoint(SocketOptions::default().serializers([Serializer::V1])),
        endpoint(SocketOptions::default().serializers([Serializer::V2])),
    );
    for (query, expected) in [
        ("vsn=2.0.0", [101, 403, 101]),
        ("vsn=1.0.0", [101, 101, 403]),
        // A client that names no version speaks 1.0.0.
        ("", [101, 101, 403]),
        ("vsn=2.1.0", [403, 403, 403]),
    ] {
        let got = [status(&both, query).await, status(&v1, query).await, status(&v2, query).await];
        assert_eq!(got, expected, "{query}");
    }
}

#[tokio::test]
async fn a_channel_knows_its_join_ref_as_the_client_wrote_it() {
    let endpoint = endpoint(SocketOptions::default());
    for (join_ref, reference, known) in [
        (json!("4"), json!("5"), json!("4")),
        (json!(4), json!("5"), json!(4)),
        (json!({"a": [1.5]}), json!("5"), json!({"a": [1.5]})),
        (Value::Null, json!("5"), json!("5")),
        (Value::Null, Value::Null, Value::Null),
    ] {
        let mut client = Client::connect(&endpoint).await;
        client.send(json!([join_ref, reference, "room", "phx_join", {}])).await;
        client.recv().await;
        client.send(json!([null, "6", "room", "ask", {}])).await;
        assert_eq!(client.recv().await[4]["response"]["join_ref"], known, "{join_ref} {reference}");
    }
}
