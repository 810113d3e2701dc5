//! Loops, whose entries have keys: what the client has of an entry stays with it when it moves.

use std::collections::HashMap;
use std::hash::Hash;

use super::RenderError;
use super::diff::Diff;
use super::print::{ListPrint, Print, hash, nothing};
use super::slot::{Holes, Slot, To, page_node};
use super::stream::StreamEntries;
use super::template::Template;

/// Where the entry of a key was.
#[derive(Debug)]
enum Place {
    /// At this index before this message.
    Before(usize),
    /// An entry of this message has the key.
    Taken,
}

/// What the client had from the first entry on that is not where it was.
#[derive(Debug)]
struct Rest {
    first: usize,
    holes: Vec<Print>,
    places: HashMap<u64, Place, foldhash::quality::RandomState>,
}

/// One item of a loop, to be filled under its key.
#[derive(Debug)]
pub struct Entry<'a, 'b> {
    pub(super) index: usize,
    pub(super) to: EntryTo<'a, 'b>,
}

#[derive(Debug)]
pub(super) enum EntryTo<'a, 'b> {
    Page(&'a mut Vec<u8>, &'static Template),
    Diff(&'a mut Entries<'b>),
    Stream(&'a mut StreamEntries<'b>),
}

/// The entries of a loop while they are written.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    diff: &'a mut Diff,
    template: &'static Template,
    list: &'a mut ListPrint,
    rest: Option<Rest>,
    /// How many there are so far, and whether one of them was elsewhere before.
    count: usize,
    moved: bool,
}

/// What a loop can go over: whatever can be iterated over, and a [`Stream`](super::Stream).
pub trait Items {
    /// What each round is given.
    type Item;

    /// Renders a template for each item; `each` fills the entry that it is given.
    fn render(self, template: &'static Template, slot: Slot<'_>, each: impl Fn(Self::Item, Entry<'_, '_>));
}

impl<I: IntoIterator> Items for I {
    type Item = I::Item;

    fn render(self, template: &'static Template, slot: Slot<'_>, each: impl Fn(I::Item, Entry<'_, '_>)) {
        match slot.0 {
            To::Page(page) => {
                for (index, item) in self.into_iter().enumerate() {
                    each(item, Entry { index, to: EntryTo::Page(page, template) });
                }
            }
            To::Diff { diff, print } => {
                let mut items = self.into_iter().peekable();
                let known = matches!(print, Print::List(list) if list.fingerprint == template.fingerprint);
                if !known {
                    if items.peek().is_none() {
                        return Slot(To::Diff { diff, print }).empty();
                    }
                    *print = Print::List(Box::new(ListPrint::new(template)));
                }
                if let Print::List(list) = print {
                    diff.loop_of(template, !known, |diff| {
                        let mut entries =
                            Entries { diff, template, list, rest: None, count: 0, moved: false };
                        entries.write(items, each);
                    });
                }
            }
        }
    }
}

impl Slot<'_> {
    /// Renders a template for each item; `each` fills the entry that it is given.
    pub fn list<I: Items>(
        self,
        template: &'static Template,
        items: I,
        each: impl Fn(I::Item, Entry<'_, '_>),
    ) {
        items.render(template, self, each);
    }
}

impl Entry<'_, '_> {
    /// The item's number: its key when it has no other.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Fills the holes of the item. Its `key` tells it from the others, in this render and in the next.
    pub fn fill(self, key: impl Hash, fill: impl FnOnce(&mut Holes<'_>)) {
        match self.to {
            EntryTo::Page(page, template) => page_node(page, template, fill),
            EntryTo::Diff(entries) => entries.entry(hash(key), fill),
            // Its id in the page tells it from the others.
            EntryTo::Stream(entries) => entries.entry(self.index, fill),
        }
    }
}

impl ListPrint {
    fn new(template: &Template) -> Self {
        Self { fingerprint: template.fingerprint, keys: Vec::new(), holes: Vec::new() }
    }
}

impl Diff {
    /// Writes a loop with its statics and with a table for them, unless it is within one that has a table.
    pub(super) fn loop_of(
        &mut self,
        template: &'static Template,
        with_statics: bool,
        entries: impl FnOnce(&mut Self),
    ) {
        let is_outermost = self.table.is_none();
        let start = self.out.len();
        self.out.push(b'{');
        self.table.get_or_insert_default();
        if with_statics {
            self.statics(template);
        }
        entries(self);
        if is_outermost && let Some(table) = self.table.take() {
            self.write_table(&table);
        }
        self.close(start);
    }

