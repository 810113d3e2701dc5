//! What is told about a run: to people, and as a line of JSON.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::compare;
use crate::figures::Figures;
use crate::options::Common;

/// The version of the format; see the README.
const VERSION: u32 = 1;

/// One run.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    bench: u32,
    mode: &'a str,
    server: &'a str,
    protocol: Value,
    tls: bool,
    run: u32,
    unix_time: u64,
    parameters: Map<String, Value>,
    figures: &'a Figures,
    machine: Machine,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
}

/// One run as read back from a file.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Record {
    pub(crate) mode: String,
    pub(crate) server: String,
    pub(crate) tls: bool,
    pub(crate) run: u32,
    pub(crate) parameters: BTreeMap<String, Value>,
    pub(crate) figures: BTreeMap<String, f64>,
}

#[derive(Debug, Serialize)]
struct Machine {
    cpus: usize,
    cpu_model: String,
    kernel: String,
    memory_bytes: u64,
}

impl<'a> Report<'a> {
    pub(crate) fn new(
        mode: &'a str,
        mut parameters: Map<String, Value>,
        common: &'a Common,
        run: u32,
        figures: &'a Figures,
    ) -> anyhow::Result<Self> {
        parameters.insert("size".to_owned(), common.size.into());
        Ok(Self {
            bench: VERSION,
            mode,
            server: &common.name,
            protocol: serde_json::to_value(common.protocol)?,
            tls: common.tls || common.url.starts_with("wss:"),
            run,
            unix_time: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            parameters,
            figures,
            machine: Machine::this(),
            commit: common.commit.clone().or_else(commit),
        })
    }

    /// Appends it to a file, as one line.
    pub(crate) fn append(&self, path: &Path) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(self)?;
        line.push('\n');
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).with_context(|| path.display().to_string())
    }

    /// Shows it to people.
    pub(crate) fn show(&self, out: &mut impl Write) -> std::io::Result<()> {
        let parameters: Vec<String> =
            self.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let tls = if self.tls { ", TLS" } else { "" };
        writeln!(out, "{} {} run {}{tls} ({})", self.server, self.mode, self.run, parameters.join(", "))?;
        show_figures(out, self.figures.iter())
    }
}

/// One figure to a line.
pub(crate) fn show_figures<'a>(
    out: &mut impl Write,
    figures: impl Iterator<Item = (&'a str, f64)>,
) -> std::io::Result<()> {
    for (name, value) in figures {
        writeln!(out, "  {name:<44} {:>16}", number(value))?;
    }
    Ok(())
}

/// The medians of several runs of the same, each with its smallest and largest value.
pub(crate) fn show_medians(out: &mut impl Write, runs: &[Figures]) -> std::io::Result<()> {
    writeln!(out, "medians of {} runs", runs.len())?;
    for (name, _) in runs.first().into_iter().flat_map(Figures::iter) {
        let mut values: Vec<f64> = runs.iter().filter_map(|run| run.value(name)).collect();
        values.sort_by(f64::total_cmp);
        let (Some(median), [low, .., high]) = (compare::median(&values), &*values) else { continue };
        let (low, high) = (number(*low), number(*high));
        writeln!(out, "  {name:<44} {:>16}   {low} to {high}", number(median))?;
    }
    Ok(())
}

/// A number with as many decimals as it deserves.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        1000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

impl Machine {
    fn this() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cpu_model = after(&cpuinfo, "model name").unwrap_or("unknown").to_owned();
        let kibibytes =
            after(&meminfo, "MemTotal").and_then(|text| text.strip_suffix("kB")?.trim().parse().ok());
        Self {
            cpus: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            cpu_model,
            kernel: kernel.trim().to_owned(),
            memory_bytes: kibibytes.map_or(0, |kibibytes: u64| kibibytes * 1024),
        }
    }
}

/// What stands behind `name` and a colon.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// The commit of the repository that we run in, if it is one.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The runs of a file, one to a line.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Record>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let records = lines.map(|(number, line)| {
        serde_json::from_str(line).with_context(|| format!("{} line {}", path.display(), number + 1))
    });
    records.collect()
}
