//! The command line of the contract.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bennu::axum::rustls::ServerConfig;
use bennu::cluster::{self, ClusterOptions};
use bennu::presence::{PresenceBuilder, ReplicaOptions};
use bennu::token::SecretKeyBase;
use bennu::{DrainOptions, Endpoint, EndpointBuilder, JoinRefRule, Presence, PubSub, SocketOptions};
use clap::{Parser, ValueEnum};

/// Serves one of the reference applications.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// The application to serve.
    pub(crate) app: App,

    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:4100")]
    pub(crate) listen: SocketAddr,

    /// Name of this node in its cluster, which no other node has; random when absent.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,

    /// What carries messages between nodes: `local` for none, or a nats://, redis:// or zenoh:// URL. All nodes need the same engine and secret.
    #[arg(long, value_name = "URL", default_value = "local")]
    pubsub: String,

    /// Signs long-poll tokens and what crosses between nodes; 20 bytes at least. Random when absent, which no cluster takes.
    #[arg(long, value_name = "TEXT")]
    secret: Option<String>,

    /// How many channels one connection may join.
    #[arg(long, value_name = "N", default_value_t = 100)]
    max_channels: u16,

    /// Milliseconds after which a node tells the others what changed in presence; 1500 when absent.
    #[arg(long, value_name = "MS")]
    presence_period: Option<u64>,

    /// Milliseconds of silence after which a node counts as down and its presences leave; 30000 when absent.
    #[arg(long, value_name = "MS")]
    presence_down: Option<u64>,

    /// Milliseconds of silence after which what is known of a node is forgotten; 1200000 when absent.
    #[arg(long, value_name = "MS")]
    presence_permdown: Option<u64>,

    /// Milliseconds over which connections are closed on SIGTERM; one for each connection, 10000 at most, when absent.
    #[arg(long, value_name = "MS")]
    drain_window: Option<u64>,

    /// Accept a message only with the join's own join_ref or null, as Phoenix 1.8.12 does.
    #[arg(long)]
    strict_join_ref: bool,

    /// Serve over TLS with this chain of certificates, a PEM file; the metrics and the admin routes too.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The private key of the first certificate, a PEM file.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// The applications of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum App {
    /// For the conformance checklist.
    Checklist,
    /// For replaying transcripts of a real server; its `/live` comes with LiveView.
    Transcripts,
    /// For clients that others wrote.
    Clients,
    /// For load.
    Bench,
}

impl Options {
    /// What carries messages, between nodes too if it is asked for. Within a runtime.
    pub(crate) fn pubsub(&self) -> anyhow::Result<PubSub> {
        if self.pubsub == "local" {
            return Ok(PubSub::local());
        }
        let secret = self.secret.as_deref().context(
            "--pubsub needs --secret: nodes know each other by the secret that they share, and with random ones \
             they would be strangers",
        )?;
        let options = ClusterOptions::new(secret);
        let options = match &self.node {
            Some(name) => options.node(name),
            None => options,
        };
        cluster::pubsub(&self.pubsub, options).context("--pubsub")
    }

    /// How to speak TLS, if asked to.
    pub(crate) fn tls(&self) -> anyhow::Result<Option<ServerConfig>> {
        let Some((chain, key)) = self.tls_cert.as_deref().zip(self.tls_key.as_deref()) else {
            return Ok(None);
        };
        crate::tls::config(chain, key).map(Some)
    }

    /// Who is there, on all nodes.
    pub(crate) fn presence(&self, pubsub: &PubSub) -> anyhow::Result<PresenceBuilder> {
        let mut replica = ReplicaOptions::default().permdown_on_shutdown(true);
        if let Some(period) = self.presence_period {
            replica = replica.broadcast_period(Duration::from_millis(period));
        }
        if let Some(down) = self.presence_down {
            replica = replica.down_period(Duration::from_millis(down));
            // So that an idle node is heard three times before it counts as down, as it is in the times that are given otherwise.
            let periods = down / self.presence_period.unwrap_or(1_500).max(1);
            replica = replica.max_silent_periods(u32::try_from(periods / 3).unwrap_or(10).clamp(1, 10));
        }
        if let Some(permdown) = self.presence_permdown {
            replica = replica.permdown_period(Duration::from_millis(permdown));
        }
        Presence::builder(pubsub.clone()).replication(replica).context("the periods of presence")
    }

    /// What every application builds on.
    pub(crate) fn endpoint(&self, pubsub: PubSub) -> anyhow::Result<EndpointBuilder> {
        let builder = Endpoint::builder(pubsub);
        Ok(match &self.secret {
            Some(secret) => builder.secret_key_base(SecretKeyBase::new(secret).context("--secret")?),
            None => builder,
        })
    }

    /// How connections are closed on SIGTERM: the deadline is for those that do not end by themselves.
    pub(crate) fn drain(&self) -> DrainOptions {
        let options = DrainOptions::default();
        let Some(window) = self.drain_window.map(Duration::from_millis) else { return options };
        options.window(window).deadline(options.deadline.max(window + 2 * options.grace))
    }

    /// The options that all mounts have in common.
    pub(crate) fn socket(&self) -> SocketOptions {
        let rule = if self.strict_join_ref { JoinRefRule::Strict } else { JoinRefRule::Lenient };
        SocketOptions::default().max_channels(self.max_channels).join_ref_rule(rule)
    }
}
