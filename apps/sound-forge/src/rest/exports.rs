//! `/export/...`: the same files, to be saved under a speaking name.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;

use crate::ids::{OfStem, OfTrack, TrackId};
use crate::library::Library;
use crate::store::OutputKind;
use crate::web::{ApiError, Caller};

use super::body::PathId;
use super::files;

pub(super) async fn stem(
    caller: Caller,
    PathId(id): PathId<OfStem>,
    State(library): State<Library>,
    request: Request,
) -> Result<Response, ApiError> {
    let stem = library.queue().store().stem(caller.user_id, id).await?.ok_or_else(ApiError::not_found)?;
    let path = library.data().output(OutputKind::Stems, stem.output_id).join(&stem.file);
    attach(files::send(&path, request).await?, &stem.file)
}

pub(super) async fn stems(
    caller: Caller,
    PathId(id): PathId<OfTrack>,
    State(library): State<Library>,
    request: Request,
) -> Result<Response, ApiError> {
    main_file(caller, id, OutputKind::Stems, &library, request).await
}

pub(super) async fn analysis(
    caller: Caller,
    PathId(id): PathId<OfTrack>,
    State(library): State<Library>,
    request: Request,
) -> Result<Response, ApiError> {
    main_file(caller, id, OutputKind::Analysis, &library, request).await
}

async fn main_file(
    caller: Caller,
    track: TrackId,
    kind: OutputKind,
    library: &Library,
    request: Request,
) -> Result<Response, ApiError> {
    let store = library.queue().store();
    store.track(caller.user_id, track).await?.ok_or_else(ApiError::not_found)?;
    let output = store.track_output(track, kind).await?.ok_or_else(ApiError::not_found)?;
    let path = library.data().output(kind, output.id).join(&output.file);
    attach(files::send(&path, request).await?, &output.file)
}

/// The names of files are ours, so they need no quoting.
fn attach(mut response: Response, name: &str) -> Result<Response, ApiError> {
    let value = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    let value = value.map_err(|error| ApiError::internal(&error))?;
    response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    Ok(response)
}
