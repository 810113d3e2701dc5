//! Lines over a parameter that grows.

use super::headline::grouped;
use super::svg::{Anchor, BOTTOM, COLORS, HEIGHT, LEFT, RIGHT, Svg, TOP, decades};

/// A plot of lines.
#[derive(Debug)]
pub(crate) struct Curves<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    /// The values of the parameter.
    pub(crate) ticks: &'a [f64],
    pub(crate) curves: Vec<Curve<'a>>,
}

/// One line.
#[derive(Debug)]
pub(crate) struct Curve<'a> {
    pub(crate) name: &'a str,
    /// Its place among the colours, so that a server has the same one everywhere.
    pub(crate) color: usize,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Curves<'_> {
    /// The plot, with both axes logarithmic: costs differ by factors.
    pub(crate) fn svg(&self) -> String {
        let mut svg = Svg::new(&format!("{} ({}, both axes logarithmic)", self.title, self.y));
        let values = || self.curves.iter().flat_map(|curve| curve.points.iter().map(|(_, y)| *y));
        let positive = || values().filter(|value| *value > 0.0);
        let (low, high) = (positive().reduce(f64::min), positive().reduce(f64::max));
        let (Some((low, high)), [first, .., last]) = (low.zip(high), self.ticks) else {
            svg.text((LEFT, BOTTOM), Anchor::Start, "not measured");
            return svg.finish();
        };
        let marks = decades(low, high);
        let (bottom, top) = (marks[0], marks[marks.len() - 1]);
        let across = |x: f64| place(x, (*first, *last), (LEFT, RIGHT));
        let down = |y: f64| place(y, (bottom, top), (BOTTOM, TOP));
        for mark in &marks {
            svg.grid_line((LEFT, down(*mark)), (RIGHT, down(*mark)));
            svg.text((LEFT - 8.0, down(*mark) + 4.0), Anchor::End, mark_text(*mark));
        }
        for tick in self.ticks {
            svg.grid_line((across(*tick), TOP), (across(*tick), BOTTOM));
            svg.text((across(*tick), BOTTOM + 18.0), Anchor::Middle, grouped(*tick));
        }
        svg.text(((LEFT + RIGHT) / 2.0, HEIGHT - 15.0), Anchor::Middle, self.x);
        for (row, curve) in self.curves.iter().enumerate() {
            let color = COLORS[curve.color % COLORS.len()];
            let positive = curve.points.iter().filter(|(_, y)| *y > 0.0);
            let points: Vec<_> = positive.map(|(x, y)| (across(*x), down(*y))).collect();
            svg.path(&points, color);
            svg.legend(row, color, curve.name);
        }
        svg.finish()
    }
}

/// Where a value is between two places, by its logarithm.
fn place(value: f64, (low, high): (f64, f64), (from, to): (f64, f64)) -> f64 {
    from + (value / low).ln() / (high / low).ln() * (to - from)
}

fn mark_text(mark: f64) -> String {
    if mark >= 1.0 { grouped(mark) } else { format!("{mark}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_go_by_the_logarithm() {
        for (value, expected) in [(1.0, 0.0), (10.0, 50.0), (100.0, 100.0), (1000.0, 150.0)] {
            assert!((place(value, (1.0, 100.0), (0.0, 100.0)) - expected).abs() < 1e-9, "{value}");
        }
        // Downwards, as on a page.
        assert!((place(10.0, (1.0, 100.0), (300.0, 100.0)) - 200.0).abs() < 1e-9);
    }
}
