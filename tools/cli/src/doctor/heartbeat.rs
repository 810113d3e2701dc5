//! Whether the server answers, and whether somebody in between holds its answers back.

use std::time::{Duration, Instant};

use super::link::{Ask, Link, Opened, Received};
use super::report::{Finding, Report};
use super::target::Target;
use crate::span;

/// Of so many round trips the middle one counts.
const ROUND_TRIPS: usize = 5;

/// So many heartbeats more fill a buffer of 16 KiB with their replies, twice what proxies have.
const PUSHING: u32 = 256;

/// Answers that take longer are noticed by everyone.
const SLOW: Duration = Duration::from_secs(1);

/// A few heartbeats, one after the other.
pub(super) async fn check(target: &Target, report: &mut Report) -> anyhow::Result<()> {
    let mut link = match Link::open(target, Ask::default()).await {
        Ok(Opened::Link(link)) => link,
        Ok(Opened::Refused(answer)) => {
            let text = format!("a further connection is refused with {}", answer.status.as_u16());
            return report.add(Finding::fail(
                "heartbeat",
                text,
                "is there a limit of connections per address or second?",
            ));
        }
        Err(error) => {
            return report.add(Finding::fail(
                "heartbeat",
                format!("a further connection fails: {error:#}"),
                "try again",
            ));
        }
    };
    let mut trips = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let begin = Instant::now();
        let reference = link.heartbeat().await?;
        match link.replied(reference, target.timeout).await {
            Ok(Received::Message(_)) => trips.push(begin.elapsed()),
            Ok(Received::Nothing) => return silent(link, reference, target, report).await,
            Ok(Received::Closed(code)) => return report.add(closed(code)),
            Err(error) => return report.add(Finding::fail("heartbeat", format!("{error:#}"), NOT_PHOENIX)),
        }
    }
    link.close().await;
    trips.sort();
    report.add(round_trip(trips[trips.len() / 2]))?;
    report.add(Finding::ok("buffering", "what the server sends on a WebSocket arrives at once"))
}

const NOT_PHOENIX: &str =
    "a server of Phoenix Channels answers the event heartbeat of the topic phoenix: is this one?";

fn round_trip(middle: Duration) -> Finding {
    let text = format!("is answered; a round trip takes {}", span::describe_finely(middle));
    if middle > SLOW {
        let advice = "the server is busy, far away, or a proxy keeps messages for a while: compare with a run on the server itself";
        return Finding::warn("heartbeat", text, advice).took(middle);
    }
    Finding::ok("heartbeat", text).took(middle)
}

fn closed(code: Option<u16>) -> Finding {
    let how = code.map_or_else(|| "without a word".to_owned(), |code| format!("with code {code}"));
    Finding::fail("heartbeat", format!("instead of an answer the connection is closed, {how}"), NOT_PHOENIX)
}

/// No answer came. If one comes as soon as much more follows it, somebody was collecting: that is the sign of a buffer,
/// as a server that does not answer, or a line that is slow, would not be moved by it.
async fn silent(mut link: Link, first: u32, target: &Target, report: &mut Report) -> anyhow::Result<()> {
    for _ in 0..PUSHING {
        if link.heartbeat().await.is_err() {
            break;
        }
    }
    let received = link.replied(first, target.timeout).await;
    let within = span::describe(target.timeout);
    if let Ok(Received::Message(_)) = received {
        link.close().await;
        report.add(Finding::fail(
            "heartbeat",
            format!("an answer did not come within {within}"),
            "see buffering",
        ))?;
        return report.add(Finding::fail(
            "buffering",
            "what the server sends is held back until enough has come together",
            "turn off buffering in the proxy: proxy_buffering off with nginx, flushing at once with others; or it does not know WebSocket",
        ));
    }
    report.add(Finding::fail(
        "heartbeat",
        format!("is not answered within {within}"),
        "either this is no server of Phoenix Channels, or a proxy accepts WebSockets and then carries nothing",
    ))?;
    report.add(Finding::skip("buffering", "nothing arrives, so nothing can be said"))
}
