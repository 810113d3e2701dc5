//! The WebSocket transport, against an independent server and against hostile ones.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bennu_client::transport::{Connection, ConnectionEvent, OpenError, OpenRequest, WebSocket};
use bennu_protocol::client::ConnectionEnd;
use bennu_protocol::websocket::{
    Decoder, Item, Limits, Opcode, Role, encode_compressed, encode_frame, encode_masked,
};
use bennu_protocol::{Frame, FrameKind};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::peer::{event, header, open, read_head, refusal, serve, switching, upgrade};

fn lost() -> ConnectionEvent {
    ConnectionEvent::Closed(ConnectionEnd::lost())
}

/// Opens a connection to a server that goes on as told after its 101.
async fn opened<F: Future<Output = T> + Send, T: Send + 'static>(
    script: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> (Box<dyn Connection>, tokio::task::JoinHandle<T>) {
    let (address, served) = serve(|mut stream| async move {
        upgrade(&mut stream, "").await;
        script(stream).await
    })
    .await;
    let request = OpenRequest::new(format!("ws://{address}/socket/websocket?vsn=2.0.0"));
    (open(&WebSocket::new(), request).await.unwrap(), served)
}

#[tokio::test]
async fn messages_and_closes_travel_to_and_from_an_independent_server() {
    let (address, served) = serve(|stream| async {
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        for _ in 0..4 {
            let message = socket.next().await.unwrap().unwrap();
            socket.send(message).await.unwrap();
        }
        socket.send(Message::Ping("are you there".into())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong("are you there".into()));
        socket.send(Message::text("answered")).await.unwrap();
        let close = socket.next().await.unwrap().unwrap();
        while socket.next().await.is_some() {}
        close
    })
    .await;
    let request = OpenRequest::new(format!("http://{address}/socket/websocket"));
    let mut connection = open(&WebSocket::new(), request).await.unwrap();
    let large: Bytes = "é".repeat(600_000).into();
    let frames =
        [Frame::text("hello"), Frame::binary(vec![0, 255]), Frame::text(large.clone()), Frame::binary(large)];
    for frame in frames {
        poll_fn(|cx| connection.poll_ready(cx)).await;
        connection.send(frame.clone());
        assert_eq!(event(&mut *connection).await, ConnectionEvent::Frame(frame));
    }
    let answered = ConnectionEvent::Frame(Frame::text("answered"));
    assert_eq!(event(&mut *connection).await, answered, "a ping, meanwhile");
    connection.close(3001, "bye");
    let end = ConnectionEnd::clean(3001, "bye");
    assert_eq!(event(&mut *connection).await, ConnectionEvent::Closed(end));
    let close = CloseFrame { code: 3001.into(), reason: "bye".into() };
    assert_eq!(served.await.unwrap(), Message::Close(Some(close)));
}

#[tokio::test]
async fn check_141_the_request_names_the_socket_and_carries_headers_and_token() {
    let (address, served) =
        serve(|mut stream| async move { upgrade(&mut stream, "Sec-WebSocket-Protocol: phoenix\r\n").await })
            .await;
    let mut request = OpenRequest::new(format!("ws://{address}/socket/websocket?token=a%20b&vsn=2.0.0"));
    request.headers = vec![("X-Tenant".to_owned(), "7".to_owned())];
    request.auth_token = Some("hello".to_owned());
    open(&WebSocket::new(), request).await.unwrap();
    let head = served.await.unwrap();
    assert!(head.starts_with("GET /socket/websocket?token=a%20b&vsn=2.0.0 HTTP/1.1\r\n"), "{head}");
    for (name, expected) in [
        ("host", address.to_string().as_str()),
        ("x-tenant", "7"),
        ("sec-websocket-protocol", "phoenix, base64url.bearer.phx.aGVsbG8"),
        ("sec-websocket-version", "13"),
    ] {
        assert_eq!(header(&head, name), Some(expected), "{name}");
    }
    assert_eq!(header(&head, "sec-websocket-extensions"), None);
}

#[tokio::test]
async fn a_refusal_tells_status_body_and_when_to_come_back() {
    let (address, _) = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let refused = refusal(&WebSocket::new(), OpenRequest::new(format!("ws://{address}/"))).await;
    let retry_after = Some(Duration::from_secs(7));
    assert_eq!(refused, OpenError::Refused { status: 429, body: "busy".into(), retry_after });
}

