//! Asking for the three stages.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use sound_forge_audio::analysis::Feature;

use crate::ids::TrackId;
use crate::library::Library;
use crate::pipeline::{DEFAULT_ENGINE, ENGINES};
use crate::web::{ApiError, Caller};

use super::body::JsonBody;
use super::present;

#[derive(Debug, Deserialize)]
pub(super) struct Download {
    url: Option<String>,
    quality: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Separate {
    track_id: Option<String>,
    engine: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Analyse {
    track_id: Option<String>,
    features: Option<Vec<String>>,
}

pub(super) async fn download(
    caller: Caller,
    State(library): State<Library>,
    JsonBody(body): JsonBody<Download>,
) -> Result<Response, ApiError> {
    let url = body.url.ok_or_else(|| missing("url"))?;
    let enqueued = library.download(caller.user_id, &url, body.quality.as_deref()).await?;
    Ok(present::enqueued(&enqueued))
}

pub(super) async fn separate(
    caller: Caller,
    State(library): State<Library>,
    JsonBody(body): JsonBody<Separate>,
) -> Result<Response, ApiError> {
    let track = track_id(body.track_id)?;
    let engine = body.engine.unwrap_or_else(|| DEFAULT_ENGINE.to_owned());
    if !ENGINES.iter().any(|known| known.name == engine) {
        let problem = format!("{engine:?} is unknown; GET /api/processing/models lists the engines");
        return Err(ApiError::invalid("unknown_engine", "engine", problem));
    }
    Ok(present::enqueued(&library.separate(caller.user_id, track, engine).await?))
}

pub(super) async fn analyse(
    caller: Caller,
    State(library): State<Library>,
    JsonBody(body): JsonBody<Analyse>,
) -> Result<Response, ApiError> {
    let track = track_id(body.track_id)?;
    let names = body.features.unwrap_or_default();
    let features: Result<Vec<Feature>, _> = names.iter().map(|name| name.parse()).collect();
    let mut features = features
        .map_err(|error| ApiError::invalid("unknown_feature", "features", format!("has an {error}")))?;
    if features.is_empty() {
        features.push(Feature::All);
    }
    Ok(present::enqueued(&library.analyse(caller.user_id, track, features).await?))
}

pub(super) async fn models(_caller: Caller) -> Json<Value> {
    let engines: Vec<Value> = ENGINES
        .iter()
        .map(|engine| json!({ "name": engine.name, "description": engine.description, "stems": engine.stems, "default": engine.name == DEFAULT_ENGINE }))
        .collect();
    Json(json!({ "data": engines }))
}

/// An id that is none is of no track that exists.
fn track_id(text: Option<String>) -> Result<TrackId, ApiError> {
    text.ok_or_else(|| missing("track_id"))?.parse().map_err(|_| ApiError::not_found())
}

fn missing(field: &str) -> ApiError {
    ApiError::invalid("missing_field", field, "is missing")
}
