//! The presences of one replica in the order of their clocks.

use std::collections::BTreeMap;

/// Presences of a page. A page that is full is cut into two.
const PAGE: usize = 128;

/// The half of a clock by which those of one page differ.
const LOW: u64 = u32::MAX as u64;

/// Slots by their clocks.
///
/// Pages hold the lower halves of clocks that have the upper half in common, so that one costs eight bytes. The key of a page is not above
/// its first clock and above the last one of the page before it.
#[derive(Default)]
pub(super) struct Sequence(BTreeMap<u64, Vec<(u32, u32)>>);

impl Sequence {
    pub(super) fn insert(&mut self, clock: u64, slot: u32) {
        if let Some(mut last) = self.0.last_entry()
            && last.get().last().is_some_and(|(low, _)| high(*last.key()) | u64::from(*low) < clock)
            && high(*last.key()) == high(clock)
        {
            // Nearly all are newer than all before them. These leave full pages behind.
            match last.get().len() < PAGE {
                true => last.get_mut().push((low(clock), slot)),
                false => drop(self.0.insert(clock, vec![(low(clock), slot)])),
            }
            return;
        }
        let Some((start, page)) = self.page_of(clock) else {
            return self.insert_before_all(clock, slot);
        };
        let at = page.partition_point(|(other, _)| *other < low(clock));
        if page.get(at).is_some_and(|(other, _)| *other == low(clock)) {
            page[at].1 = slot;
        } else if page.len() < PAGE {
            page.insert(at, (low(clock), slot));
        } else {
            let mut upper = page.split_off(PAGE / 2);
            let (half, at) = if at > PAGE / 2 { (&mut upper, at - PAGE / 2) } else { (page, at) };
            half.insert(at, (low(clock), slot));
            self.0.insert(high(start) | u64::from(upper[0].0), upper);
        }
    }

    pub(super) fn remove(&mut self, clock: u64) -> Option<u32> {
        let (start, page) = self.page_of(clock)?;
        let at = page.binary_search_by_key(&low(clock), |(other, _)| *other).ok()?;
        let (_, slot) = page.remove(at);
        if page.is_empty() {
            self.0.remove(&start);
        } else if page.len() * 4 <= page.capacity() {
            self.tighten(start);
        }
        Some(slot)
    }

    /// The slots of all, in the order of their clocks.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.values().flatten().map(|(_, slot)| *slot)
    }

    /// The clocks after the first, up to the second, with their slots.
    pub(super) fn range(&self, after: u64, upto: u64) -> impl Iterator<Item = (u64, u32)> + '_ {
        let pages = (after < upto).then(|| {
            let start = self.0.range(..=after).next_back().map_or(after, |(start, _)| *start);
            self.0.range(start..=upto)
        });
        pages.into_iter().flatten().flat_map(move |(start, page)| {
            let clock = move |(low, _): &(u32, u32)| high(*start) | u64::from(*low);
            let from = page.partition_point(|item| clock(item) <= after);
            let to = page.partition_point(|item| clock(item) <= upto);
            page[from..to].iter().map(move |item| (clock(item), item.1))
        })
    }

    /// The page in which a clock is, or has its place.
    fn page_of(&mut self, clock: u64) -> Option<(u64, &mut Vec<(u32, u32)>)> {
        let (start, page) = self.0.range_mut(high(clock)..=clock).next_back()?;
        Some((*start, page))
    }

    fn insert_before_all(&mut self, clock: u64, slot: u32) {
        let next = self.0.range(clock..=high(clock) | LOW).next().map(|(start, _)| *start);
        // The first page of the same upper half begins earlier from now on.
        let mut page = next.and_then(|next| self.0.remove(&next)).unwrap_or_default();
        if page.len() == PAGE {
            let upper = page.split_off(PAGE / 2);
            self.0.insert(high(clock) | u64::from(upper[0].0), upper);
        }
        page.insert(0, (low(clock), slot));
        self.0.insert(clock, page);
    }

    /// Puts a page in which little is left together with the next, or has it take less memory.
    fn tighten(&mut self, start: u64) {
        let len = |page: Option<&Vec<(u32, u32)>>| page.map_or(PAGE, Vec::len);
        let before = self.0.range(high(start)..start).next_back().map(|(start, _)| *start);
        let after = self.0.range(start + 1..=high(start) | LOW).next().map(|(start, _)| *start);
        let own = len(self.0.get(&start));
        let fits = |other: &u64| own + len(self.0.get(other)) <= PAGE / 2;
        let pair = match (before.filter(fits), after.filter(fits)) {
            (Some(before), _) => Some((before, start)),
            (None, Some(after)) => Some((start, after)),
            (None, None) => None,
        };
        let first = pair.map_or(start, |(first, _)| first);
        let second = pair.and_then(|(_, second)| self.0.remove(&second));
        if let Some(page) = self.0.get_mut(&first) {
            page.extend(second.into_iter().flatten());
            page.shrink_to(page.len() * 2);
        }
    }
}

