//! The HTTP answers of long polling. Any page may read them: what it may do, the token decides.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::transport::answer::{self as plain, text};

#[derive(Serialize)]
struct Body<'a> {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a [String]>,
}

/// A refusal, or what became of a post.
pub(crate) fn status(status: u16) -> Response<Bytes> {
    json(&Body { status, token: None, messages: None })
}

/// What a poll came to.
pub(crate) fn messages(status: u16, token: &str, messages: &[String]) -> Response<Bytes> {
    json(&Body { status, token: Some(token), messages: Some(messages) })
}

/// A method that is not served, or a body that cannot be read.
pub(crate) fn bad_request() -> Response<Bytes> {
    readable(text(StatusCode::BAD_REQUEST, ""))
}

/// Nobody is let in for now. Official clients take an empty body for a failure that passes.
pub(crate) fn unavailable(retry_after: Duration) -> Response<Bytes> {
    readable(plain::unavailable(retry_after))
}

/// What a browser asks before a page of another origin may send its headers.
pub(crate) fn preflight(request: &HeaderMap) -> Response<Bytes> {
    let wanted = request.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let wanted = wanted.map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..]);
    let mut response = text(StatusCode::OK, "");
    let headers = response.headers_mut();
    // Joined header values are one.
    if let Ok(wanted) = HeaderValue::from_bytes(&wanted) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    }
    let methods = HeaderValue::from_static("get, post, options");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    readable(response)
}

fn json(body: &Body<'_>) -> Response<Bytes> {
    let body = serde_json::to_vec(body).expect("numbers and text have a form in JSON");
    let mut response = Response::new(Bytes::from(body));
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    readable(response)
}

fn readable(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
