//! What the runs of a series are: how many, when, on what, of which commit.

use std::collections::BTreeSet;

use super::trials::Trials;

/// When, on what and how often the runs were made.
pub(crate) fn series(trials: &Trials) -> String {
    let (mut commits, mut machines, mut dates) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for trial in trials.iter() {
        dates.insert(date(trial.unix_time));
        commits.extend(trial.commit.clone());
        machines.extend(trial.machine.as_ref().map(|machine| {
            let gigabytes = machine.memory_bytes as f64 / 1e9;
            format!("{} × {}, {gigabytes:.0} GB, Linux {}", machine.cpus, machine.cpu_model, machine.kernel)
        }));
    }
    let rounds = trials.rounds();
    let plural = if rounds == 1 { "" } else { "s" };
    let full = if rounds < 5 { " (fewer than the five that a comparison needs)" } else { "" };
    let repeats: Vec<String> = trials.repeats().iter().rev().map(usize::to_string).collect();
    format!(
        "{} runs in {rounds} interleaved round{plural}{full}, each load on each server in {} of them. Date (UTC): {}. Machine: {}. Commit: {}.",
        trials.iter().len(),
        if repeats.is_empty() { "none".to_owned() } else { repeats.join(" or ") },
        or_unknown(dates),
        or_unknown(machines),
        or_unknown(commits),
    )
}

fn or_unknown(words: BTreeSet<String>) -> String {
    match words.is_empty() {
        true => "unknown".to_owned(),
        false => words.into_iter().collect::<Vec<_>>().join("; "),
    }
}

/// The day of a moment, as year, month and day.
fn date(unix_time: u64) -> String {
    let (mut year, mut days) = (1970, unix_time / 86_400);
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::trials::tests::{trial, trials};
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_time, expected) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_767_225_599, "2025-12-31"),
            (1_795_278_000, "2026-11-21"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(unix_time), expected);
        }
    }

    #[test]
    fn a_series_tells_how_often_each_load_was_run() {
        let run = |server, run| trial(server, "echo", run, json!({"joins": 1}), json!({}));
        let short = trials((1..=3).map(|number| run("a", number)).chain([run("b", 1)]));
        let text = series(&short);
        assert!(text.starts_with("4 runs in 3 interleaved rounds (fewer than the five"), "{text}");
        assert!(text.contains("in 3 or 1 of them. Date (UTC): 1970-01-01."), "{text}");
        let full = trials((1..=5).map(|number| run("a", number)));
        assert!(
            series(&full).starts_with("5 runs in 5 interleaved rounds, each load on each server in 5 of")
        );
        assert!(series(&Trials::default()).contains("Date (UTC): unknown."));
    }
}
