//! The tables of figures, as Markdown.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::headline::{HEADLINES, Headline, SERVERS, Unit, significant};
use super::trials::{Load, Median, Trials};

/// What stands where nothing was measured.
const NONE: &str = "–";

/// Bennu under the conditions of the variants' table.
const VARIANTS: &[(&str, &str)] =
    &[("bennu", "bennu"), ("bennu-tls", "with TLS"), ("bennu-state", "with 1 KB of state per channel")];

/// A figure beside the headlines: its name, its load, the figure, its unit.
type Other = (&'static str, Load<'static>, &'static str, Unit);

const PRESENCE: Load<'static> = Load { mode: "presence", parameters: &[] };
const CHURN: Load<'static> = Load { mode: "churn", parameters: &[] };
const MIXED: Load<'static> = Load { mode: "mixed", parameters: &[] };

const OTHERS: &[Other] = &[
    (
        "presence: CPU per diff delivered, 500 clients join",
        PRESENCE,
        "cpu_per_join_diff_us",
        Unit::Microseconds,
    ),
    (
        "presence: CPU per diff delivered, half of them leave",
        PRESENCE,
        "cpu_per_leave_diff_us",
        Unit::Microseconds,
    ),
    (
        "churn: CPU per delivery while 500 connections a second come and go",
        CHURN,
        "cpu_per_delivery_us",
        Unit::Microseconds,
    ),
    ("churn: connect and join, p99", CHURN, "connect_and_join_p99_us", Unit::Milliseconds),
    ("mixed: CPU per message", MIXED, "cpu_per_message_us", Unit::Microseconds),
    ("mixed: echo beside broadcasts, p99", MIXED, "echo_p99_us", Unit::Milliseconds),
];

/// When, on what and how often the runs were made.
pub(crate) fn series(trials: &Trials) -> String {
    let mut commits = BTreeSet::new();
    let mut machines = BTreeSet::new();
    for trial in trials.iter() {
        commits.extend(trial.commit.clone());
        machines.extend(trial.machine.as_ref().map(|machine| {
            let gigabytes = machine.memory_bytes as f64 / 1e9;
            format!("{} × {}, {gigabytes:.0} GB, Linux {}", machine.cpus, machine.cpu_model, machine.kernel)
        }));
    }
    let or_unknown = |words: BTreeSet<String>| match words.is_empty() {
        true => "unknown".to_owned(),
        false => words.into_iter().collect::<Vec<_>>().join("; "),
    };
    let rounds = trials.rounds();
    let plural = if rounds == 1 { "" } else { "s" };
    let full = if rounds < 5 { " (fewer than the five that a comparison needs)" } else { "" };
    format!(
        "{} runs in {rounds} interleaved round{plural}{full}. Machine: {}. Commit: {}.",
        trials.iter().len(),
        or_unknown(machines),
        or_unknown(commits),
    )
}

/// Each target, what was measured, and whether that meets it.
pub(crate) fn targets(trials: &Trials) -> String {
    let mut table = String::from(
        "| | must | stretch | bennu, median (lowest to highest) | times Bun, same series | met |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for line in HEADLINES {
        let unit = line.unit;
        let median = trials.median("bennu", line.load, line.figures);
        let ratio = trials.ratio("bennu", "bun", line.load, line.figures);
        let measured = median.map_or_else(|| NONE.to_owned(), |median| ranged(unit, median));
        let times = ratio.map_or_else(
            || NONE.to_owned(),
            |ratio| {
                let (value, low, high) =
                    (significant(ratio.value), significant(ratio.low), significant(ratio.high));
                format!("{value} ({low} to {high})")
            },
        );
        let met = median.map_or_else(|| NONE.to_owned(), |median| verdict(line, median, ratio));
        let (must, stretch) = (unit.text(line.must), unit.text(line.stretch));
        row(&mut table, [line.name, &must, &stretch, &measured, &times, &met]);
    }
    table
}

/// The medians of all servers beside each other.
pub(crate) fn servers(trials: &Trials) -> String {
    let mut table = String::from("| |");
    SERVERS.iter().for_each(|(_, name)| table.push_str(&format!(" {name} |")));
    table.push_str(" Phoenix, reported |\n|");
    table.push_str(&" --- |".repeat(SERVERS.len() + 2));
    table.push('\n');
    for line in HEADLINES {
        let cells = SERVERS.iter().map(|(server, _)| cell(trials, server, line));
        let phoenix = if line.phoenix.is_empty() { NONE } else { line.phoenix }.to_owned();
        let cells: Vec<String> = [line.name.to_owned()].into_iter().chain(cells).chain([phoenix]).collect();
        row(&mut table, cells.iter().map(String::as_str));
    }
    table
}

/// Each headline with TLS, with state, and what it leaves out all the same.
pub(crate) fn variants(trials: &Trials) -> String {
    let mut table = String::from("| |");
    VARIANTS.iter().for_each(|(_, name)| table.push_str(&format!(" {name} |")));
    table.push_str(" leaves out |\n|");
    table.push_str(&" --- |".repeat(VARIANTS.len() + 2));
    table.push('\n');
    for line in HEADLINES {
        let cells = VARIANTS.iter().map(|(server, _)| cell(trials, server, line));
        let cells: Vec<String> =
            [line.name.to_owned()].into_iter().chain(cells).chain([line.leaves_out.to_owned()]).collect();
        row(&mut table, cells.iter().map(String::as_str));
    }
    table
}

/// The modes that no target is about.
pub(crate) fn other(trials: &Trials) -> String {
    let mut table = String::from("| |");
    SERVERS.iter().for_each(|(_, name)| table.push_str(&format!(" {name} |")));
    table.push_str("\n|");
    table.push_str(&" --- |".repeat(SERVERS.len() + 1));
    table.push('\n');
    for (name, load, figure, unit) in OTHERS {
        let median = |server| trials.median(server, *load, &[*figure]);
        let cells = SERVERS.iter().map(|(server, _)| text(*unit, median(server)));
        let cells: Vec<String> = [(*name).to_owned()].into_iter().chain(cells).collect();
        row(&mut table, cells.iter().map(String::as_str));
    }
    table
}

fn cell(trials: &Trials, server: &str, line: &Headline) -> String {
    text(line.unit, trials.median(server, line.load, line.figures))
}

fn text(unit: Unit, median: Option<Median>) -> String {
    median.map_or_else(|| NONE.to_owned(), |median| unit.text(median.value))
}

fn ranged(unit: Unit, median: Median) -> String {
    let [value, low, high] = [median.value, median.low, median.high].map(|value| unit.text(value));
    format!("{value} ({low} to {high})")
}

/// A time target also holds when the ratio to Bun in the same series is at most what the target was to Bun's figure.
fn verdict(line: &Headline, median: Median, ratio: Option<Median>) -> String {
    let by_ratio = |target: f64| {
        let allowed = line.bun.map(|bun| target / bun);
        ratio.zip(allowed).is_some_and(|(ratio, allowed)| ratio.value <= allowed)
    };
    if median.value <= line.stretch {
        "stretch".to_owned()
    } else if by_ratio(line.stretch) {
        "stretch, by the ratio".to_owned()
    } else if median.value <= line.must {
        "must".to_owned()
    } else if by_ratio(line.must) {
        "must, by the ratio".to_owned()
    } else {
        format!("no, {:.0} % over", (median.value / line.must - 1.0) * 100.0)
    }
}

fn row<'a>(table: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    for cell in cells {
        // Writing to a string does not fail.
        let _ = write!(table, "| {cell} ");
    }
    table.push_str("|\n");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::trials::Trial;
    use super::super::trials::tests::{trial, trials};
    use super::*;

    fn echo(server: &str, run: u32, cost: f64) -> Trial {
        let parameters = json!({"connections": 100, "joins": 1});
        trial(server, "echo", run, parameters, json!({"cpu_per_echo_us": cost}))
    }

    fn line_of<'a>(table: &'a str, name: &str) -> &'a str {
        let mut lines = table.lines();
        lines.find(|line| line.starts_with(&format!("| {name} |"))).unwrap()
    }

    #[test]
    fn targets_are_met_by_value_or_by_ratio() {
        for (ours, buns, met) in [
            (5.0, 5.0, "stretch"),
            (5.9, 6.5, "stretch, by the ratio"),
            (5.9, 5.5, "must"),
            (12.0, 11.5, "must, by the ratio"),
            (12.0, 8.0, "no, 100 % over"),
        ] {
            let trials = trials([echo("bennu", 1, ours), echo("bun", 1, buns)]);
            let table = targets(&trials);
            let line = line_of(&table, "echo through a channel");
            assert!(line.ends_with(&format!("| {met} |")), "{ours} {buns}: {line}");
        }
    }

    #[test]
    fn tables_have_a_cell_for_each_column_and_a_dash_where_nothing_was_measured() {
        let trials = trials([echo("bennu", 1, 5.0), echo("bennu-tls", 1, 6.0), echo("ws", 1, 9.0)]);
        for table in [targets(&trials), servers(&trials), variants(&trials), other(&trials)] {
            let columns: BTreeSet<usize> = table.lines().map(|line| line.matches('|').count()).collect();
            assert_eq!(columns.len(), 1, "{table}");
        }
        let table = servers(&trials);
        let line = line_of(&table, "echo through a channel");
        assert_eq!(line, "| echo through a channel | 5.00 µs | – | 9.00 µs | – | – | – | – | 21–25 µs |");
        let table = variants(&trials);
        let line = line_of(&table, "echo through a channel");
        assert!(line.starts_with("| echo through a channel | 5.00 µs | 6.00 µs | – |"), "{line}");
    }

    #[test]
    fn medians_come_with_their_range() {
        let trials = trials([echo("bennu", 1, 5.0), echo("bennu", 2, 4.0), echo("bennu", 3, 8.0)]);
        assert!(targets(&trials).contains("| 5.00 µs (4.00 µs to 8.00 µs) |"));
        assert!(series(&trials).starts_with("3 runs in 3 interleaved rounds (fewer"));
    }
}
