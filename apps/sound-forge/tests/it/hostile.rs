//! Files and URLs that mean harm: a clear word each, no job or one failed job, and nothing left.

use std::net::TcpListener;

use reqwest::StatusCode;
use serde_json::Value;
use sound_forge_audio::encode::Encoding;

use crate::audio_files;
use crate::recovery::{end_of, job_path};
use crate::server::{Folder, Server};

#[tokio::test]
async fn files_that_are_no_audio_make_no_job() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let text = b"Dear diary, today I was an audio file. ".repeat(100);
    for (name, content, word) in [
        ("song.mp3", &text[..], "not audio"),
        ("song.mp3", b"", "too small"),
        ("song.wav", b"RIFF\0\0\0\0WAVE", "too small"),
        ("song.flac", &[0; 5_000], "not audio"),
    ] {
        let answer = server.upload(name, content).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:?}");
        assert_eq!(answer.body["code"], "unsupported_audio");
        assert!(answer.body["error"].as_str().unwrap().contains(word), "{word}: {answer:?}");
    }
    assert_eq!(server.get("/api/jobs").await.body["meta"]["total_count"], 0);
    folder.assert_no_files();
}

#[tokio::test]
async fn files_that_are_broken_audio_make_one_failed_job() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let flac = audio_files::tone(Encoding::Flac16, 6);
    for (name, content, word) in [
        ("half.flac", &flac[..flac.len() / 2], "truncated"),
        ("orchestra.wav", &audio_files::wav_with_channels(20), "20 channels"),
    ] {
        let answer = server.upload(name, content).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let end = end_of(&server, &answer.body["data"]).await;
        assert!(end["error"].as_str().unwrap().contains(word), "{word}: {end}");
        assert_failed_at_once(&server, &answer.body["data"]).await;
    }
    folder.assert_no_files();
}

async fn assert_failed_at_once(server: &Server, job: &Value) {
    let row = server.get(&job_path(job)).await.body["data"].clone();
    assert_eq!((row["status"].as_str(), row["attempts"].as_u64()), (Some("failed"), Some(1)), "{row}");
}

#[tokio::test]
async fn a_file_larger_than_allowed_is_refused() {
    let folder = Folder::new();
    let server = folder.serve(&["--max-upload", "100000"]);
    let answer = server.upload("long.wav", &audio_files::tone(Encoding::Wav16, 6)).await;
    assert_eq!((answer.status, &answer.body["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &"too_large".into()));
    folder.assert_no_files();
}

#[tokio::test]
async fn paths_outside_the_import_folder_make_no_job() {
    let folder = Folder::new();
    let music = folder.path().join("music");
    std::fs::create_dir(&music).unwrap();
    let outside = folder.path().join("outside.wav");
    std::fs::write(&outside, audio_files::tone(Encoding::Wav16, 6)).unwrap();
    std::os::unix::fs::symlink(&outside, music.join("link.wav")).unwrap();
    let server = folder.serve(&["--import-dir", music.to_str().unwrap()]);
    for url in [
        format!("file://{}", outside.display()),
        format!("file://{}/../outside.wav", music.display()),
        format!("file://{}/%2e%2e/outside.wav", music.display()),
        format!("file://{}/link.wav", music.display()),
        "file:///etc/passwd".to_owned(),
    ] {
        assert_refused(&server, &url, "outside the import folder").await;
    }
    let without = Folder::new();
    assert_refused(&without.serve(&[]), &format!("file://{}", outside.display()), "--import-dir").await;
    folder.assert_no_files();
}

async fn assert_refused(server: &Server, url: &str, word: &str) {
    let answer = server.post("/api/download/track", serde_json::json!({ "url": url })).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{url}");
    assert!(answer.body["details"]["url"][0].as_str().unwrap().contains(word), "{url}: {answer:?}");
    assert_eq!(server.get("/api/jobs").await.body["meta"]["total_count"], 0, "{url}");
}

/// Listens without answering, and tells whether anybody came.
struct Trap(TcpListener);

impl Trap {
    fn new(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn assert_nobody_came(&self) {
        assert_eq!(self.0.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[tokio::test]
async fn urls_of_private_addresses_make_no_job_and_nobody_connects() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let (v4, v6) = (Trap::new("127.0.0.1:0"), Trap::new("[::1]:0"));
    for url in [
        format!("http://127.0.0.1:{}/a.mp3", v4.port()),
        format!("http://2130706433:{}/a.mp3", v4.port()),
        format!("http://0x7f000001:{}/a.mp3", v4.port()),
        format!("http://0177.0.0.1:{}/a.mp3", v4.port()),
        format!("http://127.1:{}/a.mp3", v4.port()),
        format!("http://[::ffff:127.0.0.1]:{}/a.mp3", v4.port()),
        format!("http://[::1]:{}/a.mp3", v6.port()),
    ] {
        assert_refused(&server, &url, "no address of the public internet").await;
    }
    v4.assert_nobody_came();
    v6.assert_nobody_came();
    folder.assert_no_files();
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_makes_one_failed_job_and_nobody_connects() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    let trap = Trap::new("127.0.0.1:0");
    for host in ["localhost", "LOCALHOST."] {
        let job = server.download(&format!("http://{host}:{}/a.mp3", trap.port())).await;
        let end = end_of(&server, &job).await;
        assert!(
            end["error"].as_str().unwrap().contains("localhost, which is no address of the public"),
            "{end}"
        );
        assert_failed_at_once(&server, &job).await;
    }
    let jobs = server.get("/api/jobs").await.body;
    assert_eq!(jobs["meta"]["total_count"], 1, "both spellings are one source");
    trap.assert_nobody_came();
    folder.assert_no_files();
}

#[tokio::test]
async fn private_addresses_are_read_when_the_owner_allows_it() {
    let folder = Folder::new();
    let server = folder.serve(&["--allow-private-urls"]);
    let (listener, content) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), audio_files::tone(Encoding::Wav16, 6));
    let url = format!("http://{}/tone.wav", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};

        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4_096];
        assert!(stream.read(&mut request).unwrap() > 0);
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&content).unwrap();
    });
    let job = server.download(&url).await;
    let end = end_of(&server, &job).await;
    assert!(end["result"]["output_path"].as_str().unwrap().ends_with("/audio.wav"), "{end}");
}