#[tokio::test]
async fn what_is_no_upgrade_is_not_taken_for_one() {
    type Answer = fn(&str) -> String;
    let cases: [(&str, Answer, &str); 7] = [
        ("another key's accept", |_| switching("sec-websocket-key: other", ""), "does not answer the key"),
        ("a 101 without headers", |_| "HTTP/1.1 101 x\r\n\r\n".to_owned(), "another protocol"),
        (
            "an extension that was not offered",
            |request| switching(request, "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
            "an extension that was not offered",
        ),
        (
            "a sub-protocol that was not offered",
            |request| switching(request, "Sec-WebSocket-Protocol: phoenix\r\n"),
            "a sub-protocol that was not offered",
        ),
        (
            "a head without end",
            |_| format!("HTTP/1.1 101 x\r\nx: {}", "y".repeat(1 << 20)),
            "larger than 16384",
        ),
        ("another protocol", |_| "* OK IMAP4rev1 ready\r\n\r\n".to_owned(), "no http"),
        ("nothing", |_| String::new(), "without an answer"),
    ];
    for (name, answer, expected) in cases {
        let (address, _served) = serve(move |mut stream| async move {
            let request = read_head(&mut stream).await;
            // The client may have gone before all of it was written.
            let _ = stream.write_all(answer(&request).as_bytes()).await;
        })
        .await;
        let error = refusal(&WebSocket::new(), OpenRequest::new(format!("ws://{address}/"))).await;
        let OpenError::Failed(reason) = &error else { panic!("{name}: {error:?}") };
        assert!(reason.contains(expected), "{name}: {reason}");
    }
}

#[tokio::test]
async fn an_opening_that_is_given_up_closes_its_connection() {
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (address, served) = serve(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 101 Switching").await.unwrap();
        begun.send(()).unwrap();
        stream.read(&mut [0]).await
    })
    .await;
    let transport = WebSocket::new();
    let opening = open(&transport, OpenRequest::new(format!("ws://{address}/")));
    tokio::select! {
        _ = opening => panic!("a head that does not end is none"),
        begun = has_begun => begun.unwrap(),
    }
    // What was not read yet makes a reset of it.
    assert!(matches!(served.await.unwrap(), Ok(0) | Err(_)), "the server sees the end");
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection_and_says_so_to_both() {
    let continuation = [0x80, 1, b'x'];
    let oversized = [0x82, 127, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    for (name, bytes, reason, code) in [
        ("a masked frame", encode_masked(Opcode::Text, b"x", [1; 4]), "masked", 1002),
        ("a continuation of nothing", Bytes::from_owner(continuation), "continuation", 1002),
        ("a compressed frame", Bytes::from_static(&[0xc1, 1, 0]), "reserved bit", 1002),
        ("an oversized message", Bytes::from_owner(oversized), "larger than the limit", 1009),
        ("text that is none", encode_frame(Opcode::Text, b"\xff"), "not utf-8", 1007),
    ] {
        let (mut connection, served) = opened(move |mut stream| async move {
            stream.write_all(&bytes).await.unwrap();
            let mut answer = Vec::new();
            // Its end may be a reset, as the client reads no more.
            let _ = stream.read_to_end(&mut answer).await;
            answer
        })
        .await;
        let ConnectionEvent::Error(error) = event(&mut *connection).await else { panic!("{name}") };
        assert!(error.contains(reason), "{name}: {error}");
        assert_eq!(event(&mut *connection).await, lost(), "{name}");
        drop(connection);
        let mut answer = served.await.unwrap();
        let item = Decoder::new(Role::Server, Limits::default()).decode(&mut &mut *answer).unwrap();
        let Some(Item::Close(Some(frame))) = item else { panic!("{name}: {item:?}") };
        assert_eq!(frame.code, code, "{name}");
    }
}

#[tokio::test]
async fn a_close_of_the_server_is_answered_and_told_as_it_came() {
    for (name, body, code, reason, answer) in [
        ("a code and a reason", &b"\x03\xf4restart"[..], 1012, "restart", Some(1012)),
        ("a code", b"\x03\xe8", 1000, "", Some(1000)),
        ("none", b"", 1005, "", None),
    ] {
        let (mut connection, served) = opened(move |mut stream| async move {
            stream.write_all(&encode_frame(Opcode::Text, b"last")).await.unwrap();
            stream.write_all(&encode_frame(Opcode::Close, body)).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            answer
        })
        .await;
        assert_eq!(event(&mut *connection).await, ConnectionEvent::Frame(Frame::text("last")));
        let end = ConnectionEnd::clean(code, reason);
        assert_eq!(event(&mut *connection).await, ConnectionEvent::Closed(end), "{name}");
        drop(connection);
        let mut bytes = served.await.unwrap();
        let item = Decoder::new(Role::Server, Limits::default()).decode(&mut &mut *bytes).unwrap();
        let Some(Item::Close(frame)) = item else { panic!("{name}: {item:?}") };
        assert_eq!(frame.map(|frame| frame.code), answer, "{name}");
    }
}

#[tokio::test]
async fn a_server_that_goes_without_a_close_frame_is_1006() {
    let (mut connection, _) = opened(|stream| async { drop(stream) }).await;
    assert_eq!(event(&mut *connection).await, lost());

    let (mut connection, _) = opened(|stream| async move {
        stream.set_zero_linger().unwrap();
        drop(stream);
    })
    .await;
    assert!(matches!(event(&mut *connection).await, ConnectionEvent::Error(_)), "a reset");
    assert_eq!(event(&mut *connection).await, lost());
}

#[tokio::test]
async fn what_is_taken_is_sent_before_the_close() {
    let (mut connection, served) = opened(|stream| async move {
        let mut socket = tokio_tungstenite::WebSocketStream::from_raw_socket(
            stream,
            tungstenite::protocol::Role::Server,
            None,
        )
        .await;
        let first = socket.next().await.unwrap().unwrap();
        (first, socket.next().await.unwrap().unwrap(), socket.next().await.is_none())
    })
    .await;
    connection.send(Frame::text("leave"));
    connection.close(1000, "done");
    connection.send(Frame::text("too late"));
    assert_eq!(event(&mut *connection).await, ConnectionEvent::Closed(ConnectionEnd::clean(1000, "done")));
    let (first, second, is_end) = served.await.unwrap();
    assert_eq!(first, Message::text("leave"));
    assert!(second.is_close() && is_end);
}

#[tokio::test]
async fn a_server_that_does_not_read_is_sent_no_more_until_it_does() {
    let (go, going) = tokio::sync::oneshot::channel::<()>();
    let (mut connection, served) = opened(|stream| async move {
        going.await.unwrap();
        let mut socket = tokio_tungstenite::WebSocketStream::from_raw_socket(
            stream,
            tungstenite::protocol::Role::Server,
            None,
        )
        .await;
        let mut lengths = Vec::new();
        while let Some(Ok(Message::Binary(bytes))) = socket.next().await {
            lengths.push(bytes.len());
        }
        lengths
    })
    .await;
    let mut sent = Vec::new();
    // More than any socket's buffers take.
    while sent.len() < 10_000 {
        let is_ready = poll_fn(|cx| {
            let _ = connection.poll_event(cx);
            Poll::Ready(connection.poll_ready(cx).is_ready())
        });
        if !is_ready.await {
            break;
        }
        sent.push(100_000 + sent.len());
        connection.send(Frame::binary(vec![0; 100_000 + sent.len() - 1]));
    }
    assert!(sent.len() < 10_000, "it never waits");
    go.send(()).unwrap();
    // One task waits for room while another drives, as a select does.
    poll_fn(|cx| {
        let _ = connection.poll_event(cx);
        connection.poll_ready(cx)
    })
    .await;
    connection.close(1000, "");
    event(&mut *connection).await;
    assert_eq!(served.await.unwrap(), sent, "in order, and none lost");
}

#[tokio::test]
async fn many_frames_of_one_read_come_in_order_and_each_ping_is_answered() {
    let size = |number: usize| number * 37 % 300;
    let (mut connection, served) = opened(move |mut stream| async move {
        let mut bytes = Vec::new();
        for number in 0..1_000 {
            bytes.extend(encode_frame(Opcode::Binary, &vec![number as u8; size(number)]));
            if number % 10 == 0 {
                bytes.extend(encode_frame(Opcode::Ping, &[number as u8]));
            }
        }
        stream.write_all(&bytes).await.unwrap();
        let mut pongs = [0; 100 * (2 + 4 + 1)];
        stream.read_exact(&mut pongs).await.unwrap();
        stream.write_all(&encode_frame(Opcode::Text, b"all answered")).await.unwrap();
        // It stays until the client has gone.
        let _ = stream.read(&mut [0]).await;
        pongs
    })
    .await;
    for number in 0..1_000 {
        let frame = Frame::binary(vec![number as u8; size(number)]);
        assert_eq!(event(&mut *connection).await, ConnectionEvent::Frame(frame), "{number}");
    }
    assert_eq!(event(&mut *connection).await, ConnectionEvent::Frame(Frame::text("all answered")));
    drop(connection);
    let mut pongs = served.await.unwrap();
    let mut decoder = Decoder::new(Role::Server, Limits::default());
    let mut unread = &mut pongs[..];
    for number in (0..1_000).step_by(10) {
        let pong = Item::Pong(Bytes::from(vec![number as u8]));
        assert_eq!(decoder.decode(&mut unread).unwrap(), Some(pong), "{number}");
    }
}

#[tokio::test]
async fn frames_are_masked_with_keys_of_their_own() {
    let (mut connection, served) = opened(|mut stream| async move {
        let mut frames = [[0; 2 + 4 + 3]; 2];
        for frame in &mut frames {
            stream.read_exact(frame).await.unwrap();
        }
        stream.write_all(&encode_frame(Opcode::Text, b"")).await.unwrap();
        frames
    })
    .await;
    connection.send(Frame::text("abc"));
    connection.send(Frame::text("abc"));
    event(&mut *connection).await;
    let [first, second] = served.await.unwrap();
    assert_eq!((first[1], second[1]), (0x80 | 3, 0x80 | 3), "masked");
    assert_ne!(first[2..6], second[2..6], "keys");
    assert_ne!(first[6..], second[6..], "what is on the wire");
}

#[tokio::test]
async fn compression_is_offered_when_asked_for_and_used_when_agreed() {
    let long = "abc".repeat(1_000);
    let expected = long.clone();
    let (address, served) = serve(|mut stream| async move {
        let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let request = upgrade(&mut stream, &format!("Sec-WebSocket-Extensions: {agreed}\r\n")).await;
        let compressed = encode_compressed(Opcode::Text, "xyz".repeat(1_000).as_bytes(), None).unwrap();
        stream.write_all(&compressed).await.unwrap();
        let mut decoder = Decoder::new(Role::Server, Limits::default()).inflating(1 << 20);
        let (mut items, mut length) = (Vec::new(), 0);
        while items.len() < 2 {
            let mut bytes = vec![0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            length += count;
            let mut input = &mut bytes[..count];
            while let Some(item) = decoder.decode(&mut input).unwrap() {
                items.push(item);
            }
        }
        (request, items, length)
    })
    .await;
    let transport = WebSocket::new().compression(true);
    let mut connection = open(&transport, OpenRequest::new(format!("ws://{address}/"))).await.unwrap();
    connection.send(Frame::text(long));
    connection.send(Frame::text("short"));
    let ConnectionEvent::Frame(frame) = event(&mut *connection).await else { panic!() };
    assert_eq!((frame.kind(), frame.payload()), (FrameKind::Text, "xyz".repeat(1_000).into()));
    let (request, items, length) = served.await.unwrap();
    assert!(header(&request, "sec-websocket-extensions").unwrap().starts_with("permessage-deflate"));
    assert_eq!(items, [Item::Text(expected.into()), Item::Text("short".into())]);
    assert!(length < 1_000, "{length} bytes for 3,005");
}

#[tokio::test]
async fn a_message_may_be_as_large_as_the_limit_and_not_larger() {
    for (size, fits) in [(1_000, true), (1_001, false)] {
        let (address, _served) = serve(move |mut stream| async move {
            upgrade(&mut stream, "").await;
            stream.write_all(&encode_frame(Opcode::Binary, &vec![7; size])).await.unwrap();
            // It stays until the client has gone.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await;
        let transport = WebSocket::new().max_message_size(1_000);
        let mut connection = open(&transport, OpenRequest::new(format!("ws://{address}/"))).await.unwrap();
        let came = matches!(event(&mut *connection).await, ConnectionEvent::Frame(_));
        assert_eq!(came, fits, "{size}");
    }
}
