//! Collections of which the client alone keeps the items.

use std::fmt;

use super::diff::Diff;
use super::list::{Entry, EntryTo, Items};
use super::print::{Print, nothing};
use super::slot::{Holes, Slot, To};
use super::template::Template;
use super::tracked::Input;

/// Items that are in the page, and not in the server's memory: what is inserted is rendered once and forgotten.
///
/// The loop over a stream is the only thing in an element with an id and `phx-update="stream"`; each round gives an item's id in the
/// page, which its element must have, and the item.
///
/// ```
/// use bennu_live::html;
/// use bennu_live::rendered::{Stream, Tree};
///
/// struct Message { id: u64, text: String }
///
/// let mut messages = Stream::new(|message: &Message| format!("message-{}", message.id));
/// messages.push(Message { id: 1, text: "hello".into() });
/// let view = html! {
///     <ul id="messages" phx-update="stream">
///         {for (id, message) in &messages { <li id={id}>{&message.text}</li> }}
///     </ul>
/// };
/// assert_eq!(Tree::page(&view), r#"<ul id="messages" phx-update="stream"><li id="message-1">hello</li></ul>"#);
/// ```
pub struct Stream<T> {
    id: Box<dyn Fn(&T) -> String + Send + Sync>,
    inserts: Vec<Inserted<T>>,
    deletes: Vec<String>,
    is_reset: bool,
}

struct Inserted<T> {
    id: String,
    item: T,
    how: Insert,
}

/// How an item goes into a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Insert {
    /// Where, among the items in the page: 0 is the first place, and -1 behind the last, which is the default. An item that is in the
    /// page already is changed where it is.
    pub at: i64,
    /// How many stay in the page: so many of the first, or, when negative, of the last. By default all.
    pub limit: Option<i64>,
    /// Only change it, and do nothing when it is not in the page.
    pub update_only: bool,
}

impl Default for Insert {
    fn default() -> Self {
        Self { at: -1, limit: None, update_only: false }
    }
}

impl Insert {
    /// See [`at`](Self#structfield.at).
    #[must_use]
    pub fn at(self, at: i64) -> Self {
        Self { at, ..self }
    }

    /// See [`limit`](Self#structfield.limit).
    #[must_use]
    pub fn limit(self, limit: i64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// See [`update_only`](Self#structfield.update_only).
    #[must_use]
    pub fn update_only(self) -> Self {
        Self { update_only: true, ..self }
    }
}

impl<T> Stream<T> {
    /// An empty stream. `id` gives an item's id in the page, where no other element may have it.
    pub fn new(id: impl Fn(&T) -> String + Send + Sync + 'static) -> Self {
        Self { id: Box::new(id), inserts: Vec::new(), deletes: Vec::new(), is_reset: false }
    }

    /// Puts an item behind the last, or changes the one that is in the page.
    #[doc(alias = "stream_insert")]
    pub fn push(&mut self, item: T) {
        self.insert(item, Insert::default());
    }

    /// Puts an item into the page, or changes the one that is there. Of two with the same id before the next render, the last counts.
    #[doc(alias = "stream_insert")]
    pub fn insert(&mut self, item: T, how: Insert) {
        let id = (self.id)(&item);
        self.inserts.retain(|other| other.id != id);
        self.inserts.push(Inserted { id, item, how });
    }

    /// Takes an item out of the page.
    #[doc(alias = "stream_delete")]
    pub fn delete(&mut self, item: &T) {
        self.delete_by_id((self.id)(item));
    }

    /// Takes the item with this id in the page out of it.
    #[doc(alias = "stream_delete_by_dom_id")]
    pub fn delete_by_id(&mut self, id: impl Into<String>) {
        let id = id.into();
        self.inserts.retain(|other| other.id != id);
        self.deletes.push(id);
    }

    /// Takes all items out of the page, and puts these into it.
    pub fn reset(&mut self, items: impl IntoIterator<Item = T>) {
        self.inserts.clear();
        self.deletes.clear();
        self.is_reset = true;
        self.extend(items);
    }

