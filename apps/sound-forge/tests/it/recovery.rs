//! Failures, kills, stops, cancellations: what is told, and what is left.

use std::fs;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::client::{Client, Event, Vsn};
use crate::server::{Folder, Server};

#[tokio::test]
async fn a_server_killed_in_an_analysis_completes_it_once_after_its_restart() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let (job, mut client) = running_analysis(&server).await;
    let topic = format!("jobs:{job}");
    wait_for_work(&mut client).await;
    server.kill();

    let server = folder.serve(&[]);
    let mut client = Client::connect(&server, Vsn::V2).await;
    assert!(client.join(&topic).await.is_ok());
    let told = client.until_the_end(&topic).await;
    let ends: Vec<_> = told.iter().filter(|event| event.event != "job:progress").collect();
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].event, "job:completed");
    client.assert_silent(&topic).await;

    let row = server.get(&format!("/api/jobs/{job}")).await.body["data"].clone();
    assert_eq!((&row["status"], &row["attempts"]), (&json!("completed"), &json!(2)));
    let all = server.get("/api/jobs?job_type=analysis").await.body;
    assert_eq!(all["meta"]["total_count"], 1);
    assert_eq!(folder.entries("analysis").len(), 1);
    assert_eq!(folder.entries("tmp"), Vec::<String>::new());
}

#[tokio::test]
async fn a_stopped_server_gives_its_jobs_back_and_exits_well() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let (job, mut client) = running_processing(&server).await;
    wait_for_work(&mut client).await;
    assert_eq!(server.terminate(), Some(0));
    client.closed().await;

    let server = folder.serve(&[]);
    let mut client = Client::connect(&server, Vsn::V2).await;
    let topic = format!("jobs:{job}");
    client.join(&topic).await;
    assert_eq!(client.until_the_end(&topic).await.pop().unwrap().event, "job:completed");
    let row = server.get(&format!("/api/jobs/{job}")).await.body["data"].clone();
    assert_eq!(row["attempts"], 1, "a stop of the server is no try");
}

/// Downloads a long demo up to where its stems are being split; that job, and a client that joined it.
async fn running_processing(server: &Server) -> (String, Client) {
    let job = server.download("demo:dnb?seconds=120").await;
    let next = end_of(server, &job).await["next_job_id"].as_str().unwrap().to_owned();
    joined(server, next).await
}

/// The same with an analysis alone.
async fn running_analysis(server: &Server) -> (String, Client) {
    let job = server.download("demo:house?seconds=300").await;
    let stems = end_of(server, &job).await["next_job_id"].as_str().unwrap().to_owned();
    assert_eq!(server.delete(&format!("/api/jobs/{stems}")).await.status, StatusCode::OK);
    let body = json!({"track_id": job["track_id"]});
    let analysis = server.post("/api/analysis/analyze", body).await.body["data"].clone();
    joined(server, analysis["job_id"].as_str().unwrap().to_owned()).await
}

async fn joined(server: &Server, job: String) -> (String, Client) {
    let mut client = Client::connect(server, Vsn::V2).await;
    assert!(client.join(&format!("jobs:{job}")).await.is_ok());
    (job, client)
}

/// Waits until the stage has told of some progress.
async fn wait_for_work(client: &mut Client) {
    loop {
        let Event { event, payload, .. } = client.event().await;
        assert_eq!(event, "job:progress", "{payload}");
        if payload["status"] == "processing" && payload["progress"].as_u64() > Some(0) {
            return;
        }
    }
}

/// A server whose download tool is this shell script; it may use the folder `$HERE`.
fn with_tool(folder: &Folder, script: &str) -> Server {
    let options = folder.tool(script);
    folder.serve(&options.each_ref().map(String::as_str))
}

#[tokio::test]
async fn only_the_last_try_fails_the_job_and_says_what_the_tool_said() {
    let folder = Folder::new();
    // The first try waits until somebody listens.
    let script = "while [ ! -e $HERE/go ]; do sleep 0.05; done; \
                  echo 'track not available in your region' >&2; exit 1";
    let server = with_tool(&folder, script);
    let mut client = Client::connect(&server, Vsn::V2).await;
    let job = server.download("https://tool.example/track").await;
    let topic = format!("jobs:{}", job["job_id"].as_str().unwrap());
    client.join(&topic).await;
    fs::write(folder.path().join("go"), "").unwrap();
    let told = client.until_the_end(&topic).await;
    client.assert_silent(&topic).await;

    let reason = "sh: track not available in your region";
    let is_wait = |payload: &&Value| payload["message"].as_str().is_some_and(|text| text.starts_with("Try "));
    let waits: Vec<&Value> = told.iter().map(|event| &event.payload).filter(is_wait).collect();
    assert_eq!(waits.len(), 2, "{told:?}");
    assert!(waits.iter().all(|wait| wait["status"] == "queued" && wait["progress"] == 0));
    assert_eq!(waits[0]["message"], format!("Try 1 of 3 failed: {reason}"));
    assert_eq!(waits[1]["message"], format!("Try 2 of 3 failed: {reason}"));
    let [.., status, end] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&status.event, &status.payload["status"]), (&"job:progress".to_owned(), &json!("failed")));
    assert_eq!(end.event, "job:failed");
    assert_eq!(end.payload, json!({"job_id": job["job_id"], "job_type": "download", "error": reason}));
    folder.assert_no_files();

    let mut late = Client::connect(&server, Vsn::V1).await;
    late.join(&topic).await;
    assert_eq!(late.until_the_end(&topic).await, [status.clone(), end.clone()]);
}

