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

/// One hook at most for each event; none is taken once the channel has ended.
pub(crate) struct Hooks(Mutex<Option<BTreeMap<String, Arc<dyn Hook>>>>);

impl Default for Hooks {
    fn default() -> Self {
        Hooks(Mutex::new(Some(BTreeMap::new())))
    }
}

impl Hooks {
    /// Puts a hook in the place of the one that the event has. What it gives is to be dropped outside of all locks, as it may hold what calls back in.
    #[must_use]
    pub(crate) fn set(&self, event: String, hook: Arc<dyn Hook>) -> Option<Arc<dyn Hook>> {
        match &mut *self.0.lock() {
            Some(hooks) => hooks.insert(event, hook),
            None => Some(hook),
        }
    }

    /// Whether there was one.
    pub(crate) fn remove(&self, event: &str) -> bool {
        let removed = self.0.lock().as_mut().and_then(|hooks| hooks.remove(event));
        removed.is_some()
    }

    /// The channel has ended.
    pub(crate) fn close(&self) {
        let hooks = self.0.lock().take();
        drop(hooks);
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.0.lock().iter().flatten().map(|(event, _)| event.clone()).collect()
    }

    /// Calls the event's hook; false if it has none.
    pub(crate) fn call(&self, event: &str, payload: &Payload) -> bool {
        let hook = self.0.lock().as_ref().and_then(|hooks| hooks.get(event)).map(Arc::clone);
        let Some(hook) = hook else { return false };
        if catch_unwind(AssertUnwindSafe(|| hook.handle_in(event, payload))).is_err() {
            tracing::error!(event, "a hook panicked, and was taken off");
            self.remove_this(event, &hook);
        }
        true
    }

    /// Not the one that it may have put in its own place.
    fn remove_this(&self, event: &str, hook: &Arc<dyn Hook>) {
        let removed = match &mut *self.0.lock() {
            Some(hooks) if hooks.get(event).is_some_and(|it| Arc::ptr_eq(it, hook)) => hooks.remove(event),
            Some(_) | None => None,
        };
        drop(removed);
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.events()).finish()
    }
}
