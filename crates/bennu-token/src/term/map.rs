//! Maps.

use super::Term;

/// A map of terms, each key once.
///
/// One that was read keeps the order in which it was written; one that was made here has
/// its keys sorted, as Erlang writes maps of up to 32 keys.
#[derive(Debug, Clone, Default)]
pub struct Map(Vec<(Term, Term)>);

impl Map {
    /// Keeps the order; `None` when a key is there twice.
    pub(super) fn from_read(entries: Vec<(Term, Term)>) -> Option<Self> {
        let map = Map(entries);
        let sorted = map.sorted();
        let twice = sorted.windows(2).any(|pair| pair[0].0 == pair[1].0);
        if twice { None } else { Some(map) }
    }

    /// How many keys it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a key; looks through all of them.
    #[must_use]
    pub fn get(&self, key: &Term) -> Option<&Term> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The value of a key that is text, a binary or an atom.
    #[must_use]
    pub fn get_text(&self, key: &str) -> Option<&Term> {
        let names = |known: &Term| known.as_str() == Some(key) || known.as_atom() == Some(key);
        self.0.iter().find(|(known, _)| names(known)).map(|(_, value)| value)
    }

    /// Keys and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Term, &Term)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn sorted(&self) -> Vec<&(Term, Term)> {
        let mut entries: Vec<_> = self.0.iter().collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries
    }
}

impl<K: Into<Term>, V: Into<Term>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: Vec<(Term, Term)> =
            entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        // Of equal keys the last shall stay: the sort is stable and `dedup` keeps the first.
        entries.reverse();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.dedup_by(|later, first| later.0 == first.0);
        Map(entries)
    }
}

impl IntoIterator for Map {
    type Item = (Term, Term);
    type IntoIter = std::vec::IntoIter<(Term, Term)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
