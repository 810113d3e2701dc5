//! Bars beside each other, one group for each server.

use super::headline::grouped;
use super::svg::{Anchor, BOTTOM, COLORS, LEFT, Svg, TOP, WIDTH};

/// A plot of horizontal bars.
#[derive(Debug)]
pub(crate) struct Bars<'a> {
    pub(crate) title: &'a str,
    /// What the bars of each group stand for.
    pub(crate) names: &'a [&'a str],
    pub(crate) groups: Vec<Group<'a>>,
}

/// The bars of one server.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub(crate) name: &'a str,
    pub(crate) values: Vec<Option<f64>>,
}

/// Where the bars begin, behind the names, and end, in front of the largest figure.
const BEGIN: f64 = LEFT + 110.0;
const END: f64 = WIDTH - 80.0;

impl Bars<'_> {
    /// The plot, with an axis from nought.
    pub(crate) fn svg(&self) -> String {
        let mut svg = Svg::new(self.title);
        let values = self.groups.iter().flat_map(|group| group.values.iter().flatten().copied());
        let Some(high) = values.reduce(f64::max).filter(|high| *high > 0.0) else {
            svg.text((LEFT, BOTTOM), Anchor::Start, "not measured");
            return svg.finish();
        };
        let length = |value: f64| value.max(0.0) / high * (END - BEGIN);
        let step = step(high);
        for mark in (0..).map(|count| f64::from(count) * step).take_while(|mark| *mark <= high) {
            let x = BEGIN + length(mark);
            svg.grid_line((x, TOP), (x, BOTTOM));
            svg.text((x, BOTTOM + 18.0), Anchor::Middle, grouped(mark));
        }
        let height = (BOTTOM - TOP) / self.groups.len() as f64;
        let thickness = (height - 8.0) / self.names.len() as f64;
        for (at, group) in self.groups.iter().enumerate() {
            let y = TOP + 4.0 + height * at as f64;
            svg.text((BEGIN - 8.0, y + height / 2.0), Anchor::End, group.name);
            for (at, value) in group.values.iter().enumerate() {
                let Some(value) = value else { continue };
                let y = y + thickness * at as f64;
                svg.rectangle((BEGIN, y), (length(*value), thickness - 1.0), COLORS[at % COLORS.len()]);
                svg.text((BEGIN + length(*value) + 5.0, y + thickness - 4.0), Anchor::Start, grouped(*value));
            }
        }
        for (at, name) in self.names.iter().enumerate() {
            let x = BEGIN + 200.0 * at as f64;
            svg.rectangle((x, BOTTOM + 30.0), (12.0, 12.0), COLORS[at % COLORS.len()]);
            svg.text((x + 18.0, BOTTOM + 40.0), Anchor::Start, name);
        }
        svg.finish()
    }
}

/// The round number that goes at least twice into `high`.
fn step(high: f64) -> f64 {
    let decade = 10_f64.powf(high.log10().floor());
    let steps = [1.0, 0.5, 0.2].map(|part| part * decade);
    steps.into_iter().find(|step| high / step >= 2.0).unwrap_or(decade)
}

#[cfg(test)]
mod tests {
    use super::super::svg::tests::assert_well_formed;
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        for (high, expected) in
            [(1.0, 0.5), (1999.0, 500.0), (2000.0, 1000.0), (9999.0, 1000.0), (17_000.0, 5000.0)]
        {
            assert!((step(high) - expected).abs() < expected * 1e-9, "{high}: {}", step(high));
        }
    }

    #[test]
    fn a_bar_is_as_long_as_its_figure_is_large() {
        let groups = [("a < b", [Some(100.0), Some(50.0)]), ("c", [None, Some(-1.0)])];
        let groups = groups.map(|(name, values)| Group { name, values: values.to_vec() }).into();
        let plot = Bars { title: "t", names: &["x", "y"], groups }.svg();
        assert_well_formed("bars", &plot);
        for width in [END - BEGIN, (END - BEGIN) / 2.0, 0.0] {
            assert!(plot.contains(&format!("width=\"{width:.1}\"")), "{width}: {plot}");
        }
    }
}
