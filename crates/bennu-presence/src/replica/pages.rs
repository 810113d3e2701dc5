//! Numbered places for values that come and go.

/// Places of a page. The first page grows up to it, so that what holds little stays small.
const PAGE: usize = 256;

/// Values under small numbers, which are used again when they are free.
///
/// They lie in pages: growing neither copies what is there nor takes more than one page in advance, and a page in which nothing is left
/// gives its memory back.
pub(super) struct Pages<T> {
    pages: Vec<Page<T>>,
    /// The pages that are not full, in the order in which they are to be used: the last one first.
    open: Vec<u32>,
    len: usize,
}

struct Page<T> {
    places: Vec<Place<T>>,
    /// The first place of the list of those that are free.
    free: Option<u8>,
    taken: u16,
}

enum Place<T> {
    Taken(T),
    /// The next one that is free.
    Free(Option<u8>),
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Pages { pages: Vec::new(), open: Vec::new(), len: 0 }
    }
}

impl<T> Pages<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts a value in, and returns its number.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        let number = self.open.last().copied().unwrap_or_else(|| self.add_page());
        let page = &mut self.pages[number as usize];
        let place = page.insert(value);
        if usize::from(page.taken) == PAGE {
            self.open.pop();
        }
        self.len += 1;
        number * PAGE as u32 + u32::from(place)
    }

    /// The value of this number, if there is one.
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let (page, place) = split(number);
        match self.pages.get(page)?.places.get(place)? {
            Place::Taken(value) => Some(value),
            Place::Free(_) => None,
        }
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (page, place) = split(number);
        match self.pages.get_mut(page)?.places.get_mut(place)? {
            Place::Taken(value) => Some(value),
            Place::Free(_) => None,
        }
    }

    /// Takes a value out, if there is one.
    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let (index, place) = split(number);
        let page = self.pages.get_mut(index)?;
        let was_full = usize::from(page.taken) == PAGE;
        let value = page.remove(place)?;
        if was_full {
            self.open.push(number / PAGE as u32);
        }
        self.len -= 1;
        Some(value)
    }

    fn add_page(&mut self) -> u32 {
        let number = u32::try_from(self.pages.len()).ok().filter(|number| *number < u32::MAX / PAGE as u32);
        let number = number.expect("fewer than 2^32 presences fit into memory");
        let room = if self.pages.is_empty() { 0 } else { PAGE };
        self.pages.push(Page { places: Vec::with_capacity(room), free: None, taken: 0 });
        self.open.push(number);
        number
    }
}

/// Numbers that are known to be in use.
impl<T> std::ops::Index<u32> for Pages<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        self.get(number).expect("what is linked is there")
    }
}

impl<T> std::ops::IndexMut<u32> for Pages<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        self.get_mut(number).expect("what is linked is there")
    }
}

impl<T> Page<T> {
    fn insert(&mut self, value: T) -> u8 {
        self.taken += 1;
        let Some(free) = self.free else {
            self.places.push(Place::Taken(value));
            return last_place(&self.places);
        };
        let place = std::mem::replace(&mut self.places[usize::from(free)], Place::Taken(value));
        if let Place::Free(next) = place {
            self.free = next;
        }
        free
    }

    fn remove(&mut self, place: usize) -> Option<T> {
        let number = u8::try_from(place).ok()?;
        let slot = self.places.get_mut(place).filter(|slot| matches!(slot, Place::Taken(_)))?;
        let Place::Taken(value) = std::mem::replace(slot, Place::Free(self.free)) else { return None };
        self.taken -= 1;
        self.free = Some(number);
        if self.taken == 0 {
            (self.places, self.free) = (Vec::new(), None);
        }
        Some(value)
    }
}

fn split(number: u32) -> (usize, usize) {
    (number as usize / PAGE, number as usize % PAGE)
}

/// A page has no more places than this counts.
fn last_place<T>(places: &[Place<T>]) -> u8 {
    (places.len() - 1) as u8
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_was_put_in_and_not_taken_out(steps in prop::collection::vec((0..3u8, any::<prop::sample::Index>()), 0..2_000)) {
            let (mut pages, mut model, mut next) = (Pages::default(), HashMap::new(), 0);
            for (step, at) in steps {
                if step > 0 {
                    let number = pages.insert(next);
                    prop_assert_eq!(model.insert(number, next), None, "a number in use is not given again");
                    next += 1;
                } else if !model.is_empty() {
                    let mut numbers: Vec<u32> = model.keys().copied().collect();
                    numbers.sort_unstable();
                    let number = numbers[at.index(numbers.len())];
                    prop_assert_eq!(pages.remove(number), model.remove(&number));
                    prop_assert_eq!(pages.get(number), None);
                    prop_assert_eq!(pages.remove(number), None);
                }
            }
            prop_assert_eq!(pages.len(), model.len());
            for (number, value) in model {
                prop_assert_eq!(pages[number], value);
            }
            let highest = pages.pages.len() * PAGE;
            prop_assert!(highest <= next + PAGE, "{} places for {}", highest, next);
        }
    }

    #[test]
    fn a_page_in_which_nothing_is_left_has_no_memory() {
        let mut pages = Pages::default();
        let numbers: Vec<u32> = (0..3 * PAGE as u32).map(|value| pages.insert(value)).collect();
        for number in &numbers[PAGE..2 * PAGE] {
            pages.remove(*number);
        }
        let capacities: Vec<usize> = pages.pages.iter().map(|page| page.places.capacity()).collect();
        assert_eq!(capacities, [PAGE, 0, PAGE]);
        assert_eq!(pages.insert(7) as usize / PAGE, 1);
    }

    #[test]
    fn a_free_place_is_no_larger_than_what_it_may_hold() {
        assert_eq!(size_of::<Place<(Arc<str>, u64)>>(), size_of::<(Arc<str>, u64)>());
    }
}
