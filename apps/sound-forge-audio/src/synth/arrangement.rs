//! The form of a piece: sections, and the bars they hold.

/// A section of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// Drums alone, then bass.
    Intro,
    /// Everything but the lead at first.
    Groove,
    /// Chords and lead without drums.
    Break,
    /// Everything.
    Drop,
    /// Drums and bass.
    Outro,
}

/// One bar of the piece.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bar {
    /// Counted from 0 over the piece.
    pub(crate) index: u32,
    pub(crate) section: Section,
    /// Bars since pitched instruments came in with this section.
    pub(crate) phrase: u32,
    /// How far into its section the bar lies, 0 to below 1.
    pub(crate) position: f64,
    /// Whether another section follows this bar.
    pub(crate) closes: bool,
}

impl Bar {
    /// Whether the second half of the section has come.
    pub(crate) fn is_late(&self) -> bool {
        self.position >= 0.5
    }

    pub(crate) fn has_beat(&self) -> bool {
        self.section != Section::Break
    }

    pub(crate) fn has_bass(&self) -> bool {
        match self.section {
            Section::Intro | Section::Break => self.is_late(),
            Section::Groove | Section::Drop | Section::Outro => true,
        }
    }

    pub(crate) fn has_chords(&self) -> bool {
        match self.section {
            Section::Groove | Section::Break | Section::Drop => true,
            Section::Intro => self.is_late(),
            Section::Outro => !self.is_late(),
        }
    }

    pub(crate) fn has_lead(&self) -> bool {
        match self.section {
            Section::Groove => self.is_late(),
            Section::Break | Section::Drop => true,
            Section::Intro | Section::Outro => false,
        }
    }
}

/// The shares of the sections, in percent of all bars.
const FORM: [(Section, u32); 5] = [
    (Section::Intro, 12),
    (Section::Groove, 28),
    (Section::Break, 14),
    (Section::Drop, 34),
    (Section::Outro, 12),
];

/// Lays out `bars` bars. Short pieces are one drop, since a form needs room.
pub(crate) fn arrange(bars: u32) -> Vec<Bar> {
    if bars < 12 {
        return section(Section::Drop, 0, bars);
    }
    let mut piece = Vec::new();
    let mut share = 0;
    for (kind, percent) in FORM {
        share += percent;
        let end = boundary(bars, share);
        let start = piece.len() as u32;
        piece.extend(section(kind, start, end.saturating_sub(start)));
    }
    piece
}

/// The bar at `percent` of the piece, moved to a multiple of four where there
/// is room for that, as phrases are.
fn boundary(bars: u32, percent: u32) -> u32 {
    let exact = bars * percent / 100;
    match (percent, bars) {
        (100, _) => bars,
        (_, 24..) => (exact + 2) / 4 * 4,
        _ => exact.div_ceil(2) * 2,
    }
}

fn section(section: Section, start: u32, bars: u32) -> Vec<Bar> {
    (0..bars)
        .map(|bar| Bar {
            index: start + bar,
            section,
            phrase: if section == Section::Intro { bar % bars.div_ceil(2) } else { bar },
            position: f64::from(bar) / f64::from(bars),
            closes: bar + 1 == bars,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_is_in_one_section() {
        for bars in 0..200 {
            let piece = arrange(bars);
            assert_eq!(piece.len() as u32, bars);
            assert!(piece.iter().enumerate().all(|(index, bar)| bar.index as usize == index));
        }
    }

    #[test]
    fn long_pieces_have_all_sections() {
        let piece = arrange(32);
        for (kind, _) in FORM {
            assert!(piece.iter().any(|bar| bar.section == kind), "{kind:?}");
        }
    }
}
