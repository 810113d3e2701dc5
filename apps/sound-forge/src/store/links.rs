//! One-time links that log in their user.

use crate::clock::Moment;
use crate::ids::UserId;
use crate::secret;

use super::accounts::owner_in;
use super::{Store, StoreError};

/// A link that was just made.
#[derive(Debug)]
pub struct LoginLink {
    /// What stands at the end of its URL.
    pub token: String,
}

impl Store {
    /// Makes the link that logs in the owner, and makes every earlier one worthless.
    pub async fn create_owner_link(&self, now: Moment) -> Result<LoginLink, StoreError> {
        let link = LoginLink { token: secret::random_hex::<24>()? };
        let mut tx = self.write().await?;
        let owner = owner_in(&mut tx, now).await?;
        sqlx::query("DELETE FROM login_links WHERE user_id = $1").bind(owner.id).execute(&mut *tx).await?;
        sqlx::query("INSERT INTO login_links (hash, user_id, created_at) VALUES ($1, $2, $3)")
            .bind(secret::hash(&link.token))
            .bind(owner.id)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(link)
    }

    /// Uses a link up; tells whom it logs in, once.
    pub async fn use_link(&self, token: &str) -> Result<Option<UserId>, StoreError> {
        let mut tx = self.write().await?;
        let used: Option<(UserId,)> =
            sqlx::query_as("DELETE FROM login_links WHERE hash = $1 RETURNING user_id")
                .bind(secret::hash(token))
                .fetch_optional(&mut *tx)
                .await?;
        tx.commit().await?;
        Ok(used.map(|(user,)| user))
    }
}
