//! The scripted server on a port, and a WebSocket client that is not ours.

use std::time::Duration;

use bennu_protocol::client::ConnectionEnd;
use bennu_testkit::{ScriptedConnection, ScriptedServer};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderName, HeaderValue};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, CloseCode, MaybeTlsStream, Message, WebSocketStream};

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connected() -> (ScriptedServer, Client, ScriptedConnection) {
    let (server, url) = ScriptedServer::listen().await.unwrap();
    let client = ClientBuilder::new().uri(&format!("{url}?user=ada&vsn=2.0.0")).unwrap();
    let (client, connection) = tokio::join!(client.connect(), server.accept());
    (server, client.unwrap().0, connection)
}

async fn text(client: &mut Client) -> String {
    client.next().await.unwrap().unwrap().as_text().unwrap().to_owned()
}

#[tokio::test]
async fn a_conversation_is_had_over_tcp() {
    let (_server, mut client, connection) = connected().await;
    assert_eq!(connection.param("user").as_deref(), Some("ada"));
    assert!(connection.request().url.contains("/socket/websocket?user=ada"));
    client.send(Message::text(r#"["1","1","room:1","phx_join",{}]"#)).await.unwrap();
    connection.expect_join("room:1").await.reply_ok(json!({}));
    assert_eq!(text(&mut client).await, r#"["1","1","room:1","phx_reply",{"response":{},"status":"ok"}]"#);
    client.send(Message::binary(b"\x00\x01\x01\x06\x0312room:1bin\x00\xff".as_slice())).await.unwrap();
    let push = connection.expect_push("room:1", "bin").await;
    push.reply_ok(bennu::Payload::binary(push.bytes().clone()));
    let reply = client.next().await.unwrap().unwrap();
    assert_eq!(reply.as_payload().as_ref(), b"\x01\x01\x01\x06\x0212room:1ok\x00\xff");
    client.send(Message::ping("are you there?")).await.unwrap();
    client.close().await.unwrap();
    assert_eq!(connection.expect_closed().await, ConnectionEnd::clean(1000, ""));
}

#[tokio::test]
async fn the_script_ends_connections_over_tcp() {
    let (server, mut client, connection) = connected().await;
    connection.close(1012, "restart");
    let close = client.next().await.unwrap().unwrap();
    assert_eq!(close.as_close(), Some((CloseCode::SERVICE_RESTART, "restart")));
    drop((server, client));

    let (_server, mut client, connection) = connected().await;
    connection.drop_link();
    assert!(!matches!(client.next().await, Some(Ok(_))), "there is a close frame");

    let (_server, client, connection) = connected().await;
    drop(client);
    assert_eq!(connection.expect_closed().await, ConnectionEnd::lost());

    let (server, mut client, _connection) = connected().await;
    drop(server);
    assert!(!matches!(client.next().await, Some(Ok(_))), "the server has stopped");
}

#[tokio::test]
async fn a_token_and_headers_arrive_and_the_sub_protocol_is_answered() {
    let (server, url) = ScriptedServer::listen().await.unwrap();
    let header = |name: &'static str, value: &'static str| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    let mut client = ClientBuilder::new().uri(&url).unwrap();
    for (name, value) in [
        header("x-device", "phone"),
        header("sec-websocket-protocol", "phoenix, base64url.bearer.phx.aGVsbG8"),
    ] {
        client = client.add_header(name, value).unwrap();
    }
    let (client, connection) = tokio::join!(client.connect(), server.accept());
    let (_, response) = client.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "phoenix");
    assert_eq!(connection.header("X-Device"), Some("phone"));
    assert_eq!(connection.request().auth_token.as_deref(), Some("hello"));
}

#[tokio::test]
async fn a_refusal_is_an_answer_in_http() {
    let (server, url) = ScriptedServer::listen().await.unwrap();
    let address = url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nhost: here\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let request = server.refuse(403, "not you").await;
    assert_eq!(request.url, "ws://here/socket/websocket?vsn=2.0.0");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("\r\n\r\nnot you"), "{answer}");

    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    server.fail("no route").await;
    assert_eq!(stream.read_to_string(&mut String::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_server_that_does_not_read_fills_the_clients_socket() {
    let (_server, mut client, connection) = connected().await;
    connection.stop_reading();
    // What fits between the two ends is some megabytes; behind that, a send waits.
    let large = format!(r#"["1","1","room:1","large","{}"]"#, "x".repeat(1 << 20));
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(300), client.send(Message::text(large.clone())))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent < 100, "nothing holds the client back");
    }
}
