//! The requests of a session.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;

use super::LongPoll;
use super::batches::Batch;
use crate::transport::request::{self, Target};
use crate::transport::{OpenError, OpenRequest};

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-phoenix-authtoken");
const SESSION_TOKEN: HeaderName = HeaderName::from_static("x-phoenix-longpoll-token");

const RESERVED: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TRANSFER_ENCODING,
    AUTH_TOKEN,
    SESSION_TOKEN,
];

/// Where requests go, and what they have in common.
pub(super) struct Server {
    pub(super) settings: LongPoll,
    pub(super) target: Target,
    headers: HeaderMap,
    auth_token: Option<HeaderValue>,
}

impl Server {
    pub(super) fn new(settings: LongPoll, request: &OpenRequest) -> Result<Self, OpenError> {
        let target = Target::parse(&request.url)?;
        let mut headers = request::headers(request, &target, &RESERVED)?;
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        let auth_token =
            request.auth_token.as_deref().map(|token| secret(token, "auth token")).transpose()?;
        Ok(Server { settings, target, headers, auth_token })
    }

    /// Asks for messages; without a token, for a session.
    pub(super) fn poll(&self, token: Option<&str>) -> Result<Request<Full<Bytes>>, OpenError> {
        let mut request = self.request(Method::GET, token, Bytes::new())?;
        if let Some(token) = &self.auth_token {
            request.headers_mut().insert(AUTH_TOKEN, token.clone());
        }
        Ok(request)
    }

    pub(super) fn post(&self, token: &str, batch: Batch) -> Result<Request<Full<Bytes>>, OpenError> {
        let mut request = self.request(Method::POST, Some(token), batch.body)?;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(batch.content_type));
        Ok(request)
    }

    fn request(
        &self,
        method: Method,
        token: Option<&str>,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, OpenError> {
        let mut uri = self.target.path.to_string();
        let mut headers = self.headers.clone();
        if let Some(token) = token {
            headers.insert(SESSION_TOKEN, secret(token, "session's token")?);
            if !self.settings.header_token_only {
                let separator = if uri.contains('?') { '&' } else { '?' };
                let token = percent_encoding::utf8_percent_encode(token, percent_encoding::NON_ALPHANUMERIC);
                uri = format!("{uri}{separator}token={token}");
            }
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().map_err(|_| OpenError::Invalid("the url is none".to_owned()))?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

fn secret(text: &str, what: &str) -> Result<HeaderValue, OpenError> {
    let value = HeaderValue::from_str(text);
    let mut value =
        value.map_err(|_| OpenError::Invalid(format!("the {what} does not fit into a header")))?;
    value.set_sensitive(true);
    Ok(value)
}
