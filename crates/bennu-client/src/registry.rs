//! Names of sockets that live.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use thiserror::Error;

/// A socket of this name lives already.
#[doc(alias = "already_started")]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a socket named {0:?} lives already")]
pub struct NameTaken(pub String);

/// Who has which name. It keeps nobody alive.
#[derive(Debug)]
pub(crate) struct Registry<T: 'static> {
    names: Mutex<Names<T>>,
}

#[derive(Debug)]
struct Names<T> {
    holders: BTreeMap<Arc<str>, Holder<T>>,
    last_claim: u64,
}

#[derive(Debug)]
struct Holder<T> {
    claim: u64,
    /// None until the holder exists: its name is taken while it is being made.
    holder: Option<Weak<T>>,
}

/// A name that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim<T: 'static> {
    registry: &'static Registry<T>,
    name: Arc<str>,
    number: u64,
}

impl<T> Registry<T> {
    pub(crate) const fn new() -> Self {
        Registry { names: Mutex::new(Names { holders: BTreeMap::new(), last_claim: 0 }) }
    }

    /// Takes a name, if nobody who lives has it. [`Claim::publish`] says whose it is.
    pub(crate) fn claim(&'static self, name: &str) -> Result<Claim<T>, NameTaken> {
        let mut names = self.names.lock();
        if names.holders.get(name).is_some_and(Holder::lives) {
            return Err(NameTaken(name.to_owned()));
        }
        names.last_claim += 1;
        let (name, number) = (Arc::from(name), names.last_claim);
        names.holders.insert(Arc::clone(&name), Holder { claim: number, holder: None });
        Ok(Claim { registry: self, name, number })
    }

    /// Who has the name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<T>> {
        let found = self.names.lock().holders.get(name)?.holder.clone()?;
        // Outside the lock: the last one to let go of a holder may drop its claim.
        found.upgrade()
    }
}

impl<T> Holder<T> {
    fn lives(&self) -> bool {
        self.holder.as_ref().is_none_or(|holder| holder.strong_count() > 0)
    }
}

impl<T> Claim<T> {
    /// From now on the name leads to this holder.
    pub(crate) fn publish(&self, holder: &Arc<T>) {
        let mut names = self.registry.names.lock();
        if let Some(own) = names.holders.get_mut(&self.name).filter(|own| own.claim == self.number) {
            own.holder = Some(Arc::downgrade(holder));
        }
    }
}

impl<T> Drop for Claim<T> {
    /// Frees the name, unless another one has taken it from a holder that was gone.
    fn drop(&mut self) {
        let mut names = self.registry.names.lock();
        if names.holders.get(&self.name).is_some_and(|own| own.claim == self.number) {
            names.holders.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn a_name_is_taken_from_its_claim_to_its_end() {
        static NAMES: Registry<u8> = Registry::new();
        let claim = NAMES.claim("a").unwrap();
        assert_eq!(NAMES.claim("a").unwrap_err(), NameTaken("a".to_owned()), "while it is being made");
        assert_eq!(NAMES.find("a"), None);
        let holder = Arc::new(1);
        claim.publish(&holder);
        assert_eq!(NAMES.find("a"), Some(Arc::clone(&holder)));
        assert!(NAMES.claim("a").is_err());
        assert!(NAMES.claim("b").is_ok(), "another name");
        drop(claim);
        assert_eq!(NAMES.find("a"), None, "it has ended, although somebody still holds it");
        assert!(NAMES.claim("a").is_ok());
    }

    #[test]
    fn a_holder_that_is_gone_gives_way_and_its_late_claim_frees_nothing() {
        static NAMES: Registry<u8> = Registry::new();
        let late = NAMES.claim("a").unwrap();
        late.publish(&Arc::new(1));
        let (claim, holder) = (NAMES.claim("a").unwrap(), Arc::new(2));
        claim.publish(&holder);
        drop(late);
        assert_eq!(NAMES.find("a"), Some(holder));
    }

    #[test]
    fn of_many_at_once_one_gets_the_name() {
        static NAMES: Registry<u8> = Registry::new();
        let start = Barrier::new(8);
        let claims: Vec<Option<Claim<u8>>> = thread::scope(|scope| {
            let claiming = || {
                start.wait();
                NAMES.claim("a").ok()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(claiming)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(claims.iter().flatten().count(), 1);
        assert!(claims.iter().flatten().all(|claim| &*claim.name == "a"));
    }
}
