//! Thinning curves out to what a chart can show.

use serde::{Deserialize, Serialize};

/// The most values of a series; a chart has no more pixels.
pub const MAX_POINTS: usize = 1_024;

/// A value over time, evenly spaced from the start of the track.
///
/// `T` is a number, or an array of them for several curves at once. A series
/// has at most [`MAX_POINTS`] values, each the mean over its `hop`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series<T> {
    /// Seconds from one value to the next.
    pub hop: f64,
    /// The values.
    pub values: Vec<T>,
}

impl Series<f64> {
    /// The means of blocks of `curve`, which has `rate` values a second.
    pub(super) fn thinned(curve: &[f32], rate: f64) -> Self {
        let rows: Vec<[f32; 1]> = curve.iter().map(|value| [*value]).collect();
        let series = Series::<[f64; 1]>::thinned_rows(&rows, rate);
        Self { hop: series.hop, values: series.values.into_iter().map(|[value]| value).collect() }
    }
}

impl<const N: usize> Series<[f64; N]> {
    /// The same for rows of several values.
    pub(super) fn thinned_rows(rows: &[[f32; N]], rate: f64) -> Self {
        let block = rows.len().div_ceil(MAX_POINTS).max(1);
        Self { hop: rounded(block as f64 / rate, 9), values: rows.chunks(block).map(mean).collect() }
    }
}

fn mean<const N: usize>(rows: &[[f32; N]]) -> [f64; N] {
    let mut mean = [0.0; N];
    for row in rows {
        for (sum, value) in mean.iter_mut().zip(row) {
            *sum += f64::from(*value) / rows.len() as f64;
        }
    }
    mean.map(|value| rounded(value, 4))
}

/// A number to so many decimals, so that it prints short. What is no finite
/// number becomes 0, since JSON has no word for it.
pub(super) fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    let rounded = (value * scale).round() / scale;
    // Adding zero turns a negative zero into a plain one.
    if rounded.is_finite() { rounded + 0.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_become_block_means() {
        let curve: Vec<f32> = (0..2_500).map(|i| (i / 3) as f32).collect();
        let series = Series::thinned(&curve, 100.0);
        assert_eq!((series.hop, series.values.len()), (0.03, 834));
        assert_eq!(series.values[..3], [0.0, 1.0, 2.0]);
    }

    #[test]
    fn short_curves_stay() {
        assert_eq!(Series::thinned(&[1.0, 2.0], 10.0).values, [1.0, 2.0]);
        assert!(Series::thinned(&[], 10.0).values.is_empty());
    }

    #[test]
    fn rounded_numbers_are_finite() {
        assert_eq!(rounded(1.23456, 2), 1.23);
        assert_eq!(rounded(f64::NAN, 2), 0.0);
        assert_eq!(rounded(f64::INFINITY, 2), 0.0);
    }
}
