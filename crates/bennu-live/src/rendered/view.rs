//! What can be rendered.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::slot::{Holes, Slot};
use super::template::Template;

/// Something that can be in the hole of a template: text, a number, what `html!` makes, or nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be rendered",
    note = "render text, a number, `html! {{ .. }}`, an `Option` of these, or `value.to_string()`"
)]
pub trait View {
    /// Renders it.
    fn render(&self, slot: Slot<'_>);
}

/// A template with what fills its holes; made by `html!`.
pub struct Rendered<F> {
    template: &'static Template,
    fill: F,
}

/// A template with what fills its holes. Called by what `html!` expands to.
pub fn rendered<F: Fn(&mut Holes<'_>)>(template: &'static Template, fill: F) -> Rendered<F> {
    Rendered { template, fill }
}

impl<F> fmt::Debug for Rendered<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rendered").field(&self.template.statics).finish()
    }
}

impl<F: Fn(&mut Holes<'_>)> View for Rendered<F> {
    fn render(&self, slot: Slot<'_>) {
        slot.node(self.template, &self.fill);
    }
}

/// HTML that is rendered as it is. Whoever makes one answers for what it does in a page.
#[derive(Debug, Clone, Copy)]
pub struct Raw<T>(pub T);

impl<T: fmt::Display> View for Raw<T> {
    fn render(&self, slot: Slot<'_>) {
        slot.raw(&self.0);
    }
}

impl<V: View> View for Option<V> {
    fn render(&self, slot: Slot<'_>) {
        match self {
            Some(view) => view.render(slot),
            None => slot.empty(),
        }
    }
}

macro_rules! texts {
    ($($text:ty),* $(,)?) => {$(
        impl View for $text {
            fn render(&self, slot: Slot<'_>) {
                slot.text(self);
            }
        }
    )*};
}

texts!(
    str,
    String,
    char,
    bool,
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
    i8,
    i16,
    i32,
    i64,
    i128,
    isize,
    f32,
    f64,
    Cow<'_, str>,
    fmt::Arguments<'_>,
);

macro_rules! pointers {
    ($($pointer:ty),* $(,)?) => {$(
        impl<V: View + ?Sized> View for $pointer {
            fn render(&self, slot: Slot<'_>) {
                (**self).render(slot);
            }
        }
    )*};
}

pointers!(&V, &mut V, Box<V>, Rc<V>, Arc<V>);
