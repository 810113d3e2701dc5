//! The two databases that the studio runs on, and what differs between them.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Connection as _};
use url::Url;

use super::StoreError;

/// Which database holds the studio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file of one server's own.
    Sqlite,
    /// A server that several nodes share.
    Postgres,
}

/// How long a write waits for another process to finish its own.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// What every connection to SQLite begins with. In WAL mode NORMAL loses nothing when the process
/// dies; a power cut may take the last moments, but never consistency.
const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON";
const SQLITE_READERS: u32 = 4;

/// Connections that a node has at most; PostgreSQL itself has 100 for all unless it is told otherwise.
const POSTGRES_CONNECTIONS: u32 = 10;
/// How long a request waits for a connection before it is told that the database is away.
const POSTGRES_PATIENCE: Duration = Duration::from_secs(3);
/// How long a start waits for the first connection.
const FIRST_CONNECTION: Duration = Duration::from_secs(10);

/// Every byte of a path that may mean something in a URL.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl Engine {
    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgresql",
        }
    }

    /// Whether other nodes may use the same database at the same time.
    pub fn is_shared(self) -> bool {
        self == Self::Postgres
    }

    /// The engine that a database URL asks for.
    ///
    /// # Errors
    ///
    /// When it is neither of the two.
    pub fn of_url(url: &str) -> Result<Self, StoreError> {
        match url.split_once(':') {
            // A database in memory would be another one for each connection.
            Some(("sqlite", rest)) if !rest.contains(":memory:") && !rest.contains("mode=memory") => {
                Ok(Self::Sqlite)
            }
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => Ok(Self::Postgres),
            _ => Err(StoreError::Url),
        }
    }

    /// Begins a transaction that writes. SQLite's holds the write lock from its first moment.
    pub(super) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// Keeps what a `SELECT` finds from others until the transaction ends. In SQLite, where the
    /// transaction has the whole file, there is nothing to add.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// The same, passing over what others keep already.
    pub(crate) fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// The pools for reading and for writing. SQLite's writers share one connection, so that they
    /// queue up instead of meeting each other's locks; PostgreSQL keeps writers apart by itself.
    pub(super) async fn pools(self, url: &str) -> Result<(AnyPool, AnyPool), StoreError> {
        sqlx::any::install_default_drivers();
        let options = AnyConnectOptions::from_str(url).map_err(|_| StoreError::Url)?;
        match self {
            Self::Sqlite => {
                let writer = sqlite_pool(1).connect_with(options.clone()).await?;
                super::migrate(&mut *writer.acquire().await?).await?;
                Ok((sqlite_pool(SQLITE_READERS).connect_with(options).await?, writer))
            }
            Self::Postgres => {
                // One connection by itself: of one that is refused, a pool tells no reason.
                let mut first = connect(&options).await?;
                // Nodes that start at the same moment take turns: the migrator holds a lock.
                super::migrate(&mut first).await?;
                first.close().await?;
                let pool = AnyPoolOptions::new()
                    .max_connections(POSTGRES_CONNECTIONS)
                    .acquire_timeout(POSTGRES_PATIENCE)
                    .connect_lazy_with(options);
                Ok((pool.clone(), pool))
            }
        }
    }
}

/// The file behind a URL of SQLite.
pub fn file_of_url(url: &str) -> Result<PathBuf, StoreError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|_| StoreError::Url)?;
    Ok(options.get_filename().to_owned())
}

/// The URL of a file for SQLite.
pub(super) fn url_of_file(file: &Path) -> String {
    format!("sqlite://{}", percent_encode(file.as_os_str().as_encoded_bytes(), PATH))
}

/// The same, and the file is made when there is none.
pub(super) fn creating(url: &str) -> Result<String, StoreError> {
    let mut url = Url::parse(url).map_err(|_| StoreError::Url)?;
    if url.query_pairs().all(|(name, _)| name != "mode") {
        url.query_pairs_mut().append_pair("mode", "rwc");
    }
    Ok(url.into())
}

async fn connect(options: &AnyConnectOptions) -> Result<AnyConnection, StoreError> {
    match tokio::time::timeout(FIRST_CONNECTION, options.connect()).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(sqlx::Error::PoolTimedOut.into()),
    }
}

fn sqlite_pool(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(connections).after_connect(|connection, _| {
        Box::pin(async move {
            use sqlx::Executor as _;

            let patience = format!("PRAGMA busy_timeout = {}", BUSY_TIMEOUT.as_millis());
            connection.execute(sqlx::AssertSqlSafe(patience)).await?;
            connection.execute(PRAGMAS).await?;
            Ok(())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_tells_its_engine_or_is_refused_without_being_shown() {
        for (url, engine) in [
            ("sqlite:/var/lib/studio.db", Some(Engine::Sqlite)),
            ("sqlite://studio.db", Some(Engine::Sqlite)),
            ("sqlite::memory:", None),
            ("sqlite:studio.db?mode=memory", None),
            ("postgres://me:secret@db/studio", Some(Engine::Postgres)),
            ("postgresql://db/studio?sslmode=require", Some(Engine::Postgres)),
            ("postgres", None),
            ("mysql://me:secret@db/studio", None),
            ("/var/lib/studio.db", None),
        ] {
            match Engine::of_url(url) {
                Ok(found) => assert_eq!(Some(found), engine, "{url}"),
                Err(error) => {
                    assert_eq!(engine, None, "{url}");
                    assert!(!error.to_string().contains("secret"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_files_name_survives_its_url() {
        for name in ["/data/studio.db", "/a b/50%25/ü?#.db", "/C:/x"] {
            let url = creating(&url_of_file(Path::new(name))).unwrap();
            assert_eq!(file_of_url(&url).unwrap(), Path::new(name), "{url}");
        }
        assert!(creating("sqlite:studio.db?mode=ro").unwrap().ends_with("mode=ro"));
    }
}
