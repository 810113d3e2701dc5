//! Who is told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use thiserror::Error;

use super::event::{Group, TelemetryEvent};

/// The id of the handler that [`attach_debug_handler`] attaches.
const DEBUG_HANDLER: &str = "bennu-client-debug";

static HANDLERS: Handlers = Handlers::new();

/// A handler of this id is attached already.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a telemetry handler {0:?} is attached already")]
pub struct AlreadyAttached(pub String);

/// One group, several, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups(u8);

impl Groups {
    /// Every group.
    pub const ALL: Groups = Groups(u8::MAX);

    fn of(group: Group) -> Self {
        Groups(match group {
            Group::Socket => 1,
            Group::Channel => 1 << 1,
            Group::Message => 1 << 2,
            Group::State => 1 << 3,
        })
    }

    fn contains(self, group: Group) -> bool {
        self.0 & Groups::of(group).0 != 0
    }
}

impl From<Group> for Groups {
    fn from(group: Group) -> Self {
        Groups::of(group)
    }
}

impl<const N: usize> From<[Group; N]> for Groups {
    fn from(groups: [Group; N]) -> Self {
        Groups(groups.into_iter().fold(0, |all, group| all | Groups::of(group).0))
    }
}

/// Has a handler told of every event of these groups, whichever socket of this process it comes from.
///
/// The handler runs where the event happens. One that panics is detached.
///
/// # Errors
///
/// [`AlreadyAttached`] when there is a handler of this id.
#[doc(alias = ":telemetry.attach")]
pub fn attach(
    id: impl Into<String>,
    groups: impl Into<Groups>,
    handler: impl Fn(&TelemetryEvent) + Send + Sync + 'static,
) -> Result<(), AlreadyAttached> {
    HANDLERS.attach(id.into(), groups.into(), Arc::new(handler))
}

/// Takes a handler away. Events that are being told at this moment may still reach it. Returns whether there was one.
#[doc(alias = ":telemetry.detach")]
pub fn detach(id: &str) -> bool {
    HANDLERS.detach(id)
}

/// Logs every event through `tracing`, at debug level, without payloads. To do so twice changes nothing.
pub fn attach_debug_handler() {
    let log = |event: &TelemetryEvent| {
        let (group, action) = (event.group().as_str(), event.action());
        tracing::debug!(target: "bennu_client::telemetry", group, action, "{event:?}");
    };
    // It is attached already: what was asked for is so.
    let _ = attach(DEBUG_HANDLER, Groups::ALL, log);
}

/// Takes the handler of [`attach_debug_handler`] away, if it is attached.
pub fn detach_debug_handler() {
    // Without one there is nothing to take away.
    let _ = detach(DEBUG_HANDLER);
}

/// Whether any handler is attached to this group. One atomic load; what nobody listens to need not be put together.
#[must_use]
pub fn is_listened_to(group: Group) -> bool {
    HANDLERS.are_for(group)
}

pub(super) fn tell(event: &TelemetryEvent) {
    HANDLERS.tell(event);
}

type Handler = Arc<dyn Fn(&TelemetryEvent) + Send + Sync>;

#[derive(Clone)]
struct Attached {
    id: Arc<str>,
    groups: Groups,
    handler: Handler,
}

struct Handlers {
    /// The groups that anybody listens to.
    groups: AtomicU8,
    /// In the order in which they were attached.
    attached: Mutex<Vec<Attached>>,
}

impl Handlers {
    const fn new() -> Self {
        Handlers { groups: AtomicU8::new(0), attached: Mutex::new(Vec::new()) }
    }

    fn are_for(&self, group: Group) -> bool {
        Groups(self.groups.load(Ordering::Relaxed)).contains(group)
    }

    fn attach(&self, id: String, groups: Groups, handler: Handler) -> Result<(), AlreadyAttached> {
        let mut attached = self.attached.lock();
        if attached.iter().any(|other| *other.id == *id) {
            return Err(AlreadyAttached(id));
        }
        attached.push(Attached { id: id.into(), groups, handler });
        self.count(&attached);
        Ok(())
    }

    fn detach(&self, id: &str) -> bool {
        self.remove(|attached| *attached.id == *id)
    }

    fn remove(&self, is_it: impl Fn(&Attached) -> bool) -> bool {
        let mut attached = self.attached.lock();
        let Some(place) = attached.iter().position(is_it) else { return false };
        let removed = attached.remove(place);
        self.count(&attached);
        drop(attached);
        // Only now: what it holds may have telemetry to tell when it is dropped.
        drop(removed);
        true
    }

    fn count(&self, attached: &[Attached]) {
        let groups = attached.iter().fold(0, |all, attached| all | attached.groups.0);
        self.groups.store(groups, Ordering::Relaxed);
    }

    /// Handlers run without the lock, as they may attach and detach.
    fn tell(&self, event: &TelemetryEvent) {
        let group = event.group();
        if !self.are_for(group) {
            return;
        }
        let listening: Vec<Attached> = {
            let attached = self.attached.lock();
            attached.iter().filter(|attached| attached.groups.contains(group)).cloned().collect()
        };
        for attached in listening {
            if catch_unwind(AssertUnwindSafe(|| (attached.handler)(event))).is_err() {
                self.remove(|other| Arc::ptr_eq(&other.handler, &attached.handler));
                let (id, action) = (&*attached.id, event.action());
                tracing::error!(
                    id,
                    group = group.as_str(),
                    action,
                    "a telemetry handler panicked and is detached"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::event::{SocketAction, SocketId, SocketTelemetry};
    use super::*;

    fn connecting() -> TelemetryEvent {
        TelemetryEvent::Socket(SocketTelemetry {
            socket: SocketId::generate(),
            url: String::new(),
            timestamp: SystemTime::UNIX_EPOCH,
            action: SocketAction::Connecting,
        })
    }

    #[test]
    fn a_group_is_listened_to_while_a_handler_is_attached_to_it() {
        let handlers = Handlers::new();
        let nothing: Handler = Arc::new(|_| ());
        assert!(!Group::ALL.into_iter().any(|group| handlers.are_for(group)));
        handlers.attach("a".into(), [Group::Socket, Group::State].into(), Arc::clone(&nothing)).unwrap();
        handlers.attach("b".into(), Group::Socket.into(), nothing).unwrap();
        let listened = |handlers: &Handlers| Group::ALL.map(|group| handlers.are_for(group));
        assert_eq!(listened(&handlers), [true, false, false, true]);
        assert!(handlers.detach("a"));
        assert_eq!(listened(&handlers), [true, false, false, false]);
        assert!(handlers.detach("b") && !handlers.detach("b"));
        assert_eq!(listened(&handlers), [false; 4]);
    }

    #[test]
    fn a_handler_may_detach_itself() {
        static OWN: Handlers = Handlers::new();
        OWN.attach("once".into(), Groups::ALL, Arc::new(|_| assert!(OWN.detach("once")))).unwrap();
        OWN.tell(&connecting());
        assert!(!OWN.are_for(Group::Socket));
    }
}
