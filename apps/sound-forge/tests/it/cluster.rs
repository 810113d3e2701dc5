//! Several nodes, as one studio.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::{Client, Event, Vsn};
use crate::nodes::Nodes;
use crate::recovery::job_path;
use crate::server::Server;

/// A tool that leaves a short tone, once the file `go` is there, and notes that it was run.
pub(crate) const WAITING_TOOL: &str = "echo run >> $HERE/runs; echo '1%'; \
                            while [ ! -e $HERE/go ]; do sleep 0.05; done; cp $HERE/tone.wav \"$1/x.wav\"";
pub(crate) const URL: &str = "https://tool.example/track";

#[tokio::test]
async fn a_job_asked_for_on_one_node_runs_on_another_and_is_followed_through_a_third() {
    asked_on_one_done_on_another(Nodes::on_nats().await).await;
}

#[tokio::test]
async fn redis_is_as_good_an_engine_for_nodes() {
    asked_on_one_done_on_another(Nodes::on_redis().await).await;
}

async fn asked_on_one_done_on_another(nodes: Nodes) {
    let asked = nodes.start("asked", &["--no-workers"]);
    let followed = nodes.start("followed", &["--no-workers"]);
    let _worker = nodes.start("worker", &[]);

    let job = asked.download("demo:house?seconds=20").await;
    let mut download = follow(&followed, &job["job_id"]).await;
    let told = download.until_the_end(&topic(&job["job_id"])).await;
    let end = completed_once(&told);
    // The next stage is followed from its beginning, so what is told of it came over the engine.
    let mut stems = follow(&followed, &end["next_job_id"]).await;
    let told = stems.until_the_end(&topic(&end["next_job_id"])).await;
    let end = completed_once(&told);
    let steps: Vec<u64> = told.iter().filter_map(|event| event.payload["progress"].as_u64()).collect();
    assert!(steps.iter().any(|step| (1..100).contains(step)), "progress is seen on its way: {steps:?}");
    assert!(steps.is_sorted(), "{steps:?}");

    // What one node made, every node serves.
    let path = end["result"]["output_path"].as_str().unwrap();
    for server in [&asked, &followed] {
        let file = server.request(reqwest::Method::GET, path).send().await.unwrap();
        assert_eq!(file.status(), StatusCode::OK);
        assert_eq!(file.bytes().await.unwrap().len() as u64, end["result"]["file_size"].as_u64().unwrap());
    }
}

#[tokio::test]
async fn another_node_takes_over_the_job_of_one_that_was_killed_once_its_lease_is_over() {
    let nodes = Nodes::on_nats().await;
    let doomed = tool_node(&nodes, "doomed");
    let watcher = watcher(&nodes);
    let job = watcher.download(URL).await;
    let mut client = follow(&watcher, &job["job_id"]).await;
    until_the_tool_runs(&mut client).await;
    let heir = tool_node(&nodes, "heir");
    doomed.kill();
    std::fs::write(nodes.folder.path().join("go"), "").unwrap();

    completed_once(&client.until_the_end(&topic(&job["job_id"])).await);
    client.assert_silent(&topic(&job["job_id"])).await;
    let row = heir.get(&job_path(&job)).await.body["data"].clone();
    assert_eq!((&row["status"], &row["attempts"]), (&json!("completed"), &json!(2)));
    assert_eq!(runs(&nodes), 2);
    assert_eq!(nodes.folder.entries("downloads").len(), 1, "one output");
}

