//! The cookies of a connect and its CSRF parameter: nothing panics, and no session that was not signed reaches `connect`.
#![no_main]

use std::sync::LazyLock;

use bennu_pubsub::PubSub;
use bennu_server::{
    Channels, ConnectRequest, Connected, Endpoint, Refusal, Socket, SocketOptions, Transport,
};
use bennu_token::{SecretKeyBase, SessionCookie};
use http::{HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;

struct NoSession;

impl Socket for NoSession {
    type Assigns = ();

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<()>, Refusal> {
        assert!(request.session().is_none(), "a forged session");
        Err(Refusal::Unauthorized)
    }
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));

static ENDPOINT: LazyLock<Endpoint> = LazyLock::new(|| {
    let secret = SecretKeyBase::new("abcdefgh".repeat(8)).expect("it is long enough");
    let cookie = SessionCookie::new("_app_key", "signing salt");
    let signed = SocketOptions::default().session(cookie.clone()).check_csrf(false);
    let encrypted = SocketOptions::default().session(cookie.encryption_salt("encryption salt"));
    Endpoint::builder(PubSub::local())
        .secret_key_base(secret)
        .socket("/signed", NoSession, Channels::new(), signed)
        .socket("/encrypted", NoSession, Channels::new(), encrypted)
        .build()
        .expect("an endpoint")
});

// Up to the first line break: the cookie header. Behind it: the query.
fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let Ok(cookie) = HeaderValue::from_bytes(parts.next().unwrap_or_default()) else { return };
    let query = String::from_utf8_lossy(parts.next().unwrap_or_default());
    for path in ["/signed/websocket", "/encrypted/websocket"] {
        let uri = format!("{path}?vsn=2.0.0&{query}");
        let request = Request::builder().uri(uri).header("cookie", &cookie).header("host", "localhost");
        let Ok(request) = request.body(()) else { return };
        let Some(Transport::WebSocket(handshake)) = ENDPOINT.route(path) else { panic!("{path} is mounted") };
        let refused = RUNTIME.block_on(handshake.accept(request.into_parts().0, None));
        assert!([400, 403, 414].contains(&refused.expect_err("it is refused").status().as_u16()));
    }
});
