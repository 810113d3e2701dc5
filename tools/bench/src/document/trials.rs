//! All runs, and questions to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

/// What the documents tell of a run; the README describes all of it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Trial {
    mode: String,
    server: String,
    run: u32,
    pub(crate) unix_time: u64,
    parameters: BTreeMap<String, Value>,
    figures: BTreeMap<String, f64>,
    pub(crate) machine: Option<Machine>,
    pub(crate) commit: Option<String>,
}

/// What a run was made on.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpus: usize,
    pub(crate) cpu_model: String,
    pub(crate) kernel: String,
    pub(crate) memory_bytes: u64,
}

/// What was asked of a run: a mode and the parameters that matter. Runs at a fixed rate are meant only where one is named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    pub(crate) mode: &'a str,
    pub(crate) parameters: &'a [(&'a str, f64)],
}

/// The runs of a series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trials {
    all: Vec<Trial>,
}

/// One figure of several runs of the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Median {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Trials {
    /// The runs of these files, one to a line.
    pub(crate) fn read<P: AsRef<Path>>(files: &[P]) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for file in files.iter().map(AsRef::as_ref) {
            let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let trial = serde_json::from_str(line);
                all.push(trial.with_context(|| format!("{} line {}", file.display(), number + 1))?);
            }
        }
        Ok(Trials { all })
    }

    /// The figure of a server under a load; by the first of the names that its runs know.
    pub(crate) fn median(&self, server: &str, load: Load<'_>, figures: &[&str]) -> Option<Median> {
        Median::of(self.values(server, load, figures).into_iter().map(|(_, value)| value))
    }

    /// How many times `server` is `other`: the median over runs that were made next to each other, with its range.
    pub(crate) fn ratio(
        &self,
        server: &str,
        other: &str,
        load: Load<'_>,
        figures: &[&str],
    ) -> Option<Median> {
        side_by_side(&self.values(server, load, figures), &self.values(other, load, figures))
    }

    /// How many times a load costs a server what another one does: the median over runs of the same round, with its range.
    pub(crate) fn times(
        &self,
        server: &str,
        load: Load<'_>,
        base: Load<'_>,
        figures: &[&str],
    ) -> Option<Median> {
        side_by_side(&self.values(server, load, figures), &self.values(server, base, figures))
    }

    /// How many runs of a server under a load have a figure.
    pub(crate) fn count(&self, server: &str, load: Load<'_>, figures: &[&str]) -> usize {
        self.values(server, load, figures).len()
    }

    /// How often a load was put on a server: each number that occurs.
    pub(crate) fn repeats(&self) -> BTreeSet<usize> {
        let mut counts = BTreeMap::<_, usize>::new();
        for trial in &self.all {
            let parameters: Vec<String> =
                trial.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
            *counts.entry((&trial.server, &trial.mode, parameters)).or_default() += 1;
        }
        counts.into_values().collect()
    }

    /// How many runs there are of each load, at most.
    pub(crate) fn rounds(&self) -> u32 {
        self.all.iter().map(|trial| trial.run).max().unwrap_or(0)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Trial> {
        self.all.iter()
    }

    /// The number of each run, and its figure.
    fn values(&self, server: &str, load: Load<'_>, figures: &[&str]) -> Vec<(u32, f64)> {
        let by_name = figures.iter().map(|figure| self.values_of(server, load, figure));
        by_name.into_iter().find(|values| !values.is_empty()).unwrap_or_default()
    }

    fn values_of(&self, server: &str, load: Load<'_>, figure: &str) -> Vec<(u32, f64)> {
        let trials = self.all.iter().filter(|trial| trial.server == server && load.is_of(trial));
        trials.filter_map(|trial| Some((trial.run, *trial.figures.get(figure)?))).collect()
    }
}

impl Load<'_> {
    fn is_of(&self, trial: &Trial) -> bool {
        let parameter = |name: &str| trial.parameters.get(name).and_then(Value::as_f64);
        let names_rate = self.parameters.iter().any(|(name, _)| *name == "rate");
        trial.mode == self.mode
            && self.parameters.iter().all(|(name, wanted)| parameter(name) == Some(*wanted))
            && (self.mode != "fanout" || names_rate == parameter("rate").is_some())
    }
}

