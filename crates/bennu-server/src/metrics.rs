//! What a server counts and measures, through the `metrics` facade.
//!
//! Labels are bounded: paths of mounts, patterns of routes, and the words listed in
//! [`METRICS`]. No topic, event, id or address ever becomes one.

use std::time::Duration;

use bennu_protocol::websocket::close;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::socket::TransportKind;

/// A metric that servers of this crate record.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// As the recorder gets it.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricKind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it means, in one sentence.
    pub description: &'static str,
    /// Phoenix's telemetry event of the same meaning.
    pub telemetry: Option<&'static str>,
}

/// How a [`Metric`] is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Grows only.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution; all of ours are durations in seconds.
    Histogram,
}

const CONNECTS: &str = "bennu_connects_total";
const CONNECT_SECONDS: &str = "bennu_connect_duration_seconds";
const CONNECTIONS: &str = "bennu_connections";
const DISCONNECTS: &str = "bennu_disconnects_total";
const JOINS: &str = "bennu_joins_total";
const JOIN_SECONDS: &str = "bennu_join_duration_seconds";
const RECOVERIES: &str = "bennu_recoveries_total";
const CHANNELS: &str = "bennu_channels";
const HANDLE_IN_SECONDS: &str = "bennu_handle_in_duration_seconds";
const CRASHES: &str = "bennu_crashes_total";
const RECEIVED_FRAMES: &str = "bennu_received_frames_total";
const RECEIVED_BYTES: &str = "bennu_received_bytes_total";
const SENT_FRAMES: &str = "bennu_sent_frames_total";
const SENT_BYTES: &str = "bennu_sent_bytes_total";
const DROPPED_FRAMES: &str = "bennu_dropped_frames_total";
const SLOW_READERS: &str = "bennu_slow_readers_total";
const DROPPED_BROADCASTS: &str = "bennu_dropped_broadcasts_total";
const BROADCASTS: &str = "bennu_broadcasts_total";
const LOST_BROADCASTS: &str = "bennu_shard_lost_broadcasts_total";
const BACKLOG_BYTES: &str = "bennu_backlog_bytes";
const BACKLOG_MAX_BYTES: &str = "bennu_backlog_max_bytes";

const MOUNT: &[&str] = &["mount", "transport"];
const CHANNEL: &[&str] = &["mount", "channel"];

