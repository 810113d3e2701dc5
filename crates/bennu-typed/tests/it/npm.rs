//! The npm packages of `tests/typescript`, pinned by its lock file.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The sources beside the lock file.
pub(crate) const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/typescript");

/// The folder in which they are installed, once for each lock file.
pub(crate) fn packages() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let lock = fs::read(Path::new(SOURCES).join("package-lock.json")).expect("the lock file is readable");
        let mut hasher = DefaultHasher::new();
        lock.hash(&mut hasher);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("npm-{:016x}", hasher.finish()));
        if !folder.exists() {
            install(&folder);
        }
        folder
    })
}

/// A new folder within, so that programs find the packages, with these of the sources.
pub(crate) fn workplace(sources: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(packages()).expect("the build's own folder is writable");
    for source in sources {
        fs::copy(Path::new(SOURCES).join(source), folder.path().join(source)).expect("sources are readable");
    }
    folder
}

/// Runs a program to its end.
pub(crate) fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{:?} is needed: {error}", command.get_program()))
}

/// Installs beside `folder` and renames at the end, so that `folder` is whole or absent.
fn install(folder: &Path) {
    let unfinished = folder.with_extension(std::process::id().to_string());
    fs::create_dir_all(&unfinished).expect("the build's own folder is writable");
    for file in ["package.json", "package-lock.json", ".npmrc"] {
        fs::copy(Path::new(SOURCES).join(file), unfinished.join(file)).expect("npm's files are readable");
    }
    let output = output(Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(&unfinished));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "npm ci failed: {text}");
    if let Err(error) = fs::rename(&unfinished, folder) {
        // Another test process was faster.
        assert!(folder.exists(), "{}: {error}", folder.display());
        fs::remove_dir_all(&unfinished).expect("the folder is ours");
    }
}
