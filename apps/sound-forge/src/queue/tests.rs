//! The queue's rules, on a database of its own and a clock turned by hand.

use std::time::Duration;

use bennu::{PubSub, Subscription};

use crate::clock::Clock as _;
use crate::clock::manual::ManualClock;
use crate::ids::UserId;
use crate::providers::Source;
use crate::store::scratch::{Scratch, on_both_databases};
use crate::store::{AudioFacts, Engine, NewTrack, OutputKind, Summary};

use super::*;

/// A queue, what it stands on, and ways to play the worker.
struct Bench {
    queue: Queue,
    clock: ManualClock,
    pubsub: PubSub,
    user: UserId,
    scratch: Scratch,
}

on_both_databases! {
    an_end_that_nobody_told_is_found_and_told,
    a_result_that_was_written_without_an_answer_is_found_when_it_is_written_again,
    a_clock_that_jumps_costs_a_node_none_of_its_own_jobs,
    a_lease_that_was_renewed_since_it_was_seen_is_not_rescued,
    workers_of_several_nodes_take_each_job_once,
    the_same_track_asked_for_while_it_is_removed_is_whole_or_gone,
    a_thousand_identical_requests_at_once_make_one_job,
    a_job_keeps_others_away_while_it_lives_and_for_its_window,
    a_cancelled_job_may_be_asked_for_again_at_once,
    each_stage_enqueues_the_next_in_the_transaction_that_completes_it,
    stems_alone_are_followed_by_an_analysis_only_where_there_is_none,
    only_the_last_try_fails_the_job_and_each_wait_is_stored,
    a_permanent_failure_is_not_tried_again,
    a_worker_that_lost_its_lease_changes_nothing,
    a_renewed_lease_holds_and_others_run_out,
    a_job_that_kills_its_worker_stops_at_its_cap,
    a_boot_does_not_rescue_its_own_jobs,
    a_job_given_back_has_not_spent_its_try,
    cancelling_ends_a_running_job_at_once_and_its_worker_can_write_no_more,
    nobody_cancels_or_sees_what_is_not_theirs,
    progress_never_falls_within_a_try_and_starts_anew_with_the_next,
    finished_jobs_are_forgotten_after_a_week_and_live_ones_never,
    deleting_a_track_ends_its_jobs_and_names_its_folders,
    a_new_output_takes_the_place_of_the_tracks_earlier_one,
    a_new_track_is_announced_once,
    all_who_listen_to_a_job_hear_the_same_progress_with_its_track,
    every_row_written_counts_its_revision,
}

impl Bench {
    async fn new(engine: Engine) -> Self {
        let scratch = Scratch::new(engine).await;
        let (clock, pubsub) = (ManualClock::new(), PubSub::local());
        let store = scratch.open().await;
        let user = store.owner(clock.now()).await.unwrap().id;
        let notices = Notices::new(pubsub.clone());
        let queue = Queue::new(store, Arc::new(clock.clone()), notices, Rules::default());
        Self { queue, clock, pubsub, user, scratch }
    }

    /// The same database after a restart of the server, or on another node.
    async fn restarted(&self) -> Queue {
        let notices = Notices::new(self.pubsub.clone());
        Queue::new(self.scratch.open().await, Arc::new(self.clock.clone()), notices, Rules::default())
    }

    /// The process with a job in its hands is gone. Whoever is alone knows that at once; among
    /// several, the lease has to run out.
    async fn rescue(&self) -> usize {
        let queue = self.restarted().await;
        if !queue.store().engine().is_shared() {
            return queue.rescue_earlier_boots().await.unwrap();
        }
        assert_eq!(queue.rescue_earlier_boots().await.unwrap(), 0, "the other node may be alive");
        self.clock.advance(Duration::from_secs(11));
        queue.rescue_expired(&[]).await.unwrap()
    }

    async fn request(&self, url: &str) -> Enqueued {
        let track = NewTrack { user_id: self.user, title: "t".to_owned(), source_url: url.to_owned() };
        let input = JobInput::Download { source: Source::Demo { url: url.to_owned() } };
        self.queue.enqueue_download(&track, input).await.unwrap()
    }

    async fn claim(&self, job_type: JobType) -> Option<Job> {
        self.queue.claim(job_type).await.unwrap()
    }

    /// Claims the job that must be due.
    async fn work_on(&self, job_type: JobType) -> (Job, Lease) {
        let job = self.claim(job_type).await.expect("a job is due");
        let lease = job.lease().unwrap();
        (job, lease)
    }

