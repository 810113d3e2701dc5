//! The page: the studio for whoever is logged in, a hint for everyone else.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde_json::json;

use crate::accounts::{Accounts, SESSION_TIME};
use crate::{DISCLAIMER, PRODUCT_NAME};

use super::auth::SESSION_COOKIE;
use super::{ApiError, Caller};

/// The studio's markup; `{{…}}` are places.
const STUDIO: &str = include_str!("../../assets/studio.html");
/// What everyone else sees.
const DOOR: &str = include_str!("../../assets/door.html");

pub(super) async fn index(caller: Option<Caller>, State(accounts): State<Accounts>) -> Response {
    let Some(caller) = caller else { return door(StatusCode::OK, DOOR_HINT) };
    // Signed texts hold hexadecimal digits, dots, slashes and colons alone: safe in an attribute.
    let csrf_token = accounts.csrf_token(caller.visitor);
    let page = named(STUDIO).replace("{{csrf_token}}", &csrf_token);
    ([(header::CACHE_CONTROL, "no-store")], Html(page)).into_response()
}

/// Logs in whom a one-time link is for.
pub(super) async fn use_link(
    State(accounts): State<Accounts>,
    Path(token): Path<String>,
) -> Result<Response, ApiError> {
    let Some(session) = accounts.use_link(&token).await? else {
        return Ok(door(StatusCode::GONE, USED_UP));
    };
    let cookie = format!(
        "{SESSION_COOKIE}={session}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax",
        SESSION_TIME.as_secs()
    );
    Ok((set_cookie(&cookie)?, Redirect::to("/")).into_response())
}

pub(super) async fn look_at_link() -> StatusCode {
    StatusCode::OK
}

pub(super) async fn log_out(_caller: Caller) -> Result<Response, ApiError> {
    let cookie = format!("{SESSION_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    Ok((set_cookie(&cookie)?, StatusCode::NO_CONTENT).into_response())
}

/// What the page connects its socket with; it asks again before the token grows old.
pub(super) async fn socket_token(caller: Caller, State(accounts): State<Accounts>) -> Response {
    let token = accounts.socket_token(caller.visitor);
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({ "data": { "token": token } }))).into_response()
}

const DOOR_HINT: &str = "Open the one-time link that the server printed when it started.";
const USED_UP: &str = "This link has been used, or the server has printed a newer one. \
                       Every start of the server prints a fresh link.";

fn door(status: StatusCode, hint: &str) -> Response {
    let page = named(DOOR).replace("{{hint}}", hint);
    (status, [(header::CACHE_CONTROL, "no-store")], Html(page)).into_response()
}

fn named(page: &str) -> String {
    page.replace("{{product}}", PRODUCT_NAME).replace("{{disclaimer}}", DISCLAIMER)
}

fn set_cookie(cookie: &str) -> Result<HeaderMap, ApiError> {
    let value = HeaderValue::from_str(cookie).map_err(|error| ApiError::internal(&error))?;
    Ok(HeaderMap::from_iter([(header::SET_COOKIE, value)]))
}
