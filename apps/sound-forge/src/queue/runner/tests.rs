//! The workers, with work made for the purpose.

use std::sync::atomic::{AtomicUsize, Ordering};

use bennu::{PubSub, Subscription};
use bennu_engines::Proxy;
use tokio::time::Instant;

use crate::clock::SystemClock;
use crate::data_dir::DataDir;
use crate::providers::Source;
use crate::queue::{
    JobCompleted, JobFailed, JobInput, JobProgress, JobStatus, Notices, StageResult, TrackCreated, job_topic,
};
use crate::store::scratch::Scratch;
use crate::store::{Engine, NewTrack, Store, Summary};

use super::*;

/// Does what a test says, and counts.
struct Scripted {
    data: DataDir,
    script: Script,
    tries: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
enum Script {
    /// Panics at every try.
    Panic,
    /// Reports a thousand steps at once, then is done.
    Hurry,
    /// Works until it is told to stop.
    Forever,
}

impl Work for Scripted {
    fn perform(&self, job: Job, progress: Progress) -> BoxFuture<'static, Result<WorkOutput, WorkError>> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        let (script, data) = (self.script, self.data.clone());
        Box::pin(async move {
            let folder = data.temp_folder(job.lease_token.unwrap()).unwrap();
            std::fs::write(folder.file("f"), "half").unwrap();
            match script {
                Script::Panic => panic!("boom"),
                Script::Hurry => {
                    (0..1_000).try_for_each(|step| progress.report(f64::from(step) / 1e3, "Working"))?
                }
                Script::Forever => {
                    progress.report(0.5, "Working")?;
                    progress.stopped().await;
                    progress.check()?;
                }
            }
            let result = StageResult::Analysis(Summary::default());
            Ok(WorkOutput { folder, finished: Finished { file: "f".to_owned(), file_size: 4, result } })
        })
    }

    fn publish(&self, output: &WorkOutput, kind: OutputKind, token: LeaseToken) -> std::io::Result<()> {
        self.data.publish(&output.folder, kind, token)
    }

    fn remove(&self, kind: OutputKind, token: LeaseToken) {
        self.data.remove(kind, token);
    }

    fn ended(&self, _: &Job) {}

    fn sweep<'a>(&'a self, _: &'a Queue) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// A queue with one analysis in it, and a runner on it.
struct Bench {
    queue: Queue,
    runner: Runner,
    job: Job,
    told: Subscription,
    tries: Arc<AtomicUsize>,
    root: tempfile::TempDir,
}

impl Bench {
    async fn new(script: Script) -> Self {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::open(root.path()).unwrap();
        let store = Store::open_file(&data.database()).await.unwrap();
        let pubsub = PubSub::local();
        let rules = Rules { retry_delay: Duration::from_millis(1), ..Rules::default() };
        let queue = Queue::new(store, Arc::new(SystemClock), Notices::new(pubsub.clone()), rules);
        let job = analysis(&queue, &pubsub).await;
        let told = pubsub.subscribe(job_topic(job.id));
        let tries = Arc::new(AtomicUsize::new(0));
        let work = Arc::new(Scripted { data, script, tries: tries.clone() });
        let runner = Runner::start(queue.clone(), work);
        Self { queue, runner, job, told, tries, root }
    }

    /// What was told up to the end, and the error, if that was the end.
    async fn until_the_end(&mut self) -> (Vec<JobProgress>, Option<String>) {
        let mut progress = Vec::new();
        loop {
            let delivery = self.told.recv().await.unwrap();
            progress.extend(delivery.get::<JobProgress>().cloned());
            if let Some(failed) = delivery.get::<JobFailed>() {
                return (progress, Some(failed.error.clone()));
            }
            if delivery.get::<JobCompleted>().is_some() {
                return (progress, None);
            }
        }
    }

