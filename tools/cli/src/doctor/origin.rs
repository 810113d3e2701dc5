//! Which pages may connect.

use super::link::{Ask, Link, Opened};
use super::report::{Finding, Report};
use super::target::Target;

/// A page of somebody else; the name is reserved for being nobody's.
const FOREIGN: &str = "https://bennu-doctor.invalid";

/// A page that the host itself serves, then one of somebody else.
pub(super) async fn check(target: &Target, report: &mut Report) -> anyhow::Result<()> {
    let own = target.origin();
    report.add(match asked(target, &own).await {
        Ok(None) => Finding::ok("origin", format!("a page of {own} may connect")),
        Ok(Some(status)) => Finding::unanswered("origin", status).unwrap_or_else(|| Finding::fail(
            "origin",
            format!("a page of {own} is refused with {status}"),
            format!("browsers cannot connect from this host's own pages: allow {own} in check_origin, or set the url's host that it is compared with"),
        )),
        Err(error) => failed(&error),
    })?;
    report.add(match asked(target, FOREIGN).await {
        Ok(Some(status)) => Finding::unanswered("origin", status).unwrap_or_else(|| {
            Finding::ok("origin", format!("a page of somebody else is refused with {status}"))
        }),
        Ok(None) => Finding::warn(
            "origin",
            "a page of anybody may connect",
            "where cookies say who somebody is, every page they visit can act for them: name your own pages in check_origin",
        ),
        Err(error) => failed(&error),
    })
}

async fn asked(target: &Target, origin: &str) -> anyhow::Result<Option<u16>> {
    match Link::open(target, Ask { origin: Some(origin), ..Ask::default() }).await? {
        Opened::Link(link) => {
            link.close().await;
            Ok(None)
        }
        Opened::Refused(answer) => Ok(Some(answer.status.as_u16())),
    }
}

fn failed(error: &anyhow::Error) -> Finding {
    Finding::fail(
        "origin",
        format!("a request with an Origin header fails: {error:#}"),
        "look at the server's and the proxy's log",
    )
}
