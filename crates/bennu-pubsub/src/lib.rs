//! Publish and subscribe for any serde message.
//!
//! A [`PubSub`] delivers what is broadcast to a topic to everyone who is
//! subscribed to it at that moment: at most once, nothing stored, in order for
//! each pair of sender and receiver. It knows nothing of channels; they are
//! subscribers like any other.
//!
//! ```
//! use bennu_pubsub::PubSub;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct TrackCreated { title: String }
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let pubsub = PubSub::local();
//! let mut tracks = pubsub.subscribe("tracks");
//! pubsub.broadcast("tracks", TrackCreated { title: "Groove".into() });
//!
//! let delivery = tracks.recv().await?;
//! assert_eq!(delivery.get::<TrackCreated>().unwrap().title, "Groove");
//! # Ok::<(), bennu_pubsub::Lagged>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cluster;
mod codec;
mod delivery;
mod pubsub;
mod reading;
mod registry;
mod subscription;

pub use cluster::{
    Adapter, Change, ClusterOptions, ClusterOptionsError, Gap, Link, LinkStatus, METRICS, Node, NodeName,
    Packet, Subject,
};
pub use codec::{Codec, CodecError};
pub use delivery::{CrossingError, Delivery};
pub use pubsub::{PubSub, PubSubMessage};
pub use reading::{Place, Reading, Sequence};
pub use registry::{Subscriber, SubscriberId};
pub use subscription::{Lagged, Subscription};
