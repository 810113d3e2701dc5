//! What nodes do while PostgreSQL or the engine between them is away.

use std::time::Duration;

use bennu_engines::Proxy;
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use crate::cluster::{
    URL, WAITING_TOOL, completed_once, follow, leave_tone, runs, tool_node, topic, until_the_tool_runs,
    watcher,
};
use crate::nodes::Nodes;
use crate::recovery::job_path;
use crate::server::{Answer, Server};

#[tokio::test]
async fn a_job_outlives_the_death_of_postgres_in_its_middle() {
    let nodes = Nodes::on_redis().await;
    let worker = tool_node(&nodes, "worker");
    let watcher = watcher(&nodes);
    let job = watcher.download(URL).await;
    let mut client = follow(&watcher, &job["job_id"]).await;
    until_the_tool_runs(&mut client).await;

    nodes.postgres.kill();
    for server in [&worker, &watcher] {
        let health = health_is(server, "unavailable").await;
        assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(health.body["data"]["database"], json!({"engine": "postgresql", "status": "down"}));
        let answer = server.get("/api/jobs").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.body["code"], "database_unavailable");
    }
    // The work comes to its end meanwhile, and its lease with it.
    std::fs::write(nodes.folder.path().join("go"), "").unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    nodes.postgres.restart().await.unwrap();

    completed_once(&client.until_the_end(&topic(&job["job_id"])).await);
    client.assert_silent(&topic(&job["job_id"])).await;
    let health = health_is(&worker, "ok").await;
    assert_eq!(health.status, StatusCode::OK);
    let row = watcher.get(&job_path(&job)).await.body["data"].clone();
    assert_eq!((&row["status"], &row["attempts"]), (&json!("completed"), &json!(1)), "nobody took it away");
    assert_eq!(runs(&nodes), 1);
    assert_eq!(nodes.folder.entries("downloads").len(), 1);
}

#[tokio::test]
async fn a_postgres_that_stops_answering_is_told_in_time_and_takes_no_job_from_its_worker() {
    let nodes = Nodes::on_nats().await;
    let worker = tool_node(&nodes, "worker");
    let watcher = watcher(&nodes);
    let job = watcher.download(URL).await;
    let mut client = follow(&watcher, &job["job_id"]).await;
    until_the_tool_runs(&mut client).await;
    // It would take the job over, and may not, since its owner cannot be blamed.
    let heir = tool_node(&nodes, "heir");

    nodes.postgres.pause();
    let frozen = Instant::now();
    join_all([&worker, &watcher, &heir].map(told_that_the_database_is_away)).await;
    // Twice a lease, in which nobody could renew.
    tokio::time::sleep_until(frozen + Duration::from_secs(8)).await;
    told_that_the_database_is_away(&watcher).await;
    nodes.postgres.resume();
    for server in [&worker, &watcher, &heir] {
        health_is(server, "ok").await;
    }
    // Longer than it takes until leases are looked at again.
    tokio::time::sleep(Duration::from_secs(6)).await;
    std::fs::write(nodes.folder.path().join("go"), "").unwrap();

    completed_once(&client.until_the_end(&topic(&job["job_id"])).await);
    client.assert_silent(&topic(&job["job_id"])).await;
    let row = heir.get(&job_path(&job)).await.body["data"].clone();
    assert_eq!((&row["status"], &row["attempts"]), (&json!("completed"), &json!(1)), "nobody took it away");
    assert_eq!(runs(&nodes), 1);
    assert_eq!(nodes.folder.entries("downloads").len(), 1);
}

