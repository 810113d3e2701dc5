//! The page, its login, and what an administrator may do.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use axum::{Json, Router};
use bennu::Endpoint;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::chat::Chat;
use crate::digest::announce;
use crate::user_socket::{SALT, socket_id};

/// What an administrator's tokens are for.
const ADMIN_SALT: &str = "admin";

/// What the routes work with.
#[derive(Debug, Clone)]
pub struct Site {
    /// Who there is.
    pub chat: Chat,
    /// Who is connected.
    pub endpoint: Endpoint,
}

impl Site {
    /// A token for the routes under `/admin`, good for a day.
    #[must_use]
    pub fn admin_token(&self) -> String {
        self.endpoint.tokens().sign(ADMIN_SALT, "admin").expect("text can be signed")
    }
}

/// The page, the sockets, and everything else.
pub fn router(site: Site) -> Router {
    let script =
        |text: &'static str| get(move || async move { ([(header::CONTENT_TYPE, "text/javascript")], text) });
    let sockets = bennu::axum::sockets(&site.endpoint);
    Router::new()
        .route("/", get(|| async { Html(include_str!("../assets/index.html")) }))
        .route("/rooms.js", script(include_str!("../assets/rooms.js")))
        .route("/phoenix.mjs", script(include_str!(env!("PHOENIX_JS"))))
        .route("/users", get(users))
        .route("/session", post(log_in))
        .route("/admin/users/{user}/disconnect", post(disconnect))
        .route("/admin/rooms/{room}/announcements", post(announce_in))
        .with_state(Arc::new(site))
        .layer(sockets)
}

async fn users(State(site): State<Arc<Site>>) -> Json<Value> {
    Json(json!({ "users": site.chat.users() }))
}

#[derive(Deserialize)]
struct LogIn {
    user_id: u64,
}

/// Logs in as a sample user. A real program asks for more than a name.
async fn log_in(State(site): State<Arc<Site>>, Json(LogIn { user_id }): Json<LogIn>) -> impl IntoResponse {
    let Some(user) = site.chat.user(user_id) else { return Err(StatusCode::NOT_FOUND) };
    let token = site.endpoint.tokens().sign(SALT, &user_id).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let rooms = site.chat.rooms().iter().filter(|room| room.members.contains(&user_id));
    let rooms: Vec<Value> = rooms.map(|room| json!({ "id": room.id, "name": room.name })).collect();
    Ok(Json(json!({ "token": token, "user": user, "rooms": rooms })))
}

/// Proof that a request is an administrator's.
struct Admin;

impl FromRequestParts<Arc<Site>> for Admin {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, StatusCode> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer "));
        match site.endpoint.tokens().verify::<String>(ADMIN_SALT, token) {
            Ok(_) => Ok(Admin),
            Err(_) => Err(StatusCode::UNAUTHORIZED),
        }
    }
}

/// Ends all of a user's connections, and makes their tokens invalid: clients reconnect at once.
async fn disconnect(_: Admin, State(site): State<Arc<Site>>, Path(user): Path<u64>) -> StatusCode {
    site.endpoint.revoke(socket_id(user));
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Announcement {
    body: String,
}

async fn announce_in(
    _: Admin,
    State(site): State<Arc<Site>>,
    Path(room): Path<u64>,
    Json(Announcement { body }): Json<Announcement>,
) -> StatusCode {
    if site.chat.room(room).is_none() {
        return StatusCode::NOT_FOUND;
    }
    announce(&site.endpoint, room, &body);
    StatusCode::NO_CONTENT
}
