//! The targets, and whether they are met.

use super::headline::{HEADLINES, Headline, significant};
use super::tables::{NONE, header, row};
use super::trials::{Median, Trials};

/// Each target, what was measured, and whether that meets it.
pub(crate) fn table(trials: &Trials) -> String {
    let mut table = header([
        "",
        "must",
        "stretch",
        "bennu, median (lowest to highest)",
        "runs",
        "times Bun, same series",
        "may be, must / stretch",
        "met",
    ]);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    for line in HEADLINES {
        let unit = line.unit;
        let median = trials.median("bennu", line.load, line.figures);
        let ratio = trials.ratio("bennu", "bun", line.load, line.figures);
        let measured = median.map(|median| ranged(median, |value| unit.text(value)));
        let times = ratio.map(|ratio| ranged(ratio, significant));
        let may_be = line.bun.map(|bun| {
            let [must, stretch] = [line.must, line.stretch].map(|target| significant(target / bun));
            format!("{must} / {stretch}")
        });
        let met = median.map(|median| verdict(line, median, ratio));
        let (must, stretch) = (unit.text(line.must), unit.text(line.stretch));
        let runs = trials.count("bennu", line.load, line.figures).to_string();
        let cells = [measured, Some(runs), times, may_be, met].map(or_none);
        let cells = [line.name, &must, &stretch].into_iter().chain(cells.iter().map(String::as_str));
        row(&mut table, cells);
    }
    table
}

fn ranged(median: Median, text: impl Fn(f64) -> String) -> String {
    let [value, low, high] = [median.value, median.low, median.high].map(text);
    format!("{value} ({low} to {high})")
}

/// A time target is met by the ratio to Bun, of runs side by side, if it is at most what the target was to Bun's figure: a slow
/// day is nobody's merit or fault. The figure counts where there is no ratio.
fn verdict(line: &Headline, median: Median, ratio: Option<Median>) -> String {
    let by_figure = reached(median.value, line.must, line.stretch);
    let by_ratio =
        ratio.zip(line.bun).map(|(ratio, bun)| reached(ratio.value, line.must / bun, line.stretch / bun));
    match (by_figure, by_ratio) {
        (Ok(level), None) => level.to_owned(),
        (Ok(level), Some(Ok(same))) if level == same => level.to_owned(),
        (Ok(level), Some(Ok(other))) => format!("{level}; {other} by the ratio"),
        (Ok(level), Some(Err(over))) => {
            format!("no, {} over by the ratio; {level} by the figure", percent(over))
        }
        (Err(over), None) => format!("no, {} over", percent(over)),
        (Err(_), Some(Ok(level))) => format!("{level}, by the ratio"),
        (Err(over), Some(Err(by_ratio))) => {
            format!("no, {} over by the ratio, {} by the figure", percent(by_ratio), percent(over))
        }
    }
}

/// What a figure reaches, or its share above what it must be.
pub(super) fn reached(value: f64, must: f64, stretch: f64) -> Result<&'static str, f64> {
    if value <= stretch {
        Ok("stretch")
    } else if value <= must {
        Ok("must")
    } else {
        Err(value / must - 1.0)
    }
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 10.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

#[cfg(test)]
mod tests {
    use super::super::tables::tests::{echo, line_of};
    use super::super::trials::tests::trials;
    use super::*;

    #[test]
    fn targets_are_met_by_figure_or_by_ratio_and_else_it_is_told_by_how_much_not() {
        // The target is 6.0 and 5.4 µs, against 5.5 of Bun's: 1.09 and 0.98 times.
        for (ours, buns, met) in [
            (5.0, 5.2, "stretch"),
            (5.9, 6.5, "must; stretch by the ratio"),
            (5.0, 4.8, "stretch; must by the ratio"),
            (5.9, 5.5, "must"),
            (5.9, 4.5, "no, 20 % over by the ratio; must by the figure"),
            (12.0, 11.5, "must, by the ratio"),
            (12.0, 10.4, "no, 5.8 % over by the ratio, 100 % by the figure"),
        ] {
            let table = table(&trials([echo("bennu", 1, ours), echo("bun", 1, buns)]));
            let line = line_of(&table, "echo through a channel");
            assert!(line.ends_with(&format!("| 1.09 / 0.982 | {met} |")), "{ours} {buns}: {line}");
        }
        let table = table(&trials([echo("bennu", 1, 12.0)]));
        assert!(line_of(&table, "echo through a channel").ends_with("| – | 1.09 / 0.982 | no, 100 % over |"));
    }

    #[test]
    fn medians_come_with_their_range_and_number() {
        let trials = trials([echo("bennu", 1, 5.0), echo("bennu", 2, 4.0), echo("bennu", 3, 8.0)]);
        assert!(table(&trials).contains("| 5.00 µs (4.00 µs to 8.00 µs) | 3 |"));
    }
}
