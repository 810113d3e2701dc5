//! The opening handshake (RFC 6455, 4).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bennu_protocol::websocket::{
    Decoder, Extension, Limits, Opcode, Role, encode_header, handshake, permessage_deflate,
};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use sha1::{Digest as _, Sha1};
use tokio::io::AsyncWriteExt as _;

use super::WebSocket;
use super::connection::WebSocketConnection;
use crate::transport::connect::Stream;
use crate::transport::head::{self, Head};
use crate::transport::random::random;
use crate::transport::request::{self, Target};
use crate::transport::{OpenError, OpenRequest};

/// What stands in front of a token that is offered as a sub-protocol. Despite its name, Phoenix reads standard base64 behind it.
const TOKEN_PREFIX: &str = "base64url.bearer.phx.";

/// The sub-protocol that Phoenix answers a token with.
const PHOENIX: &str = "phoenix";

/// What only the handshake itself can know.
const RESERVED: [HeaderName; 8] = [
    header::CONNECTION,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
];

pub(super) async fn open(
    settings: &WebSocket,
    request: &OpenRequest,
) -> Result<WebSocketConnection, OpenError> {
    let target = Target::parse(&request.url)?;
    let key = STANDARD.encode(random::<16>());
    let headers = request_headers(settings, request, &target, &key)?;
    let broken = |error: std::io::Error| failed(format!("the connection broke: {error}"));

    let mut stream = settings.connector.connect(&target).await?;
    stream.write_all(&head_of(&target, &headers)).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let answer = head::read(&mut stream, settings.max_head_size).await;
    let (head, rest) = answer.map_err(|error| failed(error.to_string()))?;
    if head.status != 101 {
        return Err(refused(&head, &mut stream, rest).await);
    }
    let extension = agreed(&head, &headers, &key)?;
    Ok(WebSocketConnection::new(stream, decoder(settings, extension), extension, rest))
}

fn request_headers(
    settings: &WebSocket,
    request: &OpenRequest,
    target: &Target,
    key: &str,
) -> Result<HeaderMap, OpenError> {
    let mut headers = request::headers(request, target, &RESERVED)?;
    let value =
        |text: &str| HeaderValue::from_str(text).map_err(|_| OpenError::Invalid("no header".to_owned()));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(handshake::VERSION));
    headers.insert(header::SEC_WEBSOCKET_KEY, value(key)?);
    if settings.offers_compression {
        let offer = HeaderValue::from_static(permessage_deflate::OFFER);
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, offer);
    }
    if let Some(token) = &request.auth_token {
        let mut offer = format!("{PHOENIX}, {TOKEN_PREFIX}{}", STANDARD_NO_PAD.encode(token));
        // Phoenix reads the first line of this header alone.
        for others in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
            offer.push_str(", ");
            offer.push_str(others.to_str().unwrap_or_default());
        }
        let mut offer = value(&offer)?;
        offer.set_sensitive(true);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offer);
    }
    Ok(headers)
}

fn head_of(target: &Target, headers: &HeaderMap) -> Vec<u8> {
    let mut head = format!("GET {} HTTP/1.1\r\n", target.path).into_bytes();
    // The host stands first, where servers look for it (RFC 9110, 7.2).
    let (first, others): (Vec<_>, Vec<_>) = headers.iter().partition(|(name, _)| *name == header::HOST);
    for (name, value) in first.into_iter().chain(others) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

async fn refused(head: &Head, stream: &mut Stream, rest: Vec<u8>) -> OpenError {
    OpenError::Refused {
        status: head.status,
        body: head.body(stream, rest).await,
        retry_after: head::retry_after(&head.headers),
    }
}

/// Whether the 101 answers this request (RFC 6455, 4.1), and with which extension.
fn agreed(head: &Head, sent: &HeaderMap, key: &str) -> Result<Extension, OpenError> {
    if !head.lists(header::UPGRADE, "websocket") || !head.lists(header::CONNECTION, "upgrade") {
        return Err(failed("the server switches to another protocol than websocket"));
    }
    let expected = STANDARD.encode(Sha1::digest(handshake::accept_source(key)));
    let mut accepts = head.texts(header::SEC_WEBSOCKET_ACCEPT);
    if accepts.next().map(str::trim) != Some(&*expected) || accepts.next().is_some() {
        return Err(failed("the server's Sec-WebSocket-Accept does not answer the key"));
    }
    // It may choose none, as Phoenix does without `auth_token` on its mount.
    for chosen in head.texts(header::SEC_WEBSOCKET_PROTOCOL) {
        if !offered_protocols(sent).any(|offered| offered == chosen.trim()) {
            return Err(failed("the server chose a sub-protocol that was not offered"));
        }
    }
    let answers = head.texts(header::SEC_WEBSOCKET_EXTENSIONS);
    if !sent.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return match answers.map(str::trim).all(str::is_empty) {
            true => Ok(Extension::None),
            false => Err(failed("the server answers with an extension that was not offered")),
        };
    }
    permessage_deflate::agreed(answers).map_err(|error| failed(error.to_string()))
}

