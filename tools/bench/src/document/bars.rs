//! Bars beside each other, one group for each server.

use super::headline::grouped;
use super::svg::{Anchor, BOTTOM, COLORS, LEFT, Svg, TOP, WIDTH, decades};

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
    /// The plot; its axis is logarithmic, since the figures differ by factors.
    pub(crate) fn svg(&self) -> String {
        let mut svg = Svg::new(&format!("{} (logarithmic)", self.title));
        let values = || self.groups.iter().flat_map(|group| group.values.iter().flatten().copied());
        let positive = || values().filter(|value| *value > 0.0);
        let (low, high) = (positive().reduce(f64::min), positive().reduce(f64::max));
        let Some((low, high)) = low.zip(high) else {
            svg.text((LEFT, BOTTOM), Anchor::Start, "not measured");
            return svg.finish();
        };
        let marks = decades(low, high);
        let (first, last) = (marks[0], marks[marks.len() - 1]);
        let length = |value: f64| (value / first).ln().max(0.0) / (last / first).ln() * (END - BEGIN);
        for mark in &marks {
            let x = BEGIN + length(*mark);
            svg.grid_line((x, TOP), (x, BOTTOM));
            svg.text((x, BOTTOM + 18.0), Anchor::Middle, grouped(*mark));
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
