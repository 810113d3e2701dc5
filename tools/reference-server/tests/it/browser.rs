//! The official client in a browser, headless Chromium, whose own WebSocket compresses.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::response::Html;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::npm_clients::{CLIENTS, packages};
use crate::server::{TMP, UNTIL_STDIN_ENDS, clients};

/// What the page sends as text: an echo and ten broadcasts of 64 KB each, and 50 KB of bytes. It hears the same.
const CONTENT: u64 = 11 * 64_000 + 50_000;

/// Until the page has told how it went. A browser takes seconds to start where much else runs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn phoenix_1_8_16_speaks_compressed_in_a_browser() {
    let (relay, mut traffic) = relay(clients()).await;
    let (page, mut outcomes) = page("browser.mjs").await;
    let _browser = Browser::open("page", &format!("http://{page}/?{relay}"));
    let outcome = tokio::time::timeout(PATIENCE, outcomes.recv()).await;
    let outcome = outcome
        .unwrap_or_else(|_| panic!("Chromium did not run the page; see its log in {TMP}"))
        .expect("the page is served");
    assert_eq!(outcome["error"], Value::Null);
    let extensions = outcome["extensions"].as_str().expect("text");
    assert!(extensions.starts_with("permessage-deflate"), "agreed on {extensions:?}");

    let (sent, received) = traffic.recv().await.expect("the page has disconnected");
    assert!(
        sent < CONTENT / 20 && received < CONTENT / 20,
        "compressed: {sent} B sent, {received} B received"
    );
}

/// Passes connections on to `server`, and tells the bytes from and to the client of each that ended.
async fn relay(server: SocketAddr) -> (SocketAddr, UnboundedReceiver<(u64, u64)>) {
    let (told, traffic) = unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.expect("the server listens");
                if let Ok(bytes) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
                    told.send(bytes).expect("the test waits");
                }
            });
        }
    });
    (address, traffic)
}

/// Serves a page that runs a script of this folder, and what it tells.
pub(crate) async fn page(name: &'static str) -> (SocketAddr, UnboundedReceiver<Value>) {
    let (told, outcomes) = unbounded_channel();
    let client = packages().join("node_modules/phoenix-1.8/priv/static/phoenix.mjs");
    let app = Router::new()
        .route("/", get(Html(r#"<!doctype html><script type="module" src="/page.mjs"></script>"#)))
        .route("/phoenix.mjs", script(&client))
        .route("/page.mjs", script(&Path::new(CLIENTS).join(name)))
        .route("/outcome", post(|Json(outcome): Json<Value>| tell(told, outcome)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(
        async move { bennu::axum::serve(listener, app).await.expect("it serves until the test ends") },
    );
    (address, outcomes)
}

async fn tell(told: UnboundedSender<Value>, outcome: Value) {
    told.send(outcome).expect("the test waits");
}

fn script(path: &Path) -> axum::routing::MethodRouter {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    get(([(CONTENT_TYPE, "text/javascript")], text))
}

/// A headless browser with a profile of its own; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Browser {
    guard: Child,
    profile: PathBuf,
}

impl Browser {
    /// With a page at this URL; the name is that of its log.
    pub(crate) fn open(name: &str, url: &str) -> Browser {
        let profile = Path::new(TMP).join(format!("chromium-{name}-{}", std::process::id()));
        let log = Path::new(TMP).join(format!("chromium-{name}.log"));
        let log = std::fs::File::create(log).expect("the folder is ours");
        let guard = Command::new("sh")
            .args(["-c", UNTIL_STDIN_ENDS, "sh", "chromium"])
            // Root has no sandbox, and containers have a small /dev/shm.
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--no-first-run",
            ])
            .args(["--disable-background-networking", "--disable-component-update"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(url)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sh starts");
        Browser { guard, profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().expect("the guard is our child");
        // Its other processes may still write: it is in the build's own folder in any case.
        let _left_behind = std::fs::remove_dir_all(&self.profile);
    }
}
