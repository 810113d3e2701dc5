//! Tokens: data with an age, signed or encrypted.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::encryption;
use crate::key::{Key, KeyOptions, KeyRing};
use crate::secret::SecretKeyBase;
use crate::signature;
use crate::term::{Term, TermError, from_term, to_term};

/// How long a token is valid when nobody says so, in seconds: a day.
const DEFAULT_MAX_AGE: u64 = 86_400;

/// Makes and checks tokens with one secret. Cheap to clone.
///
/// A *salt* names what a token is for, such as `user socket`; it is no secret, and a
/// token made for one salt is invalid for every other.
#[derive(Clone)]
#[doc(alias = "Phoenix.Token")]
#[doc(alias = "Plug.Crypto")]
pub struct Tokens(Arc<Inner>);

struct Inner {
    keys: KeyRing,
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
}

impl Tokens {
    /// Tokens of this secret.
    #[must_use]
    pub fn new(secret: SecretKeyBase) -> Self {
        Self::with_clock(secret, SystemTime::now)
    }

    /// Tokens whose age is measured by this clock, for programs that bring their own and for tests.
    #[must_use]
    pub fn with_clock(secret: SecretKeyBase, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Tokens(Arc::new(Inner { keys: KeyRing::new(secret), clock: Box::new(clock) }))
    }

    /// A token that anyone can read and nobody can change, valid for a day.
    ///
    /// # Errors
    ///
    /// [`SignError::Term`] when the data has no form as a term.
    pub fn sign<T: ToTerm + ?Sized>(&self, salt: &str, data: &T) -> Result<String, SignError> {
        self.sign_with(salt, data, &SignOptions::default())
    }

    /// As [`sign`](Self::sign), with options.
    ///
    /// # Errors
    ///
    /// As [`sign`](Self::sign).
    pub fn sign_with<T: ToTerm + ?Sized>(
        &self,
        salt: &str,
        data: &T,
        options: &SignOptions,
    ) -> Result<String, SignError> {
        let message = options.message(data.to_term()?, &self.0.clock)?;
        Ok(signature::sign(&message, &self.key(salt, &options.key)))
    }

    /// The data of a token that [`sign`](Self::sign) made, here or in Phoenix; its age is
    /// the one that it was signed with.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; no token at all is [`TokenError::Missing`].
    pub fn verify<'t, T: FromTerm>(
        &self,
        salt: &str,
        token: impl Into<Option<&'t str>>,
    ) -> Result<Verified<T>, TokenError> {
        self.verify_with(salt, token, &VerifyOptions::default())
    }

    /// As [`verify`](Self::verify), with options.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify).
    pub fn verify_with<'t, T: FromTerm>(
        &self,
        salt: &str,
        token: impl Into<Option<&'t str>>,
        options: &VerifyOptions,
    ) -> Result<Verified<T>, TokenError> {
        let token = token.into().ok_or(TokenError::Missing)?;
        let message = signature::verify(token, &self.key(salt, &options.key)).ok_or(TokenError::Invalid)?;
        options.read(&message, &self.0.clock)
    }

    /// A token that nobody can read or change, valid for a day.
    ///
    /// # Errors
    ///
    /// [`SignError`] when the data has no form as a term.
    pub fn encrypt<T: ToTerm + ?Sized>(&self, salt: &str, data: &T) -> Result<String, SignError> {
        self.encrypt_with(salt, data, &SignOptions::default())
    }

    /// As [`encrypt`](Self::encrypt), with options.
    ///
    /// # Errors
    ///
    /// As [`encrypt`](Self::encrypt), and [`SignError::KeyLength`] when the key has not 32 bytes.
    pub fn encrypt_with<T: ToTerm + ?Sized>(
        &self,
        salt: &str,
        data: &T,
        options: &SignOptions,
    ) -> Result<String, SignError> {
        let message = options.message(data.to_term()?, &self.0.clock)?;
        encryption::encrypt(&message, &self.key(salt, &options.key)).ok_or(SignError::KeyLength)
    }

    /// The data of a token that [`encrypt`](Self::encrypt) made, here or in Phoenix, or an
    /// application with version 1 of plug_crypto.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; no token at all is [`TokenError::Missing`].
    pub fn decrypt<'t, T: FromTerm>(
        &self,
        salt: &str,
        token: impl Into<Option<&'t str>>,
    ) -> Result<Verified<T>, TokenError> {
        self.decrypt_with(salt, token, &VerifyOptions::default())
    }

    /// As [`decrypt`](Self::decrypt), with options.
    ///
    /// # Errors
    ///
    /// As [`decrypt`](Self::decrypt).
    pub fn decrypt_with<'t, T: FromTerm>(
        &self,
        salt: &str,
        token: impl Into<Option<&'t str>>,
        options: &VerifyOptions,
    ) -> Result<Verified<T>, TokenError> {
        let token = token.into().ok_or(TokenError::Missing)?;
        let key = self.key(salt, &options.key);
        let message = encryption::decrypt(token, &key, b"").ok_or(TokenError::Invalid)?;
        options.read(&message, &self.0.clock)
    }

    pub(crate) fn key(&self, salt: &str, options: &KeyOptions) -> Key {
        self.0.keys.key(salt, options)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}

