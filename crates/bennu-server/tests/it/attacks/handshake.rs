//! Requests that should not become a connection, or not with what they bring.

use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, BuildError, Channels, CheckOrigin, ConnectRequest, Connected, Endpoint, Refusal, Socket,
    SocketOptions,
};

use crate::compression;
use crate::handshake::{ask, ask_at, serve, witness};
use crate::sessions::{options, page, seen, serve_sessions};

async fn status(endpoint: &Endpoint, query: &str, headers: &[(&str, &str)]) -> u16 {
    status_at(endpoint, "/socket/websocket", query, headers).await
}

async fn status_at(endpoint: &Endpoint, path: &str, query: &str, headers: &[(&str, &str)]) -> u16 {
    let result = ask_at(endpoint, path, query, headers).await;
    result.map_or_else(|refused| refused.status(), |upgrade| upgrade.response.status()).as_u16()
}

#[tokio::test]
async fn attack_001_a_wildcard_stands_for_whole_labels() {
    let options = SocketOptions::default().check_origin(CheckOrigin::list(["//*.example.com"]).unwrap());
    let endpoint = serve(AllowAnonymous, options);
    for (origin, expected) in [
        ("https://example.com", 101),
        ("https://a.example.com", 101),
        ("https://a.b.example.com:8443", 101),
        ("https://evil-example.com", 403),
        ("https://evilexample.com", 403),
        ("https://example.com.evil.org", 403),
        ("https://evil.org/.example.com", 403),
        ("https://evil.org?.example.com", 403),
        ("https://evil.org#.example.com", 403),
        ("https://.example.com@evil.org", 403),
        ("https://example.com:443@evil.org", 403),
        ("https://evil.org\\.example.com", 403),
        ("null", 403),
        ("", 403),
    ] {
        assert_eq!(status(&endpoint, "vsn=2.0.0", &[("origin", origin)]).await, expected, "{origin}");
    }
}

#[tokio::test]
async fn attack_002_each_mount_enforces_its_own_origins() {
    let only = |origin| SocketOptions::default().check_origin(CheckOrigin::list([origin]).unwrap());
    let endpoint = Endpoint::builder(PubSub::local())
        .socket("/a", AllowAnonymous, Channels::new(), only("//a.example"))
        .socket("/b", AllowAnonymous, Channels::new(), only("//b.example"))
        .build()
        .unwrap();
    for _ in 0..2 {
        for (path, origin, expected) in [
            ("/a/websocket", "https://a.example", 101),
            ("/b/websocket", "https://a.example", 403),
            ("/b/websocket", "https://b.example", 101),
            ("/a/websocket", "https://b.example", 403),
        ] {
            let status = status_at(&endpoint, path, "vsn=2.0.0", &[("origin", origin)]).await;
            assert_eq!(status, expected, "{origin} at {path}");
        }
    }
}

/// Accepts whoever has a token of the salt `user socket`.
struct TokenSocket;

impl Socket for TokenSocket {
    type Assigns = ();

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<()>, Refusal> {
        request.tokens().verify::<u64>("user socket", request.params().text("token"))?;
        Ok(Connected::new(()))
    }
}

#[tokio::test]
async fn attack_004_no_origin_is_a_program_and_still_needs_a_token() {
    let endpoint = serve(TokenSocket, SocketOptions::default());
    let tokens = endpoint.tokens();
    let token = tokens.sign("user socket", &42).unwrap();
    let other = tokens.sign("password reset", &42).unwrap();
    let text = tokens.sign("user socket", "42").unwrap();
    for (query, expected) in [
        (format!("vsn=2.0.0&token={token}"), 101),
        ("vsn=2.0.0".to_owned(), 403),
        ("vsn=2.0.0&token=".to_owned(), 403),
        (format!("vsn=2.0.0&token[]={token}"), 403),
        (format!("vsn=2.0.0&token={other}"), 403),
        (format!("vsn=2.0.0&token={token}A"), 403),
        // The program's fault: another program signs something else for the same purpose.
        (format!("vsn=2.0.0&token={text}"), 500),
    ] {
        assert_eq!(status(&endpoint, &query, &[]).await, expected, "{query}");
    }
}

#[tokio::test]
async fn attack_005_a_foreign_page_brings_no_session_along() {
    let page = page();
    let evil = [("cookie", &*page.cookie), ("origin", "https://evil.example")];
    // The origin is checked: there is no connection.
    let (socket, notes) = witness(seen);
    let endpoint = serve_sessions(socket, options().check_csrf(false)).unwrap();
    assert_eq!(status(&endpoint, "vsn=2.0.0", &evil).await, 403);
    assert!(notes.lock().unwrap().is_empty());
    // Every page may connect, but this one does not know the token: neither session nor cookie are seen.
    let (socket, notes) = witness(seen);
    let endpoint = serve_sessions(socket, options().check_origin(CheckOrigin::Any)).unwrap();
    let guess = bennu_token::csrf::mask(&bennu_token::csrf::session_token()).unwrap();
    for query in ["vsn=2.0.0".to_owned(), format!("vsn=2.0.0&_csrf_token={guess}")] {
        assert_eq!(status(&endpoint, &query, &evil).await, 101);
        assert_eq!(notes.lock().unwrap().pop(), Some((None, false)), "{query}");
    }
    // The own page, on whatever host, does.
    let query = format!("vsn=2.0.0&_csrf_token={}", page.token);
    assert!(ask(&endpoint, &query, &[("cookie", &page.cookie)]).await.is_ok());
    assert_eq!(notes.lock().unwrap().pop(), Some((Some(42), true)));
}