    async fn job(&self, id: crate::ids::JobId) -> Job {
        self.queue.job(self.user, id).await.unwrap().unwrap()
    }

    async fn complete(&self, lease: Lease, result: StageResult) -> Option<Job> {
        let finished = Finished { file: "f".to_owned(), file_size: 7, result };
        self.queue.complete(lease, &finished).await.unwrap().map(|completion| completion.job)
    }

    fn listen(&self, job: &Job) -> Subscription {
        self.pubsub.subscribe(job_topic(job.id))
    }
}

fn downloaded() -> StageResult {
    let facts = AudioFacts { format: "wav".to_owned(), sample_rate: 44_100, channels: 2, duration_ms: 1 };
    StageResult::Download(facts)
}

/// What was heard: the progress messages as (status, progress), and the names of the ends.
fn heard(subscription: &mut Subscription) -> (Vec<(JobStatus, u8)>, Vec<&'static str>) {
    let (mut progress, mut ends) = (Vec::new(), Vec::new());
    while let Some(delivery) = subscription.try_recv() {
        let delivery = delivery.unwrap();
        progress.extend(delivery.get::<JobProgress>().map(|message| (message.status, message.progress)));
        ends.extend(delivery.get::<JobCompleted>().map(|_| "completed"));
        ends.extend(delivery.get::<JobFailed>().map(|_| "failed"));
    }
    (progress, ends)
}

async fn a_thousand_identical_requests_at_once_make_one_job(bench: Bench) {
    let bench = Arc::new(bench);
    let requests: Vec<_> = (0..1_000)
        .map(|_| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.request("demo:a").await })
        })
        .collect();
    let mut made = Vec::new();
    for request in requests {
        made.push(request.await.unwrap());
    }
    assert_eq!(made.iter().filter(|enqueued| enqueued.is_new).count(), 1);
    assert!(made.iter().all(|enqueued| enqueued.job.id == made[0].job.id));
    let all = bench.queue.jobs(bench.user, JobFilter::default(), (10, 0)).await.unwrap();
    assert_eq!(all.total, 1);
    assert_eq!(bench.queue.store().tracks(bench.user, 10, 0).await.unwrap().total, 1);
}

async fn a_job_keeps_others_away_while_it_lives_and_for_its_window(bench: Bench) {
    let first = bench.request("demo:a").await.job;
    bench.clock.advance(Duration::from_secs(1));
    assert!(bench.request("demo:b").await.is_new, "another source is another job");

    bench.clock.advance(Duration::from_secs(301));
    assert!(!bench.request("demo:a").await.is_new, "it lives");

    let (claimed, lease) = bench.work_on(JobType::Download).await;
    assert_eq!(claimed.id, first.id);
    bench.complete(lease, downloaded()).await.unwrap();
    let second = bench.request("demo:a").await;
    assert!(second.is_new, "it is finished and its window is over");
    assert_eq!(second.job.track_id, first.track_id, "the track stays the same");

    let (other, _) = bench.work_on(JobType::Download).await;
    assert_ne!(other.id, second.job.id);
    let (_, lease) = bench.work_on(JobType::Download).await;
    bench.queue.fail(lease, Failure::permanent("no")).await.unwrap();
    bench.clock.advance(Duration::from_secs(299));
    assert!(!bench.request("demo:a").await.is_new, "finished, but within its window");
}

async fn a_cancelled_job_may_be_asked_for_again_at_once(bench: Bench) {
    let first = bench.request("demo:a").await.job;
    bench.queue.cancel(bench.user, first.id).await.unwrap();
    assert!(bench.request("demo:a").await.is_new);
}

async fn each_stage_enqueues_the_next_in_the_transaction_that_completes_it(bench: Bench) {
    let download = bench.request("demo:a").await.job;
    let mut told = bench.listen(&download);
    let (_, lease) = bench.work_on(JobType::Download).await;
    let download = bench.complete(lease, downloaded()).await.unwrap();
    let result = download.result.clone().unwrap();
    assert_eq!(result.output_path, format!("/files/downloads/{}/f", lease.token));
    assert_eq!(heard(&mut told).1, ["completed"]);

    let (processing, lease) = bench.work_on(JobType::Processing).await;
    assert_eq!(download.next_job_id, Some(processing.id));
    let processing = bench.complete(lease, StageResult::Processing(Vec::new())).await.unwrap();
    let (analysis, lease) = bench.work_on(JobType::Analysis).await;
    assert_eq!(processing.next_job_id, Some(analysis.id));
    let analysis = bench.complete(lease, StageResult::Analysis(Summary::default())).await.unwrap();
    assert_eq!((analysis.next_job_id, analysis.progress), (None, 100));
    assert_eq!([download.track_id, processing.track_id], [analysis.track_id; 2]);
}

