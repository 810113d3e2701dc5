//! What is called for an event in place of delivering it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bennu_protocol::Payload;
use parking_lot::Mutex;

/// Called for each message of one event of a channel. Closures over the payload are hooks.
///
/// It runs on the socket's task, so it should be quick, and must not block. One that panics is taken off, and the channel goes on.
///
/// ```
/// use bennu_client::Hook;
/// use bennu_protocol::Payload;
///
/// struct Log;
///
/// impl Hook for Log {
///     fn handle_in(&self, event: &str, payload: &Payload) {
///         println!("{event}: {} bytes", payload.len());
///     }
/// }
/// ```
pub trait Hook: Send + Sync + 'static {
    /// A message came.
    fn handle_in(&self, event: &str, payload: &Payload);
}

impl<F: Fn(&Payload) + Send + Sync + 'static> Hook for F {
    fn handle_in(&self, _: &str, payload: &Payload) {
        self(payload);
    }
}

/// One hook at most for each event.
#[derive(Default)]
pub(crate) struct Hooks(Mutex<BTreeMap<String, Arc<dyn Hook>>>);

impl Hooks {
    /// Puts a hook in the place of the one that the event has.
    pub(crate) fn set(&self, event: String, hook: Arc<dyn Hook>) -> Option<Arc<dyn Hook>> {
        self.0.lock().insert(event, hook)
    }

    pub(crate) fn remove(&self, event: &str) -> Option<Arc<dyn Hook>> {
        self.0.lock().remove(event)
    }

    pub(crate) fn clear(&self) {
        let hooks = std::mem::take(&mut *self.0.lock());
        drop(hooks);
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.0.lock().keys().cloned().collect()
    }

    /// Calls the event's hook; false if it has none.
    pub(crate) fn call(&self, event: &str, payload: &Payload) -> bool {
        let Some(hook) = self.0.lock().get(event).map(Arc::clone) else { return false };
        if catch_unwind(AssertUnwindSafe(|| hook.handle_in(event, payload))).is_err() {
            tracing::error!(event, "a hook panicked, and was taken off");
            self.remove_this(event, &hook);
        }
        true
    }

    /// Not the one that it may have put in its own place.
    fn remove_this(&self, event: &str, hook: &Arc<dyn Hook>) {
        let mut hooks = self.0.lock();
        if hooks.get(event).is_some_and(|it| Arc::ptr_eq(it, hook)) {
            let removed = hooks.remove(event);
            drop(hooks);
            drop(removed);
        }
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.events()).finish()
    }
}
