//! What becomes of the costs when the work grows: one table and the plots.

use super::bars::{Bars, Group};
use super::curves::{Curve, Curves};
use super::headline::{SERVERS, Unit, grouped};
use super::tables::{NONE, header, row};
use super::targets::reached;
use super::trials::{Load, Trials};

/// How a cost grows with one parameter.
struct Growth {
    file: &'static str,
    title: &'static str,
    x: &'static str,
    y: &'static str,
    mode: &'static str,
    /// The parameters that stay, and the one that grows, with its values.
    fixed: &'static [(&'static str, f64)],
    grows: &'static str,
    values: &'static [f64],
    figure: &'static str,
    unit: Unit,
}

const RSS: Growth = Growth {
    file: "memory-growth.svg",
    title: "RSS per connection joined to one channel, after heartbeats",
    x: "connections",
    y: "bytes",
    mode: "conns",
    fixed: &[("joins", 1.0)],
    grows: "connections",
    values: &[1000.0, 5000.0, 15_000.0],
    figure: "per_connection_after_heartbeats_bytes",
    unit: Unit::Bytes,
};

const SUBSCRIBERS: Growth = Growth {
    file: "fanout-growth.svg",
    title: "CPU per delivery, one message at a time",
    x: "subscribers",
    y: "µs",
    mode: "fanout",
    fixed: &[("publishers", 1.0), ("outstanding", 1.0)],
    grows: "subscribers",
    values: &[1000.0, 5000.0, 15_000.0],
    figure: "cpu_per_delivery_us",
    unit: Unit::Microseconds,
};

const OUTSTANDING: Growth = Growth {
    file: "outstanding.svg",
    title: "CPU per delivery, 1,000 subscribers",
    x: "messages outstanding",
    y: "µs",
    mode: "fanout",
    fixed: &[("publishers", 1.0), ("subscribers", 1000.0)],
    grows: "outstanding",
    values: &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0],
    figure: "cpu_per_delivery_us",
    unit: Unit::Microseconds,
};

const CHANNELS: Growth = Growth {
    file: "channels.svg",
    title: "CPU per echo, 100 connections",
    x: "channels per connection",
    y: "µs",
    mode: "echo",
    fixed: &[("connections", 100.0)],
    grows: "joins",
    values: &[1.0, 10.0, 100.0],
    figure: "cpu_per_echo_us",
    unit: Unit::Microseconds,
};

const ALL: &[Growth] = &[RSS, SUBSCRIBERS, OUTSTANDING, CHANNELS];

/// By how much the dearest may exceed the cheapest, in percent: the targets.
const FLAT: &[(&Growth, f64, f64)] =
    &[(&RSS, 25.0, 10.0), (&SUBSCRIBERS, 25.0, 10.0), (&CHANNELS, 25.0, 10.0)];

impl Growth {
    fn parameters(&self, value: f64) -> Vec<(&'static str, f64)> {
        self.fixed.iter().copied().chain([(self.grows, value)]).collect()
    }

    /// The medians of a server, as far as it was measured.
    fn points(&self, trials: &Trials, server: &str) -> Vec<(f64, f64)> {
        let median = |value: &f64| {
            let load = Load { mode: self.mode, parameters: &self.parameters(*value) };
            Some((*value, trials.median(server, load, &[self.figure])?.value))
        };
        self.values.iter().filter_map(median).collect()
    }

    /// The same as times what the first value costs in the same round: rounds differ by more than what is looked for.
    fn times(&self, trials: &Trials, server: &str) -> Vec<(f64, f64)> {
        let base = self.parameters(self.values[0]);
        let times = |value: &f64| {
            let (load, base) = (self.parameters(*value), Load { mode: self.mode, parameters: &base });
            let load = Load { mode: self.mode, parameters: &load };
            Some((*value, trials.times(server, load, base, &[self.figure])?.value))
        };
        self.values.iter().filter_map(times).collect()
    }

    fn plot(&self, trials: &Trials) -> String {
        let curves = SERVERS.iter().enumerate().map(|(color, (server, name))| Curve {
            name,
            color,
            points: self.points(trials, server),
        });
        let curves: Vec<Curve> = curves.filter(|curve| curve.points.len() > 1).collect();
        let plot = Curves { title: self.title, x: self.x, y: self.y, ticks: self.values, curves };
        plot.svg()
    }
}

/// The curves that are meant to be flat, with by how much they are not; Bun's beside them.
pub(crate) fn table(trials: &Trials) -> String {
    let mut table = header(["", "", "", "", "", "dearest over cheapest", "must", "stretch", "met"]);
    for (growth, must, stretch) in FLAT {
        for (server, name) in &SERVERS[..2] {
            let points = growth.points(trials, server);
            let excess = excess(&growth.times(trials, server));
            if *server != OURS && excess.is_none() {
                continue;
            }
            let cell = |value: &f64| {
                let found = points.iter().find(|(x, _)| x == value);
                let text = found.map_or_else(|| NONE.to_owned(), |(_, y)| growth.unit.text(*y));
                format!("{} {}: {text}", growth.x, grouped(*value))
            };
            let over = excess.map_or_else(|| NONE.to_owned(), |percent| format!("{percent:.0} %"));
            let mut cells = vec![growth.title.to_owned(), (*name).to_owned()];
            cells.extend(growth.values.iter().map(cell));
            cells.push(over);
            cells.extend(if *server == OURS {
                let met = excess.map_or_else(|| NONE.to_owned(), |percent| verdict(percent, *must, *stretch));
                [format!("{must} %"), format!("{stretch} %"), met]
            } else {
                [NONE; 3].map(str::to_owned)
            });
            row(&mut table, cells.iter().map(String::as_str));
        }
    }
    for (server, name) in &SERVERS[..2] {
        let steps = added(&RSS.points(trials, server));
        // The first step has what is there once.
        let later = steps.iter().skip(1).map(|step| (step.to, step.each));
        let over = excess(&later.collect::<Vec<_>>());
        let cell = |step: &Step| {
            format!("{} to {}: {}", grouped(step.from), grouped(step.to), RSS.unit.text(step.each))
        };
        let Some(over) = over.filter(|_| steps.len() == RSS.values.len()) else { continue };
        let mut cells = vec!["RSS that each further connection adds".to_owned(), (*name).to_owned()];
        cells.extend(steps.iter().map(cell));
        cells.push(format!("{over:.0} %"));
        cells.extend([NONE; 3].map(str::to_owned));
        row(&mut table, cells.iter().map(String::as_str));
    }
    table
}

