//! What is known of what one replica did.

use super::message::{Basis, Presence, Resume, Section};
use super::sequence::Sequence;
use super::table::Table;
use super::{Ranges, ReplicaRef};

/// The clocks of one replica, and its presences among them.
///
/// A clock that is known and has no presence has left, or is the leave itself. So what has left needs no memory.
#[derive(Default)]
pub(super) struct Origin {
    /// All clocks up to here are known.
    pub(super) clock: u64,
    /// Clocks beyond that are known.
    cloud: Ranges,
    /// The slots of its presences in the table.
    presences: Sequence,
    pub(super) generations: Generations,
}

impl Origin {
    /// Counts one clock on; for the own replica alone.
    pub(super) fn bump(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    pub(super) fn insert(&mut self, clock: u64, entry: u32) {
        self.presences.insert(clock, entry);
    }

    pub(super) fn remove(&mut self, clock: u64) -> Option<u32> {
        self.presences.remove(clock)
    }

    /// Whether the clock is known, whatever became of it.
    #[doc(alias = "in?")]
    pub(super) fn knows(&self, clock: u64) -> bool {
        clock <= self.clock || self.cloud.contains(clock)
    }

    /// The slots of all presences, in the order of their clocks.
    pub(super) fn entries(&self) -> impl Iterator<Item = u32> + '_ {
        self.presences.slots()
    }

    /// The presences that the section says have left.
    pub(super) fn left(&self, section: &Section) -> Vec<u64> {
        let told = self.clocks(section.after, section.upto);
        let is_new =
            |clock: &u64| section.presences.binary_search_by_key(clock, |presence| presence.clock).is_ok();
        match &section.basis {
            Basis::Delta { gone } => {
                let gone = gone.runs().flat_map(|(first, last)| self.clocks(first.saturating_sub(1), last));
                let gone: Vec<u64> = gone.collect();
                gone.into_iter().chain(told.filter(|clock| !is_new(clock))).collect()
            }
            Basis::State { kept } => told.filter(|clock| !is_new(clock) && !kept.contains(*clock)).collect(),
        }
    }

    /// Notes what the section tells as known. Its presences must have been taken in.
    pub(super) fn note(&mut self, section: &Section, sizes: &[u64; 3]) {
        match &section.basis {
            Basis::Delta { gone } => {
                // Whoever left before it was heard of must not be taken in later.
                self.cloud.extend(gone);
                self.generations.push(Generation::of(section, gone), sizes);
            }
            // Who left in between is not told, so earlier deltas do not lead here.
            Basis::State { .. } => self.generations = Generations::default(),
        }
        self.cloud.insert(section.after.saturating_add(1), section.upto);
        self.clock = self.cloud.absorb(self.clock);
    }

    /// What is to be told, up to `end`, to one who knows all up to `known`, and where to go on if there was no room for all of it.
    pub(super) fn section(
        &self,
        replica: &ReplicaRef,
        (known, end): (u64, u64),
        within: Option<(u64, u64)>,
        packing: &mut Packing<'_>,
    ) -> Option<(Section, Option<Resume>)> {
        if let Some((after, upto)) = within {
            return self.state(replica, known, (after, upto.min(end)), packing);
        }
        if end <= known {
            return None;
        }
        // Who has left is told in one piece. A state comes in parts.
        let generation = self.generations.find(known).filter(|found| found.gone_bytes() <= packing.size / 2);
        let Some(generation) = generation else {
            return self.state(replica, known, (0, end), packing);
        };
        let section = self.delta(replica, known, generation, packing);
        let is_cut = section.upto < generation.upto;
        let resume = is_cut.then(|| Resume { replica: replica.clone(), within: None });
        Some((section, resume))
    }

    /// All presences of these clocks; of those that the other knows, the clock alone.
    fn state(
        &self,
        replica: &ReplicaRef,
        known: u64,
        (after, end): (u64, u64),
        packing: &mut Packing<'_>,
    ) -> Option<(Section, Option<Resume>)> {
        let (mut upto, mut kept, mut presences) = (end, Ranges::default(), Vec::new());
        for (clock, entry) in self.presences.range(after, end) {
            let is_room = if clock <= known {
                kept.insert(clock, clock);
                packing.take(4)
            } else {
                let presence = packing.presence(clock, entry);
                let size = presence.size();
                presences.push(presence);
                packing.take(size)
            };
            if !is_room {
                upto = clock;
                break;
            }
        }
        if upto <= after {
            return None;
        }
        let resume = (upto < end).then(|| Resume { replica: replica.clone(), within: Some((upto, end)) });
        let basis = Basis::State { kept };
        Some((Section { replica: replica.clone(), after, upto, basis, presences }, resume))
    }

