//! From nothing to a track whose analysis a client watches live.

use std::time::Duration;

use bennu_client::{Socket, SocketConfig};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sound_forge_audio::encode::Encoding;
use tokio::time::Instant;

use crate::audio_files;
use crate::client::{Client, Event, Vsn};
use crate::server::{Folder, Server};

const DEMO: &str = "demo:house?bpm=124&key=Am&seed=7&seconds=20";

#[tokio::test]
async fn demo_becomes_audio_stems_and_facts_for_a_v2_client() {
    whole_pipeline(Vsn::V2).await;
}

#[tokio::test]
async fn demo_becomes_audio_stems_and_facts_for_a_v1_client() {
    whole_pipeline(Vsn::V1).await;
}

async fn whole_pipeline(vsn: Vsn) {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let mut client = Client::connect(&server, vsn).await;
    let job = server.download(DEMO).await;
    assert_eq!(job["status"], "queued");
    let track = job["track_id"].clone();

    let download = follow(&mut client, &job["job_id"], "download", &track).await;
    assert_served(&server, &download, "/files/downloads/", b"fLaC").await;
    let processing = follow(&mut client, &download["next_job_id"], "processing", &track).await;
    assert_served(&server, &processing, "/files/stems/", b"PK").await;
    let analysis = follow(&mut client, &processing["next_job_id"], "analysis", &track).await;
    assert_served(&server, &analysis, "/files/analysis/", b"{").await;
    assert_eq!(analysis.get("next_job_id"), None);

    let track = server.get(&format!("/api/tracks/{}", track.as_str().unwrap())).await.body["data"].clone();
    assert_facts(&track["analysis"]);
    assert_exports(&server, &track).await;
}

/// Follows a job to its good end, checking each message on the way; the payload of the end.
async fn follow(client: &mut Client, job: &Value, job_type: &str, track: &Value) -> Value {
    let topic = format!("jobs:{}", job.as_str().unwrap());
    let reply = client.join(&topic).await;
    assert!(reply.is_ok(), "{reply:?}");
    let mut told = client.until_the_end(&topic).await;
    client.assert_silent(&topic).await;

    let Event { event, payload, .. } = told.pop().unwrap();
    assert_eq!(event, "job:completed");
    assert_eq!((&payload["job_id"], &payload["track_id"]), (job, track));
    assert_eq!(payload["job_type"], job_type);
    check_progress(&told, job, job_type);
    payload
}

fn check_progress(told: &[Event], job: &Value, job_type: &str) {
    let running = if job_type == "download" { "downloading" } else { "processing" };
    let mut last = 0;
    for Event { payload, .. } in told {
        let mut names: Vec<_> = payload.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["job_id", "message", "progress", "status"]);
        assert_eq!(&payload["job_id"], job);
        assert!(!payload["message"].as_str().unwrap().is_empty());
        let progress = payload["progress"].as_u64().expect("an integer");
        assert!((last..=100).contains(&progress), "{told:?}");
        last = progress;
        assert!(["queued", running, "completed"].contains(&payload["status"].as_str().unwrap()));
    }
    let end = &told.last().unwrap().payload;
    assert_eq!((&end["status"], &end["progress"]), (&json!("completed"), &json!(100)));
}

async fn assert_served(server: &Server, completed: &Value, below: &str, starts_with: &[u8]) {
    let path = completed["result"]["output_path"].as_str().unwrap();
    assert!(path.starts_with(below), "{path}");
    let response = server.request(Method::GET, path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let content = response.bytes().await.unwrap();
    assert_eq!(Some(content.len() as u64), completed["result"]["file_size"].as_u64());
    assert!(content.starts_with(starts_with));

    let part = server.request(Method::GET, path).header("range", "bytes=1-3").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.unwrap(), content.slice(1..4));
    let stranger = server.anonymous(Method::GET, path).send().await.unwrap();
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
}

