//! Which fields of a view have changed since it was rendered.

use std::ops::{Deref, DerefMut};

use super::attribute::AttributeValue;
use super::slot::Slot;
use super::view::View;

/// A field of a view that knows whether it may have changed, so that what is made of it alone need not be rendered again.
///
/// It is read as what is in it, and changes when it is borrowed mutably. A field that is not in an `Assign` is rendered each time;
/// what comes out equal is not sent in either case.
///
/// ```
/// use bennu_live::rendered::Assign;
///
/// let mut name = Assign::new(String::from("ada"));
/// name.push_str(" lovelace");
/// assert_eq!(name.len(), 12);
/// *name = String::from("grace");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Assign<T> {
    value: T,
    changed: bool,
}

impl<T> Assign<T> {
    /// A field with this value, which no client has yet.
    pub fn new(value: T) -> Self {
        Self { value, changed: true }
    }

    /// Takes a value, and has changed if it is another.
    #[doc(alias = "assign")]
    pub fn set(&mut self, value: T)
    where
        T: PartialEq,
    {
        if self.value != value {
            *self = Self::new(value);
        }
    }

    /// Whether it may have changed since it was rendered.
    #[must_use]
    pub fn is_changed(this: &Self) -> bool {
        this.changed
    }

    /// The client has what it is now.
    pub fn rendered(this: &mut Self) {
        this.changed = false;
    }
}

impl<T> From<T> for Assign<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> Deref for Assign<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Assign<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}

impl<T: View> View for Assign<T> {
    fn render(&self, slot: Slot<'_>) {
        self.value.render(slot);
    }
}

impl<T: AttributeValue> AttributeValue for Assign<T> {
    fn render(&self, name: &str, slot: Slot<'_>) {
        self.value.render(name, slot);
    }

    fn render_address(&self, name: &str, slot: Slot<'_>) {
        self.value.render_address(name, slot);
    }
}

/// A field that something is made of. What `html!` expands to asks it: an [`Assign`] answers by itself, and any other field has
/// always changed.
#[derive(Debug)]
pub struct Input<'a, T: ?Sized>(pub &'a T);

impl<T> Input<'_, Assign<T>> {
    /// Whether it may have changed since it was rendered.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.0.changed
    }
}

/// The answer of fields that do not know.
pub trait Untracked {
    /// It may have changed.
    fn is_changed(&self) -> bool {
        true
    }
}

impl<T: ?Sized> Untracked for Input<'_, T> {}
