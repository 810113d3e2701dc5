//! A [`PubSub`](bennu_pubsub::PubSub) that crosses nodes over Redis.
//!
//! Every node connects to the same Redis (7 or later, or Valkey), and what is broadcast on one arrives on those that have a
//! subscriber for its topic. Redis keeps nothing: its pub/sub is at most once, and what is lost while a node is away is
//! counted and told as a [`Gap`](bennu_pubsub::Gap).
//!
//! ```no_run
//! use bennu_pubsub::{ClusterOptions, PubSub};
//! use bennu_pubsub_redis::Redis;
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let redis = Redis::from_url("redis://:secret@cache.internal:6379")?;
//! let pubsub = PubSub::cluster(redis, ClusterOptions::new("what only the nodes know"))?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Redis::from_url`] has all settings of the URL, [`Redis`] the same as methods.
//! - [`Redis::sharded`] uses sharded channels.

mod adapter;
mod backoff;
mod connection;
mod failure;
mod session;
mod tls;
mod url;

pub use adapter::Redis;
pub use tls::CertificateError;
pub use url::UrlError;