/// Every metric, for documentation and for checks.
pub const METRICS: &[Metric] = &[
    Metric {
        name: CONNECTS,
        kind: MetricKind::Counter,
        labels: &["mount", "transport", "result"],
        description: "Attempts to connect; result is ok, refused (by the socket), failed (an error or a panic in connect) or rejected (origin, version, sub-protocol or the request itself).",
        telemetry: Some("[:phoenix, :socket_connected]"),
    },
    Metric {
        name: CONNECT_SECONDS,
        kind: MetricKind::Histogram,
        labels: MOUNT,
        description: "How long the socket's connect took, accepted or refused.",
        telemetry: Some("[:phoenix, :socket_connected], duration"),
    },
    Metric {
        name: CONNECTIONS,
        kind: MetricKind::Gauge,
        labels: MOUNT,
        description: "Open connections.",
        telemetry: None,
    },
    Metric {
        name: DISCONNECTS,
        kind: MetricKind::Counter,
        labels: &["mount", "transport", "cause"],
        description: "Connections that ended; cause is client (it closed), gone (without a close), idle, slow (1013), disconnect (1001), drain (1012), expired (4401), protocol (1002, 1007, 1009), error (1011) or other.",
        telemetry: Some("[:phoenix, :socket_drain], count"),
    },
    Metric {
        name: JOINS,
        kind: MetricKind::Counter,
        labels: &["mount", "channel", "result"],
        description: "Joins that a channel answered; result is ok, refused or crashed.",
        telemetry: Some("[:phoenix, :channel_joined]"),
    },
    Metric {
        name: JOIN_SECONDS,
        kind: MetricKind::Histogram,
        labels: CHANNEL,
        description: "How long a channel's join took, accepted or refused.",
        telemetry: Some("[:phoenix, :channel_joined], duration"),
    },
    Metric {
        name: RECOVERIES,
        kind: MetricKind::Counter,
        labels: &["mount", "channel", "result"],
        description: "Joins that asked for what was missed; result is recovered or lost.",
        telemetry: None,
    },
    Metric {
        name: CHANNELS,
        kind: MetricKind::Gauge,
        labels: CHANNEL,
        description: "Joined channels.",
        telemetry: None,
    },
    Metric {
        name: HANDLE_IN_SECONDS,
        kind: MetricKind::Histogram,
        labels: CHANNEL,
        description: "How long handle_in took; its count is the number of messages handled.",
        telemetry: Some("[:phoenix, :channel_handled_in], duration"),
    },
    Metric {
        name: CRASHES,
        kind: MetricKind::Counter,
        labels: &["mount", "channel", "during"],
        description: "Errors and panics of a channel; during is join, handler or terminate.",
        telemetry: None,
    },
    Metric {
        name: RECEIVED_FRAMES,
        kind: MetricKind::Counter,
        labels: MOUNT,
        description: "Messages from clients, heartbeats and joins included.",
        telemetry: None,
    },
    Metric {
        name: RECEIVED_BYTES,
        kind: MetricKind::Counter,
        labels: MOUNT,
        description: "Bytes of these messages, without the transport's framing.",
        telemetry: None,
    },
    Metric {
        name: SENT_FRAMES,
        kind: MetricKind::Counter,
        labels: MOUNT,
        description: "Messages handed to the transport.",
        telemetry: None,
    },
    Metric {
        name: SENT_BYTES,
        kind: MetricKind::Counter,
        labels: MOUNT,
        description: "Bytes of these messages.",
        telemetry: None,
    },
    Metric {
        name: DROPPED_FRAMES,
        kind: MetricKind::Counter,
        labels: MOUNT,
        description: "Messages that never left: those that waited for a client which read too slowly and was disconnected, those that a policy for slow readers dropped, and binary ones on long polling.",
        telemetry: None,
    },
    Metric {
        name: SLOW_READERS,
        kind: MetricKind::Counter,
        labels: &["mount", "channel", "policy"],
        description: "How often a client fell so far behind that the channel's policy for slow readers was used, once until it has caught up; policy is disconnect, drop_oldest or keep_latest.",
        telemetry: None,
    },
    Metric {
        name: DROPPED_BROADCASTS,
        kind: MetricKind::Counter,
        labels: &["mount", "channel", "policy"],
        description: "Broadcasts that such a policy dropped, older values of a key included, while the connection stayed open.",
        telemetry: None,
    },
    Metric {
        name: BROADCASTS,
        kind: MetricKind::Counter,
        labels: &[],
        description: "Broadcasts made through the endpoint or one of its channels.",
        telemetry: None,
    },
    Metric {
        name: LOST_BROADCASTS,
        kind: MetricKind::Counter,
        labels: &[],
        description: "Broadcasts for which a shard had no room, once for each shard: a handler blocked its thread, or it could not keep up. The channels concerned end, or their connections with 1013.",
        telemetry: None,
    },
    Metric {
        name: BACKLOG_BYTES,
        kind: MetricKind::Gauge,
        labels: &[],
        description: "Queue depth: bytes that wait for all clients together; set by Endpoint::record_backlog.",
        telemetry: None,
    },
    Metric {
        name: BACKLOG_MAX_BYTES,
        kind: MetricKind::Gauge,
        labels: &[],
        description: "Queue depth of the client for which most bytes wait; set by Endpoint::record_backlog.",
        telemetry: None,
    },
];

/// Tells the recorder what the metrics mean, those of the link between nodes among them.
pub(crate) fn describe() {
    for (name, description) in bennu_pubsub::METRICS {
        match name.ends_with("_total") {
            true => metrics::describe_counter!(name, description),
            false => metrics::describe_gauge!(name, description),
        }
    }
    for Metric { name, kind, description, .. } in METRICS {
        match kind {
            MetricKind::Counter => metrics::describe_counter!(*name, *description),
            MetricKind::Gauge => metrics::describe_gauge!(*name, *description),
            MetricKind::Histogram => {
                metrics::describe_histogram!(*name, metrics::Unit::Seconds, *description);
            }
        }
    }
}

