//! The REST interface's shapes and refusals.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::server::{Folder, answer};

#[tokio::test]
async fn a_thousand_identical_requests_make_one_job() {
    let folder = Folder::new();
    let server = Arc::new(folder.serve(&[]));
    let requests: Vec<_> = (0..1_000)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { server.download("demo:house?seconds=30").await["job_id"].clone() })
        })
        .collect();
    let mut ids = Vec::new();
    for request in requests {
        ids.push(request.await.unwrap());
    }
    assert!(ids.iter().all(|id| id == &ids[0]));
    let jobs = server.get("/api/jobs?job_type=download").await;
    assert_eq!(jobs.body["meta"]["total_count"], 1);
    assert_eq!(server.get("/api/tracks").await.body["meta"]["total_count"], 1);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    for seed in 0..3 {
        server.download(&format!("demo:house?seconds=5&seed={seed}")).await;
    }
    let page = server.get("/api/tracks?page=2&page_size=2").await.body;
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    assert_eq!(page["meta"], json!({"page": 2, "page_size": 2, "total_count": 3, "total_pages": 2}));
    let models = server.get("/api/processing/models").await.body;
    assert_eq!(models["data"][0]["name"], "dsp");
    assert_eq!(models["data"][0]["stems"], json!(["drums", "bass", "vocals", "other"]));
}

#[tokio::test]
async fn wrong_input_is_named_and_makes_no_job() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let download = |url: &str| ("/api/download/track", json!({"url": url}));
    let unknown = "00000000-0000-4000-8000-000000000000";
    for ((path, body), status, code) in [
        (("/api/download/track", json!({})), 422, "missing_field"),
        (("/api/download/track", json!({"url": 5})), 422, "invalid_body"),
        (("/api/download/track", json!({"url": "demo:house", "quality": "-x"})), 422, "invalid_url"),
        (download(""), 422, "invalid_url"),
        (download("no url"), 422, "invalid_url"),
        (download("ftp://example.org/a.mp3"), 422, "invalid_url"),
        (download("demo:polka"), 422, "invalid_url"),
        (download("demo:house?bpm=1000"), 422, "invalid_url"),
        (download("https://user:pass@example.org/a.mp3"), 422, "invalid_url"),
        (download("https://open.spotify.com/track/1"), 422, "invalid_url"),
        (("/api/processing/separate", json!({})), 422, "missing_field"),
        (("/api/processing/separate", json!({"track_id": unknown})), 404, "not_found"),
        (("/api/processing/separate", json!({"track_id": unknown, "engine": "x"})), 422, "unknown_engine"),
        (("/api/analysis/analyze", json!({"track_id": "1"})), 404, "not_found"),
        (("/api/analysis/analyze", json!({"track_id": unknown, "features": ["x"]})), 422, "unknown_feature"),
        (("/nowhere", json!({})), 404, "not_found"),
        (("/health", json!({})), 405, "method_not_allowed"),
    ] {
        let answer = server.post(path, body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {body}: {answer:?}");
        assert_eq!(answer.body["code"], code, "{path} {body}: {answer:?}");
        assert!(!answer.body["error"].as_str().unwrap().is_empty());
        assert_eq!(answer.body.get("details").is_some(), status == 422, "{path} {body}");
    }
    assert_eq!(server.get("/api/jobs").await.body["meta"]["total_count"], 0);
    assert_eq!(server.get("/api/jobs?status=nonsense").await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn everything_but_health_needs_a_key() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let health = answer(server.anonymous(Method::GET, "/health")).await;
    assert_eq!((health.status, &health.body["data"]["status"]), (StatusCode::OK, &json!("ok")));
    for path in ["/api/tracks", "/api/jobs", "/api/processing/models", "/files/stems/x/y", "/export/stem/x"] {
        let refused = answer(server.anonymous(Method::GET, path)).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(refused.body["code"], "unauthorized", "{path}");
    }
}

#[tokio::test]
async fn the_database_may_lie_elsewhere_and_other_databases_are_refused_by_name() {
    let folder = Folder::new();
    let url = format!("sqlite:{}", folder.path().join("other.db").display());
    folder.run(&["key", "create", "--database", &url]);
    assert!(folder.path().join("other.db").exists());
    let output = folder.command(&["key", "list", "--database", "mysql://x"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("sqlite:PATH"));
}
