//! The built-in synthesiser as a source.

use sound_forge_audio::synth::DemoSpec;

use super::{Source, SourceError, Wanted};

/// Understands a `demo:` URL.
pub(super) fn understand(text: &str) -> Result<Wanted, SourceError> {
    let (_, rest) = text.split_at("demo:".len());
    let spec = DemoSpec::parse(&format!("demo:{rest}"))?;
    let title = format!("Demo {}, {} BPM, {}", spec.style(), spec.bpm(), spec.key());
    let url = spec.to_string();
    Ok(Wanted { source: Source::Demo { url: url.clone() }, canonical_url: url, title })
}
