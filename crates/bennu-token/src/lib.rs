//! Tokens and sessions that Phoenix applications read and write, byte for byte.
//!
//! ```
//! use bennu_token::{SecretKeyBase, TokenError, Tokens};
//!
//! let secret = SecretKeyBase::new("kjoy3o1zeidquwy1398juxzldjlksahdk3")?;
//! let tokens = Tokens::new(secret);
//!
//! // Phoenix.Token.sign(secret, "user socket", 42)
//! let token = tokens.sign("user socket", &42)?;
//! assert_eq!(tokens.verify::<u64>("user socket", &*token)?.data, 42);
//!
//! // A token for something else, and none at all.
//! assert_eq!(tokens.verify::<u64>("password reset", &*token).unwrap_err(), TokenError::Invalid);
//! assert_eq!(tokens.verify::<u64>("user socket", None).unwrap_err(), TokenError::Missing);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Tokens`] signs and verifies, encrypts and decrypts.
//! - [`SessionCookie`] reads and writes the session cookies of Plug; [`csrf`] its tokens against forged requests.
//! - [`term`] is what is inside: Erlang's external terms, and how Rust's values become them.
//!
//! It knows no sockets and no HTTP.

pub mod csrf;
mod encryption;
mod key;
mod secret;
mod session;
mod signature;
pub mod term;
mod tokens;

pub use key::{KeyDigest, KeyOptions};
pub use secret::{SecretKeyBase, SecretTooShort};
pub use session::{Session, SessionCookie};
pub use term::{Term, TermError};
pub use tokens::{
    FromTerm, MaxAge, SignError, SignOptions, ToTerm, TokenError, Tokens, Verified, VerifyOptions,
};
