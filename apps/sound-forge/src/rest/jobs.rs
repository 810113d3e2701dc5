//! Looking at jobs, and cancelling them.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ids::{JobId, OfJob, TrackId};
use crate::library::Library;
use crate::queue::{JobFilter, JobStatus, JobType};
use crate::web::{ApiError, Caller};

use super::body::{PathId, QueryOf};
use super::paging::Page;
use super::present;

#[derive(Debug, Deserialize)]
pub(super) struct Filter {
    job_type: Option<JobType>,
    status: Option<JobStatus>,
    track_id: Option<TrackId>,
}

pub(super) async fn list(
    caller: Caller,
    QueryOf(page): QueryOf<Page>,
    QueryOf(filter): QueryOf<Filter>,
    State(library): State<Library>,
) -> Result<Json<Value>, ApiError> {
    let filter = JobFilter { job_type: filter.job_type, status: filter.status, track: filter.track_id };
    let found = library.queue().jobs(caller.user_id, filter, page.limit_and_offset()).await?;
    let jobs: Vec<Value> = found.jobs.iter().map(present::job).collect();
    Ok(Json(page.answer(&jobs, found.total)))
}

pub(super) async fn show(
    caller: Caller,
    PathId(id): PathId<OfJob>,
    State(library): State<Library>,
) -> Result<Json<Value>, ApiError> {
    find(caller, id, None, &library).await
}

pub(super) async fn show_download(
    caller: Caller,
    PathId(id): PathId<OfJob>,
    State(library): State<Library>,
) -> Result<Json<Value>, ApiError> {
    find(caller, id, Some(JobType::Download), &library).await
}

pub(super) async fn show_processing(
    caller: Caller,
    PathId(id): PathId<OfJob>,
    State(library): State<Library>,
) -> Result<Json<Value>, ApiError> {
    find(caller, id, Some(JobType::Processing), &library).await
}

pub(super) async fn show_analysis(
    caller: Caller,
    PathId(id): PathId<OfJob>,
    State(library): State<Library>,
) -> Result<Json<Value>, ApiError> {
    find(caller, id, Some(JobType::Analysis), &library).await
}

pub(super) async fn cancel(
    caller: Caller,
    PathId(id): PathId<OfJob>,
    State(library): State<Library>,
) -> Result<Json<Value>, ApiError> {
    let job = library.cancel(caller.user_id, id).await?;
    Ok(Json(json!({ "data": present::job(&job) })))
}

async fn find(
    caller: Caller,
    id: JobId,
    job_type: Option<JobType>,
    library: &Library,
) -> Result<Json<Value>, ApiError> {
    let job = library.queue().job(caller.user_id, id).await?;
    let job = job.filter(|job| job_type.is_none_or(|wanted| job.job_type == wanted));
    let job = job.ok_or_else(ApiError::not_found)?;
    Ok(Json(json!({ "data": present::job(&job) })))
}
