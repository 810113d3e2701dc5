//! Who is asking, taken from a request.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};

use crate::accounts::{Accounts, Visitor};
use crate::ids::UserId;

use super::{ApiError, Studio};

/// The session cookie's name.
pub(super) const SESSION_COOKIE: &str = "sound_forge_session";
/// The header that a page sends with everything that changes something.
const CSRF_HEADER: &str = "x-csrf-token";

/// Whoever sent a request and has shown who they are: by `Authorization: Bearer KEY`, or by the
/// page's session.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// Whose library it is about.
    pub user_id: UserId,
    /// How they showed it.
    pub visitor: Visitor,
}

impl Caller {
    fn new(visitor: Visitor) -> Self {
        Self { user_id: visitor.user_id, visitor }
    }

    async fn of_request(parts: &Parts, accounts: &Accounts) -> Result<Option<Self>, ApiError> {
        if let Some(key) = bearer(&parts.headers) {
            return Ok(accounts.of_key(key).await?.map(Self::new));
        }
        let Some(cookie) = cookie(&parts.headers, SESSION_COOKIE) else { return Ok(None) };
        let Some(visitor) = accounts.of_session(cookie).await? else { return Ok(None) };
        if !is_safe(&parts.method) {
            check_not_forged(&parts.headers, accounts, visitor)?;
        }
        Ok(Some(Self::new(visitor)))
    }
}

impl FromRequestParts<Studio> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, studio: &Studio) -> Result<Self, ApiError> {
        Self::of_request(parts, &studio.accounts).await?.ok_or_else(unauthorized)
    }
}

impl OptionalFromRequestParts<Studio> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, studio: &Studio) -> Result<Option<Self>, ApiError> {
        Self::of_request(parts, &studio.accounts).await
    }
}

/// A browser sends the cookie along whichever page asks, so the page itself has to show that it is ours.
fn check_not_forged(headers: &HeaderMap, accounts: &Accounts, visitor: Visitor) -> Result<(), ApiError> {
    let token = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
    if token.is_some_and(|token| accounts.is_csrf_token(visitor, token)) {
        return Ok(());
    }
    let message = "the request did not come from the studio's own page: reload it, or use an API key";
    Err(ApiError::new(StatusCode::FORBIDDEN, "forged_request", message))
}

fn unauthorized() -> ApiError {
    let message = "send an API key as 'Authorization: Bearer KEY', or log in on the page";
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_in_headers() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "bearer sfk_1".parse().unwrap());
        headers.insert(header::COOKIE, "a=b; sound_forge_session=c=d; e".parse().unwrap());
        assert_eq!(bearer(&headers), Some("sfk_1"));
        assert_eq!(cookie(&headers, SESSION_COOKIE), Some("c=d"));
        headers.insert(header::AUTHORIZATION, "Basic x".parse().unwrap());
        assert_eq!(bearer(&headers), None);
    }
}
