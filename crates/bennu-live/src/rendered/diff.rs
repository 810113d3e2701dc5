//! A message to the client while it is written.

use std::fmt::Write as _;

use super::escape::HtmlInJson;
use super::template::Template;

/// A message to the client while it is written: the bytes, and the templates that it mentions.
#[derive(Debug, Default)]
pub(super) struct Diff {
    pub(super) out: Vec<u8>,
    /// Where statics are written: in a table of the message, from which nodes take them by number, or at each node.
    pub(super) table: Option<Vec<&'static Template>>,
    /// Holes whose inputs did not change are rendered all the same, to prove that they are equal.
    pub(super) proves: bool,
    /// How many streams the view had so far.
    pub(super) streams: usize,
    pub(super) error: Option<super::RenderError>,
}

impl Diff {
    /// Begins the value of a key that is a number, and returns where, for the case that no value comes.
    pub(super) fn key(&mut self, key: usize) -> usize {
        let start = self.comma();
        self.out.push(b'"');
        self.number(key);
        self.out.extend_from_slice(b"\":");
        start
    }

    /// Begins the value of a key.
    pub(super) fn name(&mut self, name: &str) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Writes a string.
    pub(super) fn string(&mut self, text: &str) {
        self.out.push(b'"');
        let _ = HtmlInJson(&mut self.out).write_str(text);
        self.out.push(b'"');
    }

    pub(super) fn number(&mut self, number: usize) {
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Separates from what is before, and returns where that ended.
    pub(super) fn comma(&mut self) -> usize {
        let end = self.out.len();
        if !matches!(self.out.last(), Some(b'{' | b'[')) {
            self.out.push(b',');
        }
        end
    }

    /// Closes the object that was opened at `start`, or takes it back when nothing is in it.
    pub(super) fn close(&mut self, start: usize) {
        if self.out.len() == start + 1 {
            self.out.truncate(start);
        } else {
            self.out.push(b'}');
        }
    }

    /// Writes the literal strings of a template, or their number in the table.
    pub(super) fn statics(&mut self, template: &'static Template) {
        self.name("s");
        match &mut self.table {
            Some(table) => {
                let known = table.iter().position(|other| other.fingerprint == template.fingerprint);
                let number = known.unwrap_or(table.len());
                if known.is_none() {
                    table.push(template);
                }
                self.number(number);
            }
            None => self.out.extend_from_slice(template.json.as_bytes()),
        }
    }

    /// Writes the table, if anything is in it.
    pub(super) fn write_table(&mut self, table: &[&'static Template]) {
        if table.is_empty() {
            return;
        }
        self.name("p");
        self.out.push(b'{');
        for (number, template) in table.iter().enumerate() {
            self.key(number);
            self.out.extend_from_slice(template.json.as_bytes());
        }
        self.out.push(b'}');
    }
}
