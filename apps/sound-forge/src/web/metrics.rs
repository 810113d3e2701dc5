//! What the server counts, in Prometheus' text form, for whoever has an API key.

use std::fmt;
use std::time::Duration;

use axum::extract::State;
use bennu::Endpoint;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::Caller;

/// Upper bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 10] = [0.000_01, 0.000_1, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// How often samples are put into their buckets, which bounds the memory they take.
const UPKEEP: Duration = Duration::from_secs(5);

/// The process's recorder.
#[derive(Clone)]
pub struct Recorder(PrometheusHandle);

/// What `/metrics` is made from.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Where everything is counted.
    pub recorder: Recorder,
    /// Whose queues are measured when somebody looks.
    pub endpoint: Endpoint,
}

impl Recorder {
    /// Makes it the process's recorder; to be done once, before any endpoint is built.
    ///
    /// # Errors
    ///
    /// When there is one already.
    pub fn install() -> Result<Self, BuildError> {
        let durations = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(durations, &BUCKETS)?;
        builder.install_recorder().map(Self)
    }

    /// Does the housekeeping for as long as it is polled.
    pub async fn upkeep(self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.0.run_upkeep();
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

pub(super) async fn render(_: Caller, State(metrics): State<Metrics>) -> String {
    metrics.endpoint.record_backlog();
    metrics.recorder.0.render()
}
