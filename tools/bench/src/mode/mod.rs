//! What can be measured.

mod churn;
mod connect;
mod conns;
mod echo;
mod fanout;
mod mixed;
mod presence;

use clap::Subcommand;
use serde::Serialize;
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

    /// Puts the load on a server that just started.
    fn measure(&self, bench: &mut Bench) -> anyhow::Result<Figures>;
}

/// A mode, whichever it is.
pub(crate) struct Parts<'a> {
    /// Its name in reports.
    pub(crate) name: &'static str,
    pub(crate) load: &'a dyn Load,
    /// What was asked for, flat: runs that have it in common are comparable.
    pub(crate) parameters: Map<String, Value>,
    pub(crate) common: &'a Common,
}

impl Mode {
    pub(crate) fn parts(&self) -> Parts<'_> {
        match self {
            Self::Conns(run) => run.parts("conns"),
            Self::Connect(run) => run.parts("connect"),
            Self::Fanout(run) => run.parts("fanout"),
            Self::Echo(run) => run.parts("echo"),
            Self::Presence(run) => run.parts("presence"),
            Self::Churn(run) => run.parts("churn"),
            Self::Mixed(run) => run.parts("mixed"),
        }
    }
}

impl<L: Load + Serialize + clap::Args> Run<L> {
    fn parts(&self, name: &'static str) -> Parts<'_> {
        let Run { load, common } = self;
        Parts { name, load, parameters: members(load), common }
    }
}

/// The members of what derives `Serialize`, flat.
fn members(load: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(load) {
        Ok(Value::Object(members)) => members,
        other => unreachable!("options are a struct of numbers and text: {other:?}"),
    }
}