fn offered_protocols(sent: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = sent.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(',')).map(str::trim)
}

fn decoder(settings: &WebSocket, extension: Extension) -> Decoder {
    let max_message_size = settings.max_message_size;
    // A frame counts with its header.
    let header = encode_header(Opcode::Binary, max_message_size, None);
    let max_frame_size = max_message_size.saturating_add(header.len());
    let limits = Limits { max_frame_size, max_message_size };
    let decoder = Decoder::new(Role::Client, limits);
    match extension {
        Extension::None => decoder,
        Extension::Deflate => decoder.inflating(max_message_size),
    }
}

fn failed(reason: impl Into<String>) -> OpenError {
    OpenError::Failed(reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(settings: &WebSocket, request: &OpenRequest) -> HeaderMap {
        let target = Target::parse("ws://h/socket").unwrap();
        request_headers(settings, request, &target, KEY).unwrap()
    }

    /// The key and its answer are those of RFC 6455, 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn head(lines: &[(HeaderName, &str)]) -> Head {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        headers
            .insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        for (name, value) in lines {
            headers.insert(name, value.parse().unwrap());
        }
        Head { status: 101, headers }
    }

    #[test]
    fn check_142_a_token_is_offered_as_a_sub_protocol() {
        let mut request = OpenRequest::new("");
        assert!(!sent(&WebSocket::new(), &request).contains_key(header::SEC_WEBSOCKET_PROTOCOL));
        request.auth_token = Some("hello".to_owned());
        let offered = sent(&WebSocket::new(), &request);
        let offered = &offered[header::SEC_WEBSOCKET_PROTOCOL];
        assert_eq!(offered, "phoenix, base64url.bearer.phx.aGVsbG8");
        assert!(offered.is_sensitive());

        request.headers = vec![("sec-websocket-protocol".to_owned(), "mine".to_owned())];
        let offered = sent(&WebSocket::new(), &request);
        let offered: Vec<_> = offered.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().collect();
        assert_eq!(offered, ["phoenix, base64url.bearer.phx.aGVsbG8, mine"]);
    }

    #[test]
    fn answers_and_what_they_agree_on() {
        use header::{
            CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
        };
        let plain = WebSocket::new();
        let compressing = WebSocket::new().compression(true);
        let mut request = OpenRequest::new("");
        request.auth_token = Some("hello".to_owned());
        let deflate = "permessage-deflate; server_no_context_takeover";
        for (name, settings, lines, expected) in [
            ("no sub-protocol", &plain, &[][..], Ok(Extension::None)),
            ("the one of Phoenix", &plain, &[(SEC_WEBSOCKET_PROTOCOL, "phoenix")], Ok(Extension::None)),
            (
                "the token",
                &plain,
                &[(SEC_WEBSOCKET_PROTOCOL, "base64url.bearer.phx.aGVsbG8")],
                Ok(Extension::None),
            ),
            (
                "another one",
                &plain,
                &[(SEC_WEBSOCKET_PROTOCOL, "mqtt")],
                Err("sub-protocol that was not offered"),
            ),
            ("compression", &compressing, &[(SEC_WEBSOCKET_EXTENSIONS, deflate)], Ok(Extension::Deflate)),
            ("compression declined", &compressing, &[], Ok(Extension::None)),
            (
                "compression unasked",
                &plain,
                &[(SEC_WEBSOCKET_EXTENSIONS, deflate)],
                Err("extension that was not offered"),
            ),
            (
                "another extension",
                &compressing,
                &[(SEC_WEBSOCKET_EXTENSIONS, "x-mux")],
                Err("extension that was not offered"),
            ),
            (
                "another key's",
                &plain,
                &[(SEC_WEBSOCKET_ACCEPT, "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")],
                Err("does not answer the key"),
            ),
            ("another upgrade", &plain, &[(UPGRADE, "h2c")], Err("another protocol")),
            ("no upgrade", &plain, &[(CONNECTION, "close")], Err("another protocol")),
        ] {
            let outcome = agreed(&head(lines), &sent(settings, &request), KEY);
            match expected {
                Ok(extension) => assert_eq!(outcome, Ok(extension), "{name}"),
                Err(part) => assert!(outcome.unwrap_err().to_string().contains(part), "{name}"),
            }
        }
    }

    #[test]
    fn a_request_as_it_is_sent() {
        let target = Target::parse("ws://h:4000/socket/websocket?vsn=2.0.0").unwrap();
        let headers = request_headers(&WebSocket::new(), &OpenRequest::new(""), &target, KEY).unwrap();
        let text = String::from_utf8(head_of(&target, &headers)).unwrap();
        assert!(text.starts_with("GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nhost: h:4000\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n"), "{text}");
    }
}
