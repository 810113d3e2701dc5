//! The parts of a plot, as text.

use std::fmt::{Display, Write as _};

/// The size of every plot, and where the axes are in it.
pub(crate) const WIDTH: f64 = 760.0;
pub(crate) const HEIGHT: f64 = 400.0;
pub(crate) const LEFT: f64 = 70.0;
pub(crate) const RIGHT: f64 = 560.0;
pub(crate) const TOP: f64 = 45.0;
pub(crate) const BOTTOM: f64 = 345.0;

/// Colours that can be told apart by people who see few of them.
pub(crate) const COLORS: &[&str] =
    &["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#7f6000", "#555555"];

const GRID: &str = "#dddddd";

/// A plot under construction.
#[derive(Debug)]
pub(crate) struct Svg(String);

/// Which end of a text is at its place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// White, with a title that people who do not see it are read.
    pub(crate) fn new(title: &str) -> Self {
        let mut svg = Svg(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<title>{}</title>\n",
            escaped(title)
        ));
        svg.rectangle((0.0, 0.0), (WIDTH, HEIGHT), "#ffffff");
        svg.text((LEFT, 25.0), Anchor::Start, title);
        svg
    }

    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, text: impl Display) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(&text.to_string());
        self.line(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"));
    }

    pub(crate) fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), color: &str) {
        self.line(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{color}\"/>"
        ));
    }

    pub(crate) fn grid_line(&mut self, (x, y): (f64, f64), (to_x, to_y): (f64, f64)) {
        self.line(format_args!(
            "<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{to_x:.1}\" y2=\"{to_y:.1}\" stroke=\"{GRID}\"/>"
        ));
    }

    /// A line through points, and a dot on each.
    pub(crate) fn path(&mut self, points: &[(f64, f64)], color: &str) {
        let places: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let places = places.join(" ");
        self.line(format_args!(
            "<polyline points=\"{places}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>"
        ));
        for (x, y) in points {
            self.line(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{color}\"/>"));
        }
    }

    /// An entry of the legend, `row` rows below its beginning.
    pub(crate) fn legend(&mut self, row: usize, color: &str, name: &str) {
        let y = TOP + 10.0 + 20.0 * row as f64;
        self.rectangle((RIGHT + 20.0, y - 9.0), (12.0, 12.0), color);
        self.text((RIGHT + 38.0, y + 1.0), Anchor::Start, name);
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{line}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The powers of ten from `low` to `high`, and the first beyond on either side.
pub(crate) fn decades(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    (first..=last.max(first + 1)).map(|power| 10_f64.powi(power)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Every element is closed, in order; every attribute is quoted; no text has a bare `&` or `<`; one root.
    pub(crate) fn assert_well_formed(name: &str, text: &str) {
        let mut open = Vec::new();
        let mut roots = 0;
        let mut rest = text.trim();
        while let Some(at) = rest.find('<') {
            let between = &rest[..at];
            assert!(
                !open.is_empty() || between.trim().is_empty(),
                "{name}: text outside of the root: {between:?}"
            );
            for reference in between.split('&').skip(1) {
                let known = ["amp;", "lt;", "gt;", "quot;"];
                assert!(
                    known.iter().any(|word| reference.starts_with(word)),
                    "{name}: a bare & in {between:?}"
                );
            }
            let end = rest[at..].find('>').unwrap_or_else(|| panic!("{name}: a tag has no end")) + at;
            let tag = &rest[at + 1..end];
            assert!(!tag.contains('<') && tag.matches('"').count().is_multiple_of(2), "{name}: <{tag}>");
            assert!(!tag.contains("NaN") && !tag.contains("inf"), "{name}: <{tag}>");
            let word = tag.split_whitespace().next().unwrap_or_default().trim_end_matches('/');
            match tag.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop(), Some(closed), "{name}"),
                None => {
                    roots += usize::from(open.is_empty());
                    if !tag.ends_with('/') {
                        open.push(word);
                    }
                }
            }
            rest = &rest[end + 1..];
        }
        assert!(open.is_empty() && rest.is_empty() && roots == 1, "{name}: {open:?} {rest:?} {roots}");
    }

    #[test]
    fn text_cannot_break_out() {
        let mut svg = Svg::new("a < b & \"c\"");
        svg.text((0.0, 0.0), Anchor::End, "</svg>");
        let text = svg.finish();
        assert_well_formed("escapes", &text);
        assert!(text.contains("<title>a &lt; b &amp; &quot;c&quot;</title>"), "{text}");
    }

    #[test]
    #[should_panic(expected = "left: Some(\"a\")")]
    fn the_check_itself_can_fail() {
        assert_well_formed("crossed", "<svg><b><a></b></a></svg>");
    }

    #[test]
    fn decades_enclose_the_values() {
        for (low, high, expected) in [
            (0.07, 14.0, vec![0.01, 0.1, 1.0, 10.0, 100.0]),
            (5.0, 5.0, vec![1.0, 10.0]),
            (10.0, 10.0, vec![10.0, 100.0]),
        ] {
            let found = decades(low, high);
            let same = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < b * 1e-9);
            assert!(found.len() == expected.len() && same, "{low} to {high}: {found:?}");
        }
    }
}
