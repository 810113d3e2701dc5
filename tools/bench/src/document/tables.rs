//! The tables of figures, as Markdown.

use std::fmt::Write as _;

use super::headline::{HEADLINES, Headline, SERVERS, Unit};
use super::trials::{Load, Median, Trials};

/// What stands where nothing was measured.
pub(super) const NONE: &str = "–";

/// Bennu under the conditions of the variants' table.
const VARIANTS: &[(&str, &str)] =
    &[("bennu", "bennu"), ("bennu-tls", "with TLS"), ("bennu-state", "with 1 KB of state per channel")];

/// A figure beside the headlines: its name, its load, the figure, its unit.
pub(super) type Other = (&'static str, Load<'static>, &'static str, Unit);

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

/// The medians of all servers beside each other.
pub(crate) fn servers(trials: &Trials) -> String {
    let mut table = header([""].into_iter().chain(names(SERVERS)).chain(["Phoenix, reported"]));
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
    let mut table = header([""].into_iter().chain(names(VARIANTS)).chain(["leaves out"]));
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
    by_server(trials, OTHERS)
}

/// Figures of all servers beside each other.
pub(super) fn by_server(trials: &Trials, rows: &[Other]) -> String {
    let mut table = header([""].into_iter().chain(names(SERVERS)));
    for (name, load, figure, unit) in rows {
        let median = |server| trials.median(server, *load, &[*figure]);
        let cells = SERVERS.iter().map(|(server, _)| text(*unit, median(server)));
        let cells: Vec<String> = [(*name).to_owned()].into_iter().chain(cells).collect();
        row(&mut table, cells.iter().map(String::as_str));
    }
    table
}

/// The table, or a word if none of its cells has a figure.
pub(super) fn if_measured(table: String) -> String {
    let mut cells = table.lines().skip(2).flat_map(|line| line.split('|').skip(2));
    match cells.any(|cell| !["", NONE].contains(&cell.trim())) {
        true => table,
        false => "Not measured in this series.".to_owned(),
    }
}

/// How people read the servers.
fn names(servers: &'static [(&str, &str)]) -> impl Iterator<Item = &'static str> {
    servers.iter().map(|(_, name)| *name)
}

fn cell(trials: &Trials, server: &str, line: &Headline) -> String {
    text(line.unit, trials.median(server, line.load, line.figures))
}

pub(super) fn text(unit: Unit, median: Option<Median>) -> String {
    median.map_or_else(|| NONE.to_owned(), |median| unit.text(median.value))
}

/// A table with these columns, and no rows yet.
pub(super) fn header<'a>(columns: impl IntoIterator<Item = &'a str>) -> String {
    let columns: Vec<&str> = columns.into_iter().collect();
    let mut table = String::new();
    row(&mut table, columns.iter().copied());
    row(&mut table, columns.iter().map(|_| "---"));
    table
}

pub(super) fn row<'a>(table: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    for cell in cells {
        // Writing to a string does not fail.
        let _ = write!(table, "| {cell} ");
    }
    table.push_str("|\n");
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::super::trials::Trial;
    use super::super::trials::tests::{trial, trials};
    use super::super::{cores, growth, targets, wire};
    use super::*;

    /// A run of the echo that a target is about.
    pub(crate) fn echo(server: &str, run: u32, cost: f64) -> Trial {
        let parameters = json!({"connections": 100, "joins": 1});
        trial(server, "echo", run, parameters, json!({"cpu_per_echo_us": cost}))
    }

    /// The row of this name.
    pub(crate) fn line_of<'a>(table: &'a str, name: &str) -> &'a str {
        let mut lines = table.lines();
        lines.find(|line| line.starts_with(&format!("| {name} |"))).unwrap()
    }

    #[test]
    fn a_table_without_figures_is_a_word() {
        let head = header(["", "a", "b"]);
        for (rows, is_table) in [("", false), ("| x | – | – |\n", false), ("| x | – | 0.5 |\n", true)] {
            assert_eq!(if_measured(head.clone() + rows).starts_with('|'), is_table, "{rows}");
        }
    }

    #[test]
    fn tables_have_a_cell_for_each_column_and_a_dash_where_nothing_was_measured() {
        let trials = trials([echo("bennu", 1, 5.0), echo("bennu-tls", 1, 6.0), echo("ws", 1, 9.0)]);
        for table in [
            targets::table(&trials),
            servers(&trials),
            variants(&trials),
            other(&trials),
            wire::frames(&trials),
            wire::padded(&trials),
            cores::table(&trials),
            growth::table(&trials),
        ] {
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
}
