//! Where the programs are.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;

/// Debian keeps servers where only root looks.
const FOLDERS: [&str; 3] = ["/usr/local/bin", "/usr/local/sbin", "/usr/sbin"];

/// Where Debian keeps PostgreSQL, a folder for each version.
const POSTGRESQL: &str = "/usr/lib/postgresql";

/// The path of `name`, which `package` of Debian has.
pub(crate) fn find(name: &str, package: &str) -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(FOLDERS.map(PathBuf::from)).chain(postgresql_folders());
    let mut candidates = folders.map(|folder| folder.join(name));
    match candidates.find(|candidate| candidate.is_file()) {
        Some(program) => Ok(program),
        None => {
            bail!("{name} is missing: install it (Debian's package {package}), or run ./test.sh, which does")
        }
    }
}

/// The newest version first.
fn postgresql_folders() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(POSTGRESQL) else { return Vec::new() };
    let mut versions: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    versions.sort_by_key(|path| {
        path.file_name().and_then(OsStr::to_str).and_then(|name| name.parse::<u32>().ok())
    });
    versions.iter().rev().map(|version: &PathBuf| Path::join(version, "bin")).collect()
}
