//! Blocks of a page that are written by the program, between markers that people keep.

use anyhow::{Context as _, ensure};

const BEGIN: &str = "<!-- figures: ";
const CLOSE: &str = " -->";
const END: &str = "<!-- end -->";

/// The page with each of its blocks replaced by what `block` makes of its name.
///
/// # Errors
///
/// When a marker has no end, or a name that `block` does not know.
pub(crate) fn fill(page: &str, block: impl Fn(&str) -> Option<String>) -> anyhow::Result<String> {
    let mut filled = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once(CLOSE).context("a marker has no end")?;
        let (old, after) = after.split_once(END).with_context(|| format!("the block {name} has no end"))?;
        ensure!(!old.contains(BEGIN), "the block {name} has no end");
        let text = block(name).with_context(|| format!("there is no block {name}"))?;
        filled.push_str(&format!("{before}{BEGIN}{name}{CLOSE}\n\n{}\n\n{END}", text.trim_end()));
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "a\n<!-- figures: x -->\nold\n<!-- end -->\nb\n<!-- figures: y --><!-- end -->\n";

    fn upper(name: &str) -> Option<String> {
        ["x", "y"].contains(&name).then(|| name.to_uppercase())
    }

    #[test]
    fn blocks_are_replaced_and_all_else_stays() {
        let filled = fill(PAGE, upper).unwrap();
        let expected =
            "a\n<!-- figures: x -->\n\nX\n\n<!-- end -->\nb\n<!-- figures: y -->\n\nY\n\n<!-- end -->\n";
        assert_eq!(filled, expected);
        assert_eq!(fill(&filled, upper).unwrap(), filled, "the second time changes nothing");
    }

    #[test]
    fn a_page_with_a_mistake_is_left_alone() {
        for (name, page) in [
            ("no end", "<!-- figures: x -->\n"),
            ("the end of another", "<!-- figures: x -->\n<!-- figures: y --><!-- end -->"),
            ("half a marker", "<!-- figures: x\n"),
            ("unknown", "<!-- figures: z --><!-- end -->"),
        ] {
            assert!(fill(page, upper).is_err(), "{name}");
        }
    }
}
