//! Reporting progress, and being told to stop.

use std::ops::ControlFlow;

use thiserror::Error;

/// Watches a long operation, and may end it.
///
/// Closures are watchers:
///
/// ```
/// use std::ops::ControlFlow;
/// use sound_forge_audio::Progress;
///
/// let mut last = 0.0;
/// let mut watcher = |fraction: f64| {
///     last = fraction;
///     ControlFlow::Continue(())
/// };
/// assert!(watcher.report(0.5).is_continue());
/// ```
pub trait Progress {
    /// Hears that `fraction` of the work (0 to 1, never falling) is done.
    ///
    /// `Break` cancels the operation, which then answers [`Cancelled`]. Calls
    /// come many times a second, so a slow watcher should thin them out.
    fn report(&mut self, fraction: f64) -> ControlFlow<()>;
}

impl<F: FnMut(f64) -> ControlFlow<()>> Progress for F {
    fn report(&mut self, fraction: f64) -> ControlFlow<()> {
        self(fraction)
    }
}

/// A watcher that does not look and never cancels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn report(&mut self, _fraction: f64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// The watcher asked the operation to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("cancelled")]
pub struct Cancelled;

/// A stretch of a watched operation, reported as part of the whole.
pub(crate) struct Span<'a> {
    watcher: &'a mut dyn Progress,
    from: f64,
    to: f64,
}

impl<'a> Span<'a> {
    /// The whole operation.
    pub(crate) fn whole(watcher: &'a mut dyn Progress) -> Self {
        Self { watcher, from: 0.0, to: 1.0 }
    }

    /// The part of this span between two of its fractions.
    pub(crate) fn part(&mut self, from: f64, to: f64) -> Span<'_> {
        let (start, length) = (self.from, self.to - self.from);
        Span { watcher: &mut *self.watcher, from: start + from * length, to: start + to * length }
    }

    /// Reports that `fraction` of this span is done.
    pub(crate) fn at(&mut self, fraction: f64) -> Result<(), Cancelled> {
        let fraction = self.from + fraction.clamp(0.0, 1.0) * (self.to - self.from);
        match self.watcher.report(fraction) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Cancelled),
        }
    }

    /// Reports that `done` of `total` steps of this span are done.
    pub(crate) fn step(&mut self, done: usize, total: usize) -> Result<(), Cancelled> {
        self.at(done as f64 / total.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_report_fractions_of_the_whole() {
        let mut heard = Vec::new();
        let mut watcher = |fraction: f64| {
            heard.push(fraction);
            ControlFlow::Continue(())
        };
        let mut whole = Span::whole(&mut watcher);
        whole.part(0.5, 1.0).part(0.0, 0.5).at(1.0).unwrap();
        whole.step(3, 3).unwrap();
        assert_eq!(heard, [0.75, 1.0]);
    }

    #[test]
    fn a_break_cancels() {
        let mut watcher = |_: f64| ControlFlow::Break(());
        assert_eq!(Span::whole(&mut watcher).at(0.1), Err(Cancelled));
    }
}
