//! What the studio remembers: in a file of SQLite, or on PostgreSQL, which several nodes share.
//!
//! Both take the same statements, through sqlx's `Any`: ids and JSON are text, times are numbers.
//! What differs is in [`Engine`]: how a transaction begins and how it locks. Transactions take
//! their locks in one order, the track before its jobs, so that no two wait for each other.

mod accounts;
mod engine;
mod keys;
mod links;
mod outputs;
#[cfg(test)]
pub(crate) mod scratch;
mod tracks;

use std::path::Path;
use std::time::Duration;

use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Transaction};

use thiserror::Error;

use crate::clock::Moment;

pub use accounts::User;
pub use engine::{Engine, file_of_url};
pub use keys::{ApiKey, KeyListing, NewKey};
pub use links::LoginLink;
pub use outputs::{NewOutput, Output, OutputKind};
pub(crate) use outputs::{file_url, replace_output};
pub use tracks::{AudioFacts, NewStem, NewTrack, StemRow, Summary, TrackPage, TrackRow};
pub(crate) use tracks::{add_stems, ensure_track, has_output, hold_track, set_audio, set_summary};

/// The connection that SQL of a transaction runs on.
pub type Connection = AnyConnection;

/// The studio's database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    engine: Engine,
    readers: AnyPool,
    writer: AnyPool,
}

/// Why the database did not do as asked.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum StoreError {
    /// The URL is not one of a database the studio can use.
    // The URL itself is not shown: it may hold a password.
    #[error(
        "the URL is of no database the studio can use: write sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME"
    )]
    Url,
    /// A statement failed.
    #[error("the database failed: {0}")]
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
    ///
    /// # Errors
    ///
    /// When it cannot be opened or brought up to date.
    pub async fn open_file(path: &Path) -> Result<Self, StoreError> {
        Self::open_url(&engine::url_of_file(path)).await
    }

    /// Opens the database that a URL such as `sqlite:/var/lib/studio.db` or `postgres://db/studio`
    /// names. A file is made when there is none; of PostgreSQL, only the tables.
    ///
    /// # Errors
    ///
    /// When the URL is of no database that can be used, or that cannot be opened or brought up to date.
    pub async fn open_url(url: &str) -> Result<Self, StoreError> {
        let engine = Engine::of_url(url)?;
        let (readers, writer) = match engine {
            Engine::Sqlite => engine.pools(&engine::creating(url)?).await?,
            Engine::Postgres => engine.pools(url).await?,
        };
        Ok(Self { engine, readers, writer })
    }

    /// Which database it is.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Begins a transaction that writes.
    pub async fn write(&self) -> Result<Transaction<'static, Any>, StoreError> {
        Ok(self.writer.begin_with(self.engine.begin()).await?)
    }

    /// What the database's own clock tells.
    pub async fn time(&self) -> Result<Moment, StoreError> {
        let time = match self.engine {
            Engine::Sqlite => "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Engine::Postgres => "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        };
        let (now,): (Moment,) = sqlx::query_as(time).fetch_one(self.read()).await?;
        Ok(now)
    }

    /// For statements that only read.
    pub fn read(&self) -> &AnyPool {
        &self.readers
    }

    /// Waits for open statements and closes the files.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// What the database answers, or an outage when it takes longer than `limit`: the connection may be of a
/// machine that is gone, which the kernel notices after many minutes.
///
/// What was asked may be done all the same.
pub(crate) async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, asked).await.unwrap_or(Err(sqlx::Error::PoolTimedOut.into()))
}

impl StoreError {
    /// Whether the database is away, and the same may well succeed when it is back.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Database(error) => is_outage(error),
            Self::Migration(sqlx::migrate::MigrateError::Execute(error)) => is_outage(error),
            Self::Url | Self::Migration(_) | Self::Stored { .. } | Self::Random(_) => false,
        }
    }
}

fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            true
        }
        // A connection that breaks in the middle of a conversation.
        sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => true,
        // Of PostgreSQL: broken connections, a lack of resources, an operator's hand.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "53", "57"].iter().any(|class| code.starts_with(class)) && code.len() == 5
        }),
        _ => false,
    }
}

async fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    Ok(sqlx::migrate!().run(connection).await?)
}

/// A statement with what differs between the databases put in. It is made of constants alone.
pub(crate) fn statement(text: String) -> AssertSqlSafe<String> {
    AssertSqlSafe(text)
}
