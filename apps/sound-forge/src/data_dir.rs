//! The data folder: where everything lives, and how files get there whole or not at all.
//!
//! A try works in a folder of its own below `tmp/`, named by its lease. When it is done the files
//! are flushed and the folder is renamed to where it is served from, which is one step: nobody ever
//! sees half of it. Whatever the database does not know is removed at the next start, or, where
//! several nodes share the folder, an hour later.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use sha2::{Digest, Sha256};

use crate::ids::LeaseToken;
use crate::store::OutputKind;

/// The data folder of a studio. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DataDir {
    root: PathBuf,
}

/// Held while a server uses a data folder.
#[derive(Debug)]
pub struct Lock {
    /// None on a file system that knows no locks, for a server that needs none.
    _file: Option<File>,
}

/// Who may use a data folder at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// One server, whose database lies in it.
    Alone,
    /// All nodes of a studio, whose database is elsewhere.
    WithOthers,
}

/// A folder below `tmp/` that is gone when this is dropped, unless it was moved away.
#[derive(Debug)]
pub struct TempFolder {
    path: PathBuf,
}

/// A file below `tmp/` that is gone when this is dropped, unless it was moved away.
#[derive(Debug)]
pub struct TempFile {
    path: PathBuf,
}

/// Strays younger than this may belong to somebody who has not told the database yet.
const STRAY_AGE: Duration = Duration::from_secs(60 * 60);

impl DataDir {
    /// Opens a data folder, making it, readable by its owner alone, when there is none.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        create_private(root).with_context(|| format!("the data folder {} cannot be made", root.display()))?;
        let root = root
            .canonicalize()
            .with_context(|| format!("the data folder {} cannot be used", root.display()))?;
        let dir = Self { root };
        for folder in [dir.tmp(), dir.uploads()].into_iter().chain(OutputKind::ALL.map(|kind| dir.kind(kind)))
        {
            fs::create_dir_all(&folder)
                .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        }
        Ok(dir)
    }

    /// The database, unless another is configured.
    pub fn database(&self) -> PathBuf {
        self.root.join("studio.db")
    }

    /// Makes sure that no other server uses the folder that must not.
    pub fn lock(&self, share: Share) -> anyhow::Result<Lock> {
        let what = format!("the data folder {}", self.root.display());
        Lock::take(&self.root.join("serve.lock"), share, &what)
    }

    /// The secret that sessions are signed with; made once, whichever node comes first, readable by its owner alone.
    pub fn signing_secret(&self) -> anyhow::Result<Vec<u8>> {
        let path = self.root.join("secret");
        if !path.exists() {
            self.create_secret(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        }
        let secret = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        anyhow::ensure!(
            secret.len() >= 32,
            "{} is cut short; remove it and everybody signs in anew",
            path.display()
        );
        Ok(secret)
    }

    fn create_secret(&self, path: &Path) -> io::Result<()> {
        let mut secret = [0_u8; 64];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        let temp = self.temp_file();
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temp.path)?;
        file.write_all(&secret)?;
        file.sync_all()?;
        match fs::hard_link(&temp.path, path) {
            // Another node was faster: its secret is everybody's.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // A file system without links, which is none that nodes share.
            Err(_) => fs::rename(&temp.path, path),
            Ok(()) => Ok(()),
        }
    }

    /// A new folder for the files of a try.
    pub fn temp_folder(&self, token: LeaseToken) -> io::Result<TempFolder> {
        let path = self.tmp().join(token.to_string());
        fs::create_dir(&path)?;
        Ok(TempFolder { path })
    }

    /// A name for a new file below `tmp/`.
    pub fn temp_file(&self) -> TempFile {
        TempFile { path: self.tmp().join(format!("upload-{}", LeaseToken::random())) }
    }

    /// Where an output lives.
    pub fn output(&self, kind: OutputKind, id: LeaseToken) -> PathBuf {
        self.kind(kind).join(id.to_string())
    }

    /// Moves a finished folder to where it is served from. Every file is on the disk before.
    pub fn publish(&self, folder: &TempFolder, kind: OutputKind, id: LeaseToken) -> io::Result<()> {
        for entry in fs::read_dir(&folder.path)? {
            File::open(entry?.path())?.sync_all()?;
        }
        sync_folder(&folder.path)?;
        fs::rename(&folder.path, self.output(kind, id))?;
        sync_folder(&self.kind(kind))
    }

    /// Removes an output.
    pub fn remove(&self, kind: OutputKind, id: LeaseToken) {
        remove_folder(&self.output(kind, id));
    }

    /// Keeps an uploaded file until its job has taken it in.
    pub fn keep_upload(&self, file: &TempFile, name: &str) -> io::Result<()> {
        File::open(&file.path)?.sync_all()?;
        fs::rename(&file.path, self.upload(name))?;
        sync_folder(&self.uploads())
    }

    /// Where an uploaded file waits.
    pub fn upload(&self, name: &str) -> PathBuf {
        self.uploads().join(name)
    }

    /// Removes an uploaded file.
    pub fn remove_upload(&self, name: &str) {
        remove_file(&self.upload(name));
    }

    /// Removes what nobody refers to. `everything` says that no work goes on, so that even a
    /// young stray is one.
    pub fn sweep(&self, known: &Known, everything: bool) -> io::Result<()> {
        let young = if everything { None } else { Some(self.time_of_files()? - STRAY_AGE) };
        sweep_folder(&self.tmp(), &known.tries, young)?;
        sweep_folder(&self.uploads(), &known.uploads, young)?;
        for kind in OutputKind::ALL {
            let outputs = known.outputs.iter().filter(|(of, _)| *of == kind).map(|(_, name)| name);
            // A try moves its folder here before the database knows of it.
            let outputs = outputs.chain(&known.tries).cloned().collect();
            sweep_folder(&self.kind(kind), &outputs, young)?;
        }
        Ok(())
    }

    /// What time it is where the files are, which may be another machine.
    fn time_of_files(&self) -> io::Result<SystemTime> {
        let probe = self.temp_file();
        File::create(&probe.path)?.metadata()?.modified()
    }

    fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    fn kind(&self, kind: OutputKind) -> PathBuf {
        self.root.join(kind.folder())
    }
}