// The link runs beside the test, which waits for processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_way_to_postgres_is_frozen_loses_its_lease_and_ends_nothing_twice() {
    let nodes = Nodes::on_redis().await;
    leave_tone(&nodes);
    let link = Proxy::start(nodes.postgres.address()).await.unwrap();
    let cut_off = nodes.start_with_tool_behind(&link, "cut off", WAITING_TOOL);
    let watcher = watcher(&nodes);
    let job = watcher.download(URL).await;
    let mut client = follow(&watcher, &job["job_id"]).await;
    until_the_tool_runs(&mut client).await;
    let heir = tool_node(&nodes, "heir");

    link.freeze();
    told_that_the_database_is_away(&cut_off).await;
    std::fs::write(nodes.folder.path().join("go"), "").unwrap();
    completed_once(&client.until_the_end(&topic(&job["job_id"])).await);
    let before = watcher.get(&job_path(&job)).await.body["data"].clone();
    assert_eq!((&before["status"], &before["attempts"]), (&json!("completed"), &json!(2)));

    link.heal();
    health_is(&cut_off, "ok").await;
    // What it had in its hands goes within a second.
    let output = before["result"]["output_path"].as_str().unwrap().to_owned();
    let healed = Instant::now();
    while healed.elapsed() < Duration::from_secs(3) {
        assert_eq!(heir.get(&job_path(&job)).await.body["data"], before);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(cut_off.get(&output).await.status, StatusCode::OK);
    assert_eq!(nodes.folder.entries("downloads").len(), 1, "one output");
    assert_eq!(runs(&nodes), 2);
    client.assert_silent(&topic(&job["job_id"])).await;
}

#[tokio::test]
async fn the_end_of_a_job_is_told_through_every_node_although_nats_is_away() {
    ends_without_the_engine(Nodes::on_nats().await).await;
}

#[tokio::test]
async fn the_end_of_a_job_is_told_through_every_node_although_redis_is_away() {
    ends_without_the_engine(Nodes::on_redis().await).await;
}

async fn ends_without_the_engine(nodes: Nodes) {
    let worker = tool_node(&nodes, "worker");
    let watcher = watcher(&nodes);
    let job = watcher.download(URL).await;
    let mut client = follow(&watcher, &job["job_id"]).await;
    until_the_tool_runs(&mut client).await;

    nodes.engine().kill();
    let health = health_is(&watcher, "degraded").await;
    assert_eq!(health.status, StatusCode::OK, "it serves");
    assert_eq!(health.body["data"]["pubsub"]["status"], "down");
    assert!(health.body["data"]["reasons"][0].as_str().unwrap().contains("away"), "{health:?}");
    std::fs::write(nodes.folder.path().join("go"), "").unwrap();
    completed_once(&client.until_the_end(&topic(&job["job_id"])).await);

    // With the engine come the messages that waited for it, and tell nothing twice.
    nodes.engine().restart().await.unwrap();
    health_is(&watcher, "ok").await;
    health_is(&worker, "ok").await;
    let end = watcher.get(&job_path(&job)).await.body["data"]["next_job_id"].clone();
    let mut next = follow(&watcher, &end).await;
    completed_once(&next.until_the_end(&topic(&end)).await);
    client.assert_silent(&topic(&job["job_id"])).await;
}

#[tokio::test]
async fn a_node_names_the_database_that_it_cannot_reach_and_no_password() {
    let nodes = Nodes::on_redis().await;
    nodes.postgres.kill();
    let url = nodes.postgres.url().replace("postgres@", "postgres:hunter2@");
    let mut command = nodes.folder.command(&["serve", "--listen", "127.0.0.1:0"]);
    let output = command.env("DATABASE_URL", url).output().unwrap();
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("the database of DATABASE_URL cannot be opened"), "{complaint}");
    assert!(complaint.contains("refused") && !complaint.contains("hunter2"), "{complaint}");
}

/// Requests are answered, with what is wrong, although nothing answers them.
async fn told_that_the_database_is_away(server: &Server) {
    /// A node waits for a connection for 3 s, and its requests may be several.
    const BOUND: Duration = Duration::from_secs(15);
    let asked = Instant::now();
    let health = health_is(server, "unavailable").await;
    assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(health.body["data"]["database"], json!({"engine": "postgresql", "status": "down"}));
    for path in ["/api/jobs", "/api/tracks"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.body["code"], "database_unavailable", "{path}");
    }
    assert!(asked.elapsed() < BOUND, "{:?}", asked.elapsed());
}

/// Asks until it is so.
async fn health_is(server: &Server, status: &str) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = server.get("/health").await;
        if answer.body["data"]["status"] == status {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
