//! Several nodes of one studio: on one PostgreSQL, one data folder and one engine, all of them real.

use bennu_engines::{NatsServer, Postgres, Process, Proxy, RedisServer};

use crate::server::{Folder, Server};

/// What nodes share.
pub(crate) struct Nodes {
    pub(crate) folder: Folder,
    pub(crate) postgres: Postgres,
    engine: Engine,
}

/// What nodes hear of each other by.
enum Engine {
    Nats(NatsServer),
    Redis(RedisServer),
}

/// Shorter than a deployment's, and still long enough for a machine that is busy with other tests.
const LEASE: &str = "4000";

impl Nodes {
    pub(crate) async fn on_nats() -> Self {
        Self::on(Engine::Nats(NatsServer::start().await.unwrap())).await
    }

    pub(crate) async fn on_redis() -> Self {
        Self::on(Engine::Redis(RedisServer::start().await.unwrap())).await
    }

    async fn on(engine: Engine) -> Self {
        let postgres = Postgres::start().await.unwrap();
        Self { folder: Folder::on(postgres.url()), postgres, engine }
    }

    /// The process behind it, to be killed.
    pub(crate) fn engine(&self) -> &Process {
        match &self.engine {
            Engine::Nats(nats) => nats,
            Engine::Redis(redis) => redis,
        }
    }

    /// Starts a node.
    pub(crate) fn start(&self, name: &str, options: &[&str]) -> Server {
        self.start_on(None, name, options)
    }

    fn start_on(&self, database: Option<&str>, name: &str, options: &[&str]) -> Server {
        let url = match &self.engine {
            Engine::Nats(nats) => nats.url(),
            Engine::Redis(redis) => redis.url(),
        };
        let ours = ["--pubsub", &url, "--node", name, "--lease", LEASE];
        self.folder.serve_on(database, &[&ours, options].concat())
    }

    /// Starts a node whose download tool is this shell script.
    pub(crate) fn start_with_tool(&self, name: &str, script: &str) -> Server {
        let options = self.folder.tool(script);
        self.start(name, &options.each_ref().map(String::as_str))
    }

    /// The same, with this link between it and PostgreSQL.
    pub(crate) fn start_with_tool_behind(&self, link: &Proxy, name: &str, script: &str) -> Server {
        let options = self.folder.tool(script);
        let database = link.url(&self.postgres.url());
        self.start_on(Some(&database), name, &options.each_ref().map(String::as_str))
    }
}