async fn stems_alone_are_followed_by_an_analysis_only_where_there_is_none(bench: Bench) {
    let track = bench.request("demo:a").await.job.track_id;
    bench.complete(bench.work_on(JobType::Download).await.1, downloaded()).await.unwrap();
    bench
        .complete(bench.work_on(JobType::Processing).await.1, StageResult::Processing(vec![]))
        .await
        .unwrap();
    let analysed = StageResult::Analysis(Summary::default());
    bench.complete(bench.work_on(JobType::Analysis).await.1, analysed).await.unwrap();

    bench.clock.advance(Duration::from_secs(301));
    let input = JobInput::Processing { engine: "dsp".to_owned(), follow_up: false };
    bench.queue.enqueue(&NewJob { user_id: bench.user, track_id: track, input }).await.unwrap().unwrap();
    let lease = bench.work_on(JobType::Processing).await.1;
    let again = bench.complete(lease, StageResult::Processing(vec![])).await.unwrap();
    assert_eq!(again.next_job_id, None);
}

async fn only_the_last_try_fails_the_job_and_each_wait_is_stored(bench: Bench) {
    let job = bench.request("demo:a").await.job;
    let mut told = bench.listen(&job);
    for attempt in 1..=2 {
        let (_, lease) = bench.work_on(JobType::Download).await;
        let job = bench.queue.fail(lease, Failure::transient("the network failed")).await.unwrap().unwrap();
        assert_eq!((job.status, job.attempt), (JobStatus::Queued, attempt));
        assert_eq!(job.message, format!("Try {attempt} of 3 failed: the network failed"));
        let (_, ends) = heard(&mut told);
        assert!(ends.is_empty(), "no end between tries");

        let wait = job.run_at.since(bench.clock.now()).as_secs_f64();
        let whole = f64::from(2_u32.pow(attempt));
        assert!((whole * 0.74..whole * 1.26).contains(&wait), "attempt {attempt}: {wait}");
        assert!(
            bench.restarted().await.claim(JobType::Download).await.unwrap().is_none(),
            "the wait outlives a restart"
        );
        bench.clock.advance(Duration::from_secs_f64(whole * 1.26));
    }
    let (_, lease) = bench.work_on(JobType::Download).await;
    let job = bench.queue.fail(lease, Failure::transient("the network failed")).await.unwrap().unwrap();
    assert_eq!((job.status, job.attempt), (JobStatus::Failed, 3));
    assert_eq!(heard(&mut told).1, ["failed"]);
    assert!(bench.claim(JobType::Download).await.is_none());
}

async fn a_permanent_failure_is_not_tried_again(bench: Bench) {
    bench.request("demo:a").await;
    let (_, lease) = bench.work_on(JobType::Download).await;
    let job = bench.queue.fail(lease, Failure::permanent("no audio")).await.unwrap().unwrap();
    assert_eq!((job.status, job.error.as_deref()), (JobStatus::Failed, Some("no audio")));
}

async fn a_worker_that_lost_its_lease_changes_nothing(bench: Bench) {
    let job = bench.request("demo:a").await.job;
    let (_, late) = bench.work_on(JobType::Download).await;
    bench.clock.advance(Duration::from_secs(11));
    assert_eq!(bench.queue.rescue_expired(&[]).await.unwrap(), 1);
    let (_, fresh) = bench.work_on(JobType::Download).await;
    let before = bench.job(job.id).await;
    let mut told = bench.listen(&job);

    assert!(!bench.queue.holds(late).await.unwrap());
    assert!(!bench.queue.progress(late, 50, "late").await.unwrap());
    assert!(bench.complete(late, downloaded()).await.is_none());
    assert!(bench.queue.fail(late, Failure::permanent("late")).await.unwrap().is_none());
    bench.queue.give_back(late).await.unwrap();
    bench.queue.renew(&[late]).await.unwrap();
    assert_eq!(bench.job(job.id).await.revision, before.revision);
    assert_eq!(heard(&mut told), (vec![], vec![]));
    let output = bench.queue.store().track_output(job.track_id, OutputKind::Downloads).await.unwrap();
    assert!(output.is_none());

    bench.complete(fresh, downloaded()).await.unwrap();
    assert_eq!(heard(&mut told).1, ["completed"]);
}