    fn same_place(&mut self, index: usize, fill: impl FnOnce(&mut Self)) {
        let key = self.key(index);
        let start = self.out.len();
        self.out.push(b'{');
        fill(self);
        self.close(start);
        if self.out.len() == start {
            self.out.truncate(key);
        }
    }

    pub(super) fn new_entry(&mut self, index: usize, fill: impl FnOnce(&mut Self)) {
        self.key(index);
        self.out.push(b'{');
        fill(self);
        self.out.push(b'}');
    }

    fn moved(&mut self, index: usize, old: usize, fill: impl FnOnce(&mut Self)) {
        self.key(index);
        let value = self.out.len();
        self.out.push(b'[');
        self.number(old);
        self.out.push(b',');
        let start = self.out.len();
        self.out.push(b'{');
        fill(self);
        self.close(start);
        if self.out.len() == start {
            self.out.truncate(value);
            self.number(old);
        } else {
            self.out.push(b']');
        }
    }
}

impl Entries<'_> {
    /// Writes the entries that are new, changed or elsewhere, and how many there are; nothing when nothing is different.
    fn write<I>(&mut self, items: impl Iterator<Item = I>, each: impl Fn(I, Entry<'_, '_>)) {
        let before = self.list.keys.len();
        let start = self.diff.out.len();
        self.diff.name("k");
        let open = self.diff.out.len();
        self.diff.out.push(b'{');
        for (index, item) in items.enumerate() {
            each(item, Entry { index, to: EntryTo::Diff(self) });
        }
        let count = self.count;
        if self.rest.is_none() {
            self.list.keys.truncate(count);
            self.list.holes.truncate(count * self.template.holes());
        }
        let out = &mut self.diff.out;
        if out.len() == open + 1 && count == before {
            out.truncate(start);
            return;
        }
        if self.moved {
            self.diff.name("km");
            self.diff.out.extend_from_slice(b"true");
        }
        self.diff.name("kc");
        self.diff.number(count);
        self.diff.out.push(b'}');
    }

    fn entry(&mut self, key: u64, fill: impl FnOnce(&mut Holes<'_>)) {
        let Self { diff, template, list, rest, count, moved } = self;
        let (index, width) = (*count, template.holes());
        *count += 1;
        if rest.is_none() && list.keys.get(index) == Some(&key) {
            let holes = &mut list.holes[index * width..][..width];
            diff.same_place(index, |diff| diff.holes(template, holes, false, fill));
            return;
        }
        let rest = rest.get_or_insert_with(|| Rest::take(list, index, width));
        let old = rest.place(key).unwrap_or_else(|| {
            diff.error.get_or_insert(RenderError::DuplicateKey { statics: template.statics, index });
            None
        });
        list.keys.push(key);
        let start = list.holes.len();
        match old {
            Some(old) => list.holes.extend(rest.holes(old, width)),
            None => list.holes.extend(nothing(width)),
        }
        let holes = &mut list.holes[start..];
        let fill = |diff: &mut Diff| diff.holes(template, holes, old.is_none(), fill);
        match old {
            None => diff.new_entry(index, fill),
            Some(old) if old == index => diff.same_place(index, fill),
            Some(old) => {
                *moved = true;
                diff.moved(index, old, fill);
            }
        }
    }
}

impl Rest {
    /// Takes all from the entry at `first` on out of the list.
    fn take(list: &mut ListPrint, first: usize, width: usize) -> Self {
        let mut places = HashMap::with_capacity_and_hasher(list.keys.len(), Default::default());
        for (index, key) in list.keys.iter().enumerate() {
            places.insert(*key, if index < first { Place::Taken } else { Place::Before(index) });
        }
        list.keys.truncate(first);
        Self { first, holes: list.holes.split_off(first * width), places }
    }

    /// Where the entry of this key was, if it was; nothing when an entry before has the same key.
    fn place(&mut self, key: u64) -> Option<Option<usize>> {
        match self.places.insert(key, Place::Taken) {
            Some(Place::Before(index)) => Some(Some(index)),
            Some(Place::Taken) => None,
            None => Some(None),
        }
    }

    /// What the client has of the entry that was there.
    fn holes(&mut self, index: usize, width: usize) -> impl Iterator<Item = Print> {
        let start = (index - self.first) * width;
        self.holes[start..start + width].iter_mut().map(std::mem::take)
    }
}
