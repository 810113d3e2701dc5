//! Who is asking: by API key, by the page's session, or by the page's socket token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::ids::{Id, KeyId, UserId};
use crate::signing::{Purpose, Signer};
use crate::store::{Store, StoreError};

/// A session lasts so long.
pub const SESSION_TIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A page fetches a new socket token well before this is over.
const SOCKET_TOKEN_TIME: Duration = Duration::from_secs(15 * 60);

/// What a [`SessionId`] names.
#[derive(Debug)]
pub enum OfSession {}
/// One login of a browser.
pub type SessionId = Id<OfSession>;

/// Checks who is asking. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Accounts {
    store: Store,
    signer: Signer,
    clock: Arc<dyn Clock>,
}

/// Somebody who has shown who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visitor {
    /// Whose library they may use.
    pub user_id: UserId,
    /// How they showed it.
    pub by: Credential,
}

/// What a visitor showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// An API key.
    Key(KeyId),
    /// A page's session.
    Session(SessionId),
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "{key}"),
            Self::Session(session) => write!(f, "session:{session}"),
        }
    }
}

impl Accounts {
    /// Checks against these users and keys, and this signer's signatures.
    pub fn new(store: Store, signer: Signer, clock: Arc<dyn Clock>) -> Self {
        Self { store, signer, clock }
    }

    /// The users and keys themselves.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Who holds this API key.
    pub async fn of_key(&self, key: &str) -> Result<Option<Visitor>, StoreError> {
        let key = self.store.verify_key(key, self.clock.now()).await?;
        Ok(key.map(|key| Visitor { user_id: key.user_id, by: Credential::Key(key.id) }))
    }

    /// Who connects a socket with this token: an API key, or what a page was given.
    pub async fn of_socket_token(&self, token: &str) -> Result<Option<Visitor>, StoreError> {
        match self.verified(Purpose::Socket, token).await? {
            Some(visitor) => Ok(Some(visitor)),
            None => self.of_key(token).await,
        }
    }

    /// Whose session this cookie is.
    pub async fn of_session(&self, cookie: &str) -> Result<Option<Visitor>, StoreError> {
        self.verified(Purpose::Session, cookie).await
    }

    /// Logs in whom a one-time link is for; the cookie of the new session.
    pub async fn use_link(&self, token: &str) -> Result<Option<String>, StoreError> {
        let user = self.store.use_link(token).await?;
        Ok(user.map(|user| {
            let visitor = Visitor { user_id: user, by: Credential::Session(SessionId::random()) };
            self.signed(Purpose::Session, visitor, SESSION_TIME)
        }))
    }

    /// A token with which a page's socket connects.
    pub fn socket_token(&self, visitor: Visitor) -> String {
        self.signed(Purpose::Socket, visitor, SOCKET_TOKEN_TIME)
    }

    /// What a page sends along with whatever changes something.
    pub fn csrf_token(&self, visitor: Visitor) -> String {
        self.signed(Purpose::Csrf, visitor, SESSION_TIME)
    }

    /// Whether a page of this session sent it.
    pub fn is_csrf_token(&self, visitor: Visitor, token: &str) -> bool {
        let signed = self.signer.verify(Purpose::Csrf, token, self.clock.now());
        signed.and_then(parse_visitor) == Some(visitor)
    }

    fn signed(&self, purpose: Purpose, visitor: Visitor, good_for: Duration) -> String {
        let text = format!("{}/{}", visitor.user_id, visitor.by);
        self.signer.sign(purpose, &text, self.clock.now(), good_for)
    }

    async fn verified(&self, purpose: Purpose, signed: &str) -> Result<Option<Visitor>, StoreError> {
        let text = self.signer.verify(purpose, signed, self.clock.now());
        let Some(visitor) = text.and_then(parse_visitor) else { return Ok(None) };
        // A signature outlives a data folder's database, a user does not.
        Ok(self.store.user(visitor.user_id).await?.map(|_| visitor))
    }
}

/// Only sessions are signed; keys speak for themselves.
fn parse_visitor(text: &str) -> Option<Visitor> {
    let (user, session) = text.split_once("/session:")?;
    Some(Visitor { user_id: user.parse().ok()?, by: Credential::Session(session.parse().ok()?) })
}
