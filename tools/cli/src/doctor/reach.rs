//! Whether there is a server at all: its name, TCP, TLS, HTTP, and what time it has.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::anyhow;
use http::{Method, header};
use jiff::Timestamp;
use rustls::{CertificateError, Error as TlsError};

use super::http::{self as requests, Answer};
use super::report::{Finding, Report};
use super::target::{Target, Tls};
use crate::{print, server, span};

/// A certificate with less time left should have been renewed.
const RENEWED_BEFORE: Duration = Duration::from_secs(14 * 86_400);

/// Clocks that differ by more make tokens of one side look old or of the future to the other.
const MAX_SKEW: Duration = Duration::from_secs(30);

/// Whether the name stands for an address.
pub(super) async fn name(target: &Target, report: &mut Report) -> anyhow::Result<Option<Vec<SocketAddr>>> {
    let begin = Instant::now();
    let lookup = tokio::net::lookup_host((&*target.host, target.port));
    let found =
        requests::within(target.timeout, lookup).await.and_then(|found| Ok(found?.collect::<Vec<_>>()));
    let found =
        found.and_then(|found| if found.is_empty() { Err(anyhow!("it has no address")) } else { Ok(found) });
    match found {
        Ok(addresses) => {
            let list: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
            let text = match target.host.parse::<std::net::IpAddr>() {
                Ok(_) => "the URL has an address, no name".to_owned(),
                Err(_) => format!("{} is {}", target.host, list.join(", ")),
            };
            report.add(Finding::ok("name", text).took(begin.elapsed()))?;
            Ok(Some(addresses))
        }
        Err(error) => {
            report.add(Finding::fail(
                "name",
                format!("{} cannot be looked up: {error:#}", target.host),
                "look for a typing error in the URL, and at the name's A and AAAA records",
            ))?;
            Ok(None)
        }
    }
}

/// Whether all addresses take connections, and how long the fastest needs for it: one round trip.
pub(super) async fn tcp(
    target: &Target,
    addresses: &[SocketAddr],
    report: &mut Report,
) -> anyhow::Result<Option<Duration>> {
    let mut fastest: Option<Duration> = None;
    let mut refused = Vec::new();
    for address in addresses {
        let begin = Instant::now();
        match requests::tcp_to(*address, target.timeout).await {
            Ok(_) => fastest = Some(fastest.unwrap_or(begin.elapsed()).min(begin.elapsed())),
            Err(error) => refused.push(format!("{address} ({error:#})")),
        }
    }
    let refused = refused.join(", ");
    let Some(took) = fastest else {
        report.add(Finding::fail(
            "tcp",
            format!("nobody takes connections: {refused}"),
            "is the server running, listening on this port and not on 127.0.0.1 alone, and does the firewall let it through?",
        ))?;
        return Ok(None);
    };
    report.add(if refused.is_empty() {
        Finding::ok("tcp", format!("connects to port {} in {}", target.port, span::describe_finely(took))).took(took)
    } else {
        let advice = "clients that try this address first have to wait: serve it, or take it out of the name's records";
        Finding::warn("tcp", format!("one address takes connections, another does not: {refused}"), advice).took(took)
    })?;
    Ok(Some(took))
}

/// Whether the certificate is one that clients trust, and for how long.
pub(super) async fn tls(target: &Target, report: &mut Report) -> anyhow::Result<bool> {
    let Some(tls) = &target.tls else {
        report.add(Finding::skip(
            "tls",
            "the URL asks for none; over the internet, tokens can be read by everyone on the way",
        ))?;
        return Ok(true);
    };
    let begin = Instant::now();
    match requests::tls(target, tls).await {
        Ok(stream) => {
            let (_, session) = stream.get_ref();
            let leaf = session.peer_certificates().and_then(|chain| chain.first());
            let until = leaf.and_then(|leaf| not_after(leaf));
            report.add(certificate(until, begin.elapsed()))?;
            Ok(true)
        }
        Err(error) => {
            report.add(untrusted(&error, tls))?;
            Ok(false)
        }
    }
}

fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

