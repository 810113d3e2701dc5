//! The suite of adapters, on the hub and on a PubSub that has one node.

use bennu_pubsub::{ClusterOptions, PubSub, Subject};
use bennu_testkit::Hub;
use bennu_testkit::adapter_suite::Engine;

struct InProcess(Hub);

impl Engine for InProcess {
    fn join(&self, _: &str, options: ClusterOptions) -> PubSub {
        PubSub::cluster(self.0.adapter(), options).unwrap()
    }

    async fn stop(&self) {
        self.0.stop();
    }

    async fn start(&self) {
        self.0.start();
    }

    async fn stall(&self) {
        self.0.stop();
    }

    async fn go_on(&self) {
        self.0.start();
    }

    fn cut(&self, node: &str) {
        let others: Vec<&str> = ["a", "b", "c"].into_iter().filter(|other| *other != node).collect();
        self.0.partition(&[node], &others);
    }

    fn heal(&self, _: &str) {
        self.0.heal();
    }

    async fn inject(&self, subject: &str, bytes: &[u8]) {
        let subject = if subject.ends_with(".all") { Subject::Everyone } else { Subject::Bucket(0) };
        self.0.inject(subject, bytes.to_vec());
    }
}

mod hub {
    use super::{Hub, InProcess};

    bennu_testkit::adapter_suite!(paused async { InProcess(Hub::new()) });
}

/// One PubSub, which is all of its nodes.
struct Alone(PubSub);

impl Engine for Alone {
    fn join(&self, _: &str, _: ClusterOptions) -> PubSub {
        self.0.clone()
    }

    async fn stop(&self) {}

    async fn start(&self) {}

    async fn stall(&self) {}

    async fn go_on(&self) {}

    fn cut(&self, _: &str) {}

    fn heal(&self, _: &str) {}

    async fn inject(&self, _: &str, _: &[u8]) {}
}

mod local {
    use super::{Alone, PubSub};

    bennu_testkit::adapter_suite!(local async { Alone(PubSub::local()) });
}
