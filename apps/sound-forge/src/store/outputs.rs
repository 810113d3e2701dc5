//! What finished stages left on disk, and whose it is.

use serde::{Deserialize, Serialize};
use sqlx::Row as _;

use crate::clock::Moment;
use crate::ids::{LeaseToken, TrackId, UserId};

use super::{Connection, Store, StoreError};

/// The folder below the data folder in which an output lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// The audio as it was brought in.
    Downloads,
    /// The four stems and their ZIP.
    Stems,
    /// The analysis as JSON.
    Analysis,
}

/// An output about to be recorded.
#[derive(Debug, Clone)]
pub struct NewOutput {
    /// The try that made it, which names its folder.
    pub id: LeaseToken,
    /// Where its folder lives.
    pub kind: OutputKind,
    /// Whose it is.
    pub user_id: UserId,
    /// What it belongs to.
    pub track_id: TrackId,
    /// Its main file.
    pub file: String,
    /// The main file's size in bytes.
    pub file_size: u64,
}

/// An output of a track.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Output {
    /// Names its folder.
    pub id: LeaseToken,
    /// Whose it is.
    pub user_id: UserId,
    /// Its main file.
    pub file: String,
    /// The main file's size in bytes.
    pub file_size: i64,
}

impl OutputKind {
    /// Every kind there is.
    pub const ALL: [Self; 3] = [Self::Downloads, Self::Stems, Self::Analysis];

    /// Its folder's name, on disk and in URLs.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Downloads => "downloads",
            Self::Stems => "stems",
            Self::Analysis => "analysis",
        }
    }

    /// The kind with that folder.
    pub fn of_folder(folder: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.folder() == folder)
    }
}

impl Output {
    /// Where it is served.
    pub fn url(&self, kind: OutputKind) -> String {
        file_url(kind, self.id, &self.file)
    }
}

/// Where a file of an output is served.
pub(crate) fn file_url(kind: OutputKind, id: LeaseToken, file: &str) -> String {
    format!("/files/{}/{id}/{file}", kind.folder())
}

/// Records an output in place of the track's earlier one of that kind, whose folder is returned:
/// it is to be removed after the commit.
pub(crate) async fn replace_output(
    tx: &mut Connection,
    output: &NewOutput,
    now: Moment,
) -> Result<Option<LeaseToken>, StoreError> {
    let superseded = sqlx::query("DELETE FROM outputs WHERE track_id = $1 AND kind = $2 RETURNING id")
        .bind(output.track_id)
        .bind(output.kind.folder())
        .fetch_optional(&mut *tx)
        .await?;
    sqlx::query(
        "INSERT INTO outputs (id, kind, user_id, track_id, file, file_size, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(output.id)
    .bind(output.kind.folder())
    .bind(output.user_id)
    .bind(output.track_id)
    .bind(&output.file)
    .bind(i64::try_from(output.file_size).unwrap_or(i64::MAX))
    .bind(now)
    .execute(&mut *tx)
    .await?;
    Ok(superseded.map(|row| row.try_get("id")).transpose()?)
}

impl Store {
    /// The output in a folder, if it is this user's.
    pub async fn output(
        &self,
        user: UserId,
        kind: OutputKind,
        id: LeaseToken,
    ) -> Result<Option<Output>, StoreError> {
        let output = sqlx::query_as(
            "SELECT id, user_id, file, file_size FROM outputs WHERE id = $1 AND kind = $2 AND user_id = $3",
        )
        .bind(id)
        .bind(kind.folder())
        .bind(user);
        Ok(output.fetch_optional(self.read()).await?)
    }

    /// A track's output of a kind.
    pub async fn track_output(&self, track: TrackId, kind: OutputKind) -> Result<Option<Output>, StoreError> {
        let output = sqlx::query_as(
            "SELECT id, user_id, file, file_size FROM outputs WHERE track_id = $1 AND kind = $2",
        )
        .bind(track)
        .bind(kind.folder());
        Ok(output.fetch_optional(self.read()).await?)
    }

    /// The folders of all outputs of a kind.
    pub async fn output_folders(&self, kind: OutputKind) -> Result<Vec<LeaseToken>, StoreError> {
        let ids: Vec<(LeaseToken,)> = sqlx::query_as("SELECT id FROM outputs WHERE kind = $1")
            .bind(kind.folder())
            .fetch_all(self.read())
            .await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }
}
