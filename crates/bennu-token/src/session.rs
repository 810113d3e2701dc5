//! Plug's sessions, which live in a cookie.

use std::collections::BTreeMap;
use std::fmt;

use crate::encryption;
use crate::key::KeyOptions;
use crate::signature;
use crate::term::Term;
use crate::tokens::{FromTerm, SignError, Tokens};

/// How an application writes its session cookie: what a Phoenix application gives to `Plug.Session`.
///
/// ```
/// use bennu_token::{SecretKeyBase, Session, SessionCookie, Tokens};
///
/// let tokens = Tokens::new(SecretKeyBase::random());
/// let cookie = SessionCookie::new("_my_app_key", "mYs4lt");
/// let value = cookie.encode(&tokens, &Session::new().with("user_id", 42))?;
/// let session = cookie.decode(&tokens, &value).expect("it was made with the same secret and salt");
/// assert_eq!(session.get::<u64>("user_id"), Some(42));
/// # Ok::<(), bennu_token::SignError>(())
/// ```
#[derive(Debug, Clone)]
#[doc(alias = "Plug.Session.COOKIE")]
pub struct SessionCookie {
    name: String,
    signing_salt: String,
    encryption_salt: Option<String>,
    key: KeyOptions,
}

impl SessionCookie {
    /// The cookie of this name, signed: the `key` and `signing_salt` of `Plug.Session`.
    pub fn new(name: impl Into<String>, signing_salt: impl Into<String>) -> Self {
        SessionCookie {
            name: name.into(),
            signing_salt: signing_salt.into(),
            encryption_salt: None,
            key: KeyOptions::default(),
        }
    }

    /// Encrypts the cookie, so that its holder cannot read it.
    #[must_use]
    pub fn encryption_salt(self, salt: impl Into<String>) -> Self {
        SessionCookie { encryption_salt: Some(salt.into()), ..self }
    }

    /// How the keys are derived.
    #[must_use]
    pub fn key(self, key: KeyOptions) -> Self {
        SessionCookie { key, ..self }
    }

    /// The name of the cookie.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The session in a cookie's value; `None` when it was made with another secret or salt, was
    /// changed, or holds no session. A cookie does not say how old it is.
    #[must_use]
    pub fn decode(&self, tokens: &Tokens, value: &str) -> Option<Session> {
        let signing_key = tokens.key(&self.signing_salt, &self.key);
        let message = match &self.encryption_salt {
            None => signature::verify(value, &signing_key)?,
            Some(salt) => encryption::decrypt(value, &tokens.key(salt, &self.key), &signing_key)?,
        };
        Session::from_term(Term::decode(&message).ok()?)
    }

    /// The value of a cookie with this session, such as a Phoenix application reads.
    ///
    /// # Errors
    ///
    /// [`SignError`] when the session holds what cannot be written, or a key for encryption
    /// has not 32 bytes.
    pub fn encode(&self, tokens: &Tokens, session: &Session) -> Result<String, SignError> {
        let message = session.to_term().encode()?;
        match &self.encryption_salt {
            None => Ok(signature::sign(&message, &tokens.key(&self.signing_salt, &self.key))),
            Some(salt) => {
                encryption::encrypt(&message, &tokens.key(salt, &self.key)).ok_or(SignError::KeyLength)
            }
        }
    }
}

/// What an application keeps about a visitor: terms under names.
///
/// Its `Debug` shows the names alone.
#[derive(Clone, Default, PartialEq, Eq)]
#[doc(alias = "get_session")]
pub struct Session(BTreeMap<String, Term>);

impl Session {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a value.
    #[must_use]
    #[doc(alias = "put_session")]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Term>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The value under a name, as it is.
    #[must_use]
    pub fn term(&self, name: &str) -> Option<&Term> {
        self.0.get(name)
    }

    /// The text under a name; `None` also when it is something else.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.term(name)?.as_str()
    }

    /// The value under a name; `None` also when it is something else.
    #[must_use]
    pub fn get<T: FromTerm>(&self, name: &str) -> Option<T> {
        T::from_term(self.term(name)?.clone()).ok()
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn to_term(&self) -> Term {
        Term::map(self.0.iter().map(|(name, value)| (name.as_str(), value.clone())))
    }

    /// Plug's names are text always; what else the map holds belongs to nobody.
    fn from_term(term: Term) -> Option<Self> {
        let Term::Map(map) = term else { return None };
        let named = |(name, value): (Term, Term)| Some((name.as_str()?.to_owned(), value));
        Some(Session(map.into_iter().filter_map(named).collect()))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}