/// What can be put into a token: everything that is [`Serialize`], by way of
/// [`to_term`], and a [`Term`] as it is.
pub trait ToTerm {
    /// The term that stands for it.
    ///
    /// # Errors
    ///
    /// [`TermError`] when there is none.
    fn to_term(&self) -> Result<Term, TermError>;
}

impl<T: Serialize + ?Sized> ToTerm for T {
    fn to_term(&self) -> Result<Term, TermError> {
        to_term(self)
    }
}

impl ToTerm for Term {
    fn to_term(&self) -> Result<Term, TermError> {
        Ok(self.clone())
    }
}

/// What can be got out of a token: everything that is [`DeserializeOwned`], by way of
/// [`from_term`], and a [`Term`] as it is.
pub trait FromTerm: Sized {
    /// The value that a term stands for.
    ///
    /// # Errors
    ///
    /// [`TermError`] when it stands for something else.
    fn from_term(term: Term) -> Result<Self, TermError>;
}

impl<T: DeserializeOwned> FromTerm for T {
    fn from_term(term: Term) -> Result<Self, TermError> {
        from_term(term)
    }
}

impl FromTerm for Term {
    fn from_term(term: Term) -> Result<Self, TermError> {
        Ok(term)
    }
}

/// How old a token may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxAge {
    /// So old; nothing at all means that it has expired already.
    For(Duration),
    /// As old as it likes.
    #[doc(alias = ":infinity")]
    Infinity,
}

impl From<Duration> for MaxAge {
    fn from(duration: Duration) -> Self {
        MaxAge::For(duration)
    }
}

impl MaxAge {
    /// Whole seconds are an integer, as Elixir's programs write them, others a float.
    fn to_term(self) -> Term {
        match self {
            MaxAge::For(duration) if duration.subsec_nanos() == 0 => duration.as_secs().into(),
            MaxAge::For(duration) => duration.as_secs_f64().into(),
            MaxAge::Infinity => Term::atom("infinity"),
        }
    }
}

/// How a token is made.
#[derive(Debug, Clone)]
pub struct SignOptions {
    signed_at: Option<SystemTime>,
    max_age: MaxAge,
    compressed: bool,
    key: KeyOptions,
}

impl Default for SignOptions {
    fn default() -> Self {
        SignOptions {
            signed_at: None,
            max_age: MaxAge::For(Duration::from_secs(DEFAULT_MAX_AGE)),
            compressed: false,
            key: KeyOptions::default(),
        }
    }
}

impl SignOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// When the token begins to age; now, by the clock of the [`Tokens`], by default. Milliseconds count, finer parts do not.
    #[must_use]
    pub fn signed_at(self, time: SystemTime) -> Self {
        SignOptions { signed_at: Some(time), ..self }
    }

    /// How old it may get where the verifier does not say otherwise; a day by default.
    #[must_use]
    pub fn max_age(self, max_age: impl Into<MaxAge>) -> Self {
        SignOptions { max_age: max_age.into(), ..self }
    }

    /// Compresses the data where that makes it shorter; off by default.
    #[must_use]
    pub fn compressed(self, on: bool) -> Self {
        SignOptions { compressed: on, ..self }
    }

    /// How the key is derived.
    #[must_use]
    pub fn key(self, key: KeyOptions) -> Self {
        SignOptions { key, ..self }
    }

    fn message(&self, data: Term, clock: impl Fn() -> SystemTime) -> Result<Vec<u8>, TermError> {
        let signed_at = unix_ms(self.signed_at.unwrap_or_else(clock));
        let term = Term::Tuple(vec![data, signed_at.into(), self.max_age.to_term()]);
        if self.compressed { term.encode_compressed() } else { term.encode() }
    }
}

/// How a token is checked.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    max_age: Option<MaxAge>,
    now: Option<SystemTime>,
    key: KeyOptions,
}

impl VerifyOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How old the token may be, whatever it says itself.
    #[must_use]
    pub fn max_age(self, max_age: impl Into<MaxAge>) -> Self {
        VerifyOptions { max_age: Some(max_age.into()), ..self }
    }

    /// The time at which its age is looked at; now, by the clock of the [`Tokens`], by default.
    #[must_use]
    pub fn now(self, time: SystemTime) -> Self {
        VerifyOptions { now: Some(time), ..self }
    }

    /// How the key is derived.
    #[must_use]
    pub fn key(self, key: KeyOptions) -> Self {
        VerifyOptions { key, ..self }
    }

    fn read<T: FromTerm>(
        &self,
        message: &[u8],
        clock: impl Fn() -> SystemTime,
    ) -> Result<Verified<T>, TokenError> {
        let dated = Dated::from_term(Term::decode(message)?)?;
        let max_age = self.max_age.map_or(dated.max_age, Age::from);
        let now = unix_ms(self.now.unwrap_or_else(clock));
        let expires_at = max_age.check(dated.signed_at, now)?;
        Ok(Verified {
            data: T::from_term(dated.data)?,
            signed_at: system_time(dated.signed_at).ok_or(TokenError::Unreadable(Dated::wrong()))?,
            expires_at: expires_at.and_then(system_time),
        })
    }
}