async fn a_renewed_lease_holds_and_others_run_out(bench: Bench) {
    bench.request("demo:a").await;
    let (_, lease) = bench.work_on(JobType::Download).await;
    for _ in 0..5 {
        bench.clock.advance(Duration::from_secs(6));
        bench.queue.renew(&[lease]).await.unwrap();
        assert_eq!(bench.queue.rescue_expired(&[]).await.unwrap(), 0);
    }
    bench.clock.advance(Duration::from_secs(11));
    assert_eq!(bench.queue.rescue_expired(&[]).await.unwrap(), 1);
}

async fn a_job_that_kills_its_worker_stops_at_its_cap(bench: Bench) {
    let job = bench.request("demo:a").await.job;
    let mut told = bench.listen(&job);
    for _ in 0..3 {
        bench.work_on(JobType::Download).await;
        assert!(heard(&mut told).1.is_empty());
        assert_eq!(bench.rescue().await, 1);
    }
    let job = bench.job(job.id).await;
    assert_eq!((job.status, job.attempt), (JobStatus::Failed, 3));
    assert_eq!(heard(&mut told).1, ["failed"]);
    assert!(bench.claim(JobType::Download).await.is_none());
}

async fn a_boot_does_not_rescue_its_own_jobs(bench: Bench) {
    bench.request("demo:a").await;
    bench.work_on(JobType::Download).await;
    assert_eq!(bench.queue.rescue_earlier_boots().await.unwrap(), 0);
}

async fn a_job_given_back_has_not_spent_its_try(bench: Bench) {
    let job = bench.request("demo:a").await.job;
    let (_, lease) = bench.work_on(JobType::Download).await;
    bench.queue.progress(lease, 40, "Working").await.unwrap();
    bench.queue.give_back(lease).await.unwrap();
    let job = bench.job(job.id).await;
    assert_eq!((job.status, job.attempt, job.progress), (JobStatus::Queued, 0, 0));
    assert!(bench.claim(JobType::Download).await.is_some(), "it is due at once");
}

async fn cancelling_ends_a_running_job_at_once_and_its_worker_can_write_no_more(bench: Bench) {
    let job = bench.request("demo:a").await.job;
    let mut told = bench.listen(&job);
    let (_, lease) = bench.work_on(JobType::Download).await;
    let cancelled = bench.queue.cancel(bench.user, job.id).await.unwrap().unwrap();
    assert_eq!((cancelled.status, cancelled.error.as_deref()), (JobStatus::Failed, Some("cancelled")));
    assert!(!bench.queue.holds(lease).await.unwrap());
    assert!(bench.complete(lease, downloaded()).await.is_none());
    // A second time tells nothing new.
    bench.queue.cancel(bench.user, job.id).await.unwrap();
    assert_eq!(heard(&mut told).1, ["failed"]);
}

async fn nobody_cancels_or_sees_what_is_not_theirs(bench: Bench) {
    let job = bench.request("demo:a").await.job;
    let stranger = UserId::random();
    assert!(bench.queue.job(stranger, job.id).await.unwrap().is_none());
    assert!(bench.queue.cancel(stranger, job.id).await.unwrap().is_none());
    assert!(bench.queue.delete_track(stranger, job.track_id).await.unwrap().is_none());
    assert_eq!(bench.job(job.id).await.status, JobStatus::Queued);
}

async fn progress_never_falls_within_a_try_and_starts_anew_with_the_next(bench: Bench) {
    let job = bench.request("demo:a").await.job;
    let mut told = bench.listen(&job);
    let (_, lease) = bench.work_on(JobType::Download).await;
    bench.queue.progress(lease, 60, "a").await.unwrap();
    bench.queue.progress(lease, 30, "b").await.unwrap();
    bench.queue.fail(lease, Failure::transient("x")).await.unwrap();
    let percents: Vec<u8> = heard(&mut told).0.into_iter().map(|(_, percent)| percent).collect();
    assert_eq!(percents, [0, 60, 60, 0]);
}

