//! API keys: what a phone, a script or a command-line tool signs in with.

use crate::clock::Moment;
use crate::ids::{KeyId, UserId};
use crate::secret;

use super::{Store, StoreError};

/// Says what a key is, to people and to secret scanners.
const KEY_PREFIX: &str = "sfk_";
/// How much of a key a list shows: its kind and eight digits.
const SHOWN: usize = KEY_PREFIX.len() + 8;

/// A key that was just made: the one moment at which its secret is known.
#[derive(Debug)]
pub struct NewKey {
    /// Its id in lists.
    pub id: KeyId,
    /// The key itself.
    pub secret: String,
}

/// A key that is good.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct ApiKey {
    /// Its id in lists.
    pub id: KeyId,
    /// Whose it is.
    pub user_id: UserId,
}

/// A key as a list shows it.
#[derive(Debug, sqlx::FromRow)]
pub struct KeyListing {
    /// Its id, for `key revoke`.
    pub id: KeyId,
    /// What its maker called it.
    pub name: String,
    /// How it begins.
    pub prefix: String,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last used.
    pub last_used_at: Option<Moment>,
    /// When it was revoked.
    pub revoked_at: Option<Moment>,
}

impl Store {
    /// Makes a key for a user. Only its hash is stored.
    pub async fn create_key(&self, user: UserId, name: &str, now: Moment) -> Result<NewKey, StoreError> {
        let key =
            NewKey { id: KeyId::random(), secret: format!("{KEY_PREFIX}{}", secret::random_hex::<24>()?) };
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO api_keys (id, user_id, name, prefix, hash, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(key.id)
        .bind(user)
        .bind(name)
        .bind(&key.secret[..SHOWN])
        .bind(secret::hash(&key.secret))
        .bind(now)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(key)
    }

    /// The key with this secret, if it is good; notes its use.
    pub async fn verify_key(&self, secret: &str, now: Moment) -> Result<Option<ApiKey>, StoreError> {
        let found: Option<ApiKey> =
            sqlx::query_as("SELECT id, user_id FROM api_keys WHERE hash = $1 AND revoked_at IS NULL")
                .bind(secret::hash(secret))
                .fetch_optional(self.read())
                .await?;
        if let Some(key) = found {
            self.note_use(key.id, now).await?;
        }
        Ok(found)
    }

    /// Writes at most once a minute, so that a busy key does not make a busy disk.
    async fn note_use(&self, id: KeyId, now: Moment) -> Result<(), StoreError> {
        let stale = now - std::time::Duration::from_secs(60);
        let due: Option<(KeyId,)> = sqlx::query_as(
            "SELECT id FROM api_keys WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $2)",
        )
        .bind(id)
        .bind(stale)
        .fetch_optional(self.read())
        .await?;
        if due.is_none() {
            return Ok(());
        }
        let mut tx = self.write().await?;
        sqlx::query("UPDATE api_keys SET last_used_at = $1 WHERE id = $2")
            .bind(now)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// All keys, the newest first.
    pub async fn keys(&self) -> Result<Vec<KeyListing>, StoreError> {
        let keys = sqlx::query_as(
            "SELECT id, name, prefix, created_at, last_used_at, revoked_at FROM api_keys \
             ORDER BY created_at DESC, id",
        );
        Ok(keys.fetch_all(self.read()).await?)
    }

    /// Revokes a key for good; false when there is none of that id.
    pub async fn revoke_key(&self, id: KeyId, now: Moment) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let revoked = sqlx::query("UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $1) WHERE id = $2")
            .bind(now)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(revoked.rows_affected() > 0)
    }

    /// The ids of all revoked keys.
    pub async fn revoked_keys(&self) -> Result<Vec<KeyId>, StoreError> {
        let ids: Vec<(KeyId,)> = sqlx::query_as("SELECT id FROM api_keys WHERE revoked_at IS NOT NULL")
            .fetch_all(self.read())
            .await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }
}
