//! `/api/tracks`

use axum::Json;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{Multipart, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::data_dir::TempFile;
use crate::ids::{OfTrack, TrackId};
use crate::library::Library;
use crate::store::OutputKind;
use crate::web::{ApiError, Caller};

use super::body::{PathId, QueryOf};
use super::paging::Page;
use super::present;

pub(super) async fn list(
    caller: Caller,
    QueryOf(page): QueryOf<Page>,
    State(library): State<Library>,
) -> Result<Json<Value>, ApiError> {
    let (limit, offset) = page.limit_and_offset();
    let found = library.queue().store().tracks(caller.user_id, limit, offset).await?;
    let tracks: Vec<Value> = found.tracks.iter().map(present::track).collect();
    Ok(Json(page.answer(&tracks, found.total)))
}

pub(super) async fn show(
    caller: Caller,
    PathId(id): PathId<OfTrack>,
    State(library): State<Library>,
) -> Result<Response, ApiError> {
    let store = library.queue().store();
    let track = store.track(caller.user_id, id).await?.ok_or_else(ApiError::not_found)?;
    let mut value = present::track(&track);
    value["audio"] = match store.track_output(id, OutputKind::Downloads).await? {
        Some(output) => json!({ "url": output.url(OutputKind::Downloads), "file_size": output.file_size }),
        None => Value::Null,
    };
    value["stems"] = store.stems(id).await?.iter().map(present::stem).collect();
    let analysis = stored_analysis(&library, id).await?;
    Ok(Json(json!({ "data": WithAnalysis { track: value, analysis } })).into_response())
}

/// The analysis goes out as it was stored, unread: it may be a megabyte.
#[derive(serde::Serialize)]
struct WithAnalysis {
    #[serde(flatten)]
    track: Value,
    analysis: Option<Box<RawValue>>,
}

async fn stored_analysis(library: &Library, track: TrackId) -> Result<Option<Box<RawValue>>, ApiError> {
    let Some(output) = library.queue().store().track_output(track, OutputKind::Analysis).await? else {
        return Ok(None);
    };
    let path = library.data().output(OutputKind::Analysis, output.id).join(&output.file);
    let text = tokio::fs::read_to_string(path).await?;
    RawValue::from_string(text).map(Some).map_err(|error| ApiError::internal(&error))
}

pub(super) async fn delete(
    caller: Caller,
    PathId(id): PathId<OfTrack>,
    State(library): State<Library>,
) -> Result<StatusCode, ApiError> {
    library.delete(caller.user_id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn upload(
    caller: Caller,
    State(library): State<Library>,
    mut multipart: Multipart,
) -> Result<Response, ApiError> {
    while let Some(field) = multipart.next_field().await.map_err(of_multipart)? {
        if field.name() == Some("file") {
            return take_in(caller, &library, field).await;
        }
    }
    Err(ApiError::invalid("missing_file", "file", "is missing: send the audio as the multipart field 'file'"))
}

async fn take_in(caller: Caller, library: &Library, field: Field<'_>) -> Result<Response, ApiError> {
    let name = field.file_name().unwrap_or("Upload").to_owned();
    let file = library.data().temp_file();
    receive(field, &file, library.max_upload()).await?;
    let enqueued = library.upload(caller.user_id, file, &name).await?;
    let store = library.queue().store();
    let track = store.track(caller.user_id, enqueued.job.track_id).await?.ok_or_else(ApiError::not_found)?;
    let mut value = present::track(&track);
    value["track_id"] = json!(track.id);
    value["job_id"] = json!(enqueued.job.id);
    value["status"] = json!(enqueued.job.status);
    let status = if enqueued.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(json!({ "data": value }))).into_response())
}

/// Writes the field to the file piece by piece: it never stands in memory.
async fn receive(mut field: Field<'_>, file: &TempFile, max_bytes: u64) -> Result<(), ApiError> {
    let mut target = tokio::fs::File::create(file.path()).await?;
    let mut received = 0_u64;
    while let Some(piece) = field.chunk().await.map_err(of_multipart)? {
        received += piece.len() as u64;
        if received > max_bytes {
            return Err(too_large(max_bytes));
        }
        target.write_all(&piece).await?;
    }
    Ok(target.flush().await?)
}

fn too_large(max_bytes: u64) -> ApiError {
    let message = format!("the file has more than the {max_bytes} bytes that are let in (--max-upload)");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
}

fn of_multipart(error: MultipartError) -> ApiError {
    ApiError::new(error.status(), "invalid_multipart", error.body_text())
}