/// The names that the database knows.
#[derive(Debug, Default)]
pub struct Known {
    /// Folders below `tmp/`.
    pub tries: HashSet<String>,
    /// Files below `uploads/`.
    pub uploads: HashSet<String>,
    /// Folders of outputs.
    pub outputs: HashSet<(OutputKind, String)>,
}

impl Lock {
    /// Makes sure that no other server uses a database that lies outside its data folder.
    pub fn of_database(file: &Path) -> anyhow::Result<Self> {
        let mut name = file.as_os_str().to_owned();
        name.push(".serve.lock");
        Self::take(Path::new(&name), Share::Alone, &format!("the database {}", file.display()))
    }

    fn take(path: &Path, share: Share, what: &str) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        let file = file.with_context(|| format!("{} cannot be opened", path.display()))?;
        let locked = match share {
            Share::Alone => file.try_lock(),
            Share::WithOthers => file.try_lock_shared(),
        };
        match locked {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => {
                anyhow::bail!(
                    "another sound-forge serves {what}; stop it, or choose another with --data \
                     (several share a folder when all of them are given the same postgres:// database)"
                )
            }
            Err(TryLockError::Error(error)) if share == Share::WithOthers => {
                tracing::warn!(%error, "{what} cannot be locked: nothing keeps a server with a database of its own away");
                Ok(Self { _file: None })
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} cannot be locked", path.display()))
            }
        }
    }
}

impl TempFolder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        remove_folder(&self.path);
    }
}

impl TempFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        remove_file(&self.path);
    }
}

/// The SHA-256 of a file's content, as hexadecimal text.
pub fn content_hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(crate::secret::hex(&hash.finalize()));
        }
        hash.update(&buffer[..read]);
    }
}

fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes what is not known, but for what changed after `young`.
fn sweep_folder(folder: &Path, known: &HashSet<String>, young: Option<SystemTime>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_known = entry.file_name().to_str().is_some_and(|name| known.contains(name));
        if is_known || young.is_some_and(|young| is_younger(&entry, young)) {
            continue;
        }
        tracing::info!(path = %entry.path().display(), "removing a stray");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => remove_folder(&entry.path()),
            Ok(_) => remove_file(&entry.path()),
            // Another node has removed it just now.
            Err(_) => {}
        }
    }
    Ok(())
}

