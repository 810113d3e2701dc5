//! The plain HTTP answers of every transport.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use crate::params::QueryError;

/// A short text, or nothing, that nobody may keep.
pub(crate) fn text(status: StatusCode, body: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *response.status_mut() = status;
    let caching = HeaderValue::from_static("max-age=0, private, must-revalidate");
    response.headers_mut().insert(header::CACHE_CONTROL, caching);
    response
}

/// The answer to a query string that is refused.
pub(crate) fn undecodable(error: &QueryError) -> Response<Bytes> {
    match error {
        QueryError::NotUtf8 => text(StatusCode::BAD_REQUEST, ""),
        QueryError::TooLong => text(StatusCode::URI_TOO_LONG, ""),
    }
}

/// What a page shows where a socket should be, as Phoenix's own does: `connect` failed or panicked.
pub(crate) fn failed() -> Response<Bytes> {
    let mut response = text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}

/// Come back later: the time to wait is told in whole seconds.
pub(crate) fn unavailable(retry_after: Duration) -> Response<Bytes> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "");
    let seconds = retry_after.as_millis().div_ceil(1_000).max(1);
    if let Ok(seconds) = HeaderValue::from_str(&seconds.to_string()) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}
