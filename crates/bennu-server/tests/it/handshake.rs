//! Upgrades, refusals, and what `connect` hears of the request.

use std::sync::{Arc, Mutex};

use bennu_protocol::websocket::{
    CloseFrame, Decoder, Item, Limits, Opcode, Role, encode_into, encode_masked,
};
use bennu_pubsub::PubSub;
use bennu_server::{
    Channels, ConnectRequest, Connected, Endpoint, Refusal, Socket, SocketOptions, Transport, Upgrade,
};
use bytes::Bytes;
use http::Response;
use http::uri::Scheme;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Notes something about each request, and accepts it.
pub(crate) struct Witness<T> {
    note: fn(&ConnectRequest) -> T,
    notes: Arc<Mutex<Vec<T>>>,
}

impl<T: Send + 'static> Socket for Witness<T> {
    type Assigns = ();

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<()>, Refusal> {
        if let Some(reason) = request.params().text("reason") {
            return Err(Refusal::reason(reason));
        }
        self.notes.lock().unwrap().push((self.note)(request));
        Ok(Connected::new(()))
    }
}

/// A socket that notes, and where.
pub(crate) fn witness<T>(note: fn(&ConnectRequest) -> T) -> (Witness<T>, Arc<Mutex<Vec<T>>>) {
    let notes = Arc::default();
    (Witness { note, notes: Arc::clone(&notes) }, notes)
}

/// An endpoint with one socket, at `/socket`.
pub(crate) fn serve<S: Socket>(socket: S, options: SocketOptions) -> Endpoint {
    Endpoint::builder(PubSub::local()).socket("/socket", socket, Channels::new(), options).build().unwrap()
}

/// Asks `/socket/websocket` for an upgrade, with these headers and what every client sends.
pub(crate) async fn ask(
    endpoint: &Endpoint,
    query: &str,
    headers: &[(&str, &str)],
) -> Result<Upgrade, Response<Bytes>> {
    ask_at(endpoint, "/socket/websocket", query, headers).await
}

pub(crate) async fn ask_at(
    endpoint: &Endpoint,
    path: &str,
    query: &str,
    headers: &[(&str, &str)],
) -> Result<Upgrade, Response<Bytes>> {
    let mut request = http::Request::builder()
        .uri(format!("{path}?{query}"))
        .header("host", "studio.example:4000")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "13");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let Some(Transport::WebSocket(handshake)) = endpoint.route(path) else {
        panic!("no WebSocket is mounted")
    };
    let parts = request.body(()).unwrap().into_parts().0;
    handshake.accept(parts, None).await.map_err(|refused| *refused)
}

fn answer(result: Result<Upgrade, Response<Bytes>>) -> (u16, Option<String>) {
    let response = result.map_or_else(|refused| refused, |upgrade| upgrade.response);
    let protocol = response.headers().get("sec-websocket-protocol");
    (response.status().as_u16(), protocol.map(|name| name.to_str().unwrap().to_owned()))
}

#[tokio::test]
async fn the_first_sub_protocol_of_the_server_that_is_offered_is_answered() {
    let options = SocketOptions::default().subprotocols(["ref.v2", "ref.v1"]);
    let with_token = options.clone().auth_token(true);
    for (options, offered, expected) in [
        (&options, None, (101, None)),
        (&options, Some("ref.v1"), (101, Some("ref.v1"))),
        (&options, Some("ref.v1, other,ref.v2"), (101, Some("ref.v2"))),
        (&options, Some("REF.V1"), (403, None)),
        (&options, Some("other"), (403, None)),
        (&options, Some(""), (403, None)),
        (&options, Some("phoenix"), (403, None)),
        (&with_token, Some("ref.v1, base64url.bearer.phx.aGVsbG8, phoenix"), (101, Some("phoenix"))),
        (&with_token, Some("ref.v1, base64url.bearer.phx.aGVsbG8"), (101, Some("ref.v1"))),
    ] {
        let (socket, _) = witness(|_| ());
        let endpoint = serve(socket, options.clone());
        let headers: Vec<_> =
            offered.map(|offered| ("sec-websocket-protocol", offered)).into_iter().collect();
        let (status, protocol) = answer(ask(&endpoint, "vsn=2.0.0", &headers).await);
        assert_eq!((status, protocol.as_deref()), expected, "{offered:?}");
    }
}

