//! Users.

use crate::clock::Moment;
use crate::ids::UserId;

use super::{Connection, Store, StoreError};

/// Somebody with a library.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct User {
    /// Whose it is in every other table.
    pub id: UserId,
    /// What the page calls them.
    pub name: String,
}

/// The account that `key create` makes and the one-time link claims.
const OWNER: &str = "owner";

impl Store {
    /// The studio's owner; made when there is none.
    pub async fn owner(&self, now: Moment) -> Result<User, StoreError> {
        let mut tx = self.write().await?;
        let owner = owner_in(&mut tx, now).await?;
        tx.commit().await?;
        Ok(owner)
    }

    /// The user of that id.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let user = sqlx::query_as("SELECT id, name FROM users WHERE id = $1").bind(id);
        Ok(user.fetch_optional(self.read()).await?)
    }
}

pub(super) async fn owner_in(tx: &mut Connection, now: Moment) -> Result<User, StoreError> {
    sqlx::query("INSERT INTO users (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING")
        .bind(UserId::random())
        .bind(OWNER)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    let owner = sqlx::query_as("SELECT id, name FROM users WHERE name = $1").bind(OWNER);
    Ok(owner.fetch_one(&mut *tx).await?)
}