fn certificate(until: Option<Timestamp>, took: Duration) -> Finding {
    let Some(until) = until else {
        return Finding::warn(
            "tls",
            "the certificate is trusted, but does not say until when",
            "have it made anew",
        );
    };
    let left = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
    let text = format!("the certificate is trusted, and valid until {until}, for {}", span::describe(left));
    if left < RENEWED_BEFORE {
        return Finding::warn("tls", text, "renew it; if that happens by itself, it has not").took(took);
    }
    Finding::ok("tls", text).took(took)
}

fn untrusted(error: &anyhow::Error, tls: &Tls) -> Finding {
    let cause = error.chain().find_map(|cause| {
        let inner = cause.downcast_ref::<std::io::Error>()?.get_ref()?;
        inner.downcast_ref::<TlsError>()
    });
    let advice = match cause {
        Some(TlsError::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "renew the certificate, and have the server load it",
        Some(TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "use a name that the certificate is for, or have one made for this name",
        Some(TlsError::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => {
            "serve the whole chain, intermediate certificates too; for an authority of your own, name its file in SSL_CERT_FILE"
        }
        Some(TlsError::InvalidMessage(_)) => "this port does not speak TLS: use ws:// or the port that does",
        _ => "look at the server's or proxy's settings of TLS",
    };
    let roots = match tls.unread_roots {
        0 => String::new(),
        number => format!(" ({number} certificates of this system could not be read)"),
    };
    Finding::fail("tls", format!("no connection that can be trusted: {error:#}{roots}"), advice)
}

/// Whether it speaks HTTP and answers for itself, without an upgrade.
pub(super) async fn http(target: &Target, report: &mut Report) -> anyhow::Result<Option<Answer>> {
    let path = target.path("websocket", "2.0.0", &[])?;
    let request = requests::request(target, Method::GET, &path, String::new())?;
    match requests::send(target, request, Duration::ZERO).await {
        Ok(answer) => {
            report.add(answered(&answer))?;
            // A redirect is not followed, so nothing further would be about this server.
            Ok(Some(answer).filter(|answer| !answer.status.is_redirection()))
        }
        Err(error) => {
            report.add(Finding::fail(
                "http",
                format!("no HTTP server answers: {error:#}"),
                "is it another program that listens there, or TLS, which wss:// would speak?",
            ))?;
            Ok(None)
        }
    }
}

fn answered(answer: &Answer) -> Finding {
    let status = answer.status.as_u16();
    let took = span::describe_finely(answer.took);
    let finding = match status {
        300..=399 => Finding::fail(
            "http",
            format!(
                "redirects to {} ({status}), and clients of WebSocket do not follow",
                print::plain(&server::without_secrets(answer.header(header::LOCATION)))
            ),
            "use the URL it redirects to; an http:// URL that redirects to https:// is wss:// here",
        ),
        502..=504 => Finding::fail(
            "http",
            format!("answers {status}, {}: a proxy does not reach the application", answer.quote()),
            "is the application running, and does the proxy have its address?",
        ),
        500..=599 => Finding::warn(
            "http",
            format!("answers {status}, {}", answer.quote()),
            "the server's log says what went wrong there",
        ),
        _ => Finding::ok("http", format!("answers a plain request with {status} in {took}")),
    };
    finding.took(answer.took)
}

/// Whether the server's clock is like ours.
pub(super) fn clock(answer: &Answer, report: &mut Report) -> anyhow::Result<()> {
    let date = httpdate::parse_http_date(answer.header(header::DATE));
    report.add(match date {
        Ok(date) => skew(date, SystemTime::now()),
        Err(_) => Finding::skip("clock", "the answer has no Date header to compare with"),
    })
}

fn skew(theirs: SystemTime, ours: SystemTime) -> Finding {
    let (difference, direction) = match theirs.duration_since(ours) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    if difference > MAX_SKEW {
        let text = format!("the server's clock is {} {direction} the one here", span::describe(difference));
        let advice = "set both by NTP: tokens look expired, or signed in the future, where clocks differ";
        return Finding::warn("clock", text, advice).took(difference);
    }
    // The header has whole seconds, and travelled.
    Finding::ok("clock", "the server's clock agrees with the one here, as far as whole seconds can tell")
}
