//! Whether the version of the protocol is negotiated.

use super::link::{Ask, Link, Opened};
use super::report::{Finding, Report};
use super::target::Target;

/// One that no server knows.
const UNKNOWN: &str = "99.0.0";

/// 2.0.0 is what the upgrade has shown; here are the old one, and one that must not be taken for either.
pub(super) async fn check(target: &Target, report: &mut Report) -> anyhow::Result<()> {
    let old = status(target, "1.0.0").await;
    report.add(match old {
        Ok(None) => Finding::ok("version", "1.0.0 and 2.0.0 are served"),
        Ok(Some(status)) => Finding::unanswered("version", status).unwrap_or_else(|| Finding::warn(
            "version",
            format!("2.0.0 is served, 1.0.0 is refused with {status}"),
            "clients older than Phoenix 1.4 and many of other languages speak 1.0.0: serve both, unless you know all your clients",
        )),
        Err(error) => Finding::fail("version", format!("2.0.0 is served, 1.0.0 fails: {error:#}"), "look at the server's log"),
    })?;
    let unknown = status(target, UNKNOWN).await;
    report.add(match unknown {
        Ok(Some(status)) => Finding::unanswered("version", status)
            .unwrap_or_else(|| Finding::ok("version", format!("an unknown version is refused with {status}"))),
        Ok(None) => Finding::fail(
            "version",
            format!("version {UNKNOWN} is accepted, which nobody speaks"),
            "this is no server of Phoenix Channels, or a proxy drops the query of the URL: vsn must reach the server",
        ),
        Err(error) => Finding::warn(
            "version",
            format!("an unknown version is not refused, it fails: {error:#}"),
            "a server should answer 403",
        ),
    })
}

/// The status of a refusal; none if it was accepted.
async fn status(target: &Target, vsn: &str) -> anyhow::Result<Option<u16>> {
    match Link::open(target, Ask { vsn, ..Ask::default() }).await? {
        Opened::Link(link) => {
            link.close().await;
            Ok(None)
        }
        Opened::Refused(answer) => Ok(Some(answer.status.as_u16())),
    }
}
