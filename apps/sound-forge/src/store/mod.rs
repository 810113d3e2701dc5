//! What the studio remembers, in SQLite.
//!
//! Reads go through a small pool, writes through one connection, so that writers in this process
//! queue up instead of meeting each other's locks. Another process (`sound-forge key`) may write
//! to the same file; SQLite's lock and the busy timeout keep the two apart.

mod accounts;
mod keys;
mod links;
mod outputs;
mod tracks;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};
use thiserror::Error;

pub use accounts::User;
pub use keys::{ApiKey, KeyListing, NewKey};
pub use links::LoginLink;
pub use outputs::{NewOutput, Output, OutputKind};
pub(crate) use outputs::{file_url, replace_output};
pub use tracks::{AudioFacts, NewStem, NewTrack, StemRow, Summary, TrackPage, TrackRow};
pub(crate) use tracks::{add_stems, ensure_track, has_output, set_audio, set_summary};

/// The connection that SQL of a transaction runs on.
pub type Connection = sqlx::SqliteConnection;

/// How long a write waits for another process to finish its own.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const READERS: u32 = 4;

/// The studio's database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    readers: SqlitePool,
    writer: SqlitePool,
}

/// Why the database did not do as asked.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum StoreError {
    /// The URL is not one of a database the studio can use.
    #[error("{url:?} is no database the studio can use: write sqlite:PATH")]
    Url {
        /// What was given.
        url: String,
    },
    /// A statement failed.
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
    /// The tables could not be brought up to date.
    #[error("the database could not be brought up to date")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A stored JSON text cannot be read.
    #[error("a stored {what} cannot be read")]
    Stored {
        /// What it holds.
        what: &'static str,
        /// Why it cannot.
        #[source]
        source: serde_json::Error,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
}

impl Store {
    /// Opens the database of a data folder, making it when there is none.
    pub async fn open_file(path: &Path) -> Result<Self, StoreError> {
        Self::open(SqliteConnectOptions::new().filename(path)).await
    }

    /// Opens the database that a URL such as `sqlite:/var/lib/studio.db` names.
    pub async fn open_url(url: &str) -> Result<Self, StoreError> {
        Self::open(options_of(url)?).await
    }

    async fn open(options: SqliteConnectOptions) -> Result<Self, StoreError> {
        // In WAL mode NORMAL loses nothing when the process dies; a power cut may take the last
        // moments, but never consistency.
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        sqlx::migrate!().run(&writer).await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_with(options).await?;
        Ok(Self { readers, writer })
    }

    /// Begins a transaction that holds the write lock from its first moment.
    pub async fn write(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// For statements that only read.
    pub fn read(&self) -> &SqlitePool {
        &self.readers
    }

    /// Waits for open statements and closes the files.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// The file behind a database URL.
pub fn file_of_url(url: &str) -> Result<PathBuf, StoreError> {
    Ok(options_of(url)?.get_filename().to_owned())
}

fn options_of(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    let unusable = || StoreError::Url { url: url.to_owned() };
    if !url.starts_with("sqlite:") {
        return Err(unusable());
    }
    SqliteConnectOptions::from_str(url).map_err(|_| unusable())
}