#[test]
fn attack_005_sessions_for_every_page_cannot_be_built() {
    let any = || options().check_origin(CheckOrigin::Any);
    let error = serve_sessions(AllowAnonymous, any().check_csrf(false)).unwrap_err();
    assert_eq!(error, BuildError::OpenSession("/socket".to_owned()));
    assert!(error.to_string().contains("CSRF"), "{error}");
    assert!(serve_sessions(AllowAnonymous, any()).is_ok());
    assert!(serve_sessions(AllowAnonymous, options().check_csrf(false)).is_ok());
    let no_session = SocketOptions::default().check_origin(CheckOrigin::Any).check_csrf(false);
    assert!(serve_sessions(AllowAnonymous, no_session).is_ok());
}

#[tokio::test]
async fn attack_006_whatever_the_version_is_nothing_crashes() {
    let (socket, versions) = witness(|request| request.vsn().to_owned());
    let endpoint = serve(socket, SocketOptions::default());
    let long = format!("vsn={}", "9".repeat(60_000));
    for (query, expected) in [
        ("", 101),
        ("vsn=2.0.0", 101),
        ("vsn=9", 403),
        ("vsn=9.0.0", 403),
        ("vsn", 403),
        ("vsn[]=x", 403),
        ("vsn[]=2.0.0", 403),
        ("vsn[a][b]=2.0.0", 403),
        ("vsn=2.0.0&vsn[]=x", 403),
        ("vsn=-2.0.0", 403),
        ("vsn=2.0.0.0", 403),
        ("vsn=%00", 403),
        ("vsn=%D9%A2.0.0", 403),
        ("vsn=99999999999999999999.0.0", 403),
        ("vsn=%ff", 400),
        (&*long, 403),
    ] {
        let shown = &query[..query.len().min(40)];
        assert_eq!(status(&endpoint, query, &[]).await, expected, "{shown}");
    }
    assert_eq!(*versions.lock().unwrap(), ["1.0.0", "2.0.0"]);
}

#[tokio::test]
async fn attack_007_sub_protocols_without_sense_are_refused_in_linear_time() {
    let (socket, notes) = witness(|request| request.auth_token().map(str::to_owned));
    let endpoint = serve(socket, SocketOptions::default().auth_token(true).subprotocols(["ref.v1"]));
    let bearer = "base64url.bearer.phx.";
    let huge = "YWFh".repeat(1 << 18);
    for (name, offered, expected) in [
        ("alphabet of URLs", format!("phoenix, {bearer}a-_b"), 400),
        ("no base64 at all", format!("phoenix, {bearer}*"), 400),
        ("bits that stand for nothing", format!("phoenix, {bearer}aGVsbG9"), 400),
        ("padding in the middle", format!("phoenix, {bearer}aGVs=bG8"), 400),
        ("no text", format!("phoenix, {bearer}//8"), 400),
        ("huge and wrong", format!("phoenix, {bearer}{huge}*"), 400),
        ("huge", format!("phoenix, {bearer}{huge}"), 101),
        ("repeated", format!("phoenix{}", format!(", {bearer}aGVsbG8").repeat(50_000)), 101),
        ("repeated others", "other, ".repeat(200_000), 403),
        ("commas", ",".repeat(1 << 20), 403),
    ] {
        let started = std::time::Instant::now();
        let status = status(&endpoint, "vsn=2.0.0", &[("sec-websocket-protocol", &offered)]).await;
        assert_eq!(status, expected, "{name}");
        // A square of these sizes would take minutes.
        assert!(started.elapsed() < std::time::Duration::from_secs(5), "{name}");
    }
    let tokens: Vec<_> = notes.lock().unwrap().drain(..).map(|token| token.map(|t| t.len())).collect();
    assert_eq!(tokens, [Some((1 << 20) / 4 * 3), None], "of several tokens none counts");
}

#[tokio::test(start_paused = true)]
async fn attack_021_nonsense_about_compression_is_passed_over() {
    let endpoint = compression::endpoint(compression::compressing());
    let long = format!("permessage-deflate; {}", "x;".repeat(4_000));
    for offer in [
        "permessage-deflate; server_max_window_bits=99",
        "permessage-deflate; server_max_window_bits=-1",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; client_max_window_bits=15; client_max_window_bits=15",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; server_no_context_takeover=yes",
        "permessage-deflate; window=15",
        "permessage-deflate; client_max_window_bits=\"15",
        "permessage-deflate=15",
        ";;;,,,\"\\\"",
        &long,
    ] {
        // The handshake goes on without it, and a good offer behind it is found, unless a quote swallows it.
        assert_eq!(compression::answer(&endpoint, &[offer]).await, None, "{offer}");
        let answer = compression::answer(&endpoint, &[offer, "permessage-deflate"]).await;
        assert!(answer.is_some(), "{offer}");
    }
}
