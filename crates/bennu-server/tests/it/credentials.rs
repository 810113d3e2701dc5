//! The life of a socket's credentials: expiry, renewal, revocation.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    AtExpiry, Channel, Channels, ConnectRequest, Connected, Context, DrainOptions, Endpoint, Handled,
    HandlerResult, JoinRefusal, JoinRequest, Joined, LongPollOptions, Refusal, RenewRequest, Renewed,
    Revocation, Socket, SocketOptions,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::client::Client;
use crate::poller::{Poller, get, json_of, send, token_of};

/// The code with which a connection ends whose credential has expired.
pub(crate) const CLOSED: u16 = 4401;

const NOTICE: u64 = 60;

/// Longer than any of these tests takes.
const NO_HURRY: Duration = Duration::from_secs(20);

/// An endpoint whose time of day runs with the test's clock, and can be set.
pub(crate) struct Served {
    pub(crate) endpoint: Endpoint,
    /// Seconds by which the time of day was put forward or back.
    shift: Arc<Mutex<i64>>,
    /// Tokens that `renew` was asked about.
    judged: Arc<Mutex<Vec<String>>>,
    /// Lets a `connect` with a `held` token go on.
    gate: Arc<Notify>,
}

impl Served {
    pub(crate) fn new(options: SocketOptions) -> Self {
        Served::on(&PubSub::local(), options)
    }

    pub(crate) fn on(pubsub: &PubSub, options: SocketOptions) -> Self {
        let (shift, start) = (Arc::new(Mutex::new(0)), tokio::time::Instant::now());
        let clock = {
            let shift = shift.clone();
            move || {
                let time = UNIX_EPOCH + Duration::from_secs(1_000_000) + start.elapsed();
                time.checked_add_signed(*shift.lock())
            }
        };
        let socket = TokenSocket::default();
        let (judged, gate) = (socket.judged.clone(), socket.gate.clone());
        let options = options.timeout(Duration::from_secs(1_000_000));
        let endpoint = Endpoint::builder(pubsub.clone())
            .socket("/socket", socket, Channels::new().channel::<Room>("room:*"), options)
            .clock(clock)
            .revocation_memory(Duration::from_secs(10_000))
            .build()
            .unwrap();
        Served { endpoint, shift, judged, gate }
    }

    /// Lets so many seconds pass on both clocks.
    pub(crate) async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// Sets the time of day alone.
    pub(crate) fn put_clock(&self, seconds: i64) {
        *self.shift.lock() += seconds;
    }
}

trait Shift {
    fn checked_add_signed(self, seconds: i64) -> SystemTime;
}

impl Shift for SystemTime {
    fn checked_add_signed(self, seconds: i64) -> SystemTime {
        let by = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { self - by } else { self + by }
    }
}

/// A token as this test's socket reads it: for whom, issued when, until when, in seconds of the test; `-` for unknown.
pub(crate) fn token(id: &str, issued: u64, expires: u64) -> String {
    format!("{id}/{issued}/{expires}")
}

pub(crate) async fn connect(served: &Served, token: &str) -> Result<Client, u16> {
    Client::try_connect(&served.endpoint, &format!("vsn=2.0.0&token={token}"), 64 * 1024).await
}

#[derive(Default)]
struct TokenSocket {
    judged: Arc<Mutex<Vec<String>>>,
    gate: Arc<Notify>,
}

/// What a [`token`] says.
struct Claims<'a> {
    id: Option<&'a str>,
    issued_at: Option<SystemTime>,
    expires_at: Option<SystemTime>,
}

fn read(token: &str) -> Result<Claims<'_>, Refusal> {
    let parts: Vec<&str> = token.split('/').collect();
    let [id, issued, expires] = parts[..] else { return Err(Refusal::Unauthorized) };
    let time = |text: &str| Some(UNIX_EPOCH + Duration::from_secs(1_000_000 + text.parse::<u64>().ok()?));
    Ok(Claims { id: (id != "-").then_some(id), issued_at: time(issued), expires_at: time(expires) })
}

impl Socket for TokenSocket {
    type Assigns = String;

    async fn connect(&self, request: &ConnectRequest) -> Result<Connected<String>, Refusal> {
        let token = request.params().text("token").ok_or(Refusal::Unauthorized)?;
        let claims = read(token.trim_start_matches("held:"))?;
        if token.starts_with("held:") {
            self.gate.notified().await;
        }
        let connected = Connected::new(token.to_owned());
        let connected = connected.issued_at(claims.issued_at).expires_at(claims.expires_at);
        Ok(match claims.id {
            Some(id) => connected.with_id(id),
            None => connected,
        })
    }

