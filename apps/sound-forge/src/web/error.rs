//! Errors, as clients see them: `{"error", "code"}`, with `details` for what is wrong with the input.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::library::LibraryError;
use crate::store::StoreError;

/// An answer other than the one hoped for.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Option<Value>,
}

impl ApiError {
    /// An error with a code for programs and a message for people.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: None }
    }

    /// There is no such thing, or it is somebody else's.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such thing here")
    }

    /// A field of the input is wrong.
    pub fn invalid(code: &'static str, field: &str, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self {
            details: Some(json!({ field: [&problem] })),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, format!("{field} {problem}"))
        }
    }

    /// Our fault: logged here, and said without particulars.
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "something went wrong in the studio; its log tells what",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.message, "code": self.code });
        if let Some(details) = self.details {
            body["details"] = details;
        }
        (self.status, Json(body)).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if !error.is_outage() {
            return Self::internal(&error);
        }
        // The queue tells the log, once.
        tracing::debug!(%error, "a request found the database away");
        let message = "the studio's database is away; nothing is lost, try again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", message)
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                tracing::error!(%error, "the disk is full");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", "the studio's disk is full")
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<LibraryError> for ApiError {
    fn from(error: LibraryError) -> Self {
        match error {
            LibraryError::NotFound => Self::not_found(),
            LibraryError::Source(error) => Self::invalid("invalid_url", "url", error.to_string()),
            LibraryError::Upload(error) => Self::invalid("unsupported_audio", "file", error.to_string()),
            LibraryError::NoAudio => Self::new(StatusCode::CONFLICT, "no_audio", error.to_string()),
            LibraryError::Store(error) => error.into(),
            LibraryError::Disk(error) => error.into(),
        }
    }
}

/// Nothing is served at the path.
pub(super) async fn no_route() -> ApiError {
    ApiError::not_found()
}

/// Something is, but not with this method.
pub(super) async fn no_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the path does not take this method")
}
