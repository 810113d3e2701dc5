//! Telling of an outage of the database once, and not by every worker every second.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::StoreError;

/// Whether the database is away, as far as the queue has noticed.
#[derive(Debug, Default)]
pub(super) struct Outage {
    noticed: AtomicBool,
}

impl Outage {
    /// Logs what went wrong, unless it is the outage that was logged already.
    pub(super) fn complain(&self, error: &StoreError, what: &str) {
        if !error.is_outage() {
            tracing::error!(%error, "{what}");
        } else if !self.noticed.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the database is away; jobs wait for it");
        }
    }

    /// The database has answered.
    pub(super) fn over(&self) {
        if self.noticed.swap(false, Ordering::Relaxed) {
            tracing::info!("the database is back; jobs go on");
        }
    }
}
