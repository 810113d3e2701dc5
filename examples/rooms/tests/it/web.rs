//! The page's requests, and the administrator's.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use bennu_testkit::{assert_closed, assert_push, refute_closed, refute_push};
use rooms::web::{Site, router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::site::{ADA, GRACE, LOBBY, client, connecting, in_room, site};

async fn post(site: &Site, path: &str, token: Option<&str>, body: Value) -> (StatusCode, Value) {
    let mut request = Request::post(path).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Body::from(body.to_string())).unwrap();
    let response = router(site.clone()).oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 100_000).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn a_login_gives_a_token_that_connects_and_the_users_rooms() {
    let site = site();
    let (status, session) = post(&site, "/session", None, json!({"user_id": GRACE})).await;
    assert_eq!((status, &session["user"]), (StatusCode::OK, &json!({"id": GRACE, "name": "Grace"})));
    assert_eq!(session["rooms"], json!([{"id": 1, "name": "Lobby"}, {"id": 2, "name": "Compilers"}]));
    let params = json!({"token": session["token"]});
    let socket = bennu_testkit::connect(&site.endpoint, "/socket", params).await.unwrap();
    assert!(socket.join("notifications:2", json!({})).await.is_ok());
    let (status, _) = post(&site, "/session", None, json!({"user_id": 99})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn an_administrator_signs_a_user_out_until_the_next_login() {
    let site = site();
    let old = connecting(&site.endpoint, ADA);
    let (ada, grace) = (old.clone().await.unwrap(), client(&site.endpoint, GRACE).await);
    let (status, _) = post(&site, "/admin/users/1/disconnect", Some(&site.admin_token()), json!({})).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_closed!(ada, 1001);
    refute_closed!(grace);
    assert!(old.await.is_err(), "the client that reconnects at once stays out");
    // Tokens carry milliseconds, and one of the same millisecond is revoked as well.
    let mut later_logins = 0..100_000;
    while connecting(&site.endpoint, ADA).await.is_err() {
        assert!(later_logins.next().is_some(), "a later login comes in");
    }
}

#[tokio::test(start_paused = true)]
async fn an_administrator_announces_in_a_room() {
    let site = site();
    let room = in_room(&site.endpoint, ADA, LOBBY).await;
    let body = json!({"body": "Back at noon"});
    let (status, _) =
        post(&site, "/admin/rooms/1/announcements", Some(&site.admin_token()), body.clone()).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_push!(room, "message:new", {"body": "Back at noon", "system": true});
    let (status, _) = post(&site, "/admin/rooms/99/announcements", Some(&site.admin_token()), body).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn nobody_else_is_an_administrator() {
    let site = site();
    let ada = in_room(&site.endpoint, ADA, LOBBY).await;
    let users_token = crate::site::token(&site.endpoint, ADA);
    for token in
        [None, Some(""), Some("admin"), Some(&*users_token), Some(&*crate::site::site().admin_token())]
    {
        for path in ["/admin/users/1/disconnect", "/admin/rooms/1/announcements"] {
            let (status, _) = post(&site, path, token, json!({"body": "I am root"})).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} with {token:?}");
        }
    }
    refute_closed!(ada.socket());
    refute_push!(ada, "message:new");
}