/// What tells no time is left alone.
fn is_younger(entry: &fs::DirEntry, young: SystemTime) -> bool {
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    modified.map_or(true, |time| time > young)
}

fn remove_folder(path: &Path) {
    note_failure(path, fs::remove_dir_all(path));
}

fn remove_file(path: &Path) {
    note_failure(path, fs::remove_file(path));
}

/// What could not be removed is found by the next sweep.
fn note_failure(path: &Path, result: io::Result<()>) {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "could not be removed");
        }
        Ok(()) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_dir() -> (tempfile::TempDir, DataDir) {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::open(root.path()).unwrap();
        (root, dir)
    }

    #[test]
    fn a_second_server_on_a_folder_is_refused_with_a_reason() {
        let (_root, dir) = data_dir();
        let lock = dir.lock(Share::Alone).unwrap();
        for share in [Share::Alone, Share::WithOthers] {
            let refusal = dir.lock(share).unwrap_err().to_string();
            assert!(refusal.contains("another sound-forge serves the data folder"), "{refusal}");
        }
        drop(lock);
        let _nodes = [dir.lock(Share::WithOthers).unwrap(), dir.lock(Share::WithOthers).unwrap()];
        assert!(dir.lock(Share::Alone).is_err());
    }

    #[test]
    fn nodes_that_start_at_once_agree_on_one_secret() {
        let (_root, dir) = data_dir();
        let secrets = std::thread::scope(|scope| {
            let nodes: Vec<_> = (0..8).map(|_| scope.spawn(|| dir.signing_secret().unwrap())).collect();
            nodes.into_iter().map(|node| node.join().unwrap()).collect::<HashSet<_>>()
        });
        assert_eq!(secrets.len(), 1);
        assert_eq!(fs::read_dir(dir.tmp()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn the_secret_is_made_once_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let (root, dir) = data_dir();
        let secret = dir.signing_secret().unwrap();
        assert_eq!(secret, dir.signing_secret().unwrap());
        let mode = fs::metadata(root.path().join("secret")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_unfinished_try_leaves_nothing_and_a_finished_one_everything() {
        let (_root, dir) = data_dir();
        let (lost, kept) = (LeaseToken::random(), LeaseToken::random());
        fs::write(dir.temp_folder(lost).unwrap().file("a"), "half").unwrap();
        assert!(!dir.tmp().join(lost.to_string()).exists());

        let folder = dir.temp_folder(kept).unwrap();
        fs::write(folder.file("a"), "whole").unwrap();
        dir.publish(&folder, OutputKind::Stems, kept).unwrap();
        drop(folder);
        assert_eq!(fs::read_to_string(dir.output(OutputKind::Stems, kept).join("a")).unwrap(), "whole");
    }

    #[test]
    fn a_sweep_removes_what_the_database_does_not_know() {
        let (_root, dir) = data_dir();
        let (known, stray) = (LeaseToken::random(), LeaseToken::random());
        for id in [known, stray] {
            fs::create_dir(dir.output(OutputKind::Analysis, id)).unwrap();
        }
        fs::write(dir.upload("stray"), "x").unwrap();
        let outputs = HashSet::from([(OutputKind::Analysis, known.to_string())]);
        let known_names = Known { outputs, ..Known::default() };
        dir.sweep(&known_names, false).unwrap();
        assert!(dir.output(OutputKind::Analysis, stray).exists(), "young strays stay while work goes on");
        let published = LeaseToken::random();
        fs::create_dir(dir.output(OutputKind::Stems, published)).unwrap();
        let known_names = Known { tries: HashSet::from([published.to_string()]), ..known_names };
        dir.sweep(&known_names, true).unwrap();
        assert!(dir.output(OutputKind::Analysis, known).exists());
        assert!(!dir.output(OutputKind::Analysis, stray).exists());
        assert!(!dir.upload("stray").exists());
        assert!(dir.output(OutputKind::Stems, published).exists(), "its try has not told the database yet");
    }
}
