//! What can be measured.

mod churn;
mod connect;
mod conns;
mod echo;
mod fanout;
mod mixed;
mod presence;

use clap::Subcommand;
use serde_json::{Map, Value};

use crate::bench::Bench;
use crate::figures::Figures;
use crate::options::Common;
use crate::protocol::Purpose;
use crate::topics::Topics;

/// One kind of load, and how much of it.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Mode {
    /// Memory of connections and joins, at rest and after traffic.
    Conns(Run<conns::Conns>),
    /// The cost of connecting and joining.
    Connect(Run<connect::Connect>),
    /// Broadcasts to many subscribers of one topic.
    Fanout(Run<fanout::Fanout>),
    /// A message and its reply, one at a time on each connection.
    Echo(Run<echo::Echo>),
    /// Clients of one presence topic, who come and go.
    Presence(Run<presence::Presence>),
    /// Connections that come and go while others receive broadcasts.
    Churn(Run<churn::Churn>),
    /// Users who each have a topic of their own and one that all share.
    Mixed(Run<mixed::Mixed>),
}

/// A load, and what it is put on.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Run<L: clap::Args> {
    #[command(flatten)]
    load: L,
    #[command(flatten)]
    common: Common,
}

/// A kind of load.
pub(crate) trait Load {
    /// What its connections are for.
    fn purpose(&self) -> Purpose;

    /// The topics that they join.
    fn topics(&self) -> Topics;

    /// What was asked for, flat: runs that have it in common are comparable.
    fn parameters(&self) -> Map<String, Value>;

    /// Puts the load on a server that just started.
    fn measure(&self, bench: &mut Bench) -> anyhow::Result<Figures>;
}

impl Mode {
    /// Its name in reports, its load, and the rest.
    pub(crate) fn parts(&self) -> (&'static str, &dyn Load, &Common) {
        match self {
            Self::Conns(Run { load, common }) => ("conns", load, common),
            Self::Connect(Run { load, common }) => ("connect", load, common),
            Self::Fanout(Run { load, common }) => ("fanout", load, common),
            Self::Echo(Run { load, common }) => ("echo", load, common),
            Self::Presence(Run { load, common }) => ("presence", load, common),
            Self::Churn(Run { load, common }) => ("churn", load, common),
            Self::Mixed(Run { load, common }) => ("mixed", load, common),
        }
    }
}

/// The members of what derives `Serialize`, flat.
fn members(load: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(load) {
        Ok(Value::Object(members)) => members,
        other => unreachable!("options are a struct of numbers and text: {other:?}"),
    }
}
