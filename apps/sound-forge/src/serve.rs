//! `sound-forge serve`: puts the studio together, runs it, and takes it apart again.

use std::collections::HashSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bennu::axum::Server;
use bennu::cluster::{self, ClusterOptions, LinkStatus};
use bennu::{DrainOptions, Endpoint, PubSub};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::accounts::{Accounts, Credential};
use crate::channels;
use crate::clock::{Clock, DatabaseClock, Moment, SystemClock};
use crate::config::{Place, PubSubUrl, Secret, ServeConfig};
use crate::data_dir::{DataDir, Lock, Share};
use crate::library::Library;
use crate::pipeline::{Pipeline, Stages};
use crate::providers::Providers;
use crate::providers::http::{AddressPolicy, Anything, Fetcher, PublicOnly, SystemLookup};
use crate::queue::{Ends, Notices, Queue, Rules, Runner};
use crate::rest::Health;
use crate::secret;
use crate::signing::{Signer, cluster_secret};
use crate::store::{Engine, Store, StoreError, file_of_url};
use crate::web::{self, Metrics, Recorder, Studio};

/// How often revocations by other processes are looked for.
const REVOCATION_TICK: Duration = Duration::from_millis(500);
/// How long messages of clients may take to be handled when the server stops.
const FINISH_WITHIN: Duration = Duration::from_secs(2);
/// How long requests and sockets may take to end when the server stops, the drain window apart.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Opens the data folder and its database.
pub(crate) async fn open_store(place: &Place) -> anyhow::Result<(DataDir, Store)> {
    let data = DataDir::open(&place.data)?;
    let store = match &place.database {
        Some(database) => Store::open_url(&database.url)
            .await
            .with_context(|| format!("the database of {} cannot be opened", database.given_by))?,
        None => Store::open_file(&data.database()).await.context("the database cannot be opened")?,
    };
    Ok((data, store))
}

/// Makes sure that no other server has what this one must have for itself.
fn lock(place: &Place) -> anyhow::Result<(Lock, Option<Lock>)> {
    let data = DataDir::open(&place.data)?;
    if place.engine()?.is_shared() {
        return Ok((data.lock(Share::WithOthers)?, None));
    }
    let database = place.database.as_ref().map(|database| file_of_url(&database.url)).transpose()?;
    let folder = data.lock(Share::Alone)?;
    Ok((folder, database.as_deref().map(Lock::of_database).transpose()?))
}

/// One time of day for all who share a database.
async fn clock(store: &Store) -> anyhow::Result<(Arc<dyn Clock>, JoinHandle<()>)> {
    if !store.engine().is_shared() {
        return Ok((Arc::new(SystemClock), tokio::spawn(async {})));
    }
    let clock = DatabaseClock::of(store).await.context("the database does not tell the time")?;
    let clock = Arc::new(clock);
    let (kept, store) = (clock.clone(), store.clone());
    Ok((clock, tokio::spawn(async move { kept.keep(&store).await })))
}

/// Serves until the process is told to stop.
///
/// # Errors
///
/// When the studio cannot be put together: the port is taken, another server has the folder, …
pub async fn run(place: &Place, config: ServeConfig) -> anyhow::Result<()> {
    // Before anything is touched: what another server is working on stays alone.
    let _locks = lock(place)?;
    let (data, store) = open_store(place).await?;
    let (clock, clock_keeper) = clock(&store).await?;
    let recorder = Recorder::install()?;
    let parts = Parts::assemble(&config, data, store.clone(), clock.clone(), recorder.clone()).await?;
    let listener = TcpListener::bind(config.listen);
    let listener = listener.await.with_context(|| format!("{} cannot be listened on", config.listen))?;
    let work = Arc::new(parts.stages.clone());
    let runner = config.workers.then(|| Runner::start(parts.queue.clone(), work));

    // Before anybody is told that the server is there, and might stop it.
    let signal = bennu::axum::stop_signal()?;
    let stop = CancellationToken::new();
    let revocations =
        tokio::spawn(watch_revocations(parts.accounts.clone(), parts.endpoint.clone(), stop.clone()));
    let ends = tokio::spawn(watch_ends(parts.queue.clone()));
    announce(&parts.accounts, listener.local_addr()?, clock.now()).await?;
    let upkeep = tokio::spawn(recorder.upkeep());
    let served = parts.serve(listener, signal, drain_options(config.drain_window)).await;
    upkeep.abort();
    ends.abort();

    if let Some(runner) = runner {
        runner.stop().await;
    }
    stop.cancel();
    clock_keeper.abort();
    // It has no way to fail.
    let _ = revocations.await;
    store.close().await;
    tracing::info!("stopped");
    served
}

