//! Databases for tests, thrown away with them.

use std::sync::atomic::{AtomicUsize, Ordering};

use bennu_engines::Postgres;
use tokio::sync::OnceCell;

use super::{Engine, Store};

/// An empty database.
pub(crate) struct Scratch {
    pub(crate) url: String,
    _folder: Option<tempfile::TempDir>,
}

/// One server for all tests of this process, which ends with it.
static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
static MADE: AtomicUsize = AtomicUsize::new(0);

impl Scratch {
    pub(crate) async fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let url = format!("sqlite:{}", folder.path().join("studio.db").display());
                Self { url, _folder: Some(folder) }
            }
            Engine::Postgres => {
                let server = POSTGRES.get_or_try_init(Postgres::start).await.unwrap();
                let name = format!("studio_{}", MADE.fetch_add(1, Ordering::Relaxed));
                Self { url: server.create_database(&name).await.unwrap(), _folder: None }
            }
        }
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open_url(&self.url).await.unwrap()
    }
}

/// Makes two tests of each function: one with a bench on SQLite, one with a bench on PostgreSQL.
macro_rules! on_both_databases {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$test(super::Bench::new($crate::store::Engine::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                super::$test(super::Bench::new($crate::store::Engine::Postgres).await).await;
            }
        }
    )*};
}

pub(crate) use on_both_databases;