#[tokio::test]
async fn an_auth_token_is_that_of_the_one_entry_that_carries_it() {
    for (offered, expected) in [
        ("phoenix, base64url.bearer.phx.aGVsbG8", Some("hello")),
        ("phoenix,base64url.bearer.phx.aGVsbG8=", Some("hello")),
        ("phoenix, base64url.bearer.phx.", Some("")),
        ("phoenix, base64url.bearer.phx.aGVsbG8, base64url.bearer.phx.aGVsbG8", None),
        ("phoenix", None),
    ] {
        let (socket, tokens) = witness(|request| {
            let visible = request.sec_websocket_headers().any(|(_, value)| value.starts_with(b"base64url"));
            assert!(!visible);
            request.auth_token().map(str::to_owned)
        });
        let endpoint = serve(socket, SocketOptions::default().auth_token(true));
        let response = answer(ask(&endpoint, "vsn=2.0.0", &[("sec-websocket-protocol", offered)]).await);
        assert_eq!(response, (101, Some("phoenix".to_owned())), "{offered}");
        assert_eq!(tokens.lock().unwrap().pop().unwrap().as_deref(), expected, "{offered}");
    }
}

#[tokio::test]
async fn a_refusal_with_a_reason_is_answered_by_the_mount() {
    let limited = |reason: &str| {
        let mut response = Response::new(Bytes::from(format!("Too many requests: {reason}")));
        *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
        response.headers_mut().insert("retry-after", http::HeaderValue::from_static("60"));
        response
    };
    for (options, status, body) in [
        (SocketOptions::default(), 403, ""),
        (SocketOptions::default().error_handler(limited), 429, "Too many requests: rate"),
    ] {
        let endpoint = serve(witness(|_| ()).0, options);
        let refused = ask(&endpoint, "vsn=2.0.0&reason=rate", &[]).await.unwrap_err();
        assert_eq!((refused.status().as_u16(), &refused.body()[..]), (status, body.as_bytes()));
        assert_eq!(refused.headers().contains_key("retry-after"), status == 429);
    }
}