/// The pieces of a running studio.
struct Parts {
    queue: Queue,
    stages: Stages,
    accounts: Accounts,
    endpoint: Endpoint,
    studio: Studio,
}

impl Parts {
    async fn assemble(
        config: &ServeConfig,
        data: DataDir,
        store: Store,
        clock: Arc<dyn Clock>,
        recorder: Recorder,
    ) -> anyhow::Result<Self> {
        let secret = match &config.secret {
            Some(Secret(secret)) => secret.clone().into_bytes(),
            None => data.signing_secret()?,
        };
        let pubsub = pubsub(config, &secret)?;
        tell_of_nodes(store.engine(), &pubsub);
        let rules = Rules { retry_delay: config.retry_delay, lease: config.lease, ..Rules::default() };
        let queue = Queue::new(store.clone(), clock.clone(), Notices::new(pubsub.clone()), rules);
        let providers = Arc::new(providers(config)?);
        let pipeline = Arc::new(Pipeline::new(store.clone(), data.clone(), providers.clone()));
        recover(&queue, &pipeline).await?;

        let health = Health::new(store.clone(), pubsub.clone());
        let accounts = Accounts::new(store, Signer::new(&secret), clock);
        let endpoint = channels::endpoint(pubsub, accounts.clone(), queue.clone(), &config.origins)?;
        let library = Library::new(queue.clone(), data, providers, pipeline.clone());
        let metrics = Metrics { recorder, endpoint: endpoint.clone() };
        let studio = Studio { accounts: accounts.clone(), library, metrics, health };
        Ok(Self { queue, stages: Stages(pipeline), accounts, endpoint, studio })
    }

    /// Serves until a signal comes; then ends open requests and sockets.
    async fn serve(
        &self,
        listener: TcpListener,
        signal: impl Future<Output = ()> + Send + 'static,
        drain: DrainOptions,
    ) -> anyhow::Result<()> {
        let app = web::router(self.studio.clone())
            .route("/health/ready", bennu::axum::readiness(&self.endpoint))
            .layer(bennu::axum::sockets(&self.endpoint));
        let server = Server::new(listener, app).shutdown(signal).drain(&self.endpoint, drain);
        server.run().await.context("the server failed")
    }
}

/// What nodes hear of each other by. The engine need not be there yet.
fn pubsub(config: &ServeConfig, secret: &[u8]) -> anyhow::Result<PubSub> {
    let Some(PubSubUrl(url)) = &config.pubsub else { return Ok(PubSub::local()) };
    let secret = cluster_secret(secret);
    // Studios that share an engine have different secrets, and so different names.
    let studio = secret::hash(&secret);
    let mut options = ClusterOptions::new(secret).namespace(format!("sound-forge-{}", &studio[..16]));
    if let Some(node) = &config.node {
        options = options.node(node);
    }
    cluster::pubsub(url, options).context("--pubsub")
}

fn tell_of_nodes(database: Engine, pubsub: &PubSub) {
    let node = pubsub.node().as_str();
    match (database.is_shared(), pubsub.link()) {
        (true, LinkStatus::Local) => {
            tracing::info!(
                "on {}, without --pubsub: other nodes hear of this one's work late",
                database.name()
            );
        }
        (true, _) => tracing::info!(node, "a node on {}", database.name()),
        (false, LinkStatus::Local) => {}
        (false, _) => tracing::warn!(
            "--pubsub is of no use to one node: several need --database postgres://…, which they share"
        ),
    }
}