impl Median {
    /// The middle of all values, and their range.
    fn of(values: impl Iterator<Item = f64>) -> Option<Median> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let value = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Some(Median { value, low, high })
    }
}

/// The median of the quotients of runs with the same number, with their range.
fn side_by_side(ours: &[(u32, f64)], theirs: &[(u32, f64)]) -> Option<Median> {
    let pairs = ours.iter().filter_map(|(run, ours)| {
        let (_, theirs) = theirs.iter().find(|(other, _)| other == run)?;
        (*theirs > 0.0).then(|| ours / theirs)
    });
    Median::of(pairs)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A run that a test makes up.
    pub(crate) fn trial(server: &str, mode: &str, run: u32, parameters: Value, figures: Value) -> Trial {
        let line = json!({
            "bench": 1, "mode": mode, "server": server, "protocol": "phoenix", "tls": false, "run": run,
            "unix_time": 1, "parameters": parameters, "figures": figures,
        });
        serde_json::from_value(line).unwrap()
    }

    /// A series that a test makes up.
    pub(crate) fn trials(all: impl IntoIterator<Item = Trial>) -> Trials {
        Trials { all: all.into_iter().collect() }
    }

    #[test]
    fn files_of_runs_are_read_and_a_bad_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
        let line = r#"{"bench":1,"mode":"echo","server":"a","protocol":"plain","tls":false,"run":2,"unix_time":1,
            "parameters":{"size":64},"figures":{"x_us":1.5},"commit":"abc",
            "machine":{"cpus":2,"cpu_model":"m","kernel":"6","memory_bytes":8}}"#;
        let line = line.replace('\n', "");
        fs::write(&good, format!("{line}\n\n{line}\n")).unwrap();
        fs::write(&bad, format!("{line}\n{{\n")).unwrap();
        assert_eq!(Trials::read(&[&good]).unwrap().rounds(), 2);
        let error = Trials::read(&[&good, &bad]).unwrap_err().to_string();
        assert!(error.ends_with("bad line 2"), "{error}");
    }

    const ONE: Load<'static> =
        Load { mode: "fanout", parameters: &[("subscribers", 1000.0), ("outstanding", 1.0)] };

    fn fanout(server: &str, run: u32, rate: Option<f64>, cost: f64) -> Trial {
        let parameters = json!({"subscribers": 1000, "outstanding": 1, "rate": rate});
        trial(server, "fanout", run, parameters, json!({"cpu_per_delivery_us": cost}))
    }

    #[test]
    fn a_median_is_of_runs_of_the_same() {
        let trials = trials([
            fanout("a", 1, None, 5.0),
            fanout("a", 2, None, 3.0),
            fanout("a", 3, None, 4.0),
            fanout("a", 1, Some(50.0), 100.0),
            fanout("b", 1, None, 100.0),
            trial(
                "a",
                "echo",
                1,
                json!({"subscribers": 1000, "outstanding": 1}),
                json!({"cpu_per_delivery_us": 9.0}),
            ),
        ]);
        let median = trials.median("a", ONE, &["cpu_per_echo_us", "cpu_per_delivery_us"]);
        assert_eq!(median, Some(Median { value: 4.0, low: 3.0, high: 5.0 }));
        let at_a_rate = Load { mode: "fanout", parameters: &[("rate", 50.0)] };
        assert_eq!(
            trials.median("a", at_a_rate, &["cpu_per_delivery_us"]).map(|median| median.value),
            Some(100.0)
        );
        assert_eq!(trials.median("c", ONE, &["cpu_per_delivery_us"]), None);
        assert_eq!(trials.rounds(), 3);
    }

    #[test]
    fn a_ratio_is_of_runs_side_by_side() {
        let runs = [(1, 4.0, 8.0), (2, 6.0, 8.0), (3, 5.0, 20.0)];
        let both = |(run, a, b)| [fanout("a", run, None, a), fanout("b", run, None, b)];
        let trials = trials(runs.into_iter().flat_map(both));
        let ratio = trials.ratio("a", "b", ONE, &["cpu_per_delivery_us"]).unwrap();
        assert_eq!((ratio.value, ratio.low, ratio.high), (0.5, 0.25, 0.75));
        assert_eq!(trials.ratio("a", "c", ONE, &["cpu_per_delivery_us"]), None);
    }
}
