//! The audio engine of Sound Forge.

pub mod analysis;
pub mod audio;
pub mod decode;
pub mod encode;
pub mod key;
pub mod progress;
pub mod stems;
mod spectrum;
pub mod synth;

pub use audio::Audio;
pub use key::{Key, Mode, ParseKeyError};
pub use progress::{Cancelled, Progress, Unwatched};