    async fn renew(&self, request: &RenewRequest<String>) -> Result<Renewed, Refusal> {
        self.judged.lock().push(request.token().to_owned());
        let token = match request.token() {
            "panic" => panic!("asked to panic"),
            "fail" => return Err(std::io::Error::other("no database").into()),
            "reason" => return Err(Refusal::reason("account closed")),
            token => token.trim_start_matches("slow:"),
        };
        if request.token().starts_with("slow:") {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        let claims = read(token)?;
        let renewed = Renewed::until(claims.expires_at).issued_at(claims.issued_at);
        Ok(match claims.id {
            Some(id) => renewed.with_id(id),
            None => renewed,
        })
    }
}

struct Room;

impl Channel for Room {
    type Assigns = String;

    async fn join(_: JoinRequest<String>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room))
    }

    async fn handle_in(&mut self, event: &str, _: Payload, cx: &mut Context<String>) -> HandlerResult {
        Handled::reply(json!({ "event": event, "assigns": cx.assigns() }))
    }
}

fn notice(seconds: u64) -> Value {
    json!([null, null, "phoenix", "token_expiring", { "expires_in": seconds }])
}

fn ok(expires_in: u64) -> Value {
    json!({ "status": "ok", "response": { "expires_in": expires_in } })
}

fn error(reason: &str) -> Value {
    json!({ "status": "error", "response": { "reason": reason } })
}

/// Sends a token and returns the answer.
async fn renew(client: &mut Client, token: &str) -> Value {
    client.send(json!([null, "9", "phoenix", "token", { "token": token }])).await;
    answer(client).await
}

