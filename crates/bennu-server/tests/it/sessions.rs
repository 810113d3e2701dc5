//! Sessions of the web application, and the tokens that guard them.

use bennu_pubsub::PubSub;
use bennu_server::{
    BuildError, Channels, CheckOrigin, ConnectRequest, Endpoint, LongPollOptions, Socket, SocketOptions,
};
use bennu_token::{SecretKeyBase, Session, SessionCookie, Tokens, csrf};

use crate::handshake::{ask, witness};
use crate::poller::{PATH, json_of, send};

const SECRET: &str = "a secret key base of more than twenty bytes";

/// What a page of the application has: its cookie, and the token for its requests.
pub(crate) struct Page {
    pub(crate) cookie: String,
    pub(crate) token: String,
}

fn session_cookie() -> SessionCookie {
    SessionCookie::new("_app_key", "signing salt")
}

pub(crate) fn page_of(cookie: &SessionCookie, key: &str) -> Page {
    let token = csrf::session_token();
    let session = Session::new().with("user_id", 42).with(key, token.as_str());
    let tokens = Tokens::new(SecretKeyBase::new(SECRET).unwrap());
    let value = cookie.encode(&tokens, &session).unwrap();
    Page { cookie: format!("theme=dark; {}={value}", cookie.name()), token: csrf::mask(&token).unwrap() }
}

pub(crate) fn page() -> Page {
    page_of(&session_cookie(), "_csrf_token")
}

pub(crate) fn options() -> SocketOptions {
    SocketOptions::default().session(session_cookie())
}

pub(crate) fn serve_sessions<S: Socket>(socket: S, options: SocketOptions) -> Result<Endpoint, BuildError> {
    let secret = SecretKeyBase::new(SECRET).unwrap();
    let builder = Endpoint::builder(PubSub::local()).secret_key_base(secret);
    builder.socket("/socket", socket, Channels::new(), options).build()
}

/// The user of the session, and whether the cookie is among the headers.
pub(crate) fn seen(request: &ConnectRequest) -> (Option<u64>, bool) {
    let user = request.session().and_then(|session| session.get("user_id"));
    (user, request.headers().contains_key("cookie"))
}

async fn connect(options: SocketOptions, query: &str, headers: &[(&str, &str)]) -> (Option<u64>, bool) {
    let (socket, notes) = witness(seen);
    let endpoint = serve_sessions(socket, options).unwrap();
    let query = format!("vsn=2.0.0{query}");
    assert!(ask(&endpoint, &query, headers).await.is_ok(), "{query}");
    let note = notes.lock().unwrap().pop();
    note.unwrap()
}

#[tokio::test]
async fn a_page_that_knows_its_token_connects_with_its_session() {
    let page = page();
    let query = format!("&_csrf_token={}", page.token);
    let own = ("origin", "https://studio.example");
    assert_eq!(connect(options(), &query, &[("cookie", &page.cookie), own]).await, (Some(42), true));
    let encrypted = session_cookie().encryption_salt("encryption salt");
    let page = page_of(&encrypted, "_csrf_token");
    let query = format!("&_csrf_token={}", page.token);
    let options = SocketOptions::default().session(encrypted);
    assert_eq!(connect(options, &query, &[("cookie", &page.cookie)]).await, (Some(42), true));
}

#[tokio::test]
async fn without_a_genuine_cookie_and_its_token_there_is_no_session() {
    let (page, other) = (page(), page());
    let token = format!("&_csrf_token={}", page.token);
    let forged = page.cookie.replace("_app_key=SFMyNTY", "_app_key=SFMyNTX");
    for (name, query, cookie) in [
        ("no cookie", &*token, None),
        ("no token", "", Some(&*page.cookie)),
        ("token of another session", &format!("&_csrf_token={}", other.token), Some(&*page.cookie)),
        ("token as a list", &format!("&_csrf_token[]={}", page.token), Some(&*page.cookie)),
        ("empty token", "&_csrf_token=", Some(&*page.cookie)),
        ("forged cookie", &*token, Some(&*forged)),
        ("cookie of another name", &*token, Some("_other_key=x")),
    ] {
        let headers: Vec<_> = cookie.map(|cookie| ("cookie", cookie)).into_iter().collect();
        assert_eq!(connect(options(), query, &headers).await, (None, cookie.is_some()), "{name}");
    }
}

#[tokio::test]
async fn the_token_need_not_be_checked_where_the_origin_is() {
    let page = page();
    let cookie = ("cookie", &*page.cookie);
    assert_eq!(connect(options().check_csrf(false), "", &[cookie]).await, (Some(42), true));
    assert_eq!(connect(SocketOptions::default(), "", &[cookie]).await, (None, true));
}

#[tokio::test]
async fn the_session_may_keep_its_token_under_another_name() {
    let page = page_of(&session_cookie(), "guard");
    let query = format!("&_csrf_token={}", page.token);
    let cookie = ("cookie", &*page.cookie);
    assert_eq!(connect(options().csrf_token_key("guard"), &query, &[cookie]).await, (Some(42), true));
    assert_eq!(connect(options(), &query, &[cookie]).await, (None, true));
}

#[tokio::test]
async fn tokens_of_the_endpoint_are_those_of_its_secret_and_its_clock() {
    use std::time::{Duration, UNIX_EPOCH};

    let secret = SecretKeyBase::new(SECRET).unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
    let builder = Endpoint::builder(PubSub::local()).secret_key_base(secret.clone()).clock(move || now);
    let endpoint = builder.build().unwrap();
    let token = endpoint.tokens().sign("user socket", &42).unwrap();
    let verified = endpoint.tokens().verify::<u64>("user socket", &*token).unwrap();
    assert_eq!((verified.data, verified.signed_at), (42, now));
    let elsewhere = Tokens::with_clock(secret, move || now);
    assert_eq!(elsewhere.verify::<u64>("user socket", &*token).unwrap().data, 42);
    let random = Endpoint::builder(PubSub::local()).build().unwrap();
    assert!(random.tokens().verify::<u64>("user socket", &*token).is_err());
}

#[test]
fn nothing_of_a_session_is_logged() {
    let shown = format!("{:?}", options());
    assert!(!shown.contains(SECRET), "{shown}");
    let error = serve_sessions(
        bennu_server::AllowAnonymous,
        options().check_origin(CheckOrigin::Any).check_csrf(false),
    );
    assert_eq!(error.unwrap_err(), BuildError::OpenSession("/socket".to_owned()));
}

#[tokio::test]
async fn long_polling_sees_the_session_as_a_websocket_does() {
    let page = page();
    let (socket, notes) = witness(seen);
    let options = options().longpoll(LongPollOptions::default());
    let endpoint = serve_sessions(socket, options).unwrap();
    for (token, expected) in [(&*page.token, Some(42)), ("", None)] {
        let request = http::Request::builder().uri(format!("{PATH}?vsn=2.0.0&_csrf_token={token}"));
        let answer = send(&endpoint, request.header("cookie", &page.cookie), "").await;
        assert_eq!(json_of(&answer)["status"], 410);
        assert_eq!(notes.lock().unwrap().pop(), Some((expected, true)), "{token}");
    }
}