async fn finished_jobs_are_forgotten_after_a_week_and_live_ones_never(bench: Bench) {
    bench.request("demo:a").await;
    bench.complete(bench.work_on(JobType::Download).await.1, downloaded()).await.unwrap();
    bench.clock.advance(Duration::from_secs(7 * 24 * 3_600 - 1));
    assert_eq!(bench.queue.prune().await.unwrap(), 0);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.queue.prune().await.unwrap(), 1);
    assert!(bench.claim(JobType::Processing).await.is_some(), "the next stage still waits");
}

async fn deleting_a_track_ends_its_jobs_and_names_its_folders(bench: Bench) {
    let job = bench.request("demo:a").await.job;
    let lease = bench.work_on(JobType::Download).await.1;
    let next = bench.complete(lease, downloaded()).await.unwrap().next_job_id.unwrap();
    let mut told = bench.pubsub.subscribe(job_topic(next));
    let deleted = bench.queue.delete_track(bench.user, job.track_id).await.unwrap().unwrap();
    assert_eq!(deleted.folders, [(OutputKind::Downloads, lease.token)]);
    assert_eq!(heard(&mut told).1, ["failed"]);
    assert!(bench.queue.job(bench.user, next).await.unwrap().is_none());
}

async fn a_new_output_takes_the_place_of_the_tracks_earlier_one(bench: Bench) {
    let job = bench.request("demo:a").await.job;
    let first = bench.work_on(JobType::Download).await.1;
    bench.complete(first, downloaded()).await.unwrap();
    bench.clock.advance(Duration::from_secs(301));
    bench.request("demo:a").await;
    let second = bench.work_on(JobType::Download).await.1;
    let finished = Finished { file: "f".to_owned(), file_size: 7, result: downloaded() };
    let completion = bench.queue.complete(second, &finished).await.unwrap().unwrap();
    assert_eq!(completion.superseded, Some(first.token));
    let output = bench.queue.store().track_output(job.track_id, OutputKind::Downloads).await.unwrap();
    assert_eq!(output.unwrap().id, second.token);
}

async fn a_new_track_is_announced_once(bench: Bench) {
    let mut tracks = bench.pubsub.subscribe(TRACKS_TOPIC);
    for _ in 0..3 {
        bench.request("demo:a").await;
    }
    let created = tracks.try_recv().unwrap().unwrap();
    assert!(created.get::<TrackCreated>().is_some());
    assert!(tracks.try_recv().is_none());
}

async fn all_who_listen_to_a_job_hear_the_same_progress_with_its_track(bench: Bench) {
    let job = bench.request("demo:a").await.job;
    let mut listeners = [bench.listen(&job), bench.listen(&job)];
    let (_, lease) = bench.work_on(JobType::Download).await;
    bench.queue.progress(lease, 10, "Playing the demo...").await.unwrap();
    let heard = listeners.each_mut().map(|listener| {
        let deliveries = std::iter::from_fn(|| listener.try_recv());
        deliveries.filter_map(|delivery| delivery.unwrap().get::<JobProgress>().cloned()).collect::<Vec<_>>()
    });
    assert_eq!(heard[0], heard[1]);
    let last = heard[0].last().unwrap();
    assert_eq!((last.job_id, last.track_id), (job.id, job.track_id));
    assert_eq!((last.status, last.progress), (JobStatus::Downloading, 10));
    assert_eq!(last.message, "Playing the demo...");
}

async fn every_row_written_counts_its_revision(bench: Bench) {
    let job = bench.request("demo:a").await.job;
    let (claimed, lease) = bench.work_on(JobType::Download).await;
    bench.queue.progress(lease, 10, "a").await.unwrap();
    let last = bench.complete(lease, downloaded()).await.unwrap();
    assert_eq!([job.revision, claimed.revision, last.revision], [1, 2, 4]);
}

async fn an_end_that_nobody_told_is_found_and_told(bench: Bench) {
    let job = bench.request("demo:a").await.job;
    // The node that wrote the end died before it could tell of it.
    let notices = Notices::new(PubSub::local());
    let other =
        Queue::new(bench.scratch.open().await, Arc::new(bench.clock.clone()), notices, Rules::default());
    let mut ends = Ends::new(bench.queue.clone());
    let mut told = bench.listen(&job);
    let lease = other.claim(JobType::Download).await.unwrap().unwrap().lease().unwrap();
    let finished = Finished { file: "f".to_owned(), file_size: 7, result: downloaded() };
    other.complete(lease, &finished).await.unwrap().unwrap();
    assert_eq!(heard(&mut told).1, [""; 0]);
    assert_eq!(ends.look().await.unwrap(), 1);
    assert_eq!(heard(&mut told), (vec![(JobStatus::Completed, 100)], vec!["completed"]));
    bench.clock.advance(Duration::from_secs(11));
    ends.look().await.unwrap();
    bench.clock.advance(Duration::from_secs(11));
    assert_eq!(ends.look().await.unwrap(), 0, "an old end is no news");
}

