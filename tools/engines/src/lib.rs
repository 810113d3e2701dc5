//! Real engines for tests: `nats-server`, `redis-server` and PostgreSQL as child processes, each on a free port of the
//! loopback with a folder of its own, and a [`Proxy`] to put between a node and its engine.
//!
//! ```
//! use bennu_engines::{NatsServer, Proxy};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let nats = NatsServer::start().await?;
//! let proxy = Proxy::start(nats.address()).await?;
//! let url = proxy.url(&nats.url());      // "nats://127.0.0.1:41233": for a node whose link will suffer
//!
//! proxy.cut();                           // connections break, new ones are refused
//! proxy.heal();
//! nats.kill();                           // SIGKILL
//! nats.restart().await?;                 // on the same port
//! nats.pause();                          // SIGSTOP: it accepts, and says nothing
//! nats.resume();
//! # Ok::<(), anyhow::Error>(())
//! # })?;
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! What is dropped is killed, and so is everything when the test's process ends, however it does. A program that is not
//! installed is an error that names it and its Debian package.

mod certificates;
mod nats;
mod port;
mod postgres;
mod process;
mod program;
mod proxy;
mod redis;
mod servers;

pub use certificates::Certificates;
pub use nats::NatsServer;
pub use port::Port;
pub use postgres::Postgres;
pub use process::Process;
pub use proxy::Proxy;
pub use redis::RedisServer;
pub use servers::Servers;
