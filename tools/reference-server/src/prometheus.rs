//! What the server counts, in Prometheus' text form, for loopback peers alone.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::routing::get;
use bennu::Endpoint;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::admin::loopback;

/// Upper bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 10] = [0.000_01, 0.000_1, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// How often samples are put into their buckets, which bounds the memory they take.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder. Metrics of endpoints that were built before are lost.
pub(crate) fn install() -> anyhow::Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
        .context("the buckets are wrong")?;
    builder.install_recorder().context("metrics cannot be recorded")
}

/// Does the recorder's housekeeping for as long as it is polled.
pub(crate) async fn upkeep(recorder: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        recorder.run_upkeep();
    }
}

pub(crate) fn routes(recorder: PrometheusHandle, endpoint: Endpoint) -> Router {
    Router::new().route("/metrics", get(render)).with_state((recorder, endpoint))
}

async fn render(
    State((recorder, endpoint)): State<(PrometheusHandle, Endpoint)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
) -> Result<String, (StatusCode, String)> {
    loopback(peer)?;
    endpoint.record_backlog();
    Ok(recorder.render())
}
