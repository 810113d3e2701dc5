//! The channel of a job, over a queue in a database of its own.
//!
//! The clock of tokio runs here: the database works on threads of its own, which a paused one would not wait for.

use std::sync::Arc;
use std::time::Duration;

use bennu::cluster::ClusterOptions;
use bennu_testkit::{
    Hub, TestChannel, TestSocket, assert_closed, assert_push, assert_reply, connect, refute_push,
};

use crate::accounts::{Accounts, Credential};
use crate::channels::{endpoint, socket_id};
use crate::clock::Clock as _;
use crate::clock::manual::ManualClock;
use crate::ids::UserId;
use crate::providers::Source;
use crate::queue::{Enqueued, Failure, Finished, JobInput, Notices, Queue, Rules, StageResult, job_topic};
use crate::signing::Signer;
use crate::store::{AudioFacts, NewTrack, Store};

use super::*;

/// A studio without pages and workers.
struct Studio {
    queue: Queue,
    pubsub: PubSub,
    endpoint: Endpoint,
    user: UserId,
    key: String,
    socket_id: String,
    clock: ManualClock,
    _folder: tempfile::TempDir,
}

impl Studio {
    async fn new() -> Self {
        Self::with(PubSub::local()).await
    }

    async fn with(pubsub: PubSub) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new();
        let store = Store::open_file(&folder.path().join("studio.db")).await.unwrap();
        let user = store.owner(clock.now()).await.unwrap().id;
        let key = store.create_key(user, "test", clock.now()).await.unwrap();
        let rules = Rules::default();
        let queue = Queue::new(store.clone(), Arc::new(clock.clone()), Notices::new(pubsub.clone()), rules);
        let accounts = Accounts::new(store, Signer::new(b"secret"), Arc::new(clock.clone()));
        let endpoint = endpoint(pubsub.clone(), accounts, queue.clone(), &[]).unwrap();
        let socket_id = socket_id(Credential::Key(key.id));
        Self { queue, pubsub, endpoint, user, key: key.secret, socket_id, clock, _folder: folder }
    }

    async fn connect(&self) -> TestSocket {
        let connecting = connect(&self.endpoint, "/socket", json!({"token": self.key}));
        connecting.within(Duration::from_secs(10)).await.unwrap()
    }

    async fn enqueue(&self) -> Job {
        let url = "demo:a".to_owned();
        let track = NewTrack { user_id: self.user, title: "t".to_owned(), source_url: url.clone() };
        let input = JobInput::Download { source: Source::Demo { url } };
        let Enqueued { job, .. } = self.queue.enqueue_download(&track, input).await.unwrap();
        job
    }

    /// The same queue, as a worker on another node has it.
    fn on_another_node(&self, pubsub: &PubSub) -> Queue {
        let (store, notices) = (self.queue.store().clone(), Notices::new(pubsub.clone()));
        Queue::new(store, Arc::new(self.clock.clone()), notices, Rules::default())
    }

    async fn claim(&self) -> Job {
        self.queue.claim(JobType::Download).await.unwrap().expect("a job is due")
    }
}

async fn follow(socket: &TestSocket, job: &Job) -> TestChannel {
    let (_, channel) = socket.join(&job_topic(job.id), json!({})).await.unwrap();
    channel
}

#[tokio::test]
async fn a_follower_is_told_each_revision_once_and_then_the_end() {
    let studio = Studio::new().await;
    let job = studio.enqueue().await;
    let channel = follow(&studio.connect().await, &job).await;
    let id = job.id.to_string();
    let queued = json!({"job_id": id, "status": "queued", "progress": 0});
    assert_push!(channel, "job:progress", queued);

    let claimed = studio.claim().await;
    let downloading = json!({"job_id": id, "status": "downloading"});
    assert_push!(channel, "job:progress", downloading);
    // Older news than what was told: late, and no news.
    studio.pubsub.broadcast(job_topic(job.id), JobProgress::of(&job));
    refute_push!(channel.within(Duration::from_millis(100)), "job:progress");

    studio.queue.complete(claimed.lease().unwrap(), &downloaded()).await.unwrap();
    assert_push!(channel, "job:progress", {"status": "completed", "progress": 100});
    let completed = assert_push!(channel, "job:completed", {"job_type": "download"});
    assert_eq!(completed["job_id"], id);
    studio.pubsub.broadcast(job_topic(job.id), JobProgress { revision: 99, ..JobProgress::of(&job) });
    refute_push!(channel.within(Duration::from_millis(100)), "job:progress");
}