/// What each adds from one number of connections to the next.
struct Step {
    from: f64,
    to: f64,
    each: f64,
}

/// The steps between points that are means, the first from nought.
fn added(points: &[(f64, f64)]) -> Vec<Step> {
    let before = [(0.0, 0.0)].into_iter().chain(points.iter().copied());
    let step = |((from, mean_before), (to, mean)): ((f64, f64), (f64, f64))| Step {
        from,
        to,
        each: (to * mean - from * mean_before) / (to - from),
    };
    before.zip(points.iter().copied()).map(step).collect()
}

/// Whom the targets are for.
const OURS: &str = "bennu";

fn verdict(percent: f64, must: f64, stretch: f64) -> String {
    match reached(percent, must, stretch) {
        Ok(level) => level.to_owned(),
        Err(_) => format!("no, {:.0} % and not {must} %", percent),
    }
}

/// By how many percent the largest exceeds the smallest.
fn excess(points: &[(f64, f64)]) -> Option<f64> {
    let values = || points.iter().map(|(_, y)| *y);
    let (low, high) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
    (points.len() > 1 && low > 0.0).then(|| (high / low - 1.0) * 100.0)
}

/// All plots, each with the name of its file.
pub(crate) fn plots(trials: &Trials) -> Vec<(&'static str, String)> {
    let mut plots: Vec<_> = ALL.iter().map(|growth| (growth.file, growth.plot(trials))).collect();
    plots.push(("memory.svg", memory(trials)));
    plots
}

/// What each server takes for a connection, at rest and after a large message.
fn memory(trials: &Trials) -> String {
    let load = Load { mode: "conns", parameters: &[("connections", 5000.0), ("joins", 1.0)] };
    let figures = ["per_connection_after_heartbeats_bytes", "per_connection_after_16k_bytes"];
    let groups = SERVERS.iter().map(|(server, name)| Group {
        name,
        values: figures
            .iter()
            .map(|figure| trials.median(server, load, &[*figure]))
            .map(|m| m.map(|m| m.value))
            .collect(),
    });
    let groups: Vec<Group> = groups.filter(|group| group.values.iter().any(Option::is_some)).collect();
    let bars = Bars {
        title: "RSS per connection, 5,000 connections, bytes",
        names: &["after heartbeats", "after 16 KB each way"],
        groups,
    };
    bars.svg()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::svg::tests::assert_well_formed;
    use super::super::trials::tests;
    use super::*;

    fn trials() -> Trials {
        let costs = [(1000, 4.0), (5000, 5.0), (15_000, 4.5)];
        let run = |(subscribers, cost): (u32, f64)| {
            let parameters =
                json!({"subscribers": subscribers, "publishers": 1, "outstanding": 1, "rate": null});
            tests::trial("bennu", "fanout", 1, parameters, json!({"cpu_per_delivery_us": cost}))
        };
        tests::trials(costs.into_iter().map(run))
    }

    #[test]
    fn the_table_tells_by_how_much_a_curve_is_not_flat() {
        let table = table(&trials());
        let line = table.lines().find(|line| line.contains("CPU per delivery")).unwrap();
        assert!(
            line.contains("subscribers 5,000: 5.00 µs") && line.contains("| 25 % | 25 % | 10 % | must |"),
            "{line}"
        );
        assert!(
            table
                .lines()
                .any(|line| line.contains("CPU per echo") && line.contains("| – | 25 % | 10 % | – |")),
            "{table}"
        );
    }

    #[test]
    fn what_is_there_once_is_told_from_what_each_connection_adds() {
        // 1 MB that comes with the first, and 1,000 B for each.
        let points = [1000.0, 5000.0, 15_000.0].map(|count| (count, 1000.0 + 1e6 / count));
        let each: Vec<f64> = added(&points).iter().map(|step| step.each.round()).collect();
        assert_eq!(each, [2000.0, 1000.0, 1000.0]);
    }

    #[test]
    fn every_plot_is_well_formed_with_and_without_runs() {
        for trials in [trials(), Trials::default()] {
            for (name, plot) in plots(&trials) {
                assert_well_formed(name, &plot);
            }
        }
        let (_, plot) = plots(&trials()).remove(1);
        assert_eq!(plot.matches("<polyline").count(), 1, "{plot}");
        assert_eq!(plot.matches("<circle").count(), 3, "{plot}");
    }
}
