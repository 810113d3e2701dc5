//! The audio engine of Sound Forge.
//!
//! It decodes files ([`decode`]), makes demo music of which everything is known
//! ([`synth`]), splits tracks into stems ([`stems`]), finds tempo, key, loudness
//! and more ([`analysis`]), and writes files ([`encode`]). It knows nothing of
//! the web, of databases or of tasks: every long operation runs on the calling
//! thread, reports its progress to a [`Progress`] and ends early when told so.
//!
//! ```
//! use sound_forge_audio::{Unwatched, analysis, synth};
//!
//! let spec = "demo:techno?bpm=132&key=Fm&seconds=20".parse()?;
//! let track = synth::render_mix(&spec, &mut Unwatched)?;
//! let facts = analysis::analyse(&track, &[], &mut Unwatched)?;
//! assert_eq!(facts.key.as_deref(), Some("F minor"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod analysis;
pub mod audio;
pub mod decode;
pub mod encode;
pub mod key;
pub mod progress;
mod spectrum;
pub mod stems;
pub mod synth;

pub use self::{
    audio::Audio,
    key::{Key, Mode, ParseKeyError},
    progress::{Cancelled, Progress, Unwatched},
    stems::{Stem, Stems},
};
