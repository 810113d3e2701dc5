//! `/health`: whether the studio can do its work, for load balancers and people.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bennu::PubSub;
use bennu::cluster::LinkStatus;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::store::Store;

/// What is looked at. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    store: Store,
    pubsub: PubSub,
    /// When the database was asked last, and whether it answered.
    asked: Arc<Mutex<Option<(Instant, bool)>>>,
}

/// Anybody may ask for the health, and the database is asked no more often than this.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A database that takes longer is away.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

impl Health {
    /// The health of a studio on this database, whose nodes hear of each other by this PubSub.
    pub fn new(store: Store, pubsub: PubSub) -> Self {
        Self { store, pubsub, asked: Arc::default() }
    }

    async fn database_answers(&self) -> bool {
        let mut asked = self.asked.lock().await;
        if let Some((when, answered)) = *asked
            && when.elapsed() < ASK_EVERY
        {
            return answered;
        }
        let answered = tokio::time::timeout(ANSWER_WITHIN, self.store.time()).await;
        let answered = answered.is_ok_and(|time| time.is_ok());
        *asked = Some((Instant::now(), answered));
        answered
    }

    /// The engine between the nodes, and since how many seconds it is away, if it is.
    fn link(&self) -> (&'static str, Option<u64>) {
        match self.pubsub.link() {
            LinkStatus::Up { engine, .. } => (engine, None),
            LinkStatus::Down { engine, since, .. } => (engine, Some(since.elapsed().as_secs())),
            // `LinkStatus` may grow.
            _ => ("local", None),
        }
    }

    async fn report(&self) -> (StatusCode, Value) {
        let database_is_up = self.database_answers().await;
        let (engine, away) = self.link();
        let mut reasons = Vec::new();
        if !database_is_up {
            reasons.push(format!(
                "{} does not answer: nothing can be read, and jobs wait",
                self.store.engine().name()
            ));
        }
        if let Some(seconds) = away {
            reasons.push(format!(
                "{engine} has been away for {seconds} s: nodes do not hear of each other at once"
            ));
        }
        let (code, status) = match (database_is_up, away) {
            (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            (true, Some(_)) => (StatusCode::OK, "degraded"),
            (true, None) => (StatusCode::OK, "ok"),
        };
        let state = |is_up| if is_up { "up" } else { "down" };
        let report = json!({
            "status": status,
            "reasons": reasons,
            "version": env!("CARGO_PKG_VERSION"),
            "node": self.pubsub.node().as_str(),
            "database": { "engine": self.store.engine().name(), "status": state(database_is_up) },
            "pubsub": { "engine": engine, "status": state(away.is_none()), "other_nodes": self.pubsub.nodes().len() },
        });
        (code, report)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Health")
    }
}

pub(super) async fn show(State(health): State<Health>) -> Response {
    let (code, report) = health.report().await;
    let mut body = json!({ "data": report });
    if !code.is_success() {
        body["error"] = json!("the studio's database is away");
        body["code"] = json!("database_unavailable");
    }
    (code, Json(body)).into_response()
}
