//! A table of runs: every case on every server, in turn, so that all meet the same moods of the machine.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::Deserialize;
use toml::{Table, Value};

/// A file of servers and cases; see the README.
#[derive(Debug, Args)]
pub(crate) struct Suite {
    /// The TOML file.
    file: PathBuf,
    /// Append a line of JSON for each run.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How often to run each case on each server, in place of what the file says.
    #[arg(long)]
    runs: Option<u32>,
    /// Only these servers.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    servers: Vec<String>,
    /// Only these modes.
    #[arg(long, value_name = "MODE", value_delimiter = ',')]
    modes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "one")]
    runs: u32,
    /// Options of every run.
    #[serde(default)]
    common: Table,
    #[serde(rename = "server")]
    servers: Vec<Server>,
    #[serde(rename = "case")]
    cases: Vec<Case>,
}

fn one() -> u32 {
    1
}

#[derive(Debug, Deserialize)]
struct Server {
    name: String,
    #[serde(flatten)]
    options: Table,
}

#[derive(Debug, Deserialize)]
struct Case {
    mode: String,
    /// Where it runs; everywhere when absent.
    servers: Option<Vec<String>>,
    #[serde(flatten)]
    options: Table,
}

impl Suite {
    /// The command lines of all runs, in their order.
    pub(crate) fn command_lines(&self) -> anyhow::Result<Vec<Vec<String>>> {
        let text = std::fs::read_to_string(&self.file).with_context(|| self.file.display().to_string())?;
        let file = toml::from_str(&text).with_context(|| self.file.display().to_string())?;
        self.lines_of(&file)
    }

    fn lines_of(&self, file: &File) -> anyhow::Result<Vec<Vec<String>>> {
        let named = |name: &String| file.servers.iter().any(|server| server.name == *name);
        let mentioned = file.cases.iter().flat_map(|case| case.servers.iter().flatten());
        for name in mentioned.chain(&self.servers) {
            anyhow::ensure!(named(name), "no server is called {name:?}");
        }
        let mut lines = Vec::new();
        for case in file.cases.iter().filter(|case| wanted(&self.modes, &case.mode)) {
            for run in 1..=self.runs.unwrap_or(file.runs) {
                let servers = file.servers.iter().filter(|server| wanted(&self.servers, &server.name));
                let servers = servers
                    .filter(|server| case.servers.as_ref().is_none_or(|names| names.contains(&server.name)));
                for server in servers {
                    lines.push(line(file, server, case, run, self.json.as_deref())?);
                }
            }
        }
        Ok(lines)
    }
}

/// Whether a name is among those asked for; when none are, all are.
fn wanted(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|wanted| wanted == name)
}

fn line(
    file: &File,
    server: &Server,
    case: &Case,
    run: u32,
    json: Option<&Path>,
) -> anyhow::Result<Vec<String>> {
    // What is said of the case counts more than what is said of the server, and that more than what is said of all.
    let mut options = file.common.clone();
    options.extend(server.options.clone());
    options.extend(case.options.clone());
    let mut line = vec!["bennu-bench".to_owned(), case.mode.clone()];
    line.extend([format!("--name={}", server.name), format!("--first-run={run}")]);
    line.extend(json.map(|path| format!("--json={}", path.display())));
    for (name, value) in &options {
        line.extend(option(name, value)?);
    }
    Ok(line)
}

/// An option as on a command line; `false` leaves a flag out.
fn option(name: &str, value: &Value) -> anyhow::Result<Option<String>> {
    Ok(match value {
        Value::String(text) => Some(format!("--{name}={text}")),
        Value::Integer(number) => Some(format!("--{name}={number}")),
        Value::Float(number) => Some(format!("--{name}={number}")),
        Value::Boolean(given) => given.then(|| format!("--{name}")),
        Value::Array(_) | Value::Table(_) | Value::Datetime(_) => {
            anyhow::bail!("{name} is no text, number or boolean")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        runs = 2
        [common]
        client-cpu = "1"
        size = 64
        [[server]]
        name = "a"
        protocol = "phoenix"
        [[server]]
        name = "b"
        protocol = "plain"
        tree = true
        [[case]]
        mode = "echo"
        [[case]]
        mode = "fanout"
        outstanding = 16
        size = 100
        servers = ["b"]
    "#;

    fn suite() -> Suite {
        Suite { file: PathBuf::new(), json: None, runs: None, servers: vec![], modes: vec![] }
    }

    fn lines(suite: &Suite, file: &str) -> anyhow::Result<Vec<String>> {
        let lines = suite.lines_of(&toml::from_str(file)?)?;
        Ok(lines.iter().map(|line| line[1..].join(" ")).collect())
    }

    #[test]
    fn servers_take_turns() {
        let expected = [
            "echo --name=a --first-run=1 --client-cpu=1 --protocol=phoenix --size=64",
            "echo --name=b --first-run=1 --client-cpu=1 --protocol=plain --size=64 --tree",
            "echo --name=a --first-run=2 --client-cpu=1 --protocol=phoenix --size=64",
            "echo --name=b --first-run=2 --client-cpu=1 --protocol=plain --size=64 --tree",
            "fanout --name=b --first-run=1 --client-cpu=1 --outstanding=16 --protocol=plain --size=100 --tree",
            "fanout --name=b --first-run=2 --client-cpu=1 --outstanding=16 --protocol=plain --size=100 --tree",
        ];
        assert_eq!(lines(&suite(), FILE).unwrap(), expected);
    }

    #[test]
    fn a_part_can_be_asked_for() {
        let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (servers, modes, runs, count) in [
            (&[][..], &[][..], None, 6),
            (&["a"], &[], None, 2),
            (&["b"], &["fanout"], Some(3), 3),
            (&["a"], &["fanout"], None, 0),
        ] {
            let suite = Suite { servers: strings(servers), modes: strings(modes), runs, ..suite() };
            assert_eq!(lines(&suite, FILE).unwrap().len(), count, "{servers:?} {modes:?} {runs:?}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (name, file) in [
            ("an unknown server", FILE.replace(r#"servers = ["b"]"#, r#"servers = ["c"]"#)),
            ("an option of several values", FILE.replace("size = 100", "size = [1, 2]")),
            ("an unknown member", FILE.replace("[common]", "repeat = 1\n[common]")),
        ] {
            assert!(lines(&suite(), &file).is_err(), "{name}");
        }
    }
}
