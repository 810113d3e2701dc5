//! Who of a shard's connections joined one topic.

use std::num::NonZero;
use std::ops::{Deref, DerefMut};

use super::topics::Key;

/// One subscription: 16 bytes for each channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sub {
    pub(super) token: u64,
    /// The connection's key and one, so that [`Subs`] takes no byte to tell what it is.
    key: NonZero<u32>,
    /// The count of the topic's next broadcast for it; wraps around.
    pub(super) next: u32,
}

/// All subscriptions to a topic. Very many topics have one alone, which takes no memory beside this.
pub(super) enum Subs {
    One(Sub),
    Many(Box<List>),
}

pub(super) struct List(Vec<Sub>);

impl Sub {
    pub(super) fn new(token: u64, key: Key) -> Self {
        Sub { token, key: NonZero::<u32>::MIN.saturating_add(key), next: 0 }
    }

    #[inline]
    pub(super) fn key(&self) -> Key {
        self.key.get() - 1
    }
}

impl Subs {
    pub(super) fn push(&mut self, sub: Sub) {
        match self {
            Subs::One(first) => *self = Subs::Many(Box::new(List(vec![*first, sub]))),
            Subs::Many(list) => list.0.push(sub),
        }
    }

    /// Takes one out of several, and puts the last into its place. The last of all goes with its topic.
    pub(super) fn swap_remove(&mut self, place: usize) {
        let Subs::Many(list) = self else { return };
        list.0.swap_remove(place);
        let (len, capacity) = (list.0.len(), list.0.capacity());
        match list.0[..] {
            [one] => *self = Subs::One(one),
            _ if capacity > 64 && len < capacity / 4 => list.0.shrink_to(len * 2),
            _ => {}
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        match self {
            Subs::One(_) => 1,
            Subs::Many(list) => list.0.capacity(),
        }
    }
}

impl Deref for Subs {
    type Target = [Sub];

    fn deref(&self) -> &[Sub] {
        match self {
            Subs::One(sub) => std::slice::from_ref(sub),
            Subs::Many(list) => &list.0,
        }
    }
}

impl DerefMut for Subs {
    fn deref_mut(&mut self) -> &mut [Sub] {
        match self {
            Subs::One(sub) => std::slice::from_mut(sub),
            Subs::Many(list) => &mut list.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subscription_takes_16_bytes() {
        assert_eq!((size_of::<Sub>(), size_of::<Subs>()), (16, 16));
    }

    #[test]
    fn keys_are_kept() {
        for key in [0, 1, u32::MAX - 1] {
            assert_eq!(Sub::new(7, key).key(), key);
        }
    }
}