#[tokio::test]
async fn a_node_that_was_stopped_for_longer_than_its_lease_changes_nothing_when_it_goes_on() {
    let nodes = Nodes::on_redis().await;
    let sleeper = tool_node(&nodes, "sleeper");
    let watcher = watcher(&nodes);
    let job = watcher.download(URL).await;
    let mut client = follow(&watcher, &job["job_id"]).await;
    until_the_tool_runs(&mut client).await;
    sleeper.pause();
    let _heir = tool_node(&nodes, "heir");
    std::fs::write(nodes.folder.path().join("go"), "").unwrap();
    completed_once(&client.until_the_end(&topic(&job["job_id"])).await);
    let before = watcher.get(&job_path(&job)).await.body["data"].clone();

    sleeper.resume();
    // It answers, so it is awake; what it had in its hands goes within a second.
    assert_eq!(sleeper.get("/health").await.status, StatusCode::OK);
    let output = before["result"]["output_path"].as_str().unwrap().to_owned();
    let resumed = Instant::now();
    while resumed.elapsed() < Duration::from_secs(2) {
        assert_eq!(watcher.get(&job_path(&job)).await.body["data"], before);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(watcher.get(&output).await.status, StatusCode::OK);
    assert_eq!(nodes.folder.entries("downloads").len(), 1, "one output");
    client.assert_silent(&topic(&job["job_id"])).await;
}

#[tokio::test]
async fn a_rolling_restart_of_three_nodes_loses_no_job() {
    const TRACKS: usize = 4;
    let nodes = Nodes::on_nats().await;
    let mut servers: Vec<Server> = ["a", "b", "c"].iter().map(|name| nodes.start(name, &[])).collect();
    for seed in 0..TRACKS {
        servers[seed % 3].download(&format!("demo:techno?seconds=15&seed={seed}")).await;
    }
    for name in ["a", "b", "c"] {
        let server = servers.remove(0);
        assert_eq!(server.terminate(), Some(0));
        servers.push(nodes.start(name, &[]));
        // The same each time, so it makes one job.
        servers[2].download("demo:hiphop?seconds=10").await;
    }
    let jobs = 3 * (TRACKS + 1);
    let deadline = Instant::now() + Duration::from_secs(240);
    loop {
        let all = servers[0].get("/api/jobs?page_size=100").await.body;
        let rows = all["data"].as_array().unwrap();
        assert!(rows.iter().all(|row| row["status"] != "failed"), "{all}");
        if rows.len() == jobs && rows.iter().all(|row| row["status"] == "completed") {
            // A stop gives a job back untried, and nobody took one that was held.
            assert!(rows.iter().all(|row| row["attempts"] == 1), "{all}");
            break;
        }
        assert!(Instant::now() < deadline, "{all}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for folder in ["downloads", "stems", "analysis"] {
        assert_eq!(nodes.folder.entries(folder).len(), TRACKS + 1, "{folder}");
    }
    assert_eq!(nodes.folder.entries("tmp"), Vec::<String>::new());
}

#[tokio::test]
async fn a_double_click_on_two_nodes_at_the_same_moment_makes_one_job() {
    let nodes = Nodes::on_redis().await;
    let servers = [nodes.start("a", &["--no-workers"]), nodes.start("b", &["--no-workers"])];
    let clicks = (0..20)
        .map(|click| servers[click % 2].post("/api/download/track", json!({"url": "demo:waltz?seconds=5"})));
    let answers = futures_util::future::join_all(clicks).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == StatusCode::ACCEPTED).count(), 1);
    assert!(answers.iter().all(|answer| answer.body["data"]["job_id"] == answers[0].body["data"]["job_id"]));
    assert_eq!(servers[0].get("/api/jobs").await.body["meta"]["total_count"], 1);
    assert_eq!(servers[1].get("/api/tracks").await.body["meta"]["total_count"], 1);
}

