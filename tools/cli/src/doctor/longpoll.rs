//! Whether clients that get no WebSocket can poll, and whether their polls are answered at once.

use std::time::{Duration, Instant};

use bennu_protocol::{Message, Payload, Ref, Serializer};
use http::Method;
use http::header::{self, HeaderValue};
use serde::Deserialize;

use super::http::{self as requests, Answer};
use super::report::{Finding, Report};
use super::target::Target;
use crate::span;

/// A poll waits 10 s by default, and some are told to wait longer.
const WINDOW: Duration = Duration::from_secs(30);

/// An answer that is on its way longer than this was held by somebody.
const HELD: Duration = Duration::from_secs(1);

/// What a request is answered with, within an HTTP status that is always 200.
#[derive(Deserialize)]
struct Envelope {
    status: u16,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    messages: Vec<String>,
}

/// Opens a session, lets a poll wait, posts, and looks when the poll is answered.
pub(super) async fn check(target: &Target, distance: Duration, report: &mut Report) -> anyhow::Result<()> {
    let opened = match poll(target, None).await {
        Ok(answer) => answer,
        Err(error) => {
            return report.add(Finding::fail("longpoll", format!("the first request fails: {error:#}"), LOG));
        }
    };
    let Some(envelope) = envelope(&opened) else { return report.add(off(&opened)) };
    let Some(token) = envelope.token.filter(|_| envelope.status == 410) else {
        return report.add(refused(envelope.status));
    };
    let (waiting, posting) = tokio::join!(timed(poll(target, Some(&token))), async {
        // The poll shall be waiting when the post comes; if it is not, it is answered at once, and nothing is measured wrongly.
        tokio::time::sleep(opened.took * 2 + Duration::from_millis(100)).await;
        let begin = Instant::now();
        (begin, post(target, &token).await)
    });
    let (posted_at, posted) = posting;
    let posted = match posted
        .map(|answer| self::envelope(&answer).map_or(answer.status.as_u16(), |answer| answer.status))
    {
        Ok(200) => Ok(()),
        Ok(status) => Err(status),
        Err(error) => return report.add(Finding::fail("longpoll", format!("a post fails: {error:#}"), LOG)),
    };
    if let Err(status) = posted {
        return report.add(lost(status));
    }
    let (polled, at) = waiting;
    let arrived = polled.ok().as_ref().and_then(self::envelope).is_some_and(|answer| {
        answer.status == 200 && answer.messages.iter().any(|message| message.contains("phx_reply"))
    });
    if !arrived {
        return report.add(Finding::fail(
            "longpoll",
            "a post is taken, but its reply does not arrive at the poll that waits",
            "a proxy keeps answers back or cuts polls: it must wait longer than 10 s, and pass on at once what comes",
        ));
    }
    report.add(Finding::ok("longpoll", "works: a session opens, takes a post, and is answered"))?;
    report.add(held(at.saturating_duration_since(posted_at), distance))
}

const LOG: &str = "look at the server's and the proxy's log";

async fn timed<T>(future: impl Future<Output = T>) -> (T, Instant) {
    let value = future.await;
    (value, Instant::now())
}

async fn poll(target: &Target, token: Option<&str>) -> anyhow::Result<Answer> {
    request(target, Method::GET, token, String::new(), WINDOW).await
}

async fn post(target: &Target, token: &str) -> anyhow::Result<Answer> {
    let message = Message {
        join_ref: None,
        reference: Some(Ref::from_text("1")),
        topic: "phoenix".into(),
        event: "heartbeat".into(),
        payload: Payload::empty(),
    };
    let text = String::from_utf8(Serializer::V2.encode_message(&message)?.payload().to_vec())?;
    request(target, Method::POST, Some(token), text, Duration::ZERO).await
}

async fn request(
    target: &Target,
    method: Method,
    token: Option<&str>,
    body: String,
    longer: Duration,
) -> anyhow::Result<Answer> {
    let more: Vec<(&str, &str)> = token.iter().map(|token| ("token", *token)).collect();
    let path = target.path("longpoll", Serializer::V2.vsn(), &more)?;
    let mut request = requests::request(target, method, &path, body)?;
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    if let Some(token) = target.auth_token() {
        headers.insert("x-phoenix-authtoken", token.parse()?);
    }
    requests::send(target, request, longer).await
}

fn envelope(answer: &Answer) -> Option<Envelope> {
    if answer.status.as_u16() != 200 {
        return None;
    }
    serde_json::from_slice(&answer.body).ok()
}

fn off(answer: &Answer) -> Finding {
    let status = answer.status.as_u16();
    match status {
        400..=499 => Finding::ok(
            "longpoll",
            format!(
                "is off ({status}): clients behind a network that lets no WebSocket through stay outside"
            ),
        ),
        _ => Finding::warn(
            "longpoll",
            format!("answers {status}, {}, which is no answer to a poll", answer.quote()),
            "if long polling is meant to be off, 404 says so; else look at what answers at …/longpoll",
        ),
    }
}

fn refused(status: u16) -> Finding {
    let advice = match status {
        403 => {
            "the server's connect refuses, as it would a WebSocket: give what it asks for with --params or --token"
        }
        _ => LOG,
    };
    Finding::fail("longpoll", format!("a session is refused with {status}"), advice)
}

fn lost(status: u16) -> Finding {
    let advice = match status {
        404 | 410 => {
            "requests of one session reach different servers that do not know each other: keep a client at one by a cookie or its \
             address, or connect them, with the same secret_key_base"
        }
        408 => "the server is busy",
        _ => LOG,
    };
    Finding::fail(
        "longpoll",
        format!("a post to a session that was just opened is refused with {status}"),
        advice,
    )
}

/// From the post to the poll's answer: two round trips with TLS and half of one. How long other requests take is no
/// measure, as whoever holds answers back holds all of them.
fn held(time: Duration, distance: Duration) -> Finding {
    let text = format!("an answer to a waiting poll arrives {} after the post", span::describe_finely(time));
    if time > HELD + distance * 6 {
        let advice = "a proxy collects answers before it passes them on: turn off buffering for …/longpoll (proxy_buffering off with nginx)";
        return Finding::fail("buffering", text, advice).took(time);
    }
    Finding::ok("buffering", text).took(time)
}