/// A token that is genuine and of an age that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified<T> {
    /// What was signed.
    pub data: T,
    /// When it was.
    pub signed_at: SystemTime,
    /// The last moment at which it is valid; `None` if it never expires.
    pub expires_at: Option<SystemTime>,
}

/// Why a token cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignError {
    /// The data has no form as a term.
    #[error("the data cannot be put into a token")]
    Term(#[from] TermError),
    /// Encryption needs a key of 32 bytes.
    #[error("encryption needs a key of 32 bytes")]
    KeyLength,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There is none.
    #[error("the token is missing")]
    Missing,
    /// It was made with another secret or for another salt, was changed, is no token at
    /// all, or was signed in the future.
    #[error("the token is invalid")]
    Invalid,
    /// It was valid once.
    #[error("the token has expired")]
    Expired,
    /// It is genuine, but what it holds is not what was asked for: two programs with the same
    /// secret and salt do not agree. Phoenix raises here.
    #[error("the token is genuine, but its data is not what was expected")]
    Unreadable(#[from] TermError),
}

impl TokenError {
    /// Whether whoever brought the token is not to be let in; else the programs are at fault
    /// that share a secret and a salt.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        match self {
            TokenError::Missing | TokenError::Invalid | TokenError::Expired => true,
            TokenError::Unreadable(_) => false,
        }
    }
}

/// What a message holds: data and its age.
struct Dated {
    data: Term,
    /// In milliseconds since 1970.
    signed_at: i64,
    max_age: Age,
}

impl Dated {
    /// Three elements, or the two forms of older versions, which say nothing about the age.
    fn from_term(term: Term) -> Result<Self, TermError> {
        let (data, signed_at, max_age) = match term {
            Term::Tuple(elements) => match <[Term; 3]>::try_from(elements) {
                Ok([data, signed_at, max_age]) => (data, signed_at, max_age),
                Err(elements) => match <[Term; 2]>::try_from(elements) {
                    Ok([data, signed_at]) => (data, signed_at, DEFAULT_MAX_AGE.into()),
                    Err(_) => return Err(Self::wrong()),
                },
            },
            Term::Map(map) => {
                let field = |name| map.get(&Term::atom(name)).cloned().ok_or_else(Self::wrong);
                (field("data")?, field("signed")?, DEFAULT_MAX_AGE.into())
            }
            _ => return Err(Self::wrong()),
        };
        let signed_at = signed_at.as_integer().ok_or_else(Self::wrong)?;
        Ok(Dated { data, signed_at, max_age: Age::from_term(&max_age)? })
    }

    fn wrong() -> TermError {
        TermError::Type("a token holds data, the time of its signing, and an age".to_owned())
    }
}

/// An age in milliseconds, which may be none or negative in a token.
#[derive(Clone, Copy)]
enum Age {
    Expired,
    Ms(i128),
    Infinity,
}

impl From<MaxAge> for Age {
    fn from(max_age: MaxAge) -> Self {
        match max_age {
            MaxAge::For(Duration::ZERO) => Age::Expired,
            MaxAge::For(duration) => Age::Ms(duration.as_millis() as i128),
            MaxAge::Infinity => Age::Infinity,
        }
    }
}

impl Age {
    fn from_term(seconds: &Term) -> Result<Self, TermError> {
        match seconds {
            Term::Atom(name) if name == "infinity" => Ok(Age::Infinity),
            Term::Integer(..=0) => Ok(Age::Expired),
            Term::Integer(seconds) => Ok(Age::Ms(i128::from(*seconds) * 1000)),
            Term::BigInteger(big) if big.is_negative() => Ok(Age::Expired),
            Term::BigInteger(_) => Ok(Age::Infinity),
            Term::Float(seconds) if *seconds <= 0.0 => Ok(Age::Expired),
            // The cast saturates.
            Term::Float(seconds) => Ok(Age::Ms((seconds * 1000.0) as i128)),
            _ => Err(Dated::wrong()),
        }
    }

    /// When it ends, if ever, for what is still valid; in the order of plug_crypto.
    fn check(self, signed_at: i64, now: i64) -> Result<Option<i64>, TokenError> {
        match self {
            Age::Infinity => Ok(None),
            Age::Expired => Err(TokenError::Expired),
            Age::Ms(_) if signed_at > now => Err(TokenError::Invalid),
            Age::Ms(ms) => {
                let end = i128::from(signed_at).saturating_add(ms);
                if end < i128::from(now) { Err(TokenError::Expired) } else { Ok(i64::try_from(end).ok()) }
            }
        }
    }
}

/// Milliseconds since 1970, cut towards it.
fn unix_ms(time: SystemTime) -> i64 {
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => ms(after),
        Err(before) => -ms(before.duration()),
    }
}

fn system_time(unix_ms: i64) -> Option<SystemTime> {
    let distance = Duration::from_millis(unix_ms.unsigned_abs());
    if unix_ms < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
}
