//! Compression by negotiation (RFC 7692), over streams in memory.

use bennu_protocol::Payload;
use bennu_protocol::websocket::{FrameHeader, Opcode, encode_compressed, encode_masked};
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, Channels, Compression, Context, Endpoint, Handled, HandlerResult, JoinRefusal,
    JoinRequest, Joined, SocketOptions,
};
use serde_json::{Value, json};

use crate::client::Client;
use crate::handshake::ask;

const KEY: [u8; 4] = [1, 2, 3, 4];

/// Echoes, and pushes what is asked for.
struct Room;

impl Channel for Room {
    type Assigns = ();

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
        match event {
            "push" => {
                cx.push("pushed", payload)?;
                Ok(Handled::NoReply)
            }
            "later" => {
                let socket = cx.socket_ref().unwrap();
                socket.reply(bennu_protocol::Status::Ok, payload)?;
                Ok(Handled::NoReply)
            }
            _ => Handled::reply(payload),
        }
    }
}

pub(crate) fn endpoint(options: SocketOptions) -> Endpoint {
    let channels = Channels::new().channel::<Room>("room:*");
    Endpoint::builder(PubSub::local()).socket("/socket", AllowAnonymous, channels, options).build().unwrap()
}

pub(crate) fn compressing() -> SocketOptions {
    SocketOptions::default().compression(Compression::default())
}

/// So much JSON that repeats itself.
fn long() -> Value {
    json!({ "text": "abc ".repeat(500) })
}

/// What the server answers to these offers, each in a header of its own.
pub(crate) async fn answer(endpoint: &Endpoint, offers: &[&str]) -> Option<String> {
    let offers: Vec<_> = offers.iter().map(|offer| ("sec-websocket-extensions", *offer)).collect();
    let upgrade = ask(endpoint, "vsn=2.0.0", &offers).await.unwrap();
    let answer = upgrade.response.headers().get("sec-websocket-extensions");
    answer.map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn compression_is_agreed_on_where_the_mount_has_it() {
    let offer = "permessage-deflate; client_max_window_bits";
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(answer(&endpoint(compressing()), &[offer]).await.as_deref(), Some(agreed));
    assert_eq!(answer(&endpoint(compressing()), &[]).await, None);
    assert_eq!(answer(&endpoint(SocketOptions::default()), &[offer]).await, None);
}

#[tokio::test(start_paused = true)]
async fn long_messages_are_compressed_and_short_ones_are_not() {
    let endpoint = endpoint(compressing());
    let mut client = Client::connect_compressed(&endpoint).await;
    client.join("room:1").await;
    for (event, payload, is_compressed) in [
        ("echo", json!({}), false),
        ("echo", long(), true),
        ("later", long(), true),
        ("push", json!({}), false),
        ("push", long(), true),
    ] {
        client.send(json!(["1", "2", "room:1", event, payload])).await;
        let (header, bytes) = client.take_frame().await;
        assert_eq!((header.compressed, header.fin), (is_compressed, true), "{event} {payload}");
        assert!(bytes.len() < 200, "{event} {payload}: {} bytes", bytes.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_reaches_each_subscriber_as_it_agreed() {
    let endpoint = endpoint(compressing());
    let mut plain = Client::connect(&endpoint).await;
    let mut compressed = Client::connect_compressed(&endpoint).await;
    plain.join("room:1").await;
    compressed.join("room:1").await;
    let expected = json!([null, null, "room:1", "msg", long()]);
    for _ in 0..2 {
        endpoint.broadcast("room:1", "msg", long()).unwrap();
        // Its decoder would refuse a compressed frame.
        assert_eq!(plain.recv().await, expected);
        let (header, bytes) = compressed.take_frame().await;
        assert!(header.compressed && bytes.len() < 200);
    }
    endpoint.broadcast("room:1", "msg", long()).unwrap();
    assert_eq!(compressed.recv().await, expected);
}

#[tokio::test(start_paused = true)]
async fn the_lowest_threshold_of_the_mounts_is_that_of_the_endpoint() {
    let channels = || Channels::new().channel::<Room>("room:*");
    let options =
        |threshold| SocketOptions::default().compression(Compression::default().threshold(threshold));
    let endpoint = Endpoint::builder(PubSub::local())
        .socket("/socket", AllowAnonymous, channels(), options(100_000))
        .socket("/other", AllowAnonymous, channels(), options(100))
        .build()
        .unwrap();
    let mut client = Client::connect_compressed(&endpoint).await;
    client.join("room:1").await;
    client.send(json!(["1", "2", "room:1", "echo", long()])).await;
    assert!(client.take_frame().await.0.compressed);
}

#[tokio::test(start_paused = true)]
async fn compressed_messages_of_a_client_are_understood() {
    let endpoint = endpoint(compressing());
    let mut client = Client::connect_compressed(&endpoint).await;
    client.join("room:1").await;
    let message = json!(["1", "2", "room:1", "echo", long()]).to_string();
    let reply = json!(["1", "2", "room:1", "phx_reply", {"status": "ok", "response": long()}]);

    let whole = encode_compressed(Opcode::Text, message.as_bytes(), Some(KEY)).unwrap();
    client.write(&whole).await;
    assert_eq!(client.recv().await, reply);

    // In fragments of three bytes, of which the first alone says that it is compressed, with a ping in between.
    let payload = encode_compressed(Opcode::Text, message.as_bytes(), None).unwrap().split_off(2);
    let fragments: Vec<&[u8]> = payload.chunks(3).collect();
    for (index, fragment) in fragments.iter().enumerate() {
        let opcode = if index == 0 { Opcode::Text } else { Opcode::Continuation };
        let header = FrameHeader::new(opcode, fragment.len() as u64);
        let fin = index == fragments.len() - 1;
        let header = FrameHeader { fin, compressed: index == 0, mask: Some([0; 4]), ..header };
        client.write(&header.encode()).await;
        client.write(fragment).await;
        if index == 0 {
            client.write(&encode_masked(Opcode::Ping, b"", KEY)).await;
            assert_eq!(client.take_frame().await.0.opcode, Opcode::Pong);
        }
    }
    assert_eq!(client.recv().await, reply);
}

#[tokio::test(start_paused = true)]
async fn compressed_frames_are_not_for_who_did_not_agree() {
    let mut client = Client::connect(&endpoint(compressing())).await;
    let message = json!([null, "1", "phoenix", "heartbeat", long()]).to_string();
    client.write(&encode_compressed(Opcode::Text, message.as_bytes(), Some(KEY)).unwrap()).await;
    assert_eq!(client.closed().await, 1002);
}