/// A client that holds its request open, or does not read, does not hold up the end.
fn drain_options(window: Option<Duration>) -> DrainOptions {
    let options = DrainOptions::default().grace(FINISH_WITHIN);
    match window {
        Some(window) => options.window(window).deadline(window + STOP_WITHIN),
        None => options.deadline(STOP_WITHIN),
    }
}

fn providers(config: &ServeConfig) -> anyhow::Result<Providers> {
    let policy: Arc<dyn AddressPolicy> =
        if config.allow_private_urls { Arc::new(Anything) } else { Arc::new(PublicOnly) };
    Ok(Providers {
        import_dir: config.import_dir.clone(),
        command: config.download_command.clone(),
        command_hosts: config.download_command_hosts.clone(),
        http: Fetcher::new(policy, Arc::new(SystemLookup)).context("the HTTP client cannot be set up")?,
        max_bytes: config.max_upload,
    })
}

/// Takes over what an earlier run of the server left: its jobs, and the files it had not finished. Where
/// nodes share the database, only what is old enough to be nobody's.
async fn recover(queue: &Queue, pipeline: &Pipeline) -> anyhow::Result<()> {
    let rescued = queue.rescue_earlier_boots().await?;
    if rescued > 0 {
        tracing::info!(rescued, "jobs of an earlier run go on");
    }
    queue.prune().await?;
    pipeline.sweep_at_start(queue).await
}

/// Tells on standard output where the studio is, and how its owner gets in.
async fn announce(accounts: &Accounts, address: SocketAddr, now: Moment) -> anyhow::Result<()> {
    let link = accounts.store().create_owner_link(now).await?;
    let mut out = std::io::stdout().lock();
    let said = writeln!(out, "listening on http://{address}")
        .and_then(|()| writeln!(out, "log in, once, at http://{}/setup/{}", reachable(address), link.token))
        .and_then(|()| out.flush());
    if let Err(error) = said {
        // Whoever started the server may have closed its end; the studio works all the same.
        tracing::warn!(%error, "standard output is closed; nobody learns the log-in link");
    }
    Ok(())
}

/// Where a browser on this machine finds a server that listens everywhere.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    (std::net::Ipv4Addr::LOCALHOST, address.port()).into()
}

/// Tells this node's listeners of ends that other nodes wrote and that were not heard of.
async fn watch_ends(queue: Queue) {
    if queue.store().engine().is_shared() {
        Ends::new(queue).run().await;
    }
}

/// Drops the sockets of keys that another process revoked. Whichever node sees it first tells the others.
async fn watch_revocations(accounts: Accounts, endpoint: Endpoint, stop: CancellationToken) {
    // Without a first look the keys revoked long ago are dropped once more, which is harmless.
    let mut seen = revoked(&accounts).await.unwrap_or_default();
    let mut ticks = tokio::time::interval(REVOCATION_TICK);
    // A socket whose key was checked just before its revocation registers just after: one more round.
    let mut again = HashSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match revoked(&accounts).await {
            Ok(now) => {
                let fresh: HashSet<Credential> = now.difference(&seen).copied().collect();
                drop_sockets(&endpoint, fresh.union(&again));
                (seen, again) = (now, fresh);
            }
            // The queue tells the log of an outage, once; nothing can be revoked meanwhile.
            Err(error) if error.is_outage() => {}
            Err(error) => tracing::error!(%error, "revocations cannot be looked for"),
        }
    }
}

async fn revoked(accounts: &Accounts) -> Result<HashSet<Credential>, StoreError> {
    Ok(accounts.store().revoked_keys().await?.into_iter().map(Credential::Key).collect())
}

fn drop_sockets<'a>(endpoint: &Endpoint, revoked: impl Iterator<Item = &'a Credential>) {
    for by in revoked {
        endpoint.disconnect(channels::socket_id(*by));
    }
}
