//! What the server tells about itself.

use reqwest::Method;
use serde_json::json;

use crate::client::{Client, Vsn};
use crate::server::Folder;

#[tokio::test]
async fn attack_056_metrics_are_for_those_with_a_key() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let anonymous = server.anonymous(Method::GET, "/metrics");
    assert_eq!(anonymous.send().await.unwrap().status(), 401);
    for key in ["", "sfk_wrong", &server.key[..server.key.len() - 1]] {
        let request = server.anonymous(Method::GET, "/metrics").bearer_auth(key);
        assert_eq!(request.send().await.unwrap().status(), 401, "{key}");
    }

    let mut client = Client::connect(&server, Vsn::V2).await;
    let job = server.download("demo:house?seconds=5").await;
    assert!(client.join(&format!("jobs:{}", job["job_id"].as_str().unwrap())).await.is_ok());
    assert_eq!(client.join("jobs:unknown").await.response, json!({"reason": "not_found"}));
    let metrics = server.request(Method::GET, "/metrics").send().await.unwrap();
    assert_eq!(metrics.status(), 200);
    let metrics = metrics.text().await.unwrap();
    for line in [
        r#"bennu_connections{mount="/socket",transport="websocket"} 1"#,
        r#"bennu_joins_total{mount="/socket",channel="jobs:*",result="ok"} 1"#,
        r#"bennu_joins_total{mount="/socket",channel="jobs:*",result="refused"} 1"#,
        r#"bennu_join_duration_seconds_count{mount="/socket",channel="jobs:*"} 2"#,
        "# TYPE bennu_backlog_bytes gauge",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in\n{metrics}");
    }
}
