//! Tracks of a library, with what is known of them.

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::ids::{LeaseToken, StemId, TrackId, UserId};

use super::{Connection, Engine, OutputKind, Store, StoreError, statement};

/// A track about to be made.
#[derive(Debug, Clone)]
pub struct NewTrack {
    /// Whose it is.
    pub user_id: UserId,
    /// What to call it.
    pub title: String,
    /// The canonical URL it comes from; one track each.
    pub source_url: String,
}

/// A track, with the facts a list shows.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TrackRow {
    /// Its id.
    pub id: TrackId,
    /// Whose it is.
    pub user_id: UserId,
    /// What to call it.
    pub title: String,
    /// The canonical URL it came from.
    pub source_url: String,
    /// The container of its audio, such as `flac`.
    pub format: Option<String>,
    /// Samples a second.
    pub sample_rate: Option<i64>,
    /// Channels of its audio.
    pub channels: Option<i64>,
    /// How long it plays.
    pub duration_ms: Option<i64>,
    /// Beats a minute, when analysed.
    pub tempo: Option<f64>,
    /// Its key, when analysed.
    pub musical_key: Option<String>,
    /// Its loudness, when analysed.
    pub loudness_lufs: Option<f64>,
    /// When it was brought in.
    pub created_at: Moment,
    /// When it last changed.
    pub updated_at: Moment,
}

/// What decoding told of a track's audio.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AudioFacts {
    /// The container, such as `flac`.
    pub format: String,
    /// Samples a second.
    pub sample_rate: u32,
    /// How many channels.
    pub channels: u16,
    /// How long it plays.
    pub duration_ms: u64,
}

/// A stem about to be recorded.
#[derive(Debug, Clone)]
pub struct NewStem {
    /// Which one: drums, bass, vocals or other.
    pub stem: String,
    /// Its file in the output's folder.
    pub file: String,
    /// The file's size in bytes.
    pub file_size: u64,
}

/// A stem of a track.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct StemRow {
    /// Its id.
    pub id: StemId,
    /// The folder it lives in.
    pub output_id: LeaseToken,
    /// Which one: drums, bass, vocals or other.
    pub stem: String,
    /// Its file in the folder.
    pub file: String,
    /// The file's size in bytes.
    pub file_size: i64,
}

/// The few facts of an analysis that a list shows.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Beats a minute.
    pub tempo: Option<f64>,
    /// Such as `A minor`.
    pub musical_key: Option<String>,
    /// Integrated loudness.
    pub loudness_lufs: Option<f64>,
}

/// A page of a list, and how long the whole list is.
#[derive(Debug)]
pub struct TrackPage {
    /// The tracks of this page, the newest first.
    pub tracks: Vec<TrackRow>,
    /// How many there are in all.
    pub total: u64,
}

const SELECT: &str = "SELECT t.id, t.user_id, t.title, t.source_url, t.format, t.sample_rate, t.channels, \
     t.duration_ms, a.tempo, a.musical_key, a.loudness_lufs, t.created_at, t.updated_at \
     FROM tracks t LEFT JOIN analyses a ON a.track_id = t.id ";

fn select(rest: &str) -> sqlx::AssertSqlSafe<String> {
    statement(format!("{SELECT}{rest}"))
}

/// Keeps a track as it is until the transaction ends. False when there is none.
pub(crate) async fn hold_track(
    tx: &mut Connection,
    engine: Engine,
    track: TrackId,
) -> Result<bool, StoreError> {
    let hold = statement(format!("SELECT id FROM tracks WHERE id = $1{}", engine.for_update()));
    let held: Option<(TrackId,)> = sqlx::query_as(hold).bind(track).fetch_optional(tx).await?;
    Ok(held.is_some())
}

/// The track of that source, made when there is none. Tells whether it is new. Until the
/// transaction ends, nobody removes it.
pub(crate) async fn ensure_track(
    tx: &mut Connection,
    track: &NewTrack,
    now: Moment,
) -> Result<(TrackRow, bool), StoreError> {
    let new = TrackId::random();
    // The update changes nothing: it makes the row that was there the one that is returned and kept.
    let (id,): (TrackId,) = sqlx::query_as(
        "INSERT INTO tracks (id, user_id, title, source_url, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (user_id, source_url) DO UPDATE SET source_url = excluded.source_url RETURNING id",
    )
    .bind(new)
    .bind(track.user_id)
    .bind(&track.title)
    .bind(&track.source_url)
    .bind(now)
    .bind(now)
    .fetch_one(&mut *tx)
    .await?;
    let row = sqlx::query_as(select("WHERE t.id = $1")).bind(id).fetch_one(&mut *tx).await?;
    Ok((row, id == new))
}