#[tokio::test]
async fn cancelling_on_one_node_stops_the_work_on_another_within_a_second() {
    let nodes = Nodes::on_redis().await;
    let script = "echo $$ > $HERE/pid; echo '1%'; exec sleep 600";
    let _worker = nodes.start_with_tool("worker", script);
    let watcher = watcher(&nodes);
    let job = watcher.download(URL).await;
    let mut client = follow(&watcher, &job["job_id"]).await;
    until_the_tool_runs(&mut client).await;
    let asked = Instant::now();
    assert_eq!(watcher.delete(&job_path(&job)).await.status, StatusCode::OK);
    let pid = std::fs::read_to_string(nodes.folder.path().join("pid")).unwrap();
    let process = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
    while process.exists() || !nodes.folder.entries("tmp").is_empty() {
        assert!(asked.elapsed() < Duration::from_secs(1), "the tool still runs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_revoked_key_loses_its_sockets_on_every_node() {
    let nodes = Nodes::on_nats().await;
    let servers = ["a", "b", "c"].map(|name| nodes.start(name, &["--no-workers"]));
    let doomed = nodes.folder.new_key();
    let id = nodes.folder.newest_key_id();
    let mut open = Vec::new();
    for server in &servers {
        open.push(Client::with_token(server, Vsn::V2, &doomed).await.unwrap());
    }
    nodes.folder.run(&["key", "revoke", &id]);
    let revoked = Instant::now();
    for client in &mut open {
        client.closed().await;
    }
    assert!(revoked.elapsed() < Duration::from_secs(2), "{:?}", revoked.elapsed());
}

#[tokio::test]
async fn a_session_of_one_node_is_good_on_another() {
    let nodes = Nodes::on_redis().await;
    let [a, b] = ["a", "b"].map(|name| nodes.start(name, &["--no-workers"]));
    // Each start prints a fresh link; the last one is good, on whichever node.
    let link = b.login_link.replace(&b.url, "");
    let answer = a.anonymous(reqwest::Method::GET, &link).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let tracks = b.anonymous(reqwest::Method::GET, "/api/tracks").header("cookie", cookie);
    assert_eq!(tracks.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(b.anonymous(reqwest::Method::GET, &link).send().await.unwrap().status(), StatusCode::GONE);
}

#[tokio::test]
async fn a_server_with_a_database_of_its_own_is_kept_away_from_the_folder_of_nodes() {
    let nodes = Nodes::on_redis().await;
    let _node = nodes.start("a", &["--no-workers"]);
    let mut alone = nodes.folder.command(&["serve", "--listen", "127.0.0.1:0"]);
    let output = alone.env_remove("DATABASE_URL").output().unwrap();
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("another sound-forge serves the data folder"), "{complaint}");
}

/// A node that runs the tool.
pub(crate) fn tool_node(nodes: &Nodes, name: &str) -> Server {
    leave_tone(nodes);
    nodes.start_with_tool(name, WAITING_TOOL)
}

/// The tone that the tool leaves.
pub(crate) fn leave_tone(nodes: &Nodes) {
    let tone = crate::audio_files::tone(sound_forge_audio::encode::Encoding::Wav16, 6);
    std::fs::write(nodes.folder.path().join("tone.wav"), tone).unwrap();
}

/// A node without workers which knows the tool's host, as nodes are configured alike.
pub(crate) fn watcher(nodes: &Nodes) -> Server {
    nodes.start(
        "watcher",
        &[
            "--no-workers",
            "--download-command",
            "sh {folder} {url}",
            "--download-command-host",
            "tool.example",
        ],
    )
}

pub(crate) fn runs(nodes: &Nodes) -> usize {
    std::fs::read_to_string(nodes.folder.path().join("runs")).unwrap().lines().count()
}

pub(crate) fn topic(job: &Value) -> String {
    format!("jobs:{}", job.as_str().unwrap())
}

/// A client that has joined a job's channel on a node.
pub(crate) async fn follow(server: &Server, job: &Value) -> Client {
    let mut client = Client::connect(server, Vsn::V2).await;
    assert!(client.join(&topic(job)).await.is_ok());
    client
}

/// The tool runs once its word has come through as a message.
pub(crate) async fn until_the_tool_runs(client: &mut Client) {
    while !client.event().await.payload["message"].as_str().unwrap().contains("1%") {}
}

/// The one end among what was told, which is a good one.
pub(crate) fn completed_once(told: &[Event]) -> Value {
    let ends: Vec<&Event> = told.iter().filter(|event| event.event != "job:progress").collect();
    let [end] = ends.as_slice() else { panic!("{told:?}") };
    assert_eq!(end.event, "job:completed", "{told:?}");
    end.payload.clone()
}
