//! What was found, for people and for programs.

use std::io::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::json;

use crate::exit::Exit;
use crate::print;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// As it should be.
    Ok,
    /// It works, but somebody may be surprised.
    Warn,
    /// It does not work.
    Fail,
    /// It was not looked at.
    Skip,
}

/// The result of one check.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    outcome: Outcome,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    /// What was measured, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<f64>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Finding { check, outcome: Outcome::Ok, text: text.into(), advice: None, ms: None }
    }

    pub(super) fn skip(check: &'static str, text: impl Into<String>) -> Self {
        Finding { outcome: Outcome::Skip, ..Finding::ok(check, text) }
    }

    /// What a request that was refused has to say about a check when the server is busy or broken: nothing.
    pub(super) fn unanswered(check: &'static str, status: u16) -> Option<Self> {
        let about_itself = matches!(status, 429 | 500..=599);
        about_itself.then(|| Finding::skip(check, format!("refused with {status}, so nothing can be said")))
    }

    pub(super) fn warn(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Finding { outcome: Outcome::Warn, advice: Some(advice.into()), ..Finding::ok(check, text) }
    }

    pub(super) fn fail(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Finding { outcome: Outcome::Fail, ..Finding::warn(check, text, advice) }
    }

    pub(super) fn took(self, time: Duration) -> Self {
        Finding { ms: Some((time.as_secs_f64() * 1e6).round() / 1e3), ..self }
    }
}

/// Prints findings as they come, or all of them at the end.
pub(super) struct Report {
    url: String,
    json: bool,
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(url: String, json: bool) -> Self {
        Report { url, json, findings: Vec::new() }
    }

    pub(super) fn add(&mut self, finding: Finding) -> anyhow::Result<()> {
        if !self.json {
            let mut stdout = anstream::stdout();
            writeln!(stdout, "{}  {:<11} {}", mark(finding.outcome), finding.check, finding.text)?;
            if let Some(advice) = &finding.advice {
                writeln!(stdout, "{:18}→ {advice}", "")?;
            }
            stdout.flush()?;
        }
        self.findings.push(finding);
        Ok(())
    }

    /// Says how it went in all.
    pub(super) fn end(self) -> anyhow::Result<Exit> {
        let count = |outcome| self.findings.iter().filter(|finding| finding.outcome == outcome).count();
        let (warnings, failures) = (count(Outcome::Warn), count(Outcome::Fail));
        let mut stdout = anstream::stdout();
        if self.json {
            let all = json!({"url": self.url, "ok": failures == 0, "checks": self.findings});
            writeln!(stdout, "{}", print::json_text(&all)?)?;
        } else {
            let (ok, skipped) = (count(Outcome::Ok), count(Outcome::Skip));
            writeln!(stdout, "\n{ok} ok, {warnings} to look at, {failures} failed, {skipped} skipped")?;
        }
        Ok(if failures == 0 { Exit::Done } else { Exit::Failed })
    }
}

fn mark(outcome: Outcome) -> String {
    let (name, color) = match outcome {
        Outcome::Ok => ("ok  ", AnsiColor::Green),
        Outcome::Warn => ("warn", AnsiColor::Yellow),
        Outcome::Fail => ("FAIL", AnsiColor::Red),
        Outcome::Skip => ("skip", AnsiColor::Cyan),
    };
    let style = Style::new().fg_color(Some(color.into())).bold();
    format!("{style}{name}{style:#}")
}
