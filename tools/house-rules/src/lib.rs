//! Reads the repository's own files, for the tests that hold its rules.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the repository.
#[derive(Debug)]
pub struct SourceFile {
    /// Its path from the root, with `/` between the parts.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// All text files whose name ends so, in the order of their paths.
///
/// # Panics
///
/// If the repository cannot be read; these are tests.
#[must_use]
pub fn files(endings: &[&str]) -> Vec<SourceFile> {
    let root = root();
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let wanted =
        paths.into_iter().filter(|path| endings.iter().any(|end| path.to_string_lossy().ends_with(end)));
    wanted
        .filter_map(|path| {
            let text = fs::read_to_string(&path).ok()?;
            let path = path.strip_prefix(&root).expect("below the root").to_string_lossy().replace('\\', "/");
            Some(SourceFile { path, text })
        })
        .collect()
}

/// The text of one file of the repository.
///
/// # Panics
///
/// If there is no such file.
#[must_use]
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether the repository has this file or folder.
#[must_use]
pub fn exists(path: &str) -> bool {
    root().join(path).exists()
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate is two folders below the root").to_owned()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let entry = entry.expect("an entry of the repository");
        let name = entry.file_name().to_string_lossy().into_owned();
        let skipped = name.starts_with(".git") || matches!(&*name, "target" | "node_modules");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !skipped => collect(&entry.path(), paths),
            Ok(kind) if kind.is_file() => paths.push(entry.path()),
            Ok(_) | Err(_) => {}
        }
    }
}
