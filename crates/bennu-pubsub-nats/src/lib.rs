//! bennu's PubSub across nodes, through [NATS](https://nats.io).
//!
//! ```no_run
//! use bennu_pubsub::{ClusterOptions, PubSub};
//! use bennu_pubsub_nats::Nats;
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let nats = Nats::from_url("nats://nats-1.internal,nats-2.internal?ca=/etc/bennu/ca.pem")?.credentials_file("/run/secrets/nats.creds");
//! let pubsub = PubSub::cluster(nats, ClusterOptions::new(std::env::var("CLUSTER_SECRET")?).node("web-1"))?;
//! pubsub.broadcast("jobs", "done".to_owned());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }
//! ```
//!
//! It takes NATS core alone, of any version that is kept: no JetStream, no echo. A node has one connection. It needs to publish and
//! subscribe to `bennu.{namespace}.>`, and nothing else.
//!
//! A connection that ends, cannot be made, or is refused is made again after a random pause of up to 100 ms, which doubles up to 5 s. Why it is
//! away is in [`PubSub::link`](bennu_pubsub::PubSub::link), without credentials.

mod connection;
mod nats;
mod run;
mod tls;
mod url;

pub use nats::Nats;
pub use url::UrlError;
