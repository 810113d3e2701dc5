//! Who may follow what, and until when.

use serde_json::json;

use crate::client::{Client, Vsn};
use crate::server::{Folder, Server};

/// A job of somebody else, made behind the server's back.
async fn foreign_job(folder: &Folder, server: &Server) -> String {
    let job = server.download("demo:house?seconds=5").await;
    let url = format!("sqlite:{}", folder.data().join("studio.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let stranger = uuid::Uuid::new_v4().to_string();
    sqlx::query("INSERT INTO users (id, name, created_at) VALUES ($1, 'stranger', 0)")
        .bind(&stranger)
        .execute(&pool)
        .await
        .unwrap();
    for table in ["jobs", "tracks", "outputs", "stems"] {
        let update = sqlx::AssertSqlSafe(format!("UPDATE {table} SET user_id = $1"));
        sqlx::query(update).bind(&stranger).execute(&pool).await.unwrap();
    }
    pool.close().await;
    job["job_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn foreign_unknown_and_malformed_jobs_answer_alike_and_the_socket_lives() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let foreign = foreign_job(&folder, &server).await;
    let unknown = uuid::Uuid::new_v4().to_string();
    for vsn in [Vsn::V1, Vsn::V2] {
        let mut client = Client::connect(&server, vsn).await;
        for id in [&foreign, &unknown, "", "1", "JOB_UUID_HERE", &foreign.to_uppercase()] {
            let reply = client.join(&format!("jobs:{id}")).await;
            assert!(reply.is_error(), "{id}: {reply:?}");
            assert_eq!(reply.response, json!({"reason": "not_found"}), "{id}");
        }
        let own = server.download("demo:waltz?seconds=5").await;
        assert!(client.join(&format!("jobs:{}", own["job_id"].as_str().unwrap())).await.is_ok());
    }
    for path in ["/api/jobs/", "/api/download/job/", "/api/tracks/", "/export/stems/"] {
        for id in [&foreign, &unknown, "1"] {
            let answer = server.get(&format!("{path}{id}")).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body["code"]),
                (404, &json!("not_found")),
                "{path}{id}"
            );
        }
    }
}

#[tokio::test]
async fn internal_topics_are_out_of_reach() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let mut client = Client::connect(&server, Vsn::V2).await;
    for topic in ["tracks", "midi:events", "osc:events", "dj:session:1", "jobs", "phoenix:x"] {
        assert!(client.join(topic).await.is_error(), "{topic}");
    }
}

#[tokio::test]
async fn ping_is_answered_and_unknown_events_are_refused() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let job = server.download("demo:house?seconds=5").await;
    let topic = format!("jobs:{}", job["job_id"].as_str().unwrap());
    for vsn in [Vsn::V1, Vsn::V2] {
        let mut client = Client::connect(&server, vsn).await;
        client.join(&topic).await;
        let reply = client.push(&topic, "ping").await;
        assert_eq!((reply.status.as_str(), reply.response), ("ok", json!({})));
        assert!(client.push(&topic, "pong").await.is_error());
        assert!(client.push(&topic, "ping").await.is_ok(), "the channel lives");
    }
}

#[tokio::test]
async fn a_missing_wrong_or_revoked_key_is_refused() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let revoked = folder.new_key();
    folder.run(&["key", "revoke", &folder.newest_key_id()]);
    for token in ["", "wrong", &revoked, &server.key[..20]] {
        assert_eq!(Client::with_token(&server, Vsn::V2, token).await.err(), Some(403), "{token}");
        let request = server.anonymous(reqwest::Method::GET, "/api/tracks").bearer_auth(token);
        assert_eq!(request.send().await.unwrap().status(), 401, "{token}");
    }
    assert!(Client::with_token(&server, Vsn::V2, &server.key).await.is_ok());
}

#[tokio::test]
async fn revoking_a_key_drops_its_sockets_and_no_others() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let doomed = folder.new_key();
    let id = folder.newest_key_id();
    let mut open = vec![];
    for vsn in [Vsn::V1, Vsn::V2] {
        open.push(Client::with_token(&server, vsn, &doomed).await.unwrap());
    }
    let mut other = Client::connect(&server, Vsn::V2).await;

    let asked = tokio::time::Instant::now();
    folder.run(&["key", "revoke", &id]);
    for client in &mut open {
        client.closed().await;
    }
    assert!(asked.elapsed() < std::time::Duration::from_secs(2));
    let job = server.download("demo:house?seconds=5").await;
    assert!(other.join(&format!("jobs:{}", job["job_id"].as_str().unwrap())).await.is_ok());
    assert!(folder.run(&["key", "list"]).contains("revoked"));
}

#[tokio::test]
async fn keys_are_stored_as_hashes_alone() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let key = server.key.clone();
    assert_eq!(server.terminate(), Some(0));
    for file in ["studio.db", "studio.db-wal"] {
        let content = std::fs::read(folder.data().join(file)).unwrap_or_default();
        let found = content.windows(key.len()).any(|window| window == key.as_bytes());
        assert!(!found, "{file} holds the key");
    }
}
