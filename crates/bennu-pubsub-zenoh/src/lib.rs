//! A [`PubSub`](bennu_pubsub::PubSub) that crosses nodes with no server in between, over [Zenoh](https://zenoh.io)'s peers.
//!
//! Nodes connect to each other. They find each other by the addresses of some of them, or by multicast, and tell each other of
//! those that they know, until each is connected to all.
//!
//! ```no_run
//! use bennu_pubsub::{ClusterOptions, PubSub};
//! use bennu_pubsub_zenoh::Zenoh;
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! // The same line in every process: the first listens there, the others connect.
//! let zenoh = Zenoh::from_url("zenoh://127.0.0.1:7447")?;
//! let pubsub = PubSub::cluster(zenoh, ClusterOptions::new("what only the nodes know"))?;
//! # Ok(())
//! # }
//! ```
//!
//! With nobody in between, nobody says whether others are there: the link is up once this node's own session is. What a node
//! missed while it was out of reach is counted and told as a [`Gap`](bennu_pubsub::Gap), as with every engine.

mod adapter;
mod echo;
mod listen;
mod peer;
mod session;
mod settings;
mod url;
mod watch;
mod worker;

pub use adapter::Zenoh;
pub use url::UrlError;
