//! The audio engine's progress as part of a job's.

use std::ops::ControlFlow;

use crate::queue::Progress;

/// Reports a step of the engine as the stretch of the job from one fraction to another.
pub(super) struct Watch<'a> {
    pub(super) progress: &'a Progress,
    pub(super) message: &'a str,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl sound_forge_audio::Progress for Watch<'_> {
    fn report(&mut self, fraction: f64) -> ControlFlow<()> {
        let fraction = self.from + (self.to - self.from) * fraction;
        match self.progress.report(fraction, self.message) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}