    fn entries(&self, folder: &str) -> usize {
        std::fs::read_dir(self.root.path().join(folder)).unwrap().count()
    }
}

/// An analysis of a track that has nothing else; the download is taken away first.
async fn analysis(queue: &Queue, pubsub: &PubSub) -> Job {
    let mut tracks = pubsub.subscribe(crate::queue::TRACKS_TOPIC);
    let user = queue.store().owner(queue.now()).await.unwrap().id;
    let track = NewTrack { user_id: user, title: "t".to_owned(), source_url: "demo:".to_owned() };
    let input = JobInput::Download { source: Source::Demo { url: "demo:".to_owned() } };
    let download = queue.enqueue_download(&track, input).await.unwrap().job;
    queue.cancel(user, download.id).await.unwrap();
    let created = tracks.recv().await.unwrap();
    let track_id = created.get::<TrackCreated>().unwrap().track.id;
    let input = JobInput::Analysis { features: Vec::new() };
    queue.enqueue(&crate::queue::NewJob { user_id: user, track_id, input }).await.unwrap().unwrap().job
}

#[tokio::test]
async fn a_panic_in_a_stage_is_a_failed_try() {
    let mut bench = Bench::new(Script::Panic).await;
    let (progress, error) = bench.until_the_end().await;
    assert_eq!(error.as_deref(), Some("the stage crashed: boom"));
    assert_eq!(bench.tries.load(Ordering::SeqCst), 2);
    assert!(progress.iter().any(|p| p.message == "Try 1 of 2 failed: the stage crashed: boom"));
    assert_eq!((bench.entries("tmp"), bench.entries("analysis")), (0, 0));
    bench.runner.stop().await;
}

#[tokio::test]
async fn a_thousand_reports_at_once_are_few_messages() {
    let mut bench = Bench::new(Script::Hurry).await;
    let (progress, error) = bench.until_the_end().await;
    assert_eq!(error, None);
    assert!(progress.len() <= 4, "{progress:?}");
    assert_eq!(progress.last().unwrap().status, JobStatus::Completed);
    assert_eq!((bench.entries("tmp"), bench.entries("analysis")), (0, 1));
    bench.runner.stop().await;
}

#[tokio::test]
async fn a_cancelled_job_frees_its_worker_and_leaves_nothing() {
    let mut bench = Bench::new(Script::Forever).await;
    while bench.told.recv().await.unwrap().get::<JobProgress>().unwrap().progress < 50 {}
    bench.queue.cancel(bench.job.user_id, bench.job.id).await.unwrap();
    let (_, error) = bench.until_the_end().await;
    assert_eq!(error.as_deref(), Some("cancelled"));
    // The supervisor looks twice a second.
    while bench.entries("tmp") > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.entries("analysis"), 0);
    bench.runner.stop().await;
}

#[tokio::test]
async fn a_stop_gives_the_job_back_untried() {
    let mut bench = Bench::new(Script::Forever).await;
    while bench.told.recv().await.unwrap().get::<JobProgress>().unwrap().progress < 50 {}
    let (queue, job) = (bench.queue.clone(), bench.job.clone());
    bench.runner.stop().await;
    let job = queue.job(job.user_id, job.id).await.unwrap().unwrap();
    assert_eq!((job.status, job.attempt, job.lease_token), (JobStatus::Queued, 0, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_rescued_as_soon_as_a_database_goes_on_that_stood_still() {
    let scratch = Scratch::new(Engine::Postgres).await;
    let address = scratch.url.split(['@', '/']).nth(3).unwrap().parse().unwrap();
    let link = Proxy::start(address).await.unwrap();
    let pubsub = PubSub::local();
    let queue = |store: Store, lease: u64| {
        let rules = Rules { lease: Duration::from_millis(lease), ..Rules::default() };
        Queue::new(store, Arc::new(SystemClock), Notices::new(pubsub.clone()), rules)
    };
    let owner = queue(scratch.open().await, 100);
    let other = queue(Store::open_url(&link.url(&scratch.url)).await.unwrap(), 3_000);
    analysis(&owner, &pubsub).await;
    let lease = owner.claim(JobType::Analysis).await.unwrap().unwrap().lease().unwrap();
    let root = tempfile::tempdir().unwrap();
    let data = DataDir::open(root.path()).unwrap();
    let work = Arc::new(Scripted { data, script: Script::Hurry, tries: Arc::default() });
    let running = Running::default();
    // What it asks for before it looks for others' jobs.
    running.begin(Lease { token: LeaseToken::random(), ..lease });
    let mut supervisor = Supervisor::new(other, work, running);
    let long_ago = || Instant::now().checked_sub(Duration::from_secs(3)).unwrap();

    supervisor.in_touch_since = long_ago();
    link.freeze();
    let thaw = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        link.heal();
    };
    tokio::join!(supervisor.tick(), thaw);
    assert!(owner.holds(lease).await.unwrap(), "its owner could not renew either");

    // Once that would have been possible, it is rescued.
    supervisor.in_touch_since = long_ago();
    supervisor.tick().await;
    assert!(!owner.holds(lease).await.unwrap());
}
