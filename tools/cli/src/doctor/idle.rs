//! How long a connection may be silent.

use std::time::{Duration, Instant};

use super::link::{Ask, Link, Opened, Received};
use super::report::{Finding, Report};
use super::target::Target;
use crate::span;

/// The official clients send a heartbeat every 30 seconds; a little is for the way.
const HEARTBEATS: Duration = Duration::from_secs(32);

/// Says nothing for as long as the user allows, and looks who closes when.
pub(super) async fn check(
    target: &Target,
    idle: Option<Duration>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let Some(limit) = idle else {
        return report.add(Finding::skip("idle", "takes a minute or more: ask for it with --idle"));
    };
    let Ok(Opened::Link(mut link)) = Link::open(target, Ask::default()).await else {
        return report.add(Finding::fail("idle", "a further connection is refused", "try again"));
    };
    let begin = Instant::now();
    let end = loop {
        match link.receive(limit.saturating_sub(begin.elapsed())).await {
            Ok(Received::Message(_)) => {}
            Ok(Received::Closed(code)) => break Some(code),
            Ok(Received::Nothing) => break None,
            Err(error) => {
                let text = format!("a message on a silent connection cannot be read: {error:#}");
                let advice = "whoever sends it, server or proxy, does not speak as Phoenix Channels do: look at their logs";
                return report.add(Finding::fail("idle", text, advice).took(begin.elapsed()));
            }
        }
    };
    let silence = begin.elapsed();
    if end.is_none() {
        link.close().await;
    }
    report.add(silent_for(silence, end).took(silence))
}

fn silent_for(silence: Duration, end: Option<Option<u16>>) -> Finding {
    let time = span::describe(silence);
    let Some(code) = end else {
        return Finding::warn(
            "idle",
            format!("a silent connection stays open for {time} at least"),
            "clients that vanished keep their place until somebody closes: does the server have an idle timeout? Wait longer to see it: --idle 180s",
        );
    };
    let who = match code {
        Some(code) => format!("the server, with code {code}"),
        None => "somebody, without a close frame: the server or a proxy".to_owned(),
    };
    let text = format!("a silent connection is closed after {time} by {who}");
    if silence < HEARTBEATS {
        let advice = "clients send a heartbeat every 30 s and are cut off before: raise the proxy's timeout (proxy_read_timeout with nginx) or the server's over 60 s";
        return Finding::fail("idle", text, advice);
    }
    Finding::ok("idle", text)
}
