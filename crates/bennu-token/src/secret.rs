//! The secret from which all keys are derived.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

/// The secret from which the keys of tokens, sessions and everything else are derived.
///
/// A clone shares the text; it is wiped when the last one goes, and never shown.
#[derive(Clone)]
#[doc(alias = "secret_key_base")]
pub struct SecretKeyBase(Arc<Zeroizing<String>>);

/// A secret that is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a secret key base needs {} bytes at least, this one has {bytes}", SecretKeyBase::MIN_BYTES)]
pub struct SecretTooShort {
    /// How many bytes it has.
    pub bytes: usize,
}

impl SecretKeyBase {
    /// The shortest secret that is accepted, in bytes.
    pub const MIN_BYTES: usize = 20;

    /// The secret of this text, as it stands: of a Phoenix application its `secret_key_base`.
    ///
    /// # Errors
    ///
    /// [`SecretTooShort`] below 20 bytes. 64, as `mix phx.gen.secret` prints, are right; Plug
    /// asks for as many before it reads a session.
    pub fn new(text: impl Into<String>) -> Result<Self, SecretTooShort> {
        let text = Zeroizing::new(text.into());
        let bytes = text.len();
        if bytes < Self::MIN_BYTES {
            Err(SecretTooShort { bytes })
        } else {
            Ok(SecretKeyBase(Arc::new(text)))
        }
    }

    /// A new secret of 64 characters. What it signed is worth nothing after a restart.
    ///
    /// # Panics
    ///
    /// When the system has no random bytes to give.
    #[must_use]
    #[doc(alias = "phx.gen.secret")]
    pub fn random() -> Self {
        SecretKeyBase(Arc::new(Zeroizing::new(STANDARD.encode(random_bytes::<48>()))))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for SecretKeyBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKeyBase(..)")
    }
}

/// Bytes that nobody can guess.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