    /// The client has what was changed.
    pub fn rendered(&mut self) {
        self.inserts.clear();
        self.deletes.clear();
        self.is_reset = false;
    }

    fn is_changed(&self) -> bool {
        self.is_reset || !self.inserts.is_empty() || !self.deletes.is_empty()
    }
}

impl<T> Extend<T> for Stream<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

impl<T> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inserts, deletes, is_reset, .. } = self;
        let inserts: Vec<&str> = inserts.iter().map(|insert| insert.id.as_str()).collect();
        f.debug_struct("Stream")
            .field("inserts", &inserts)
            .field("deletes", deletes)
            .field("is_reset", is_reset)
            .finish_non_exhaustive()
    }
}

impl<T> Input<'_, Stream<T>> {
    /// Whether anything was inserted or deleted since it was rendered.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.0.is_changed()
    }
}

/// The entries of a stream while they are written.
#[derive(Debug)]
pub(super) struct StreamEntries<'a> {
    diff: &'a mut Diff,
    template: &'static Template,
}

impl StreamEntries<'_> {
    /// Writes an entry, which the client never has in a form that could be changed.
    pub(super) fn entry(&mut self, index: usize, fill: impl FnOnce(&mut Holes<'_>)) {
        let mut prints: Vec<Print> = nothing(self.template.holes()).collect();
        let template = self.template;
        self.diff.new_entry(index, |diff| diff.holes(template, &mut prints, true, fill));
    }
}

impl<'a, T> Items for &'a Stream<T> {
    type Item = (&'a str, &'a T);

    fn render(self, template: &'static Template, slot: Slot<'_>, each: impl Fn(Self::Item, Entry<'_, '_>)) {
        let items = self.inserts.iter().map(|insert| (insert.id.as_str(), &insert.item)).enumerate();
        match slot.0 {
            To::Page(page) => items.for_each(|(index, item)| {
                each(item, Entry { index, to: EntryTo::Page(page, template) });
            }),
            To::Diff { diff, print } => {
                let known = match print {
                    Print::Stream(known) if known.0 == template.fingerprint => Some(known.1),
                    _ => None,
                };
                if known.is_some() && !self.is_changed() {
                    return;
                }
                let number = known.unwrap_or_else(|| {
                    diff.streams += 1;
                    *print = Print::Stream(Box::new((template.fingerprint, diff.streams - 1)));
                    diff.streams - 1
                });
                diff.loop_of(template, known.is_none(), |diff| {
                    diff.name("k");
                    diff.out.push(b'{');
                    for (index, item) in items {
                        let mut entries = StreamEntries { diff, template };
                        each(item, Entry { index, to: EntryTo::Stream(&mut entries) });
                    }
                    diff.name("kc");
                    diff.number(self.inserts.len());
                    diff.out.push(b'}');
                    self.write_changes(number, diff);
                });
            }
        }
    }
}

impl<T> Stream<T> {
    /// Tells what becomes of the items in the page.
    fn write_changes(&self, number: usize, diff: &mut Diff) {
        let integer = |diff: &mut Diff, number: i64| {
            diff.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        };
        diff.name("stream");
        diff.out.push(b'[');
        diff.string(itoa::Buffer::new().format(number));
        diff.out.extend_from_slice(b",[");
        for Inserted { id, how, .. } in &self.inserts {
            diff.comma();
            diff.out.push(b'[');
            diff.string(id);
            diff.out.push(b',');
            integer(diff, how.at);
            diff.out.push(b',');
            match how.limit {
                Some(limit) => integer(diff, limit),
                None => diff.out.extend_from_slice(b"null"),
            }
            diff.out.extend_from_slice(if how.update_only { b",true]" } else { b",false]" });
        }
        diff.out.extend_from_slice(b"],[");
        for id in &self.deletes {
            diff.comma();
            diff.string(id);
        }
        diff.out.extend_from_slice(if self.is_reset { b"],true]" } else { b"]]" });
    }
}