#[tokio::test]
async fn a_tools_one_file_is_taken_in_and_what_else_it_said_is_progress() {
    let folder = Folder::new();
    fs::write(
        folder.path().join("tone.wav"),
        crate::audio_files::tone(sound_forge_audio::encode::Encoding::Wav16, 6),
    )
    .unwrap();
    let server = with_tool(&folder, "echo '[download] 50.0% of it'; cp $HERE/tone.wav \"$1/x.wav\"");
    let mut client = Client::connect(&server, Vsn::V2).await;
    let job = server.download("https://tool.example/track").await;
    let topic = format!("jobs:{}", job["job_id"].as_str().unwrap());
    client.join(&topic).await;
    assert_eq!(client.until_the_end(&topic).await.pop().unwrap().event, "job:completed");
}

#[tokio::test]
async fn a_missing_tool_is_named_and_not_tried_again() {
    let folder = Folder::new();
    let command = "no-such-tool-anywhere {folder} {url}";
    let server = folder.serve(&["--download-command", command, "--download-command-host", "tool.example"]);
    let job = server.download("https://tool.example/track").await;
    let end = end_of(&server, &job).await;
    assert!(end["error"].as_str().unwrap().contains("no-such-tool-anywhere: the program was not found"));
    assert_eq!(server.get(&job_path(&job)).await.body["data"]["attempts"], 1);
}

#[tokio::test]
async fn a_cancelled_job_stops_within_a_second_and_leaves_nothing() {
    let folder = Folder::new();
    let script = "echo $$ > $HERE/pid; echo half > \"$1/half\"; echo '1%'; exec sleep 600";
    let server = with_tool(&folder, script);
    let mut client = Client::connect(&server, Vsn::V2).await;
    let job = server.download("https://tool.example/track").await;
    let topic = format!("jobs:{}", job["job_id"].as_str().unwrap());
    client.join(&topic).await;
    // The tool runs once its word has come through as a message.
    while !client.event().await.payload["message"].as_str().unwrap().contains("1%") {}

    let asked = tokio::time::Instant::now();
    let answer = server.delete(&format!("/api/jobs/{}", job["job_id"].as_str().unwrap())).await;
    assert_eq!((answer.status, &answer.body["data"]["error"]), (StatusCode::OK, &json!("cancelled")));
    let end = client.until_the_end(&topic).await.pop().unwrap();
    assert_eq!((end.event.as_str(), &end.payload["error"]), ("job:failed", &json!("cancelled")));
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    let process = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
    while process.exists() || !folder.entries("tmp").is_empty() {
        assert!(asked.elapsed() < std::time::Duration::from_secs(1), "the tool still runs");
        tokio::task::yield_now().await;
    }
    client.assert_silent(&topic).await;
    folder.assert_no_files();
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused() {
    let folder = Folder::new();
    let _server = folder.serve(&[]);
    let output = folder.command(&["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("another sound-forge serves the data folder"), "{complaint}");
}

#[tokio::test]
async fn a_removed_track_takes_its_files_and_jobs_along() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let job = server.download("demo:house?seconds=5").await;
    end_of(&server, &job).await;
    let track = format!("/api/tracks/{}", job["track_id"].as_str().unwrap());
    assert_eq!(server.delete(&track).await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.get(&track).await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.get("/api/jobs").await.body["meta"]["total_count"], 0);
    assert_eq!(server.terminate(), Some(0));
    folder.serve(&[]);
    folder.assert_no_files();
}

pub(crate) fn job_path(job: &Value) -> String {
    format!("/api/jobs/{}", job["job_id"].as_str().unwrap())
}

/// Follows a job to its end, whichever.
pub(crate) async fn end_of(server: &Server, job: &Value) -> Value {
    let mut client = Client::connect(server, Vsn::V2).await;
    let topic = format!("jobs:{}", job["job_id"].as_str().unwrap());
    client.join(&topic).await;
    client.until_the_end(&topic).await.pop().unwrap().payload
}