#[tokio::test]
async fn a_query_that_cannot_be_decoded_is_refused_before_anything_else() {
    let (socket, notes) = witness(|_| ());
    let endpoint = serve(socket, SocketOptions::default());
    let evil = [("origin", "https://evil.example")];
    for (query, status) in [("vsn=2.0.0&a=%ff".to_owned(), 400), ("vsn=9.0.0&%ff=a".to_owned(), 400)] {
        assert_eq!(answer(ask(&endpoint, &query, &evil).await), (status, None), "{query}");
    }
    assert!(notes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn connect_hears_where_the_request_was_sent_and_in_which_trace() {
    let (socket, notes) = witness(|request| {
        let trace: Vec<_> = request.trace_context_headers().map(|(name, _)| name.to_owned()).collect();
        let x: Vec<_> = request.x_headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        let authority = (request.scheme().to_owned(), request.host().map(str::to_owned), request.port());
        (authority, trace, x, request.uri().to_string(), request.user_agent().map(str::to_owned))
    });
    let endpoint = serve(socket, SocketOptions::default());
    let headers = [
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "congo=t61rcWkgMzE"),
        ("trace", "no"),
        ("X-Real-Ip", "10.0.0.1"),
        ("user-agent", "test"),
    ];
    ask(&endpoint, "vsn=2.0.0", &headers).await.unwrap();
    let (authority, trace, x, uri, user_agent) = notes.lock().unwrap().pop().unwrap();
    assert_eq!(authority, ("http".to_owned(), Some("studio.example".to_owned()), Some(4000)));
    assert_eq!(trace, ["traceparent", "tracestate"]);
    assert_eq!(x, [("x-real-ip".to_owned(), b"10.0.0.1".to_vec())]);
    assert_eq!(uri, "/socket/websocket?vsn=2.0.0");
    assert_eq!(user_agent.as_deref(), Some("test"));
}

#[tokio::test]
async fn a_server_behind_tls_says_so_in_an_extension() {
    for (told, host, origin, seen, allowed) in [
        (Some(Scheme::HTTPS), "studio.example", "https://studio.example", "https 443", true),
        (Some(Scheme::HTTPS), "studio.example", "http://studio.example", "https 443", false),
        (None, "studio.example", "http://studio.example", "http 80", true),
        (None, "studio.example", "https://studio.example", "http 80", false),
        (None, "[::1]:4000", "http://[::1]:4000", "http 4000", true),
        (None, "[::1]", "http://[::1]", "http 80", true),
    ] {
        let (socket, notes) =
            witness(|request| format!("{} {}", request.scheme(), request.port().unwrap_or_default()));
        let options = SocketOptions::default().check_origin(bennu_server::CheckOrigin::Request);
        let endpoint = serve(socket, options);
        let request = http::Request::builder().uri("/socket/websocket?vsn=2.0.0").header("host", host);
        let (mut parts, ()) = request.header("origin", origin).body(()).unwrap().into_parts();
        if let Some(scheme) = told {
            parts.extensions.insert(scheme);
        }
        let Some(Transport::WebSocket(handshake)) = endpoint.route("/socket/websocket") else {
            panic!("no WebSocket is mounted")
        };
        // There are no upgrade headers, so that 400 means that `connect` was asked.
        let status = handshake.accept(parts, None).await.unwrap_err().status().as_u16();
        assert_eq!(status, if allowed { 400 } else { 403 }, "{origin} at {host}");
        let expected: Vec<String> = allowed.then(|| seen.to_owned()).into_iter().collect();
        assert_eq!(*notes.lock().unwrap(), expected, "{origin} at {host}");
    }
}

/// Sends bytes over a new connection, and returns the code with which the server closes.
async fn closed_with(options: SocketOptions, bytes: &[u8]) -> Option<u16> {
    let endpoint = serve(witness(|_| ()).0, options);
    let upgrade = ask(&endpoint, "vsn=2.0.0", &[]).await.unwrap();
    let (mut stream, server) = tokio::io::duplex(1 << 16);
    let connection = tokio::spawn(upgrade.run(server));
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut sent = Vec::new();
    stream.read_to_end(&mut sent).await.unwrap();
    connection.await.unwrap();
    let mut decoder = Decoder::new(Role::Client, Limits::default());
    let mut left = sent.as_mut_slice();
    loop {
        match decoder.decode(&mut left).unwrap() {
            Some(Item::Close(frame)) => return frame.map(|CloseFrame { code, .. }| code),
            Some(_) => {}
            None => return None,
        }
    }
}

/// A masked heartbeat of so many bytes with its header.
fn heartbeat(frame_len: usize) -> Vec<u8> {
    let rest = r#"[null,"1","phoenix","heartbeat",{}]"#;
    let header = 2 + 2 + 4;
    let padded = format!("{rest:<width$}", width = frame_len - header);
    let frame = encode_masked(Opcode::Text, padded.as_bytes(), [1, 2, 3, 4]).to_vec();
    assert_eq!(frame.len(), frame_len);
    frame
}

/// The same in fragments of 100 bytes.
fn fragmented(len: usize) -> Vec<u8> {
    let text = format!("{:<len$}", r#"[null,"1","phoenix","heartbeat",{}]"#);
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(100).collect();
    let mut bytes = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let start = bytes.len();
        let opcode = if at == 0 { Opcode::Text } else { Opcode::Continuation };
        encode_into(&mut bytes, opcode, piece, Some([1, 2, 3, 4]));
        if at + 1 < pieces.len() {
            bytes[start] &= 0x7f;
        }
    }
    bytes
}

#[tokio::test]
async fn the_limits_of_a_mount_are_the_largest_that_pass() {
    let frames = SocketOptions::default().max_frame_size(1000);
    let messages = SocketOptions::default().max_message_size(1000);
    for (name, options, bytes, expected) in [
        ("frame at the limit", &frames, heartbeat(1000), None),
        ("frame over the limit", &frames, heartbeat(1001), Some(1009)),
        ("fragments over the limit of a frame", &frames, fragmented(5000), None),
        ("message at the limit", &messages, fragmented(1000), None),
        ("message over the limit", &messages, fragmented(1001), Some(1009)),
        ("whole frame over the limit of fragmented messages", &messages, heartbeat(2000), None),
    ] {
        assert_eq!(closed_with(options.clone(), &bytes).await, expected, "{name}");
    }
}
