//! The channels of a connection, each in the place that the session gave it.

use bennu_protocol::ChannelId;

use crate::joined::Joined;

/// The table of channels, and which of them a turn has to run. It has room for little more than there is,
/// since most connections join one topic or two.
#[derive(Default)]
pub(super) struct Channels {
    places: Vec<Option<Joined>>,
    /// Places of those that run or have something waiting.
    active: Vec<u32>,
}

impl Channels {
    pub(super) fn insert(&mut self, channel: ChannelId, joined: Joined) {
        let place = channel.index as usize;
        if self.places.len() <= place {
            let missing = place + 1 - self.places.len();
            if self.places.capacity() <= place {
                self.places.reserve_exact(missing + self.places.len() / 4);
            }
            self.places.resize_with(place + 1, || None);
        }
        self.places[place] = Some(joined);
        self.activate(place);
    }

    pub(super) fn get(&self, channel: ChannelId) -> Option<&Joined> {
        let joined = self.places.get(channel.index as usize)?.as_ref()?;
        (joined.generation == channel.generation).then_some(joined)
    }

    pub(super) fn get_mut(&mut self, channel: ChannelId) -> Option<&mut Joined> {
        self.at_mut(channel.index as usize).filter(|joined| joined.generation == channel.generation)
    }

    pub(super) fn at_mut(&mut self, place: usize) -> Option<&mut Joined> {
        self.places.get_mut(place)?.as_mut()
    }

    pub(super) fn remove(&mut self, channel: ChannelId) -> Option<Joined> {
        self.get_mut(channel)?;
        let mut removed = self.places[channel.index as usize].take();
        if removed.as_mut().is_some_and(|joined| joined.list(false)) {
            self.active.retain(|place| *place != channel.index);
        }
        while let Some(None) = self.places.last() {
            self.places.pop();
        }
        if self.places.is_empty() {
            self.places = Vec::new();
        }
        removed
    }

    /// The channels that there are.
    pub(super) fn ids(&self) -> impl Iterator<Item = ChannelId> {
        let joined =
            self.places.iter().enumerate().filter_map(|(place, joined)| Some((place, joined.as_ref()?)));
        joined.map(|(place, joined)| ChannelId { index: place as u32, generation: joined.generation })
    }

    /// Lets the next turn run the channel, if there is anything to run.
    pub(super) fn activate(&mut self, place: usize) {
        let Some(joined) = self.places.get_mut(place).and_then(Option::as_mut) else { return };
        if !joined.is_idle() && joined.list(true) {
            // The session's places are counted with 32 bits.
            self.active.push(place as u32);
        }
    }

    /// Takes the places of those that are to be run.
    pub(super) fn take_active(&mut self) -> Vec<u32> {
        let active = std::mem::take(&mut self.active);
        for place in &active {
            self.at_mut(*place as usize).map(|joined| joined.list(false));
        }
        active
    }

    /// Whether any may have something to do.
    pub(super) fn has_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// Those that may run or have something waiting.
    pub(super) fn active(&self) -> impl Iterator<Item = &Joined> {
        self.active.iter().filter_map(|place| self.places.get(*place as usize)?.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_gone_is_not_listed() {
        let mut channels = Channels::default();
        for generation in 0..1_000 {
            let channel = ChannelId { index: 0, generation };
            let join = Box::pin(std::future::pending());
            channels.insert(channel, Joined::new(generation, 0, join, None));
            assert!(channels.has_active());
            assert!(channels.remove(channel).is_some());
            assert!(!channels.has_active());
        }
        assert!(channels.active.capacity() < 10);
    }
}
