//! Whether a WebSocket can be opened, and whether messages are compressed on it.

use bennu_protocol::websocket::Extension;

use super::http::{self as requests, Answer};
use super::link::{Ask, Link, Opened, Received};
use super::report::{Finding, Report};
use super::target::Target;

/// Whether a client that shows no origin, as programs and phones do, gets a WebSocket.
pub(super) async fn check(target: &Target, report: &mut Report) -> anyhow::Result<bool> {
    match Link::open(target, Ask::default()).await {
        Ok(Opened::Link(link)) => {
            link.close().await;
            report.add(Finding::ok("upgrade", "opens a WebSocket (101)"))?;
            Ok(true)
        }
        Ok(Opened::Refused(answer)) => {
            report.add(refused(&answer, target.auth_token().is_some()))?;
            if let Some(finding) = retry_after(&answer) {
                report.add(finding)?;
            }
            Ok(false)
        }
        Err(error) => {
            report.add(Finding::fail(
                "upgrade",
                format!("no answer to the upgrade: {error:#}"),
                "does a proxy or firewall in between know WebSocket? nginx needs proxy_http_version 1.1 and the headers Upgrade and Connection",
            ))?;
            Ok(false)
        }
    }
}

fn refused(answer: &Answer, with_token: bool) -> Finding {
    let advice = match answer.status.as_u16() {
        400 | 426 => {
            "a proxy takes the headers Upgrade and Connection out: with nginx, set proxy_http_version 1.1 and pass both on"
        }
        401 | 403 if with_token => {
            "the server's connect refuses these params and this token: `bennu token inspect` shows whether it has expired; \
             servers that read it from a parameter need --token-param"
        }
        401 | 403 => {
            "no Origin was sent, so it is the server's connect that refuses, or a firewall: give what it asks for with --params or --token"
        }
        404 => "no socket is mounted at this path: the URL is that of the mount, as wss://example.com/socket",
        429 | 503 => "the server is busy, or lets in so many connections per second: try again later",
        500..=599 => "a proxy or the application fails: their logs say why",
        200..=299 => {
            "something else answers at this path, as a page that is sent for all unknown ones: look at the routes"
        }
        _ => "look at what answers at this path, and at the proxy's settings of WebSocket",
    };
    Finding::fail(
        "upgrade",
        format!("is refused with {}, {}", answer.status.as_u16(), answer.quote()),
        advice,
    )
}

/// Whether a server that is busy says for how long, so that its clients do not all come back at once.
fn retry_after(answer: &Answer) -> Option<Finding> {
    if !matches!(answer.status.as_u16(), 429 | 503) {
        return None;
    }
    Some(match requests::retry_after(&answer.headers) {
        Some(seconds) => {
            Finding::ok("retry-after", format!("asks to come back in {seconds}, and clients of bennu do"))
        }
        None => Finding::warn(
            "retry-after",
            format!("refuses with {} and does not say for how long", answer.status.as_u16()),
            "send Retry-After, so that clients that know it leave the server alone for a while",
        ),
    })
}

/// Whether compression is agreed on when it is offered, and works then.
pub(super) async fn compression(target: &Target, report: &mut Report) -> anyhow::Result<()> {
    let finding = match Link::open(target, Ask { compression: true, ..Ask::default() }).await {
        Ok(Opened::Link(link)) => compressed(link, target).await?,
        Ok(Opened::Refused(answer)) => {
            let status = answer.status.as_u16();
            Finding::unanswered("compression", status).unwrap_or_else(|| {
                Finding::fail(
                    "compression",
                    format!("a client that offers compression is refused with {status}"),
                    "browsers always offer it: whoever refuses them for that, server or proxy, has to be mended",
                )
            })
        }
        Err(error) => Finding::fail(
            "compression",
            format!("an offer of compression fails: {error:#}"),
            BROKEN_COMPRESSION,
        ),
    };
    report.add(finding)
}

const BROKEN_COMPRESSION: &str =
    "turn compression off at the server or the proxy until it is mended: browsers always offer it";

async fn compressed(mut link: Link, target: &Target) -> anyhow::Result<Finding> {
    let finding = match link.extension {
        Ok(Extension::None) => Finding::ok("compression", "is not used, though it was offered"),
        Err(error) => Finding::fail("compression", error.to_string(), BROKEN_COMPRESSION),
        Ok(Extension::Deflate) => {
            let reference = link.heartbeat().await?;
            match link.replied(reference, target.timeout).await {
                Ok(Received::Message(_)) => {
                    Finding::ok("compression", "permessage-deflate is agreed on, and works")
                }
                Ok(Received::Closed(_) | Received::Nothing) => {
                    Finding::fail("compression", "is agreed on, and then nothing arrives", BROKEN_COMPRESSION)
                }
                Err(error) => {
                    Finding::fail("compression", format!("is agreed on, but {error:#}"), BROKEN_COMPRESSION)
                }
            }
        }
    };
    link.close().await;
    Ok(finding)
}
