//! Keys, derived from the secret for one purpose each.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use crate::secret::SecretKeyBase;

/// So many derived keys are kept; an application has a handful of salts.
const MAX_KEYS: usize = 256;

/// The hash function of the key derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyDigest {
    /// SHA-1, `:sha`. Only for keys that must equal existing ones.
    Sha1,
    /// SHA-256, the default.
    #[default]
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// How a key is derived from the secret and the salt: with PBKDF2, 1,000 iterations, 32 bytes, SHA-256.
///
/// Both sides must use the same. The secret is random, so that the defaults are strong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyOptions {
    iterations: u32,
    length: usize,
    digest: KeyDigest,
}

impl Default for KeyOptions {
    fn default() -> Self {
        KeyOptions { iterations: 1000, length: 32, digest: KeyDigest::Sha256 }
    }
}

impl KeyOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How often the hash function is repeated; 1,000 by default.
    ///
    /// # Panics
    ///
    /// When it is 0.
    #[must_use]
    #[doc(alias = "key_iterations")]
    pub fn iterations(self, iterations: u32) -> Self {
        assert!(iterations > 0, "a key needs an iteration at least");
        KeyOptions { iterations, ..self }
    }

    /// The length of the key in bytes; 32 by default. Encryption works with 32 only.
    ///
    /// # Panics
    ///
    /// When it is 0: anybody has the empty key.
    #[must_use]
    #[doc(alias = "key_length")]
    pub fn length(self, bytes: usize) -> Self {
        assert!(bytes > 0, "a key needs a byte at least");
        KeyOptions { length: bytes, ..self }
    }

    /// The hash function; SHA-256 by default.
    #[must_use]
    #[doc(alias = "key_digest")]
    pub fn digest(self, digest: KeyDigest) -> Self {
        KeyOptions { digest, ..self }
    }

    fn derive(&self, secret: &SecretKeyBase, salt: &str) -> Key {
        let (secret, salt) = (secret.as_bytes(), salt.as_bytes());
        let mut key = Zeroizing::new(vec![0; self.length]);
        match self.digest {
            KeyDigest::Sha1 => pbkdf2_hmac::<Sha1>(secret, salt, self.iterations, &mut key),
            KeyDigest::Sha256 => pbkdf2_hmac::<Sha256>(secret, salt, self.iterations, &mut key),
            KeyDigest::Sha384 => pbkdf2_hmac::<Sha384>(secret, salt, self.iterations, &mut key),
            KeyDigest::Sha512 => pbkdf2_hmac::<Sha512>(secret, salt, self.iterations, &mut key),
        }
        Arc::new(key)
    }
}

/// A derived key; wiped when nobody uses it any more.
pub(crate) type Key = Arc<Zeroizing<Vec<u8>>>;

/// A secret with the keys that were derived from it: one takes a tenth of a millisecond.
pub(crate) struct KeyRing {
    secret: SecretKeyBase,
    keys: Mutex<HashMap<(String, KeyOptions), Key>>,
}

impl KeyRing {
    pub(crate) fn new(secret: SecretKeyBase) -> Self {
        KeyRing { secret, keys: Mutex::default() }
    }

    /// The key for a purpose, derived at its first use.
    pub(crate) fn key(&self, salt: &str, options: &KeyOptions) -> Key {
        let id = (salt.to_owned(), *options);
        if let Some(key) = self.keys.lock().get(&id) {
            return key.clone();
        }
        let key = options.derive(&self.secret, salt);
        let mut keys = self.keys.lock();
        if keys.len() >= MAX_KEYS {
            keys.clear();
        }
        keys.insert(id, key.clone());
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_that_are_kept_are_bounded() {
        let ring = KeyRing::new(SecretKeyBase::random());
        let options = KeyOptions::new().iterations(1);
        let first = ring.key("0", &options);
        for salt in 0..3 * MAX_KEYS {
            ring.key(&salt.to_string(), &options);
            assert!(ring.keys.lock().len() <= MAX_KEYS);
        }
        assert_eq!(ring.key("0", &options), first);
    }

    #[test]
    fn a_key_is_derived_once_and_for_its_options_alone() {
        let ring = KeyRing::new(SecretKeyBase::random());
        let key = ring.key("salt", &KeyOptions::new());
        assert!(Arc::ptr_eq(&key, &ring.key("salt", &KeyOptions::new())));
        for other in [
            KeyOptions::new().iterations(999),
            KeyOptions::new().length(31),
            KeyOptions::new().digest(KeyDigest::Sha512),
        ] {
            assert_ne!(key, ring.key("salt", &other), "{other:?}");
        }
    }
}