/// What concerns no mount.
pub(crate) struct EndpointMetrics {
    pub(crate) broadcasts: Counter,
    pub(crate) lost_broadcasts: Counter,
    backlog: Gauge,
    backlog_max: Gauge,
}

impl EndpointMetrics {
    pub(crate) fn new() -> Self {
        EndpointMetrics {
            broadcasts: counter!(BROADCASTS),
            lost_broadcasts: counter!(LOST_BROADCASTS),
            backlog: gauge!(BACKLOG_BYTES),
            backlog_max: gauge!(BACKLOG_MAX_BYTES),
        }
    }

    pub(crate) fn record_backlog(&self, backlogs: impl Iterator<Item = usize>) {
        let (sum, max) = backlogs.fold((0, 0), |(sum, max), bytes| (sum + bytes, bytes.max(max)));
        self.backlog.set(sum as f64);
        self.backlog_max.set(max as f64);
    }
}

/// The metrics of one mount, made once: nothing is looked up by name afterwards.
pub(crate) struct MountMetrics {
    websocket: TransportMetrics,
    longpoll: TransportMetrics,
    routes: Vec<RouteMetrics>,
}

impl MountMetrics {
    pub(crate) fn new<'a>(mount: &str, routes: impl Iterator<Item = (&'a str, &'static str)>) -> Self {
        MountMetrics {
            websocket: TransportMetrics::new(mount, TransportKind::WebSocket),
            longpoll: TransportMetrics::new(mount, TransportKind::LongPoll),
            routes: routes.map(|(pattern, policy)| RouteMetrics::new(mount, pattern, policy)).collect(),
        }
    }

    pub(crate) fn transport(&self, kind: TransportKind) -> &TransportMetrics {
        match kind {
            TransportKind::WebSocket => &self.websocket,
            TransportKind::LongPoll => &self.longpoll,
        }
    }

    /// `index` is that of a route of the mount.
    pub(crate) fn route(&self, index: usize) -> &RouteMetrics {
        &self.routes[index]
    }
}

/// How an attempt to connect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectResult {
    Ok,
    Refused,
    Failed,
    Rejected,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Client,
    Gone,
    Idle,
    Slow,
    Disconnect,
    Drain,
    Expired,
    Protocol,
    Error,
    Other,
}

impl ConnectResult {
    const ALL: [Self; 4] = [Self::Ok, Self::Refused, Self::Failed, Self::Rejected];

    fn as_str(self) -> &'static str {
        match self {
            ConnectResult::Ok => "ok",
            ConnectResult::Refused => "refused",
            ConnectResult::Failed => "failed",
            ConnectResult::Rejected => "rejected",
        }
    }
}

impl Cause {
    const ALL: [Self; 10] = [
        Self::Client,
        Self::Gone,
        Self::Idle,
        Self::Slow,
        Self::Disconnect,
        Self::Drain,
        Self::Expired,
        Self::Protocol,
        Self::Error,
        Self::Other,
    ];

    /// For the code with which the server closed.
    pub(crate) fn of_close_code(code: u16) -> Self {
        match code {
            close::GOING_AWAY => Cause::Disconnect,
            close::SERVICE_RESTART => Cause::Drain,
            close::CREDENTIAL_EXPIRED => Cause::Expired,
            close::TRY_AGAIN_LATER => Cause::Slow,
            close::INTERNAL_ERROR => Cause::Error,
            close::PROTOCOL_ERROR | close::INVALID_PAYLOAD | close::TOO_LARGE => Cause::Protocol,
            _ => Cause::Other,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Cause::Client => "client",
            Cause::Gone => "gone",
            Cause::Idle => "idle",
            Cause::Slow => "slow",
            Cause::Disconnect => "disconnect",
            Cause::Drain => "drain",
            Cause::Expired => "expired",
            Cause::Protocol => "protocol",
            Cause::Error => "error",
            Cause::Other => "other",
        }
    }
}

/// What is counted apart for each transport.
pub(crate) struct TransportMetrics {
    pub(crate) connections: Gauge,
    pub(crate) received_frames: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_frames: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) dropped_frames: Counter,
    connects: [Counter; ConnectResult::ALL.len()],
    connect_seconds: Histogram,
    disconnects: [Counter; Cause::ALL.len()],
}