fn assert_facts(analysis: &Value) {
    let tempo = analysis["tempo"].as_f64().unwrap();
    assert!((tempo - 124.0).abs() < 124.0 * 0.04, "{tempo}");
    assert_eq!(analysis["key"], "A minor");
    assert!(analysis["loudness_lufs"].as_f64().unwrap() < 0.0);
    assert_eq!(analysis["chroma"].as_array().unwrap().len(), 12);
    let beats: Vec<f64> = analysis["beats"].as_array().unwrap().iter().map(|b| b.as_f64().unwrap()).collect();
    assert!(beats.len() > 20 && beats.is_sorted(), "{beats:?}");
}

async fn assert_exports(server: &Server, track: &Value) {
    let stems = track["stems"].as_array().unwrap();
    let names: Vec<_> = stems.iter().map(|stem| stem["stem"].as_str().unwrap()).collect();
    assert_eq!(names, ["bass", "drums", "other", "vocals"]);
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    for (path, name) in [
        (format!("/export/stem/{}", id(&stems[0])), "bass.flac"),
        (format!("/export/stems/{}", id(track)), "stems.zip"),
        (format!("/export/analysis/{}", id(track)), "analysis.json"),
    ] {
        let response = server.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let disposition = response.headers()["content-disposition"].to_str().unwrap();
        assert_eq!(disposition, format!("attachment; filename=\"{name}\""));
    }
}

#[tokio::test]
async fn the_rust_client_follows_a_job_to_its_end() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let url = format!("{}/socket", server.url);
    let socket = Socket::start(SocketConfig::new(url).param("token", &server.key)).unwrap();
    let job = server.download(DEMO).await;
    let topic = format!("jobs:{}", job["job_id"].as_str().unwrap());
    let (_, channel) = socket.join(topic, ()).await.unwrap();
    let mut progress = Vec::new();
    let end = loop {
        let message = channel.recv().await.unwrap();
        let payload: Value = message.payload.parse().unwrap();
        assert_eq!(payload["job_id"], job["job_id"]);
        match message.event.as_str() {
            "job:progress" => progress.push(payload["progress"].as_u64().unwrap()),
            _ => break message.event,
        }
    };
    assert_eq!(end.as_str(), "job:completed");
    assert!(progress.is_sorted() && progress.last() == Some(&100), "{progress:?}");
}

#[tokio::test]
async fn progress_comes_at_most_four_times_a_second() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let mut client = Client::connect(&server, Vsn::V2).await;
    let job = server.download("demo:techno?seconds=45").await;
    let mut next = job["job_id"].clone();
    while let Some(id) = next.as_str() {
        let topic = format!("jobs:{id}");
        client.join(&topic).await;
        let (mut times, end) = (Vec::new(), loop_until_end(&mut client).await);
        times.extend(end.0);
        for window in times.windows(5) {
            let span = window[4] - window[0];
            assert!(span > Duration::from_millis(900), "five messages within {span:?}");
        }
        next = end.1["next_job_id"].clone();
    }
}

/// When each progress message came, and the payload of the end. The first one tells where the
/// job stood at the join and belongs to no rate.
async fn loop_until_end(client: &mut Client) -> (Vec<Instant>, Value) {
    let mut times = Vec::new();
    loop {
        let event = client.event().await;
        match event.event.as_str() {
            "job:progress" => times.push(Instant::now()),
            _ => return (times.split_off(1.min(times.len())), event.payload),
        }
    }
}

#[tokio::test]
async fn a_late_joiner_is_told_the_end_at_once_and_once() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let mut first = Client::connect(&server, Vsn::V2).await;
    let job = server.download(DEMO).await;
    let topic = format!("jobs:{}", job["job_id"].as_str().unwrap());
    first.join(&topic).await;
    let end = first.until_the_end(&topic).await.pop().unwrap();

    for vsn in [Vsn::V1, Vsn::V2] {
        let mut late = Client::connect(&server, vsn).await;
        assert!(late.join(&topic).await.is_ok());
        let told = late.until_the_end(&topic).await;
        assert_eq!(told.len(), 2);
        assert_eq!(told[0].payload["status"], "completed");
        assert_eq!(told[0].payload["progress"], 100);
        assert_eq!(told[1], end);
        late.assert_silent(&topic).await;
    }
}