fn downloaded() -> Finished {
    let facts = AudioFacts { format: "wav".to_owned(), sample_rate: 44_100, channels: 2, duration_ms: 1 };
    Finished { file: "f".to_owned(), file_size: 7, result: StageResult::Download(facts) }
}

#[tokio::test]
async fn an_end_that_was_lost_between_nodes_is_told_once() {
    let hub = Hub::new();
    let options = || ClusterOptions::new("a secret of the studio's nodes");
    let here = PubSub::cluster(hub.adapter(), options().node("here")).unwrap();
    let there = PubSub::cluster(hub.adapter(), options().node("there")).unwrap();
    hub.up(&[&here, &there]).await;
    let studio = Studio::with(here).await;
    let worker = studio.on_another_node(&there);
    let job = studio.enqueue().await;
    let channel = follow(&studio.connect().await, &job).await;
    assert_push!(channel, "job:progress", {"status": "queued"});
    let lease = worker.claim(JobType::Download).await.unwrap().unwrap().lease().unwrap();
    assert_push!(channel.within(Duration::from_secs(10)), "job:progress", {"status": "downloading"});

    // What it says of the end, and whatever else it says until it has said all.
    hub.partition(&["here"], &["there"]);
    worker.complete(lease, &downloaded()).await.unwrap();
    refute_push!(channel.within(Duration::from_millis(300)), "job:completed");
    hub.heal();
    assert_push!(channel.within(Duration::from_secs(30)), "job:completed", {"job_type": "download"});
    refute_push!(channel.within(Duration::from_millis(300)), "job:completed");
}

#[tokio::test]
async fn who_joins_after_the_end_is_told_it_at_once() {
    let studio = Studio::new().await;
    let job = studio.enqueue().await;
    let lease = studio.claim().await.lease().unwrap();
    studio.queue.fail(lease, Failure::permanent("no such file")).await.unwrap();
    let channel = follow(&studio.connect().await, &job).await;
    assert_push!(channel, "job:failed", {"error": "no such file"});
    refute_push!(channel.within(Duration::from_millis(100)), "job:failed");
    let reference = channel.push("ping", json!({}));
    assert_reply!(channel, reference, "ok");
    let reference = channel.push("pong", json!({}));
    assert_reply!(channel, reference, "error", {"reason": "unknown_event"});
}

#[tokio::test]
async fn jobs_that_are_not_ones_own_are_not_found() {
    let studio = Studio::new().await;
    let socket = studio.connect().await;
    let unknown = format!("jobs:{}", JobId::random());
    for topic in [unknown.as_str(), "jobs:", "jobs:x"] {
        let refused = socket.join(topic, json!({})).await.unwrap_err();
        assert_eq!(refused.response, json!({"reason": "not_found"}), "{topic}");
    }
    let refused = connect(&studio.endpoint, "/socket", json!({"token": "wrong"})).await.unwrap_err();
    assert_eq!(refused.status().unwrap(), 403);
}

#[tokio::test]
async fn a_revoked_key_loses_its_connection() {
    let studio = Studio::new().await;
    let socket = studio.connect().await;
    let keys = studio.queue.store().keys().await.unwrap();
    studio.queue.store().revoke_key(keys[0].id, studio.clock.now()).await.unwrap();
    studio.endpoint.disconnect(studio.socket_id.as_str());
    assert_closed!(socket, 1001);
    assert!(connect(&studio.endpoint, "/socket", json!({"token": studio.key})).await.is_err());
}
