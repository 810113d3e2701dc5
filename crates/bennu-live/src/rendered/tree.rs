//! A view's rendered tree, as the client holds it.

use super::RenderError;
use super::diff::Diff;
use super::print::{NodePrint, Print};
use super::slot::{Slot, To};
use super::view::View;

/// What the client holds of a view.
#[derive(Debug, Default)]
pub struct Tree {
    print: Print,
    proves: bool,
    streams: usize,
}

impl Tree {
    /// A tree of which the client has nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Renders also what should not have changed, and panics when it did: for tests and development.
    #[must_use]
    pub fn proving(mut self) -> Self {
        self.proves = true;
        self
    }

    /// The page of a view.
    #[must_use]
    pub fn page(view: &impl View) -> String {
        let mut page = Vec::new();
        view.render(Slot(To::Page(&mut page)));
        // All that is written comes from strings, in whole characters.
        String::from_utf8(page).unwrap_or_default()
    }

    /// Writes what the client needs in order to have the view as it is now: an object of JSON, `{}` when it has all.
    ///
    /// # Errors
    ///
    /// When the view cannot be told to the client; then the tree is of no more use.
    pub fn diff(&mut self, view: &impl View) -> Result<Vec<u8>, RenderError> {
        let mut diff =
            Diff { table: Some(Vec::new()), proves: self.proves, streams: self.streams, ..Diff::default() };
        view.render(Slot(To::Diff { diff: &mut diff, print: &mut self.print }));
        self.streams = diff.streams;
        match diff.out.first() {
            None => diff.out.push(b'{'),
            Some(b'{') => drop(diff.out.pop()),
            Some(_) => return Err(RenderError::NoTemplate),
        }
        let table = diff.table.take().unwrap_or_default();
        diff.write_table(&table);
        diff.out.push(b'}');
        diff.error.map_or(Ok(diff.out), Err)
    }

    /// Bytes that are kept of it, with what the allocator was asked for.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>() + held(&self.print)
    }
}

/// Bytes that a print has allocated.
fn held(print: &Print) -> usize {
    match print {
        Print::Node(node) => size_of::<NodePrint>() + all(&node.holes),
        Print::List(list) => {
            size_of_val(&**list)
                + list.keys.capacity() * 8
                + all(&list.holes)
                + (list.holes.capacity() - list.holes.len()) * size_of::<Print>()
        }
        Print::Stream(stream) => size_of_val(&**stream),
        Print::Nothing | Print::Text(_) => 0,
    }
}

fn all(holes: &[Print]) -> usize {
    size_of_val(holes) + holes.iter().map(held).sum::<usize>()
}
