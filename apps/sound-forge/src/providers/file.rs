//! Files below the import folder.

use std::fs;
use std::path::Path;

use thiserror::Error;
use url::Url;

use super::{Source, Wanted, title_of};

/// Why a `file://` URL is refused.
///
/// A path outside the folder is refused with the same words whether there is a file or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is no import folder.
    #[error("is a file, and file imports are off: start the server with --import-dir")]
    Off,
    /// It names another machine, or no path of this system.
    #[error("is no file of this machine")]
    NotLocal,
    /// It leads out of the import folder.
    #[error("is outside the import folder")]
    Outside,
    /// There is no such file.
    #[error("names no file in the import folder")]
    Missing,
}

/// Understands a `file://` URL.
pub(super) fn understand(url: &Url, import_dir: Option<&Path>) -> Result<Wanted, FileError> {
    let folder = import_dir.ok_or(FileError::Off)?;
    let path = url.to_file_path().map_err(|()| FileError::NotLocal)?;
    // The real path decides, so neither dots nor symbolic links lead out.
    let real = path.canonicalize().map_err(|_| missing_or_outside(&path, folder))?;
    if !real.starts_with(folder) {
        return Err(FileError::Outside);
    }
    if !fs::metadata(&real).is_ok_and(|metadata| metadata.is_file()) {
        return Err(FileError::Missing);
    }
    let canonical_url = Url::from_file_path(&real).map_err(|()| FileError::NotLocal)?.to_string();
    let title = title_of(&real.file_name().unwrap_or_default().to_string_lossy());
    Ok(Wanted { source: Source::File { path: real }, canonical_url, title })
}

fn missing_or_outside(path: &Path, folder: &Path) -> FileError {
    let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
    if parent.is_some_and(|parent| parent.starts_with(folder)) {
        FileError::Missing
    } else {
        FileError::Outside
    }
}

/// Opens the file of a source, as it lies there now: it may have been swapped since.
pub fn open(path: &Path, import_dir: Option<&Path>) -> Result<fs::File, FileError> {
    let folder = import_dir.ok_or(FileError::Off)?;
    let real = path.canonicalize().map_err(|_| FileError::Missing)?;
    if !real.starts_with(folder) {
        return Err(FileError::Outside);
    }
    // A pipe would block the opening, so what it is comes first.
    if !fs::metadata(&real).is_ok_and(|metadata| metadata.is_file()) {
        return Err(FileError::Missing);
    }
    fs::File::open(&real).map_err(|_| FileError::Missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, folder: Option<&Path>) -> Result<Wanted, FileError> {
        understand(&Url::parse(url).unwrap(), folder)
    }

    #[test]
    fn only_files_below_the_folder_are_imported() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let folder = root.join("music");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("song.wav"), "x").unwrap();
        fs::write(root.join("secret"), "x").unwrap();
        fs::create_dir(root.join("music-of-others")).unwrap();
        fs::write(root.join("music-of-others/b.wav"), "x").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.join("secret"), folder.join("link")).unwrap();

        let url = |path: &str| format!("file://{}/{path}", root.display());
        let wanted = check(&url("music/song.wav"), Some(&folder)).unwrap();
        assert_eq!((wanted.title.as_str(), &wanted.canonical_url), ("song", &url("music/song.wav")));
        assert_eq!(check(&url("music/./../music/song.wav"), Some(&folder)).unwrap(), wanted);

        for (path, refusal) in [
            ("secret", FileError::Outside),
            ("music/../secret", FileError::Outside),
            ("music/%2e%2e/secret", FileError::Outside),
            ("music/link", FileError::Outside),
            ("music-of-others/b.wav", FileError::Outside),
            ("music/none.wav", FileError::Missing),
            ("nowhere/none.wav", FileError::Outside),
            ("music", FileError::Missing),
        ] {
            assert_eq!(check(&url(path), Some(&folder)), Err(refusal), "{path}");
        }
        assert_eq!(check(&url("music/song.wav"), None), Err(FileError::Off));
        assert_eq!(check("file://elsewhere/song.wav", Some(&folder)), Err(FileError::NotLocal));
    }
}
