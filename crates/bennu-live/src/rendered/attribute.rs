//! Values of attributes.

use std::borrow::Cow;
use std::fmt::{Arguments, Display};

use super::slot::Slot;

/// A value that an attribute can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of an attribute",
    note = "an attribute is text, a number, a `bool` (there or not), or an `Option` of these"
)]
pub trait AttributeValue {
    /// Renders the attribute with the space before it, or nothing when it is not there.
    fn render(&self, name: &str, slot: Slot<'_>);

    /// The same for an attribute that a browser follows or runs as an address: one that would run a script is not rendered.
    fn render_address(&self, name: &str, slot: Slot<'_>) {
        self.render(name, slot);
    }
}

impl AttributeValue for bool {
    fn render(&self, name: &str, slot: Slot<'_>) {
        match self {
            true => slot.attribute(name, None::<&str>),
            false => slot.empty(),
        }
    }
}

impl<V: AttributeValue> AttributeValue for Option<V> {
    fn render(&self, name: &str, slot: Slot<'_>) {
        match self {
            Some(value) => value.render(name, slot),
            None => slot.empty(),
        }
    }

    fn render_address(&self, name: &str, slot: Slot<'_>) {
        match self {
            Some(value) => value.render_address(name, slot),
            None => slot.empty(),
        }
    }
}

macro_rules! values {
    ($($value:ty),* $(,)?) => {$(
        impl AttributeValue for $value {
            fn render(&self, name: &str, slot: Slot<'_>) {
                slot.attribute(name, Some(self));
            }

            fn render_address(&self, name: &str, slot: Slot<'_>) {
                render_address(self, name, slot);
            }
        }
    )*};
}

values!(
    str,
    String,
    char,
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
    Arguments<'_>,
);

impl<V: AttributeValue + ?Sized> AttributeValue for &V {
    fn render(&self, name: &str, slot: Slot<'_>) {
        (**self).render(name, slot);
    }

    fn render_address(&self, name: &str, slot: Slot<'_>) {
        (**self).render_address(name, slot);
    }
}

/// Nowhere: what an address that would run a script is replaced by.
const NOWHERE: &str = "#blocked";

fn render_address(value: impl Display, name: &str, slot: Slot<'_>) {
    let text = value.to_string();
    slot.attribute(name, Some(if runs_a_script(&text) { NOWHERE } else { &text }));
}

/// Whether a browser takes an address for a program. It passes over white space and control characters before the scheme, and over
/// tabs and line breaks within it.
fn runs_a_script(address: &str) -> bool {
    let scheme: String = address
        .trim_start_matches(|c: char| c <= ' ')
        .chars()
        .filter(|c| !matches!(c, '\t' | '\n' | '\r'))
        .take_while(|c| *c != ':')
        .take(16)
        .collect();
    let is_scheme = address.contains(':');
    is_scheme && ["javascript", "vbscript", "data"].iter().any(|script| scheme.eq_ignore_ascii_case(script))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_a_program_is_found_however_it_is_written() {
        for address in [
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            " \u{1}javascript:x",
            "java\nscript:x",
            "j\tavascript:x",
            "javascript\t:x",
            "vbscript:x",
            "data:text/html,<script>",
        ] {
            assert!(runs_a_script(address), "{address:?}");
        }
        for address in [
            "/javascript:x",
            "#javascript",
            "https://example.com/?a=javascript:x",
            "mailto:a@example.com",
            "",
            "javascript",
            "database:x",
            "./data:x",
        ] {
            assert!(!runs_a_script(address), "{address:?}");
        }
    }
}