impl TransportMetrics {
    fn new(mount: &str, transport: TransportKind) -> Self {
        let labels = [("mount", mount.to_owned()), ("transport", transport.as_str().to_owned())];
        let connects = ConnectResult::ALL.map(|result| {
            let (mount, transport) = (mount.to_owned(), transport.as_str());
            counter!(CONNECTS, "mount" => mount, "transport" => transport, "result" => result.as_str())
        });
        let disconnects = Cause::ALL.map(|cause| {
            let (mount, transport) = (mount.to_owned(), transport.as_str());
            counter!(DISCONNECTS, "mount" => mount, "transport" => transport, "cause" => cause.as_str())
        });
        TransportMetrics {
            connects,
            disconnects,
            connections: gauge!(CONNECTIONS, &labels),
            received_frames: counter!(RECEIVED_FRAMES, &labels),
            received_bytes: counter!(RECEIVED_BYTES, &labels),
            sent_frames: counter!(SENT_FRAMES, &labels),
            sent_bytes: counter!(SENT_BYTES, &labels),
            dropped_frames: counter!(DROPPED_FRAMES, &labels),
            connect_seconds: histogram!(CONNECT_SECONDS, &labels),
        }
    }

    pub(crate) fn connect(&self, result: ConnectResult) {
        self.connects[result as usize].increment(1);
    }

    pub(crate) fn disconnect(&self, cause: Cause) {
        self.disconnects[cause as usize].increment(1);
    }

    pub(crate) fn connect_took(&self, duration: Duration) {
        self.connect_seconds.record(duration);
    }
}

/// What is counted apart for each channel type of a mount.
pub(crate) struct RouteMetrics {
    pub(crate) channels: Gauge,
    pub(crate) joins_ok: Counter,
    pub(crate) joins_refused: Counter,
    pub(crate) joins_crashed: Counter,
    pub(crate) recovered: Counter,
    pub(crate) not_recovered: Counter,
    pub(crate) crashes_in_join: Counter,
    pub(crate) crashes_in_handler: Counter,
    pub(crate) crashes_in_terminate: Counter,
    pub(crate) slow_readers: Counter,
    pub(crate) dropped_broadcasts: Counter,
    join_seconds: Histogram,
    handle_in_seconds: Histogram,
}

impl RouteMetrics {
    fn new(mount: &str, pattern: &str, policy: &'static str) -> Self {
        let labels = [("mount", mount.to_owned()), ("channel", pattern.to_owned())];
        let joins = |result: &'static str| counter!(JOINS, "mount" => mount.to_owned(), "channel" => pattern.to_owned(), "result" => result);
        let crashes = |during: &'static str| counter!(CRASHES, "mount" => mount.to_owned(), "channel" => pattern.to_owned(), "during" => during);
        let recoveries = |result: &'static str| counter!(RECOVERIES, "mount" => mount.to_owned(), "channel" => pattern.to_owned(), "result" => result);
        let slow = |name| counter!(name, "mount" => mount.to_owned(), "channel" => pattern.to_owned(), "policy" => policy);
        RouteMetrics {
            slow_readers: slow(SLOW_READERS),
            dropped_broadcasts: slow(DROPPED_BROADCASTS),
            recovered: recoveries("recovered"),
            not_recovered: recoveries("lost"),
            channels: gauge!(CHANNELS, &labels),
            joins_ok: joins("ok"),
            joins_refused: joins("refused"),
            joins_crashed: joins("crashed"),
            crashes_in_join: crashes("join"),
            crashes_in_handler: crashes("handler"),
            crashes_in_terminate: crashes("terminate"),
            join_seconds: histogram!(JOIN_SECONDS, &labels),
            handle_in_seconds: histogram!(HANDLE_IN_SECONDS, &labels),
        }
    }

    pub(crate) fn join_took(&self, duration: Duration) {
        self.join_seconds.record(duration);
    }

    pub(crate) fn handle_in_took(&self, duration: Duration) {
        self.handle_in_seconds.record(duration);
    }
}
