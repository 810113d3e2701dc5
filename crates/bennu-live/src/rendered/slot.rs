//! A place to render into: a page of HTML, or what changed of it.

use std::fmt::{Display, Write as _};

use super::diff::Diff;
use super::escape::{HtmlInJson, Text, TextInJson};
use super::print::{Print, hash};
use super::template::Template;

/// A place for one thing: the hole of a template, or the whole of a view. Whoever is given it renders one thing into it.
#[derive(Debug)]
pub struct Slot<'a>(pub(super) To<'a>);

#[derive(Debug)]
pub(super) enum To<'a> {
    /// A page, which is written out from its start to its end.
    Page(&'a mut Vec<u8>),
    /// A message to the client, of which `print` is what it holds here. What is equal to that is not written.
    Diff { diff: &'a mut Diff, print: &'a mut Print },
}

/// The holes of one rendering of a template, to be filled in their order.
#[derive(Debug)]
pub struct Holes<'a> {
    template: &'static Template,
    next: usize,
    to: HolesTo<'a>,
}

#[derive(Debug)]
enum HolesTo<'a> {
    Page(&'a mut Vec<u8>),
    Diff {
        diff: &'a mut Diff,
        prints: &'a mut [Print],
        /// The client has none of them yet.
        fresh: bool,
    },
}

impl<'a> Slot<'a> {
    /// Renders text, of which every character stays one.
    pub fn text(self, text: impl Display) {
        self.write(|out, json| {
            // A `Display` may fail by itself; what it wrote until then is shown.
            let _ = if json { write!(TextInJson(out), "{text}") } else { write!(Text(out), "{text}") };
        });
    }

    /// Renders HTML as it is: whoever calls it answers for what it does in a page.
    pub fn raw(self, html: impl Display) {
        self.write(|out, json| {
            let _ = if json { write!(HtmlInJson(out), "{html}") } else { write!(out_str(out), "{html}") };
        });
    }

    /// Renders nothing.
    pub fn empty(self) {
        self.write(|_, _| {});
    }

    /// Renders an attribute with the space before it; without a value its name alone.
    pub fn attribute(self, name: &str, value: Option<impl Display>) {
        self.write(|out, json| {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            let Some(value) = value else { return };
            let quote: &[u8] = if json { b"\\\"" } else { b"\"" };
            out.push(b'=');
            out.extend_from_slice(quote);
            let _ = if json { write!(TextInJson(out), "{value}") } else { write!(Text(out), "{value}") };
            out.extend_from_slice(quote);
        });
    }

    /// Renders a template.
    pub fn node(self, template: &'static Template, fill: impl FnOnce(&mut Holes<'_>)) {
        match self.0 {
            To::Page(page) => page_node(page, template, fill),
            To::Diff { diff, print } => {
                let (prints, fresh) = print.node(template);
                let start = diff.out.len();
                diff.out.push(b'{');
                if fresh {
                    diff.statics(template);
                    // At the top of a message it would be a reply.
                    if template.is_element && start != 0 {
                        diff.out.extend_from_slice(b",\"r\":1");
                    }
                }
                diff.holes(template, prints, fresh, fill);
                diff.close(start);
            }
        }
    }

    /// Writes a string, unless the client has it.
    fn write(self, write: impl FnOnce(&mut Vec<u8>, bool)) {
        match self.0 {
            To::Page(page) => write(page, false),
            To::Diff { diff, print } => {
                let start = diff.out.len();
                diff.out.push(b'"');
                write(&mut diff.out, true);
                diff.out.push(b'"');
                let text = Print::Text(hash(&diff.out[start..]));
                if matches!((&*print, &text), (Print::Text(old), Print::Text(new)) if old == new) {
                    diff.out.truncate(start);
                } else {
                    *print = text;
                }
            }
        }
    }
}

pub(super) fn page_node(page: &mut Vec<u8>, template: &'static Template, fill: impl FnOnce(&mut Holes<'_>)) {
    let mut holes = Holes { template, next: 0, to: HolesTo::Page(page) };
    fill(&mut holes);
    holes.finish();
}

impl Diff {
    /// Fills the holes of a node whose object is open, and leaves it open.
    pub(super) fn holes(
        &mut self,
        template: &'static Template,
        prints: &mut [Print],
        fresh: bool,
        fill: impl FnOnce(&mut Holes<'_>),
    ) {
        let mut holes = Holes { template, next: 0, to: HolesTo::Diff { diff: self, prints, fresh } };
        fill(&mut holes);
        holes.finish();
    }
}

impl Holes<'_> {
    /// Fills the next hole. What is in it is rendered when `changed`, or when the client has nothing of it yet.
    pub fn hole(&mut self, changed: bool, fill: impl FnOnce(Slot<'_>)) {
        let index = self.next;
        self.next += 1;
        match &mut self.to {
            HolesTo::Page(page) => {
                page.extend_from_slice(self.template.statics[index].as_bytes());
                fill(Slot(To::Page(page)));
            }
            HolesTo::Diff { diff, prints, fresh } => {
                if changed || *fresh || diff.proves {
                    let unexpected = !changed && !*fresh;
                    let key = diff.key(index);
                    let start = diff.out.len();
                    fill(Slot(To::Diff { diff, print: &mut prints[index] }));
                    assert!(
                        !unexpected || diff.out.len() == start,
                        "hole {index} of {:?} changed, though nothing that it is made of did: {}",
                        self.template.statics,
                        String::from_utf8_lossy(&diff.out[start..])
                    );
                    if diff.out.len() == start {
                        diff.out.truncate(key);
                    }
                }
            }
        }
    }

    fn finish(self) {
        debug_assert_eq!(self.next, self.template.holes(), "a template's holes are filled each once");
        if let HolesTo::Page(page) = self.to {
            page.extend_from_slice(self.template.statics[self.next].as_bytes());
        }
    }
}

/// A page takes what is UTF-8 already.
fn out_str(out: &mut Vec<u8>) -> impl std::fmt::Write + '_ {
    struct Raw<'a>(&'a mut Vec<u8>);
    impl std::fmt::Write for Raw<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    Raw(out)
}
