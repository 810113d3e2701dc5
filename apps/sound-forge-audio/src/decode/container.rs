//! Telling what a file is by its first bytes.

use std::fmt;

/// A kind of audio file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// RIFF WAVE.
    Wav,
    /// Native FLAC.
    Flac,
    /// MPEG audio layer III, with or without ID3 tags.
    Mp3,
    /// Ogg (Vorbis or FLAC).
    Ogg,
    /// ISO base media: m4a, mp4.
    M4a,
}

/// How many MPEG frames in a row make a file MPEG audio.
const FRAMES_IN_A_ROW: usize = 3;

impl Container {
    /// Tells what a file is from its first bytes; 64 KiB are plenty.
    ///
    /// ```
    /// use sound_forge_audio::decode::Container;
    ///
    /// assert_eq!(Container::sniff(b"fLaC\0\0\0\x22"), Some(Container::Flac));
    /// assert_eq!(Container::sniff(b"Dear diary, today"), None);
    /// ```
    pub fn sniff(head: &[u8]) -> Option<Self> {
        // Behind an ID3 tag there is MPEG audio or, now and then, FLAC; a large
        // picture may push it out of sight.
        if head.starts_with(b"ID3") {
            let after = head.get(id3_length(head)?..).unwrap_or_default();
            return Some(if after.starts_with(b"fLaC") { Self::Flac } else { Self::Mp3 });
        }
        match head {
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(Self::Wav),
            [b'f', b'L', b'a', b'C', ..] => Some(Self::Flac),
            [b'O', b'g', b'g', b'S', ..] => Some(Self::Ogg),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Self::M4a),
            _ => has_mpeg_frames(head).then_some(Self::Mp3),
        }
    }

    /// The channels a header announces, where that is easy to see. Decoders
    /// refuse many channels with less to say about it.
    pub(crate) fn announced_channels(self, head: &[u8]) -> Option<usize> {
        match self {
            Self::Wav => wav_channels(head),
            Self::Ogg => vorbis_channels(head),
            Self::Flac | Self::Mp3 | Self::M4a => None,
        }
    }

    /// The usual file name extension, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Flac => "flac",
            Self::Mp3 => "mp3",
            Self::Ogg => "ogg",
            Self::M4a => "m4a",
        }
    }

    /// The media type, for HTTP.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
            Self::Flac => "audio/flac",
            Self::Mp3 => "audio/mpeg",
            Self::Ogg => "audio/ogg",
            Self::M4a => "audio/mp4",
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

/// The length of an ID3v2 tag with its header: four groups of seven bits.
fn id3_length(head: &[u8]) -> Option<usize> {
    let size = head.get(6..10)?;
    let body = size.iter().fold(0_usize, |length, byte| (length << 7) | usize::from(byte & 0x7f));
    Some(10 + body)
}

/// The channel count of the `fmt ` chunk.
fn wav_channels(head: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        let chunk = head.get(at..at + 8)?;
        if chunk.starts_with(b"fmt ") {
            let channels = head.get(at + 10..at + 12)?;
            return Some(usize::from(u16::from_le_bytes([channels[0], channels[1]])));
        }
        let length = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
        // Chunks are padded to an even length.
        at = at.checked_add(8)?.checked_add(length as usize)?.checked_add(length as usize % 2)?;
    }
}

/// The channel count of a Vorbis identification header on the first page.
fn vorbis_channels(head: &[u8]) -> Option<usize> {
    let segments = usize::from(*head.get(26)?);
    let packet = head.get(27 + segments..)?;
    packet.strip_prefix(b"\x01vorbis")?.get(4).map(|channels| usize::from(*channels))
}

/// Whether MPEG frames follow each other somewhere in the first bytes, which
/// may start with junk.
fn has_mpeg_frames(head: &[u8]) -> bool {
    (0..head.len()).any(|start| is_mpeg_run(head, start))
}

fn is_mpeg_run(head: &[u8], start: usize) -> bool {
    let mut at = start;
    for _ in 0..FRAMES_IN_A_ROW {
        match head.get(at..).and_then(mpeg_frame_length) {
            Some(length) => at += length,
            None => return false,
        }
    }
    true
}

/// The length in bytes of a layer III frame that starts here (ISO 11172-3,
/// 2.4.2.3, and its extension to low rates in ISO 13818-3).
fn mpeg_frame_length(bytes: &[u8]) -> Option<usize> {
    const RATES: [u32; 3] = [44_100, 48_000, 32_000];
    const KBPS_FULL: [u32; 14] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
    const KBPS_LOW: [u32; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

    let [0xff, version, rates, _, ..] = *bytes else { return None };
    // Eleven bits of sync, then the version, then the layer (01 is III).
    if version & 0xe6 != 0xe2 {
        return None;
    }
    let (kbps, slots, shift) = match version & 0x18 {
        0x18 => (KBPS_FULL, 144, 0),
        0x10 => (KBPS_LOW, 72, 1),
        0x00 => (KBPS_LOW, 72, 2),
        _ => return None,
    };
    let kbps = kbps.get(usize::from(rates >> 4).checked_sub(1)?)?;
    let rate = RATES.get(usize::from(rates >> 2 & 3))? >> shift;
    let padding = u32::from(rates >> 1 & 1);
    Some((slots * kbps * 1_000 / rate + padding) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_pictures_are_no_audio() {
        for head in [&b"I walk the line"[..], b"\x89PNG\r\n\x1a\n", b"", b"ID3", b"RIFF1234AVI "] {
            assert_eq!(Container::sniff(head), None, "{head:?}");
        }
        assert_eq!(Container::sniff(&[0xff; 4_096]), None);
        assert_eq!(Container::sniff(&[0; 4_096]), None);
    }

    #[test]
    fn mpeg_frames_are_found_behind_junk() {
        // 128 kbit/s at 44.1 kHz: 417 bytes a frame.
        let mut frame = vec![0xff, 0xfb, 0x90, 0x00];
        frame.resize(417, 0);
        let mut head = b"junk".to_vec();
        head.extend([&frame[..], &frame, &frame].concat());
        assert_eq!(Container::sniff(&head), Some(Container::Mp3));
        assert_eq!(Container::sniff(&head[..4 + 417]), None);
    }

    #[test]
    fn wav_channels_are_found_behind_other_chunks() {
        let head = b"RIFF\0\0\0\0WAVEJUNK\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0\x14\0";
        assert_eq!(Container::Wav.announced_channels(head), Some(20));
        let endless = b"RIFF\0\0\0\0WAVEJUNK\xff\xff\xff\xff";
        assert_eq!(Container::Wav.announced_channels(endless), None);
    }
}
