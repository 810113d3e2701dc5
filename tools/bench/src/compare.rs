//! Two series of runs beside each other, and one by itself.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::Value;

use crate::report::{Record, number};

/// Runs that were asked for the same.
type Key = (String, bool, String);

/// A figure of A against the same of B.
#[derive(Clone, Debug, PartialEq)]
struct Ratio {
    a: f64,
    b: f64,
    /// A's median over B's.
    ratio: f64,
    /// The smallest and the largest ratio of runs that were made next to each other.
    spread: (f64, f64),
}

/// Prints the figures that both have, with how many times A is B.
///
/// Runs of the same number were made next to each other, so the ratios of these pairs tell how
/// far the ratio can be trusted on a machine whose speed changes.
pub(crate) fn show(out: &mut impl Write, a: &[Record], b: &[Record]) -> anyhow::Result<()> {
    let (a, b) = (by_key(a), by_key(b));
    let mut compared = 0;
    for (key, a) in &a {
        let Some(b) = b.get(key) else { continue };
        compared += 1;
        let (mode, tls, parameters) = key;
        let tls = if *tls { ", TLS" } else { "" };
        writeln!(out, "{mode}{tls} ({parameters})")?;
        let (first, second) = (servers(a), servers(b));
        writeln!(out, "  A is {first} ({} runs), B is {second} ({} runs)", a.len(), b.len())?;
        writeln!(out, "  {:<40} {:>14} {:>14} {:>8}   spread", "median", "A", "B", "A/B")?;
        for name in a[0].figures.keys() {
            let Some(Ratio { a, b, ratio, spread }) = ratio(a, b, name) else { continue };
            let (low, high) = (number(spread.0), number(spread.1));
            writeln!(
                out,
                "  {name:<40} {:>14} {:>14} {:>8}   {low} to {high}",
                number(a),
                number(b),
                number(ratio)
            )?;
        }
    }
    anyhow::ensure!(compared > 0, "the files have no mode with the same parameters in common");
    Ok(())
}

fn by_key(records: &[Record]) -> BTreeMap<Key, Vec<&Record>> {
    let mut groups = BTreeMap::<Key, Vec<&Record>>::new();
    for record in records {
        let parameters: Vec<String> = record.parameters.iter().map(parameter).collect();
        let key = (record.mode.clone(), record.tls, parameters.join(", "));
        groups.entry(key).or_default().push(record);
    }
    groups
}

fn parameter((name, value): (&String, &Value)) -> String {
    format!("{name} {value}")
}

fn servers(records: &[&Record]) -> String {
    let mut names: Vec<&str> = records.iter().map(|record| record.server.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

fn ratio(a: &[&Record], b: &[&Record], name: &str) -> Option<Ratio> {
    let (median_a, median_b) = (median(&values(a, name))?, median(&values(b, name))?);
    if median_b == 0.0 {
        return None;
    }
    let pairs = a.iter().filter_map(|a| {
        let b = b.iter().find(|b| b.run == a.run)?;
        let (a, b) = (a.figures.get(name)?, b.figures.get(name)?);
        (*b != 0.0).then(|| a / b)
    });
    let ratio = median_a / median_b;
    let spread = pairs.fold((ratio, ratio), |(low, high), pair| (low.min(pair), high.max(pair)));
    Some(Ratio { a: median_a, b: median_b, ratio, spread })
}

fn values(records: &[&Record], name: &str) -> Vec<f64> {
    records.iter().filter_map(|record| record.figures.get(name).copied()).collect()
}

/// The middle of the values, or of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(server: &str, values: &[f64]) -> Vec<Record> {
        let run = |(number, value): (usize, &f64)| Record {
            mode: "echo".to_owned(),
            server: server.to_owned(),
            tls: false,
            run: number as u32 + 1,
            parameters: BTreeMap::from([("connections".to_owned(), 100.into())]),
            figures: BTreeMap::from([("cpu_per_echo_us".to_owned(), *value)]),
        };
        values.iter().enumerate().map(run).collect()
    }

    #[test]
    fn medians() {
        for (values, expected) in [
            (&[][..], None),
            (&[3.0], Some(3.0)),
            (&[1.0, 4.0], Some(2.5)),
            (&[9.0, 1.0, 2.0], Some(2.0)),
            (&[4.0, 1.0, 3.0, 2.0], Some(2.5)),
        ] {
            assert_eq!(median(values), expected, "{values:?}");
        }
    }

    #[test]
    fn ratios_of_medians_with_the_spread_of_pairs() {
        for (a, b, expected) in [
            (&[2.0, 4.0, 6.0][..], &[4.0, 4.0, 4.0][..], Some((4.0, 4.0, 1.0, (0.5, 1.5)))),
            // The machine slowed down for both in the second run: the pairs agree.
            (&[1.0, 10.0], &[2.0, 20.0], Some((5.5, 11.0, 0.5, (0.5, 0.5)))),
            // More runs of one than of the other: only those with a partner make the spread.
            (&[1.0], &[1.0, 3.0, 2.0], Some((1.0, 2.0, 0.5, (0.5, 1.0)))),
            (&[1.0], &[0.0], None),
        ] {
            let (first, second) = (runs("a", a), runs("b", b));
            let (first, second): (Vec<_>, Vec<_>) = (first.iter().collect(), second.iter().collect());
            let expected = expected.map(|(a, b, ratio, spread)| Ratio { a, b, ratio, spread });
            assert_eq!(ratio(&first, &second, "cpu_per_echo_us"), expected, "{a:?} {b:?}");
        }
    }

    #[test]
    fn only_runs_of_the_same_parameters_are_compared() {
        let (a, mut b) = (runs("a", &[1.0]), runs("b", &[2.0]));
        let mut out = Vec::new();
        show(&mut out, &a, &b).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("A is a (1 runs), B is b (1 runs)") && text.contains("0.500"), "{text}");
        b[0].parameters.insert("connections".to_owned(), 200.into());
        assert!(show(&mut Vec::new(), &a, &b).is_err());
    }
}
