//! `docs/coverage.md`: each row names the tests that show it, or the issue that will bring it.

use std::collections::HashSet;

use house_rules::{files, read};

/// A row of the table: what the seeds name, our name for it, its page, and what shows it.
struct Row {
    thing: String,
    shown_by: String,
}

fn rows() -> Vec<Row> {
    let text = read("docs/coverage.md");
    let tables = text.lines().filter(|line| line.starts_with("| "));
    let rows = tables.filter(|line| !line.starts_with("| Thing") && !line.starts_with("| ---"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 5, "a row has five cells: {line}");
        Row { thing: cells[0].to_owned(), shown_by: cells[4].to_owned() }
    })
    .collect()
}

/// The names of all test functions, in Rust and in the Node scenarios.
pub(crate) fn tests() -> HashSet<String> {
    let mut names = HashSet::new();
    for file in files(&[".rs"]) {
        let mut is_test = false;
        // Names in a list, each of which a macro makes tests of.
        let mut is_list = false;
        for line in file.text.lines().map(str::trim) {
            is_list = line.starts_with("on_both_databases! {") || (is_list && line != "}");
            if let Some(name) = line.strip_suffix(',').filter(|_| is_list) {
                names.insert(name.to_owned());
            }
            if line.starts_with("#[test]")
                || line.starts_with("#[tokio::test")
                || line.starts_with("proptest!")
            {
                is_test = true;
            }
            let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            if let Some(name) = function.and_then(|rest| rest.split('(').next()).filter(|_| is_test) {
                names.insert(name.to_owned());
                is_test = false;
            }
        }
    }
    names
}

#[test]
fn every_test_that_the_coverage_names_exists() {
    let tests = tests();
    for row in rows() {
        for name in row.shown_by.split('`').skip(1).step_by(2) {
            assert!(tests.contains(name), "{:?} names the test {name}, which does not exist", row.thing);
        }
    }
}

#[test]
fn every_row_names_a_test_or_the_issue_that_brings_it() {
    let rows = rows();
    assert!(rows.len() > 80, "the table has {} rows; the seeds name more", rows.len());
    let mut seen = HashSet::new();
    for row in rows {
        assert!(seen.insert(row.thing.clone()), "{:?} has two rows", row.thing);
        let answered = row.shown_by.contains('`') || row.shown_by.contains("issue ");
        assert!(answered, "nothing shows {:?}", row.thing);
    }
}
