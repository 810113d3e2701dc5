//! Reading what requests bring, with errors in the shape of all others.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::ids::Id;
use crate::web::{ApiError, Studio};

/// A JSON body.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

/// The query of a URL.
#[derive(Debug)]
pub(super) struct QueryOf<T>(pub(super) T);

/// The id in a path. One that is none is of nothing that exists.
#[derive(Debug)]
pub(super) struct PathId<T>(pub(super) Id<T>);

impl<T: DeserializeOwned> FromRequest<Studio> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, studio: &Studio) -> Result<Self, ApiError> {
        match axum::Json::from_request(request, studio).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(JsonRejection::JsonDataError(error)) => {
                Err(ApiError::invalid("invalid_body", "body", why(&error)))
            }
            Err(error) => Err(ApiError::new(error.status(), "invalid_json", error.body_text())),
        }
    }
}

/// The cause says which field, the wrapping only that there is one.
fn why(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

impl<T: DeserializeOwned> FromRequestParts<Studio> for QueryOf<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, studio: &Studio) -> Result<Self, ApiError> {
        match Query::from_request_parts(parts, studio).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => {
                Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_query", error.body_text()))
            }
        }
    }
}

impl<T: 'static> FromRequestParts<Studio> for PathId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, studio: &Studio) -> Result<Self, ApiError> {
        let path: Result<Path<String>, _> = Path::from_request_parts(parts, studio).await;
        let id = path.ok().and_then(|Path(text)| text.parse().ok());
        id.map(Self).ok_or_else(ApiError::not_found)
    }
}
