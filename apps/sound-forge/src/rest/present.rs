//! How tracks, stems and jobs look as JSON.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::queue::{Enqueued, Job};
use crate::store::{OutputKind, StemRow, TrackRow, file_url};

/// A track, with the facts a list shows.
pub(super) fn track(track: &TrackRow) -> Value {
    json!({
        "id": track.id,
        "title": track.title,
        "source_url": track.source_url,
        "format": track.format,
        "sample_rate": track.sample_rate,
        "channels": track.channels,
        "duration_ms": track.duration_ms,
        "tempo": track.tempo,
        "key": track.musical_key,
        "loudness_lufs": track.loudness_lufs,
        "created_at": track.created_at,
        "updated_at": track.updated_at,
    })
}

/// A stem and where it is served.
pub(super) fn stem(stem: &StemRow) -> Value {
    json!({
        "id": stem.id,
        "stem": stem.stem,
        "url": file_url(OutputKind::Stems, stem.output_id, &stem.file),
        "file_size": stem.file_size,
    })
}

/// A job in full, under the names of the channel and under those of the REST contract.
pub(super) fn job(job: &Job) -> Value {
    let mut value = json!(job);
    value["job_id"] = json!(job.id);
    value["state"] = json!(job.status);
    value
}

/// The answer to a request for a job: 202 for a new one, 200 for one that was there.
pub(super) fn enqueued(enqueued: &Enqueued) -> Response {
    let status = if enqueued.is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
    (status, Json(json!({ "data": job(&enqueued.job) }))).into_response()
}