async fn a_result_that_was_written_without_an_answer_is_found_when_it_is_written_again(bench: Bench) {
    let job = bench.request("demo:a").await.job;
    let (_, lease) = bench.work_on(JobType::Download).await;
    let first = bench.complete(lease, downloaded()).await.unwrap();
    // The listener missed what the first call told, as its process would have failed to tell it.
    let mut told = bench.listen(&job);
    let again = bench.complete(lease, downloaded()).await.unwrap();
    assert_eq!((again.revision, again.next_job_id), (first.revision, first.next_job_id));
    assert_eq!(heard(&mut told).1, ["completed"]);
    let all = bench.queue.jobs(bench.user, JobFilter::default(), (10, 0)).await.unwrap();
    assert_eq!(all.total, 2, "the next stage was enqueued once");
}

async fn a_clock_that_jumps_costs_a_node_none_of_its_own_jobs(bench: Bench) {
    bench.request("demo:a").await;
    let (_, lease) = bench.work_on(JobType::Download).await;
    bench.clock.advance(Duration::from_secs(3_600));
    assert_eq!(bench.queue.rescue_expired(&[lease]).await.unwrap(), 0);
    assert!(bench.queue.holds(lease).await.unwrap());
}

async fn a_lease_that_was_renewed_since_it_was_seen_is_not_rescued(bench: Bench) {
    bench.request("demo:a").await;
    let (_, lease) = bench.work_on(JobType::Download).await;
    bench.clock.advance(Duration::from_secs(11));
    let seen_at = bench.clock.now();
    bench.queue.renew(&[lease]).await.unwrap();
    let rescued = bench.queue.end_try(lease, Failure::worker_died(), Some(seen_at)).await.unwrap();
    assert!(rescued.is_none());
    assert!(bench.queue.holds(lease).await.unwrap());
}

async fn workers_of_several_nodes_take_each_job_once(bench: Bench) {
    for seed in 0..20 {
        bench.request(&format!("demo:{seed}")).await;
    }
    let nodes = [bench.restarted().await, bench.restarted().await, bench.restarted().await];
    let claims = (0..60).map(|claim| {
        let node = nodes[claim % 3].clone();
        tokio::spawn(async move { node.claim(JobType::Download).await.unwrap() })
    });
    let mut taken = std::collections::HashSet::new();
    for claim in claims.collect::<Vec<_>>() {
        if let Some(job) = claim.await.unwrap() {
            assert_eq!(job.attempt, 1);
            assert!(taken.insert(job.id.to_string()), "taken twice");
        }
    }
    assert_eq!(taken.len(), 20);
}

/// Whoever comes first, nobody waits for another for ever, and no job is left without its track.
async fn the_same_track_asked_for_while_it_is_removed_is_whole_or_gone(bench: Bench) {
    let bench = Arc::new(bench);
    for _ in 0..20 {
        let enqueued = bench.request("demo:a").await;
        let (_, lease) = bench.work_on(JobType::Download).await;
        let (asking, completing) = (bench.clone(), bench.clone());
        let asking = tokio::spawn(async move { asking.request("demo:a").await });
        let completing = tokio::spawn(async move { completing.complete(lease, downloaded()).await });
        bench.queue.delete_track(bench.user, enqueued.job.track_id).await.unwrap();
        let asked = asking.await.unwrap();
        completing.await.unwrap();
        for job in bench.queue.live_jobs().await.unwrap() {
            assert!(bench.queue.store().track(bench.user, job.track_id).await.unwrap().is_some());
            bench.queue.cancel(bench.user, job.id).await.unwrap();
        }
        // The job may have been removed with the track after it was asked for.
        if bench.queue.job(bench.user, asked.job.id).await.unwrap().is_some() {
            bench.queue.delete_track(bench.user, asked.job.track_id).await.unwrap();
        }
    }
}
