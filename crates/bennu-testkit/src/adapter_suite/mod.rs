//! What every adapter of the PubSub must do, as tests over an engine that the adapter's author brings.
//!
//! ```no_run
//! use std::future::Future;
//!
//! use bennu_pubsub::{ClusterOptions, PubSub};
//! use bennu_testkit::Hub;
//! use bennu_testkit::adapter_suite::Engine;
//!
//! struct InProcess(Hub);
//!
//! impl Engine for InProcess {
//!     fn join(&self, _node: &str, options: ClusterOptions) -> PubSub {
//!         PubSub::cluster(self.0.adapter(), options).expect("the suite's options are valid")
//!     }
//!
//!     async fn stop(&self) {
//!         self.0.stop();
//!     }
//!
//!     async fn start(&self) {
//!         self.0.start();
//!     }
//!
//!     async fn stall(&self) {
//!         self.0.stop();
//!     }
//!
//!     async fn go_on(&self) {
//!         self.0.start();
//!     }
//!
//!     fn cut(&self, node: &str) {
//!         let others: Vec<&str> = ["a", "b", "c"].into_iter().filter(|other| *other != node).collect();
//!         self.0.partition(&[node], &others);
//!     }
//!
//!     fn heal(&self, _node: &str) {
//!         self.0.heal();
//!     }
//!
//!     async fn inject(&self, subject: &str, bytes: &[u8]) {
//!         let subject = if subject.ends_with(".all") { bennu_pubsub::Subject::Everyone } else { bennu_pubsub::Subject::Bucket(0) };
//!         self.0.inject(subject, bytes.to_vec());
//!     }
//! }
//!
//! bennu_testkit::adapter_suite!(async { InProcess(Hub::new()) });
//! ```
//!
//! Each property is a function of this module, and [`adapter_suite!`](crate::adapter_suite!) makes a test of each. A property begins with an
//! engine of its own, has at most the nodes `a`, `b` and `c`, and looks at nothing but a node's face and its metrics.

mod delivery;
mod node;
mod outages;
mod strangers;

use std::future::Future;

use bennu_pubsub::{ClusterOptions, PubSub};

pub use delivery::{
    a_message_that_is_too_large_is_an_error_and_stays_here, bytes_arrive_as_they_are,
    messages_arrive_in_the_order_of_each_node, nobody_hears_a_message_twice,
    nodes_hear_of_topics_with_subscribers_alone, one_packet_crosses_whatever_the_number_of_subscribers,
    what_is_direct_reaches_one_node, who_ends_sends_what_is_left, who_has_settled_misses_nothing,
    who_unsubscribes_hears_no_more,
};
pub use outages::{
    a_flapping_link_is_accounted_for, a_stalled_engine_loses_the_oldest_and_counts_them,
    an_outage_does_not_reach_local_subscribers, nodes_hear_each_other_after_a_restart_of_the_engine,
    what_is_lost_is_counted_even_if_nothing_follows,
};
pub use strangers::{a_node_with_another_secret_is_not_heard, what_no_node_has_sent_is_dropped_and_counted};

/// An engine that a property has to itself, and what can be done to it.
pub trait Engine: Sync {
    /// Makes a node that is called `node`, with these options and a link of its own to the engine.
    ///
    /// Adapters that look for signs of life should do so often, as some properties wait for them to notice.
    fn join(&self, node: &str, options: ClusterOptions) -> PubSub;

    /// Ends the engine as a crash does. One that has no process of its own ends all connections.
    fn stop(&self) -> impl Future<Output = ()> + Send;

    /// Starts the engine where it was, remembering nothing.
    fn start(&self) -> impl Future<Output = ()> + Send;

    /// The engine takes nothing more, and its connections stay.
    fn stall(&self) -> impl Future<Output = ()> + Send;

    /// It goes on.
    fn go_on(&self) -> impl Future<Output = ()> + Send;

    /// Breaks the link of one node to the engine, and every new one.
    fn cut(&self, node: &str);

    /// Lets it connect again.
    fn heal(&self, node: &str);

    /// Publishes bytes as somebody who can reach the engine and is no node. The subject's parts have dots between them.
    fn inject(&self, subject: &str, bytes: &[u8]) -> impl Future<Output = ()> + Send;
}

/// Makes a test of each property of the [`adapter_suite`](mod@crate::adapter_suite), with a new [`Engine`] from the future for each.
///
/// `paused` in front of it stops the clock, for engines in the test's process. `local` in front of it leaves out what needs other nodes, and
/// `peers` what needs an engine in between, whose absence a node could notice.
#[macro_export]
macro_rules! adapter_suite {
    (local $engine:expr) => {
        $crate::adapter_suite! { @tests (start_paused = true) $engine;
            bytes_arrive_as_they_are
            messages_arrive_in_the_order_of_each_node
            nobody_hears_a_message_twice
            who_has_settled_misses_nothing
        }
    };
    (peers $engine:expr) => {
        $crate::adapter_suite! { @peers (flavor = "multi_thread", worker_threads = 2) $engine }
    };
    (paused $engine:expr) => { $crate::adapter_suite! { @all (start_paused = true) $engine } };
    (@all $clock:tt $engine:expr) => {
        $crate::adapter_suite! { @peers $clock $engine }
        $crate::adapter_suite! { @tests $clock $engine;
            an_outage_does_not_reach_local_subscribers
            nodes_hear_each_other_after_a_restart_of_the_engine
        }
    };
    (@peers $clock:tt $engine:expr) => {
        $crate::adapter_suite! { @tests $clock $engine;
            a_flapping_link_is_accounted_for
            a_message_that_is_too_large_is_an_error_and_stays_here
            a_node_with_another_secret_is_not_heard
            a_stalled_engine_loses_the_oldest_and_counts_them
            bytes_arrive_as_they_are
            messages_arrive_in_the_order_of_each_node
            nobody_hears_a_message_twice
            nodes_hear_of_topics_with_subscribers_alone
            one_packet_crosses_whatever_the_number_of_subscribers
            what_is_direct_reaches_one_node
            what_is_lost_is_counted_even_if_nothing_follows
            what_no_node_has_sent_is_dropped_and_counted
            who_ends_sends_what_is_left
            who_has_settled_misses_nothing
            who_unsubscribes_hears_no_more
        }
    };
    (@tests $clock:tt $engine:expr; $($property:ident)*) => {
        $(
            #[tokio::test $clock]
            async fn $property() {
                let engine = $engine.await;
                $crate::adapter_suite::$property(&engine).await;
            }
        )*
    };
    ($engine:expr) => { $crate::adapter_suite! { @all (flavor = "multi_thread", worker_threads = 2) $engine } };
}
