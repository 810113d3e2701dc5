//! The guide, `docs/from-phoenix.md`: its code is that of the examples.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// The guide's code blocks of a language.
pub(crate) fn code(language: &str) -> Vec<String> {
    let guide = fs::read_to_string(root().join("docs/from-phoenix.md")).unwrap();
    let opening = format!("\n```{language}\n");
    guide.split(&*opening).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// All lines of the examples' files, one space where they are indented or broken.
fn sources(folder: &Path, sources: &mut String) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if path.is_dir() {
            self::sources(&path, sources);
        } else if ["rs", "js", "mjs"].contains(&ending) {
            sources.push_str(&in_one_line(&fs::read_to_string(path).unwrap()));
        }
    }
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().flat_map(|word| [word, " "]).collect()
}

#[test]
fn the_guides_code_is_the_examples_own() {
    let mut written = String::new();
    for folder in ["rooms/src", "rooms/tests", "rooms/assets", "migration/src", "migration/tests"] {
        sources(&root().join("examples").join(folder), &mut written);
    }
    let blocks: Vec<String> = ["rust", "js"].iter().flat_map(|language| code(language)).collect();
    assert!(blocks.len() >= 10, "the guide shows {} blocks of code", blocks.len());
    for part in blocks.iter().flat_map(|block| block.split("\n\n")) {
        assert!(written.contains(&in_one_line(part)), "no example says so any more:\n{part}");
    }
}
