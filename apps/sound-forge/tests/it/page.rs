//! The page: who sees it, how one gets in, and what it never gives away.

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::client::{Client, Vsn};
use crate::server::{Folder, Server, answer};

async fn text(response: Response) -> String {
    String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap()
}

/// Opens the link; the session cookie, as a browser would send it back.
async fn log_in(server: &Server) -> String {
    let path = server.login_link.strip_prefix(&server.url).unwrap();
    let response = server.anonymous(Method::GET, path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()["location"], "/");
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

fn csrf_token(page: &str) -> String {
    let after = page.split_once("name=\"csrf-token\" content=\"").unwrap().1;
    after.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn a_stranger_sees_a_door_and_never_a_key_or_token() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    for path in
        ["/", "/assets/studio.js", "/assets/studio.css", "/assets/phoenix.mjs", "/setup/wrong", "/health"]
    {
        let response = server.anonymous(Method::GET, path).send().await.unwrap();
        assert!(response.headers().get("set-cookie").is_none(), "{path}");
        let page = text(response).await;
        assert!(!page.contains("sfk_") && !page.contains(&server.key), "{path}");
        assert!(!page.contains("csrf-token\" content"), "{path}");
    }
    let token = answer(server.anonymous(Method::GET, "/session/socket-token")).await;
    assert_eq!(token.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_link_logs_in_once_and_a_restart_prints_another() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let path = server.login_link.strip_prefix(&server.url).unwrap();
    let looked = server.anonymous(Method::HEAD, path).send().await.unwrap();
    assert!(looked.headers().get("set-cookie").is_none(), "a preview is no log-in");
    let cookie = log_in(&server).await;
    let again = server.anonymous(Method::GET, path);
    let again = again.send().await.unwrap();
    assert_eq!(again.status(), StatusCode::GONE);
    assert!(again.headers().get("set-cookie").is_none());

    let page = server.anonymous(Method::GET, "/").header("cookie", &cookie).send().await.unwrap();
    let page = text(page).await;
    assert!(page.contains("Import the demo") && !page.contains("sfk_"));
    assert_eq!(server.terminate(), Some(0));

    let server = folder.serve(&[]);
    let page = server.anonymous(Method::GET, "/").header("cookie", &cookie).send().await.unwrap();
    assert!(text(page).await.contains("Import the demo"), "a session outlives a restart");
    log_in(&server).await;
}

#[tokio::test]
async fn a_new_link_makes_the_earlier_one_worthless() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let unused = server.login_link.strip_prefix(&server.url).unwrap().to_owned();
    assert_eq!(server.terminate(), Some(0));
    let server = folder.serve(&[]);
    let response = server.anonymous(Method::GET, &unused).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::GONE);
}

#[tokio::test]
async fn a_session_reads_by_cookie_but_changes_only_with_the_pages_token() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let cookie = log_in(&server).await;
    let page = text(server.anonymous(Method::GET, "/").header("cookie", &cookie).send().await.unwrap()).await;
    let post = || {
        let request = server.anonymous(Method::POST, "/api/download/track").header("cookie", &cookie);
        request.header("content-type", "application/json").body(r#"{"url":"demo:house?seconds=5"}"#)
    };
    let forged = answer(post()).await;
    assert_eq!((forged.status, &forged.body["code"]), (StatusCode::FORBIDDEN, &"forged_request".into()));
    let forged = answer(post().header("x-csrf-token", "wrong")).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let real = answer(post().header("x-csrf-token", csrf_token(&page))).await;
    assert_eq!(real.status, StatusCode::ACCEPTED);
    let jobs = answer(server.anonymous(Method::GET, "/api/jobs").header("cookie", &cookie)).await;
    assert_eq!(jobs.body["data"][0]["job_id"], real.body["data"]["job_id"]);
}

#[tokio::test]
async fn the_pages_socket_token_connects_and_follows_but_is_no_key() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let cookie = log_in(&server).await;
    let token =
        answer(server.anonymous(Method::GET, "/session/socket-token").header("cookie", &cookie)).await;
    let token = token.body["data"]["token"].as_str().unwrap().to_owned();
    let mut client = Client::with_token(&server, Vsn::V2, &token).await.unwrap();
    let job: Value = server.download("demo:house?seconds=5").await;
    assert!(client.join(&format!("jobs:{}", job["job_id"].as_str().unwrap())).await.is_ok());

    let refused = server.anonymous(Method::GET, "/api/tracks").bearer_auth(&token).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let session = cookie.split_once('=').unwrap().1;
    assert_eq!(Client::with_token(&server, Vsn::V2, session).await.err(), Some(403), "nor is the session");
}
