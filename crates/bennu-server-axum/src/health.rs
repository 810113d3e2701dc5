//! What an operator asks.

use axum::http::header;
use axum::routing::{MethodRouter, get};
use bennu_pubsub::{LinkStatus, Node};
use bennu_server::Endpoint;
use serde::Serialize;

/// What [`health`] answers.
#[derive(Serialize)]
struct Health<'a> {
    /// `degraded` while the engine between the nodes is away.
    status: &'static str,
    node: &'a str,
    /// The other nodes that were heard of lately.
    nodes: Vec<&'a str>,
    /// None without a cluster.
    link: Option<Link<'a>>,
}

#[derive(Serialize)]
struct Link<'a> {
    engine: &'static str,
    state: &'static str,
    /// How long it has been so.
    since_ms: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// A route that says in JSON how the endpoint's node gets on with the others:
///
/// ```json
/// {"status":"degraded","node":"a","nodes":["b"],"link":{"engine":"nats","state":"down","since_ms":1200,"reason":"connection refused"}}
/// ```
///
/// It always answers 200, and `link` is null without a cluster: a node whose engine is away serves its own clients, and all nodes
/// would be taken out at once by a load balancer that went by this. That is what [`readiness`](crate::readiness) is for.
///
/// ```
/// # fn app(endpoint: &bennu_server::Endpoint) -> axum::Router {
/// axum::Router::new().route("/health", bennu_server_axum::health(endpoint))
/// # }
/// ```
pub fn health<S: Clone + Send + Sync + 'static>(endpoint: &Endpoint) -> MethodRouter<S> {
    let endpoint = endpoint.clone();
    get(async move || ([(header::CONTENT_TYPE, "application/json")], json(&endpoint)))
}

fn json(endpoint: &Endpoint) -> String {
    let pubsub = endpoint.pubsub();
    let (status, nodes) = (pubsub.link(), pubsub.nodes());
    let link = match &status {
        LinkStatus::Up { engine, since } => {
            Some(Link { engine, state: "up", since_ms: since.elapsed().as_millis(), reason: None })
        }
        LinkStatus::Down { engine, since, reason } => {
            let since_ms = since.elapsed().as_millis();
            Some(Link { engine, state: "down", since_ms, reason: Some(reason) })
        }
        _ => None,
    };
    let health = Health {
        status: if status.is_down() { "degraded" } else { "ok" },
        node: pubsub.node().as_str(),
        nodes: nodes.iter().map(|Node { name, .. }| name.as_str()).collect(),
        link,
    };
    serde_json::to_string(&health).expect("text and numbers have a form in JSON")
}