#[tokio::test]
async fn uploads_of_every_format_come_in() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let mut client = Client::connect(&server, Vsn::V2).await;
    for (name, content, format) in [
        // The name says mp3 and the content flac: the content counts.
        ("../../My <b>Song</b>.mp3", audio_files::tone(Encoding::Flac16, 6), "flac"),
        ("tone.wav", audio_files::tone(Encoding::Wav16, 6), "wav"),
        ("tone.mp3", audio_files::fixture("tone.mp3"), "mp3"),
        ("tone.ogg", audio_files::fixture("tone.ogg"), "ogg"),
        ("tone.m4a", audio_files::fixture("tone.m4a"), "m4a"),
    ] {
        let answer = server.upload(name, &content).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let (track, job) = (&answer.body["data"]["id"], &answer.body["data"]["job_id"]);
        let download = follow(&mut client, job, "download", track).await;
        let path = download["result"]["output_path"].as_str().unwrap();
        assert!(path.ends_with(&format!("/audio.{format}")), "{path}");
        let track = server.get(&format!("/api/tracks/{}", track.as_str().unwrap())).await;
        assert_eq!(track.body["data"]["format"], format);
        assert!(!track.body["data"]["title"].as_str().unwrap().contains('/'));
    }
    assert_eq!(folder.entries("uploads"), Vec::<String>::new());
}

#[tokio::test]
async fn the_same_file_sent_twice_is_one_job() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let content = audio_files::tone(Encoding::Wav16, 6);
    let first = server.upload("a.wav", &content).await;
    let second = server.upload("b.wav", &content).await;
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::OK));
    assert_eq!(first.body["data"]["job_id"], second.body["data"]["job_id"]);
}

#[tokio::test]
async fn a_file_below_the_import_folder_comes_in() {
    let folder = Folder::new();
    let music = folder.path().join("music");
    std::fs::create_dir(&music).unwrap();
    std::fs::write(music.join("a tone.wav"), audio_files::tone(Encoding::Wav16, 6)).unwrap();
    let server = folder.serve(&["--import-dir", music.to_str().unwrap()]);
    let mut client = Client::connect(&server, Vsn::V2).await;
    let job = server.download(&format!("file://{}/a%20tone.wav", music.display())).await;
    follow(&mut client, &job["job_id"], "download", &job["track_id"]).await;
}

#[tokio::test]
async fn each_stage_runs_alone_on_a_track_that_has_audio() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let mut client = Client::connect(&server, Vsn::V2).await;
    let job = server.download(DEMO).await;
    let track = job["track_id"].as_str().unwrap();
    for path in ["/api/processing/separate", "/api/analysis/analyze"] {
        let body = json!({"track_id": track});
        let answer = server.post(path, body).await;
        // The download may be done by now; before that there is nothing to work on.
        assert!(
            [StatusCode::CONFLICT, StatusCode::ACCEPTED, StatusCode::OK].contains(&answer.status),
            "{answer:?}"
        );
    }
    follow(&mut client, &job["job_id"], "download", &job["track_id"]).await;
    let answer =
        server.post("/api/analysis/analyze", json!({"track_id": track, "features": ["tempo"]})).await;
    assert!(answer.status.is_success(), "{answer:?}");
    follow(&mut client, &answer.body["data"]["job_id"], "analysis", &job["track_id"]).await;
    let of_type = format!("/api/analysis/job/{}", answer.body["data"]["job_id"].as_str().unwrap());
    assert_eq!(server.get(&of_type).await.body["data"]["status"], "completed");
    let of_another = of_type.replace("analysis", "download");
    assert_eq!(server.get(&of_another).await.status, StatusCode::NOT_FOUND);
}