/// The payload of the next message, which answers ref 9.
async fn answer(client: &mut Client) -> Value {
    let message = client.recv().await;
    assert_eq!((&message[1], &message[3]), (&json!("9"), &json!("phx_reply")), "{message}");
    message[4].clone()
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_before_its_credential_expires_and_closed_with_4401_when_it_does() {
    let served = Served::new(SocketOptions::default());
    let mut client = connect(&served, &token("u:1", 0, 300)).await.unwrap();
    served.pass(300 - NOTICE - 2).await;
    client.hears_nothing().await;
    served.pass(1).await;
    assert_eq!(client.recv().await, notice(NOTICE));
    served.pass(NOTICE - 1).await;
    assert!(!client.has_ended());
    served.pass(1).await;
    assert_eq!(client.closed().await, CLOSED);
    let mut v1 = Client::connect_with(&served.endpoint, "vsn=1.0.0&token=u:1/0/350", 65_536).await;
    let told = json!({
        "topic": "phoenix", "event": "token_expiring", "payload": {"expires_in": 50}, "ref": null
    });
    assert_eq!(v1.recv().await, told);
}

#[tokio::test(start_paused = true)]
async fn the_notice_can_be_moved_or_left_out_and_comes_at_once_for_a_short_life() {
    for (notice_before, life, told_after) in [(60, 30, Some(0)), (10, 30, Some(20)), (0, 30, None)] {
        let options = SocketOptions::default().expiry_notice(Duration::from_secs(notice_before));
        let served = Served::new(options);
        let mut client = connect(&served, &token("u:1", 0, life)).await.unwrap();
        if let Some(seconds) = told_after {
            served.pass(seconds).await;
            assert_eq!(client.recv().await, notice(life - seconds), "notice {notice_before}");
        }
        served.pass(life - told_after.unwrap_or_default()).await;
        assert_eq!(client.recv_or_closed().await, Err(CLOSED), "notice {notice_before}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_puts_the_expiry_off_whichever_way_it_is_sent() {
    let channel = |payload: Value| json!(["1", "9", "room:a", "access_token", payload]);
    let phoenix = |payload: Value| json!([null, "9", "phoenix", "token", payload]);
    let new = token("u:1", 50, 400);
    for sent in [
        phoenix(json!({ "token": new })),
        phoenix(json!({ "access_token": new })),
        channel(json!({ "token": new })),
        channel(json!({ "access_token": new })),
    ] {
        let served = Served::new(SocketOptions::default());
        let mut client = connect(&served, &token("u:1", 0, 300)).await.unwrap();
        client.join("room:a").await;
        served.pass(200).await;
        client.send(sent.clone()).await;
        let expected = json!([sent[0], "9", sent[2], "phx_reply", ok(200)]);
        assert_eq!(client.recv().await, expected);
        served.pass(400 - 200 - NOTICE).await;
        // Neither the old notice nor the old end came; the new ones do.
        assert_eq!(client.recv().await, notice(NOTICE), "{sent}");
        served.pass(NOTICE).await;
        assert_eq!(client.closed().await, CLOSED, "{sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_renewal_leaves_the_connection_as_it_was() {
    let served = Served::new(SocketOptions::default());
    let mut client = connect(&served, &token("u:1", 0, 200)).await.unwrap();
    client.join("room:a").await;
    for (token, reason) in [
        ("nonsense", "unauthorized"),
        ("reason", "account closed"),
        ("fail", "renewal failed"),
        ("panic", "renewal failed"),
        ("u:2/0/900", "the token is not for this connection"),
        ("-/0/900", "the token is not for this connection"),
        ("u:1/0/0", "expired"),
    ] {
        assert_eq!(renew(&mut client, token).await, error(reason), "{token}");
    }
    for payload in
        [json!({}), json!({ "token": 7 }), json!({ "token": null }), json!("u:1/0/900"), json!(null)]
    {
        client.send(json!([null, "9", "phoenix", "token", payload])).await;
        assert_eq!(answer(&mut client).await, error("no token"), "{payload}");
    }
    client.send(json!(["1", "9", "room:a", "echo", {}])).await;
    assert_eq!(answer(&mut client).await["response"]["assigns"], "u:1/0/200");
    served.pass(200 - NOTICE).await;
    assert_eq!(client.recv().await, notice(NOTICE));
    served.pass(NOTICE).await;
    assert_eq!(client.closed().await, CLOSED);
}

#[tokio::test(start_paused = true)]
async fn long_polling_tells_renews_and_ends_as_well() {
    let served = Served::new(SocketOptions::default().longpoll(LongPollOptions::new()));
    let opened = json_of(&send(&served.endpoint, get("u:1/0/15"), "").await);
    let poller = Poller { endpoint: served.endpoint.clone(), token: token_of(&opened) };
    assert_eq!(poller.poll().await, (200, vec![notice(15)]));
    assert_eq!(poller.post([json!([null, "9", "phoenix", "token", {"token": "u:1/0/25"}])]).await, 200);
    assert_eq!(poller.poll().await, (200, vec![json!([null, "9", "phoenix", "phx_reply", ok(25)])]));
    // A poll ends empty after ten seconds, and then the second notice comes.
    assert_eq!(poller.poll().await, (204, vec![]));
    assert_eq!(poller.poll().await, (200, vec![notice(12)]));
    assert_eq!(served.endpoint.connection_count(), 1);
    poller.poll().await;
    served.pass(3).await;
    assert_eq!(served.endpoint.connection_count(), 0);
    let refused = json_of(&send(&served.endpoint, get("u:1/0/25"), "").await);
    assert_eq!(refused["status"], 403);
}

#[tokio::test(start_paused = true)]
async fn without_an_expiry_these_are_messages_like_any_other() {
    let served = Served::new(SocketOptions::default());
    let mut client = connect(&served, "u:1/0/-").await.unwrap();
    client.join("room:a").await;
    assert_eq!(renew(&mut client, "u:1/0/900").await, error("unmatched topic"));
    client.send(json!(["1", "9", "room:a", "access_token", {"access_token": "u:1/0/900"}])).await;
    assert_eq!(answer(&mut client).await["response"]["event"], "access_token");
    assert_eq!(*served.judged.lock(), [""; 0]);
    served.pass(10_000).await;
    client.hears_nothing().await;
}

struct Unrenewed;

impl Socket for Unrenewed {
    type Assigns = String;

    async fn connect(&self, _: &ConnectRequest) -> Result<Connected<String>, Refusal> {
        Ok(Connected::new(String::new()).expires_at(SystemTime::now() + Duration::from_secs(1_000)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_does_not_renew_says_so() {
    let endpoint = Endpoint::builder(PubSub::local())
        .socket("/socket", Unrenewed, Channels::new().channel::<Room>("room:*"), SocketOptions::default())
        .build()
        .unwrap();
    let mut client = Client::connect(&endpoint).await;
    assert_eq!(renew(&mut client, "x").await, error("renewal not supported"));
}

#[tokio::test(start_paused = true)]
async fn renewals_run_one_after_another_while_channels_go_on() {
    let served = Served::new(SocketOptions::default());
    let mut client = connect(&served, &token("u:1", 0, 300)).await.unwrap();
    client.join("room:a").await;
    for (reference, token) in [("a", "slow:u:1/0/400"), ("b", "u:1/0/500"), ("c", "slow:u:1/0/600")] {
        client.send(json!([null, reference, "phoenix", "token", { "token": token }])).await;
    }
    client.send(json!(["1", "d", "room:a", "echo", {}])).await;
    let mut answered = Vec::new();
    for _ in 0..4 {
        answered.push(client.recv_within(10).await[1].clone());
    }
    assert_eq!(answered, ["d", "a", "b", "c"]);
    assert_eq!(*served.judged.lock(), ["slow:u:1/0/400", "u:1/0/500", "slow:u:1/0/600"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_sent_on_every_channel_is_judged_once() {
    let served = Served::new(SocketOptions::default());
    let mut client = connect(&served, &token("u:1", 0, 300)).await.unwrap();
    let topics = ["room:a", "room:b", "room:c"];
    for topic in topics {
        client.join(topic).await;
    }
    for topic in topics {
        client.send(json!(["1", "9", topic, "access_token", {"access_token": "slow:u:1/0/400"}])).await;
    }
    for topic in topics {
        let reply = client.recv_within(10).await;
        assert_eq!((&reply[2], &reply[4]["status"]), (&json!(topic), &json!("ok")));
    }
    assert_eq!(served.judged.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_renewal_that_is_judged() {
    let served = Served::new(SocketOptions::default());
    let mut client = connect(&served, &token("u:1", 0, 300)).await.unwrap();
    client.send(json!([null, "9", "phoenix", "token", {"token": "slow:u:1/0/400"}])).await;
    served.pass(1).await;
    let endpoint = served.endpoint.clone();
    let draining = tokio::spawn(async move { endpoint.drain(DrainOptions::default().grace(NO_HURRY)).await });
    assert_eq!(client.recv_within(10).await[4]["status"], "ok");
    assert_eq!(client.closed().await, 1012);
    drop(client);
    assert_eq!(draining.await.unwrap().left, 0);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_renewals_stops_the_reading() {
    for (token_size, ref_size) in [(10_000, 0), (0, 10_000)] {
        let served = Served::new(SocketOptions::default().max_backlog(16 * 1024));
        let mut client = Client::connect_with(&served.endpoint, "vsn=2.0.0&token=u:1/0/300", 1024).await;
        let mut sent = 0;
        loop {
            // Each of its own, so that none shares the verdict of another.
            let token = format!("slow:{sent}{}", "x".repeat(token_size));
            let message = json!([null, "9".repeat(ref_size), "phoenix", "token", { "token": token }]);
            if tokio::time::timeout(Duration::from_millis(10), client.send(message)).await.is_err() {
                break;
            }
            sent += 1;
            assert!(sent < 100, "the server keeps everything");
        }
        assert!(!client.has_ended());
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_kept_may_still_renew() {
    let served = Served::new(SocketOptions::default().at_expiry(AtExpiry::Keep));
    let mut client = connect(&served, &token("u:1", 0, 100)).await.unwrap();
    served.pass(40).await;
    assert_eq!(client.recv().await, notice(60));
    served.pass(1_000).await;
    client.hears_nothing().await;
    assert!(matches!(renew(&mut client, &token("u:1", 1_000, 2_000)).await["status"].as_str(), Some("ok")));
    assert!(connect(&served, &token("u:1", 0, 100)).await.is_ok(), "kept, so it may connect as well");
}

#[tokio::test(start_paused = true)]
async fn a_grace_lets_the_client_renew_after_the_expiry() {
    let options = SocketOptions::default().at_expiry(AtExpiry::DisconnectAfter(Duration::from_secs(30)));
    let served = Served::new(options);
    let mut client = connect(&served, &token("u:1", 0, 60)).await.unwrap();
    assert_eq!(client.recv().await, notice(60));
    served.pass(80).await;
    assert_eq!(renew(&mut client, &token("u:1", 80, 300)).await, ok(220));
    served.pass(160).await;
    assert_eq!(client.recv().await, notice(60));
    served.pass(91).await;
    assert_eq!(client.closed().await, CLOSED);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_renews_whenever_it_is_told_does_not_do_so_without_end() {
    let served = Served::new(SocketOptions::default());
    let mut client = connect(&served, &token("u:1", 0, 40)).await.unwrap();
    assert_eq!(client.recv().await, notice(40));
    for now in [0, 20, 40] {
        assert_eq!(renew(&mut client, &token("u:1", now, now + 40)).await, ok(40), "at {now}");
        served.pass(20).await;
        assert_eq!(client.recv().await, notice(20), "at {now}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_for_a_shorter_time_brings_the_end_forward() {
    let served = Served::new(SocketOptions::default().expiry_notice(Duration::ZERO));
    let mut client = connect(&served, &token("u:1", 0, 1_000)).await.unwrap();
    // By now the connection waits for what comes later.
    served.pass(1).await;
    assert_eq!(renew(&mut client, &token("u:1", 0, 11)).await, ok(10));
    served.pass(10).await;
    assert_eq!(client.closed().await, CLOSED);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_may_be_for_ever() {
    let served = Served::new(SocketOptions::default());
    let mut client = connect(&served, &token("u:1", 0, 100)).await.unwrap();
    let expected = json!({ "status": "ok", "response": { "expires_in": null } });
    assert_eq!(renew(&mut client, "u:1/0/-").await, expected);
    served.pass(10_000).await;
    client.hears_nothing().await;
    // And it may end again.
    assert_eq!(renew(&mut client, &token("u:1", 10_000, 10_011)).await, ok(10));
}

#[tokio::test(start_paused = true)]
async fn a_time_of_day_that_was_set_is_noticed() {
    let served = Served::new(SocketOptions::default());
    let mut client = connect(&served, &token("u:1", 0, 1_000)).await.unwrap();
    served.put_clock(2_000);
    served.pass(60).await;
    assert_eq!(client.recv_or_closed().await, Err(CLOSED), "put forward, it is over within a minute");

    let served = Served::new(SocketOptions::default().expiry_notice(Duration::ZERO));
    let mut client = connect(&served, &token("u:1", 0, 100)).await.unwrap();
    served.put_clock(-50);
    served.pass(120).await;
    client.hears_nothing().await;
    served.pass(30).await;
    assert_eq!(client.closed().await, CLOSED);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_of_the_past_does_not_connect_and_leaves_nothing_behind() {
    let served = Served::new(SocketOptions::default());
    served.pass(50).await;
    assert_eq!(connect(&served, &token("u:1", 0, 50)).await.err(), Some(403));
    assert_eq!(
        (served.endpoint.connection_count(), served.endpoint.pubsub().subscriber_count("u:1")),
        (0, 0)
    );
    assert!(connect(&served, &token("u:1", 0, 51)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_was_issued_until_a_revocation_is_kept_out_and_what_comes_later_is_not() {
    let served = Served::new(SocketOptions::default());
    served.pass(100).await;
    served.endpoint.revoke("u:1");
    for (token, refused) in [
        ("u:1/99/900", Some(403)),
        ("u:1/100/900", Some(403)),
        ("u:1/101/900", None),
        ("u:1/99/-", Some(403)),
        // Nobody knows how old it is.
        ("u:1/-/900", Some(403)),
        ("u:2/-/900", None),
        ("-/-/900", None),
    ] {
        assert_eq!(connect(&served, token).await.err(), refused, "{token}");
    }
    // Those that were let in have hung up.
    served.pass(1).await;
    assert_eq!(served.endpoint.pubsub().subscriber_count("u:1"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_credential_does_not_renew() {
    let served = Served::new(SocketOptions::default());
    served.pass(100).await;
    served.endpoint.revoke("u:1");
    let mut client = connect(&served, &token("u:1", 101, 900)).await.unwrap();
    assert_eq!(renew(&mut client, &token("u:1", 99, 950)).await, error("unauthorized"));
    assert_eq!(renew(&mut client, "u:1/-/950").await, error("unauthorized"));
    assert_eq!(renew(&mut client, &token("u:1", 102, 950)).await, ok(850));
}

#[tokio::test(start_paused = true)]
async fn a_connect_in_progress_does_not_slip_past_a_revocation() {
    let served = Arc::new(Served::new(SocketOptions::default()));
    let connecting = tokio::spawn({
        let served = served.clone();
        async move { connect(&served, "held:u:1/0/900").await.err() }
    });
    served.pass(1).await;
    served.endpoint.revoke("u:1");
    served.gate.notify_one();
    assert_eq!(connecting.await.unwrap(), Some(403));
}

/// On real threads: whichever comes first, nobody stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connect_beside_a_revocation_is_refused_or_closed() {
    let pubsub = PubSub::local();
    let [here, there] = [(); 2].map(|()| Arc::new(Served::on(&pubsub, SocketOptions::default())));
    for round in 0..500 {
        let id = format!("u:{round}");
        let connecting = tokio::spawn({
            let (there, token) = (there.clone(), token(&id, 0, 900));
            async move { connect(&there, &token).await }
        });
        let revoking = tokio::spawn({
            let here = here.clone();
            async move { drop(here.endpoint.revoke(id)) }
        });
        revoking.await.unwrap();
        match connecting.await.unwrap() {
            Ok(mut client) => assert_eq!(client.closed().await, 1001, "round {round}"),
            Err(status) => assert_eq!(status, 403, "round {round}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn revocations_reach_the_endpoints_of_one_pubsub_and_no_others() {
    let pubsub = PubSub::local();
    let [a, b] = [(); 2].map(|()| Served::on(&pubsub, SocketOptions::default()));
    let other = Served::new(SocketOptions::default());
    a.endpoint.revoke("u:1");
    let old = token("u:1", 0, 900);
    for (name, served, refused) in [("own", &a, Some(403)), ("same", &b, Some(403)), ("other", &other, None)]
    {
        assert_eq!(connect(served, &old).await.err(), refused, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_at_another_endpoint_ends_a_long_poll_session() {
    let pubsub = PubSub::local();
    let options = || SocketOptions::default().longpoll(LongPollOptions::new());
    let [a, b] = [(); 2].map(|()| Served::on(&pubsub, options()));
    let opened = json_of(&send(&b.endpoint, get("u:1/0/900"), "").await);
    let poller = Poller { endpoint: b.endpoint.clone(), token: token_of(&opened) };
    let waiting = tokio::spawn({
        let poller = poller.clone();
        async move { poller.poll().await }
    });
    b.pass(1).await;
    a.endpoint.revoke("u:1");
    assert_eq!(waiting.await.unwrap(), (204, vec![]));
    assert_eq!(b.endpoint.connection_count(), 0);
    assert_eq!(poller.post([json!([null, "2", "phoenix", "heartbeat", {}])]).await, 410);
    let refused = json_of(&send(&b.endpoint, get("u:1/0/900"), "").await);
    assert_eq!(refused, json!({"status": 403}));
}

#[tokio::test(start_paused = true)]
async fn revocations_can_be_stored_and_restored() {
    let (before, after) = (Served::new(SocketOptions::default()), Served::new(SocketOptions::default()));
    let first = before.endpoint.revoke("u:1");
    before.pass(1).await;
    let second = before.endpoint.revoke("u:2");
    assert_eq!(before.endpoint.revocations(), [first, second]);
    let stored = serde_json::to_string(&before.endpoint.revocations()).unwrap();
    after.endpoint.restore_revocations(serde_json::from_str::<Vec<Revocation>>(&stored).unwrap());
    assert_eq!(after.endpoint.revocations(), before.endpoint.revocations());
    for (token, refused) in [("u:1/0/900", Some(403)), ("u:2/1/900", Some(403)), ("u:2/2/900", None)] {
        assert_eq!(connect(&after, token).await.err(), refused, "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_forgotten_after_its_memory() {
    let served = Served::new(SocketOptions::default());
    served.endpoint.revoke("u:1");
    served.pass(10_000).await;
    assert_eq!(connect(&served, "u:1/0/-").await.err(), Some(403));
    served.pass(1).await;
    assert!(connect(&served, "u:1/0/-").await.is_ok());
    assert_eq!(served.endpoint.revocations(), []);
}

#[tokio::test(start_paused = true)]
async fn clients_cannot_revoke() {
    let served = Served::new(SocketOptions::default());
    let payload = json!({ "id": "u:1", "at": { "secs_since_epoch": 9_000_000, "nanos_since_epoch": 0 } });
    served.endpoint.broadcast("bennu:revocations", "revoke", payload).unwrap();
    assert_eq!(served.endpoint.revocations(), []);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_gone_listens_to_no_revocations() {
    let pubsub = PubSub::local();
    let served = Served::on(&pubsub, SocketOptions::default());
    let client = connect(&served, &token("u:1", 0, 900)).await.unwrap();
    assert_eq!(pubsub.subscriber_count("bennu:revocations"), 1);
    client.cut().await;
    drop(served);
    assert_eq!(pubsub.subscriber_count("bennu:revocations"), 0);
}
