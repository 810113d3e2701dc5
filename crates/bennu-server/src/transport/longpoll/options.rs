//! What can be set for long polling.

use std::time::Duration;

/// Options of the long polling of one mount.
#[derive(Debug, Clone)]
#[doc(alias = "longpoll")]
pub struct LongPollOptions {
    pub(crate) path: String,
    pub(crate) window: Duration,
    pub(crate) pubsub_timeout: Duration,
    pub(crate) max_age: Duration,
    pub(crate) max_sessions: usize,
}

impl Default for LongPollOptions {
    fn default() -> Self {
        LongPollOptions {
            path: "/longpoll".to_owned(),
            window: Duration::from_secs(10),
            pubsub_timeout: Duration::from_secs(2),
            max_age: Duration::from_secs(14 * 24 * 60 * 60),
            max_sessions: 10_000,
        }
    }
}

impl LongPollOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The path below the mount; `/longpoll` by default, which is where official clients look.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// How long a poll waits for a message; 10 s by default. A session that is not polled
    /// for 1.5 to 3 windows ends. Official clients give a request 20 s, proxies often 60 s.
    #[must_use]
    #[doc(alias = "window_ms")]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// How long a request waits for the session's own node when another one gets it; 2 s by
    /// default. After that the session counts as gone.
    #[must_use]
    #[doc(alias = "pubsub_timeout_ms")]
    pub fn pubsub_timeout(mut self, timeout: Duration) -> Self {
        self.pubsub_timeout = timeout;
        self
    }

    /// How long a session's token is accepted; 14 days by default.
    #[must_use]
    #[doc(alias = "crypto")]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// How many sessions the mount holds on this node; 10,000 by default. Further clients are
    /// answered with 503 and come again. A session costs a task beside its connection, and an
    /// abandoned one lives on for up to 3 windows.
    #[must_use]
    pub fn max_sessions(mut self, count: usize) -> Self {
        self.max_sessions = count;
        self
    }
}
