//! What source files look like.

use house_rules::{SourceFile, exists, files, read};

/// Lines that a file may have without its tests.
const CEILING: usize = 700;

/// File names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils.rs", "util.rs", "common.rs", "types.rs", "helpers.rs", "misc.rs"];

/// Endings of type names that say nothing about what the type is.
const EMPTY_SUFFIXES: &[&str] = &["Manager", "Helper", "Util", "Utils", "Wrapper", "Impl", "Data", "Info"];

fn sources() -> Vec<SourceFile> {
    files(&[".rs", ".js", ".mjs", ".css"])
}

/// The lines in front of the tests at the end of a file.
fn code_lines(file: &SourceFile) -> usize {
    file.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines().count()
}

#[test]
fn no_file_is_longer_than_the_ceiling() {
    for file in sources() {
        let lines = code_lines(&file);
        assert!(lines <= CEILING, "{} has {lines} lines without its tests: split it by concept", file.path);
    }
}

#[test]
fn files_are_named_after_a_concept() {
    for file in sources() {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        assert!(!EMPTY_NAMES.contains(&name), "{}", file.path);
    }
}

#[test]
fn types_are_named_after_what_they_are() {
    for file in files(&[".rs"]) {
        for line in file.text.lines() {
            let declared =
                ["struct ", "enum ", "trait "].iter().find_map(|keyword| line.split(keyword).nth(1));
            let Some(name) = declared.and_then(|rest| rest.split(|c: char| !c.is_alphanumeric()).next())
            else {
                continue;
            };
            let is_declaration = line.trim_start().starts_with(['s', 'e', 't', 'p']) && !line.contains("//");
            let empty =
                EMPTY_SUFFIXES.iter().any(|suffix| name.len() > suffix.len() && name.ends_with(suffix));
            assert!(!(is_declaration && empty), "{}: {name}", file.path);
        }
    }
}

#[test]
fn nothing_is_left_to_do_without_an_issue() {
    for file in sources().iter().filter(|file| !file.path.starts_with("tools/house-rules")) {
        for line in file.text.lines().filter(|line| line.contains("TODO") || line.contains("FIXME")) {
            assert!(line.contains('#'), "{}: {line}", file.path);
        }
        let unfinished = ["todo!(", "unimplemented!(", "#[ignore"];
        let found = unfinished.iter().find(|marker| file.text.contains(**marker));
        assert_eq!(found, None, "{}", file.path);
    }
}

#[test]
fn lock_files_of_npm_hold_no_download_addresses() {
    for file in files(&["package-lock.json"]) {
        assert!(!file.text.contains("\"resolved\""), "{}", file.path);
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for file in files(&[".md"]) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in file.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let path = if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") };
            assert!(exists(&path), "{} links to {path}", file.path);
        }
    }
}

#[test]
fn the_continuous_integration_runs_the_readmes_test_command() {
    assert!(read(".ci/run").contains("./test.sh"));
    assert!(read("README.md").contains("./test.sh"));
}