fn low(clock: u64) -> u32 {
    (clock & LOW) as u32
}

fn high(clock: u64) -> u64 {
    clock & !LOW
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDARY: u64 = 1 << 32;

    fn clock() -> impl Strategy<Value = u64> {
        prop_oneof![0..2_000u64, BOUNDARY - 300..BOUNDARY + 300, Just(u64::MAX)]
    }

    /// In runs, as clocks come: from the first, up or down, so many.
    fn steps() -> impl Strategy<Value = Vec<(u8, u64, u64)>> {
        prop::collection::vec((0..4u8, clock(), 1..400u64), 0..12)
    }

    proptest! {
        #[test]
        fn it_is_a_map_in_the_order_of_the_clocks(steps in steps(), ranges in prop::collection::vec((clock(), clock()), 4)) {
            let (mut sequence, mut model) = (Sequence::default(), BTreeMap::new());
            for (number, (kind, first, count)) in (0u32..).zip(steps) {
                for step in 0..count {
                    let clock = if kind % 2 == 0 { first.saturating_add(step) } else { first.saturating_sub(step) };
                    if kind < 2 {
                        sequence.insert(clock, number);
                        model.insert(clock, number);
                    } else {
                        prop_assert_eq!(sequence.remove(clock), model.remove(&clock));
                    }
                }
            }
            prop_assert!(sequence.slots().eq(model.values().copied()));
            for (after, upto) in ranges {
                let expected = model.iter().filter(|(clock, _)| after < **clock && **clock <= upto);
                prop_assert!(sequence.range(after, upto).eq(expected.map(|(clock, slot)| (*clock, *slot))));
            }
            prop_assert!(sequence.0.values().all(|page| !page.is_empty() && page.len() <= PAGE));
        }
    }

    #[test]
    fn a_presence_costs_few_bytes_however_they_came_and_left() {
        let up = || (0..10_000u64).collect::<Vec<_>>();
        let down = || (0..10_000u64).rev().collect::<Vec<_>>();
        // Each is in it once, and neighbours come far from each other.
        let mixed = || (0..10_000u64).map(|step| step * 3_701 % 10_000).collect::<Vec<_>>();
        for (name, clocks, left, most) in [
            ("in order", up(), 1, 9),
            ("backwards", down(), 1, 24),
            ("mixed", mixed(), 1, 24),
            ("of a hundred one is left", up(), 100, 40),
        ] {
            let mut sequence = Sequence::default();
            clocks.iter().for_each(|clock| sequence.insert(*clock, 0));
            for clock in clocks.iter().filter(|clock| *clock % left != 0) {
                assert_eq!(sequence.remove(*clock), Some(0));
            }
            let page = |page: &Vec<(u32, u32)>| page.capacity() * 8 + 32;
            let bytes: usize = sequence.0.values().map(page).sum();
            let each = bytes / sequence.slots().count();
            assert!(each <= most, "{name}: {each} bytes");
        }
    }
}