    /// What happened after `known`, as this generation has it.
    pub(super) fn delta(
        &self,
        replica: &ReplicaRef,
        known: u64,
        generation: &Generation,
        packing: &mut Packing<'_>,
    ) -> Section {
        let mut gone = generation.gone.clone();
        let mut from = generation.after;
        for clock in self.clocks(generation.after, known) {
            gone.insert(from + 1, clock - 1);
            from = clock;
        }
        gone.insert(from + 1, known);
        packing.take(gone.runs().len().saturating_mul(4));
        let (mut upto, mut presences) = (generation.upto, Vec::new());
        for (clock, entry) in self.presences.range(known, generation.upto) {
            let presence = packing.presence(clock, entry);
            let size = presence.size();
            presences.push(presence);
            if !packing.take(size) {
                upto = clock;
                break;
            }
        }
        Section { replica: replica.clone(), after: known, upto, basis: Basis::Delta { gone }, presences }
    }

    /// The clocks of presences after the first, up to the second.
    fn clocks(&self, after: u64, upto: u64) -> impl Iterator<Item = u64> + '_ {
        self.presences.range(after, upto).map(|(clock, _)| clock)
    }
}

/// Presences on their way into a message, and how much room it has left.
pub(super) struct Packing<'a> {
    table: &'a Table,
    size: usize,
    room: usize,
}

impl<'a> Packing<'a> {
    pub(super) fn new(table: &'a Table, room: usize) -> Self {
        Packing { table, size: room, room }
    }

    fn presence(&self, clock: u64, entry: u32) -> Presence {
        let (topic, key, meta) = self.table.describe(entry);
        Presence { clock, topic: topic.clone(), key: key.clone(), meta: meta.clone() }
    }

    /// Whether there is room for more after these bytes.
    fn take(&mut self, bytes: usize) -> bool {
        self.room = self.room.saturating_sub(bytes);
        self.has_room()
    }

    pub(super) fn has_room(&self) -> bool {
        self.room > 0
    }
}

/// What happened from one clock to another, without the presences themselves: those that are still there are in the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[doc(alias = "delta range")]
pub(super) struct Generation {
    pub(super) after: u64,
    pub(super) upto: u64,
    /// Clocks up to `after` that left meanwhile.
    pub(super) gone: Ranges,
}

impl Generation {
    fn of(section: &Section, gone: &Ranges) -> Self {
        Generation { after: section.after, upto: section.upto, gone: gone.clone() }
    }

    /// About how many bytes those take who have left.
    pub(super) fn gone_bytes(&self) -> usize {
        self.gone.runs().len().saturating_mul(4)
    }

    fn size(&self) -> u64 {
        (self.upto - self.after).saturating_add(self.gone.len())
    }

    fn is_contiguous_with(&self, other: &Generation) -> bool {
        self.after <= other.upto && other.after <= self.upto
    }

    fn merged(&self, other: &Generation) -> Self {
        let mut gone = self.gone.clone();
        gone.extend(&other.gone);
        Generation { after: self.after.min(other.after), upto: self.upto.max(other.upto), gone }
    }
}

/// The last deltas of a replica, put together in three sizes, for those who missed some.
#[derive(Debug, Default)]
pub(super) struct Generations([Generation; 3]);

impl Generations {
    pub(super) fn push(&mut self, delta: Generation, sizes: &[u64; 3]) {
        let mut smaller = delta.clone();
        for (generation, size) in self.0.iter_mut().zip(sizes) {
            // One that does not lead up to the delta will never lead any further.
            let merged = match generation.is_contiguous_with(&delta) {
                true => generation.merged(&delta),
                false => delta.clone(),
            };
            *generation = if merged.size() <= *size { merged } else { smaller };
            smaller = generation.clone();
        }
    }

    /// The smallest that tells what follows on `known`.
    fn find(&self, known: u64) -> Option<&Generation> {
        self.0.iter().find(|generation| generation.after <= known && known < generation.upto)
    }
}