/// Notes what the audio of a track turned out to be.
pub(crate) async fn set_audio(
    tx: &mut Connection,
    track: TrackId,
    facts: &AudioFacts,
    now: Moment,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE tracks SET format = $1, sample_rate = $2, channels = $3, duration_ms = $4, updated_at = $5 \
         WHERE id = $6",
    )
    .bind(&facts.format)
    .bind(i64::from(facts.sample_rate))
    .bind(i64::from(facts.channels))
    .bind(i64::try_from(facts.duration_ms).unwrap_or(i64::MAX))
    .bind(now)
    .bind(track)
    .execute(tx)
    .await?;
    Ok(())
}

/// Records the stems of an output.
pub(crate) async fn add_stems(
    tx: &mut Connection,
    (user, track, output): (UserId, TrackId, LeaseToken),
    stems: &[NewStem],
) -> Result<(), StoreError> {
    for stem in stems {
        sqlx::query(
            "INSERT INTO stems (id, output_id, user_id, track_id, stem, file, file_size) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(StemId::random())
        .bind(output)
        .bind(user)
        .bind(track)
        .bind(&stem.stem)
        .bind(&stem.file)
        .bind(i64::try_from(stem.file_size).unwrap_or(i64::MAX))
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Records the facts of a track's analysis.
pub(crate) async fn set_summary(
    tx: &mut Connection,
    track: TrackId,
    output: LeaseToken,
    summary: &Summary,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM analyses WHERE track_id = $1").bind(track).execute(&mut *tx).await?;
    sqlx::query(
        "INSERT INTO analyses (track_id, output_id, tempo, musical_key, loudness_lufs) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(track)
    .bind(output)
    .bind(summary.tempo)
    .bind(&summary.musical_key)
    .bind(summary.loudness_lufs)
    // sqlx's `Any` prepares a missing number as one of another width; kept, the statement would
    // refuse the next one that is there.
    .persistent(false)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Whether a track has an output of a kind.
pub(crate) async fn has_output(
    tx: &mut Connection,
    track: TrackId,
    kind: OutputKind,
) -> Result<bool, StoreError> {
    let found: Option<(LeaseToken,)> =
        sqlx::query_as("SELECT id FROM outputs WHERE track_id = $1 AND kind = $2")
            .bind(track)
            .bind(kind.folder())
            .fetch_optional(tx)
            .await?;
    Ok(found.is_some())
}

impl Store {
    /// A track, if it is this user's.
    pub async fn track(&self, user: UserId, id: TrackId) -> Result<Option<TrackRow>, StoreError> {
        let track = sqlx::query_as(select("WHERE t.id = $1 AND t.user_id = $2")).bind(id).bind(user);
        Ok(track.fetch_optional(self.read()).await?)
    }

    /// A page of a user's tracks, the newest first.
    pub async fn tracks(&self, user: UserId, limit: u32, offset: u64) -> Result<TrackPage, StoreError> {
        let tracks = sqlx::query_as(select(
            "WHERE t.user_id = $1 ORDER BY t.created_at DESC, t.id LIMIT $2 OFFSET $3",
        ))
        .bind(user)
        .bind(i64::from(limit))
        .bind(i64::try_from(offset).unwrap_or(i64::MAX))
        .fetch_all(self.read())
        .await?;
        let (total,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM tracks WHERE user_id = $1")
            .bind(user)
            .fetch_one(self.read())
            .await?;
        Ok(TrackPage { tracks, total: u64::try_from(total).unwrap_or_default() })
    }

    /// The stems of a track.
    pub async fn stems(&self, track: TrackId) -> Result<Vec<StemRow>, StoreError> {
        let stems = sqlx::query_as(
            "SELECT id, output_id, stem, file, file_size FROM stems WHERE track_id = $1 ORDER BY stem",
        )
        .bind(track);
        Ok(stems.fetch_all(self.read()).await?)
    }

    /// A stem, if it is this user's.
    pub async fn stem(&self, user: UserId, id: StemId) -> Result<Option<StemRow>, StoreError> {
        let stem = sqlx::query_as(
            "SELECT id, output_id, stem, file, file_size FROM stems WHERE id = $1 AND user_id = $2",
        )
        .bind(id)
        .bind(user);
        Ok(stem.fetch_optional(self.read()).await?)
    }
}
