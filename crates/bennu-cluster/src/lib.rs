//! A [`PubSub`] that crosses nodes, over the engine that a URL names.
//!
//! What a program is told by `--pubsub` or an environment variable becomes the PubSub that it runs on:
//!
//! ```no_run
//! use bennu_cluster::{ClusterOptions, pubsub};
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let options = ClusterOptions::new("a secret of at least 20 bytes").node("web-1");
//! let url = std::env::var("PUBSUB_URL").unwrap_or_else(|_| "local".to_owned());
//! let pubsub = pubsub(&url, options)?;
//! # Ok(())
//! # }
//! ```
//!
//! | URL | engine | feature |
//! | --- | --- | --- |
//! | `local` | none: this process alone | |
//! | `nats://host:4222`, `tls://…` with TLS | NATS | `nats` |
//! | `redis://host:6379`, `rediss://…` with TLS, `valkey://…`, `valkeys://…` | Redis 7 or Valkey | `redis` |
//! | `zenoh://host:7447`, `zenoh://?discovery=multicast` | none: nodes connect to each other, by Zenoh | `zenoh` |
//!
//! The crate of each engine says what else its URL can hold.

use std::error::Error;

pub use bennu_pubsub::{ClusterOptions, ClusterOptionsError, PubSub};

/// An engine that a URL can name.
struct Engine {
    schemes: &'static [&'static str],
    /// What has to be built for it.
    feature: &'static str,
    /// None when it was not built.
    start: Start,
}

const ENGINES: &[Engine] = &[
    Engine { schemes: &["nats", "tls"], feature: "nats", start: NATS },
    Engine { schemes: &["redis", "rediss", "valkey", "valkeys"], feature: "redis", start: REDIS },
    Engine { schemes: &["zenoh"], feature: "zenoh", start: ZENOH },
];

/// Why a URL makes no PubSub. No credentials of the URL are in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No engine has such URLs.
    #[error("{scheme:?} names no engine: a PubSub is \"local\" or has a URL that begins with {known}")]
    UnknownEngine {
        /// What is in front of `://`, or all of it.
        scheme: String,
        /// Those that there are.
        known: String,
    },
    /// The engine is not part of this program.
    #[error("{scheme}:// needs the feature {feature:?} of bennu, without which this program was built")]
    NotBuilt {
        /// What is in front of `://`.
        scheme: String,
        /// The feature to turn on.
        feature: &'static str,
    },
    /// The engine cannot be reached by such a URL.
    #[error("the PubSub's URL cannot be used")]
    Url(#[source] Box<dyn Error + Send + Sync>),
    /// The options cannot be used.
    #[error(transparent)]
    Options(#[from] ClusterOptionsError),
}

/// The PubSub of a URL, which connects in the background; `local` is [`PubSub::local`], for which the options do not matter.
///
/// # Errors
///
/// When the URL names no engine, or one that was not built, or has something in it that the engine does not know; and when the
/// options cannot be used. An engine that is away is none: see [`PubSub::link`].
pub fn pubsub(url: &str, options: ClusterOptions) -> Result<PubSub, ClusterError> {
    if url == "local" {
        return Ok(PubSub::local());
    }
    // What is not in front of "://" may be a secret.
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    let engine = ENGINES.iter().find(|engine| scheme.is_some_and(|scheme| engine.schemes.contains(&scheme)));
    let scheme = scheme.unwrap_or("what has no ://").to_owned();
    match engine {
        Some(Engine { start: Some(start), .. }) => start(url, options),
        Some(Engine { feature, start: None, .. }) => Err(ClusterError::NotBuilt { scheme, feature }),
        None => Err(ClusterError::UnknownEngine { scheme, known: known() }),
    }
}

fn known() -> String {
    let schemes = ENGINES.iter().flat_map(|engine| engine.schemes);
    schemes.map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(", ")
}

type Start = Option<fn(&str, ClusterOptions) -> Result<PubSub, ClusterError>>;

#[cfg(feature = "nats")]
const NATS: Start = Some(|url, options| {
    let nats = bennu_pubsub_nats::Nats::from_url(url).map_err(|error| ClusterError::Url(error.into()))?;
    Ok(PubSub::cluster(nats, options)?)
});
#[cfg(not(feature = "nats"))]
const NATS: Start = None;

#[cfg(feature = "redis")]
const REDIS: Start = Some(|url, options| {
    let redis = bennu_pubsub_redis::Redis::from_url(url).map_err(|error| ClusterError::Url(error.into()))?;
    Ok(PubSub::cluster(redis, options)?)
});
#[cfg(not(feature = "redis"))]
const REDIS: Start = None;

#[cfg(feature = "zenoh")]
const ZENOH: Start = Some(|url, options| {
    let zenoh = bennu_pubsub_zenoh::Zenoh::from_url(url).map_err(|error| ClusterError::Url(error.into()))?;
    Ok(PubSub::cluster(zenoh, options)?)
});
#[cfg(not(feature = "zenoh"))]
const ZENOH: Start = None;

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> ClusterOptions {
        ClusterOptions::new("a secret of at least 20 bytes")
    }

    fn refused(url: &str) -> String {
        let error = pubsub(url, options()).unwrap_err();
        let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        format!("{error}{source}")
    }

    #[test]
    fn local_is_this_process_alone() {
        assert_eq!(pubsub("local", options()).unwrap().link(), bennu_pubsub::LinkStatus::Local);
    }

    #[test]
    fn what_names_no_engine_is_refused_with_those_that_there_are() {
        for url in ["amqp://user:hunter2@host", "", "hunter2@localhost:6379"] {
            let error = refused(url);
            assert!(error.contains("names no engine") && error.contains("redis://"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[cfg(not(feature = "redis"))]
    #[test]
    fn an_engine_that_was_not_built_is_refused_with_its_feature() {
        assert!(refused("rediss://host").starts_with("rediss:// needs the feature \"redis\""));
    }

    #[cfg(feature = "nats")]
    #[tokio::test]
    async fn nats_is_named_by_its_url() {
        let pubsub = pubsub("nats://127.0.0.1:1,127.0.0.1:2", options()).unwrap();
        assert!(format!("{:?}", pubsub.link()).contains("nats"));
        assert!(refused("nats://host?tls=1").contains("tls of the URL is to be true or false"));
    }

    #[cfg(feature = "zenoh")]
    #[test]
    fn zenoh_is_named_by_its_url() {
        assert!(refused("zenoh://").contains("no node is named"));
        assert!(refused("zenoh://127.0.0.1:7447").contains("within a tokio runtime"));
    }

    #[cfg(feature = "redis")]
    #[tokio::test]
    async fn redis_is_named_by_its_url() {
        let pubsub = pubsub("redis://127.0.0.1:1", options()).unwrap();
        assert!(format!("{:?}", pubsub.link()).contains("redis"));
        assert!(refused("redis://host?sharded=1").contains("sharded must be true or false"));
    }
}
