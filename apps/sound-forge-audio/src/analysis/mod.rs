//! Analysis.
mod correlation;
mod frames;
mod onset;
mod tempo;
use crate::progress::*;
use crate::audio::Audio;
/// x
pub fn debug(audio: &Audio) -> Vec<tempo::Candidate> {
    let mut w = Unwatched;
    let frames = frames::Frames::of(&audio.mono(), audio.sample_rate, &mut Span::whole(&mut w)).unwrap();
    let o = onset::Onsets::of(&frames);
    tempo::Periodicity::of(&o).candidates()
}
