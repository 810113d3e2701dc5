//! A queue that mostly holds nothing or one thing, which it keeps without an allocation.

use std::collections::VecDeque;

/// First in, first out. Memory is freed when it is empty, and until there are two it is as large as one.
pub(crate) enum Few<T> {
    One(T),
    /// None of them, or as many as there are.
    #[expect(
        clippy::box_collection,
        reason = "the deque's own four words are what an empty one need not have"
    )]
    Many(Option<Box<VecDeque<T>>>),
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Few::Many(None)
    }
}

impl<T> Few<T> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Few::One(_) => 1,
            Few::Many(all) => all.as_ref().map_or(0, |all| all.len()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn front(&self) -> Option<&T> {
        match self {
            Few::One(one) => Some(one),
            Few::Many(all) => all.as_ref()?.front(),
        }
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        match self {
            Few::One(one) => Some(one),
            Few::Many(all) => all.as_mut()?.front_mut(),
        }
    }

    pub(crate) fn push_back(&mut self, item: T) {
        self.insert(usize::MAX, item);
    }

    /// Puts an item before the one at `index`, or behind all.
    pub(crate) fn insert(&mut self, index: usize, item: T) {
        match std::mem::take(self) {
            Few::Many(None) => *self = Few::One(item),
            Few::Many(Some(mut all)) => {
                all.insert(index.min(all.len()), item);
                *self = Few::Many(Some(all));
            }
            Few::One(one) => {
                let both = if index == 0 { [item, one] } else { [one, item] };
                *self = Few::Many(Some(Box::new(VecDeque::from(both))));
            }
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        match self {
            Few::Many(None) => None,
            Few::Many(Some(all)) if all.len() > 1 => all.pop_front(),
            Few::One(_) | Few::Many(Some(_)) => match std::mem::take(self) {
                Few::One(one) => Some(one),
                Few::Many(all) => all?.pop_front(),
            },
        }
    }

    /// Drops all but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        match self {
            Few::Many(Some(all)) if len > 0 => all.truncate(len),
            Few::One(_) if len > 0 => {}
            Few::One(_) | Few::Many(_) => *self = Few::default(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Few::One(one) => (Some(one), None),
            Few::Many(all) => (None, all.as_deref()),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Act {
        Push,
        Pop,
        Insert(usize),
        Truncate(usize),
    }

    #[test]
    fn an_empty_one_takes_no_more_room_than_an_item() {
        assert_eq!(size_of::<Few<bytes::Bytes>>(), size_of::<bytes::Bytes>());
    }

    proptest! {
        #[test]
        fn it_is_a_queue_that_frees_its_memory(acts in proptest::collection::vec(prop_oneof![
            Just(Act::Push),
            Just(Act::Pop),
            (0usize..5).prop_map(Act::Insert),
            (0usize..5).prop_map(Act::Truncate),
        ], 0..40)) {
            let (mut few, mut model) = (Few::default(), VecDeque::new());
            for (number, act) in acts.into_iter().enumerate() {
                match act {
                    Act::Push => {
                        few.push_back(number);
                        model.push_back(number);
                    }
                    Act::Pop => prop_assert_eq!(few.pop_front(), model.pop_front()),
                    Act::Insert(index) => {
                        few.insert(index, number);
                        model.insert(index.min(model.len()), number);
                    }
                    Act::Truncate(len) => {
                        few.truncate(len);
                        model.truncate(len);
                    }
                }
                prop_assert_eq!((few.len(), few.front()), (model.len(), model.front()));
                prop_assert_eq!(few.front_mut(), model.front_mut());
                prop_assert!(few.iter().eq(&model));
                prop_assert_eq!(matches!(few, Few::Many(None)), model.is_empty());
            }
        }
    }
}
