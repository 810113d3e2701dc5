//! A server process with a data folder of its own, and requests to it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

/// What a data folder outlives: several runs of the server.
pub(crate) struct Folder {
    root: tempfile::TempDir,
    /// The database that several servers share; without it, each folder has one for itself.
    database: Option<String>,
}

/// Ends with the test, even with one that failed.
struct Process(Child);

/// One run of the server.
pub(crate) struct Server {
    process: Process,
    pub(crate) url: String,
    pub(crate) login_link: String,
    pub(crate) key: String,
    http: reqwest::Client,
}

/// An answer of the REST interface.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), database: None }
    }

    /// One whose database is elsewhere.
    pub(crate) fn on(database: String) -> Self {
        Self { database: Some(database), ..Self::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// The data folder itself; beside it there is room for a test's own files.
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Runs a command that ends, and returns what it prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sound-forge"));
        command.args(arguments).arg("--data").arg(self.data()).stderr(Stdio::piped());
        match &self.database {
            Some(database) => command.env("DATABASE_URL", database),
            None => command.env_remove("DATABASE_URL"),
        };
        command
    }

    pub(crate) fn new_key(&self) -> String {
        self.run(&["key", "create"]).trim_end().to_owned()
    }

    /// The id of the newest key.
    pub(crate) fn newest_key_id(&self) -> String {
        self.run(&["key", "list"]).split_whitespace().next().unwrap().to_owned()
    }

    /// Starts the server and waits until it listens.
    pub(crate) fn serve(&self, options: &[&str]) -> Server {
        self.serve_on(None, options)
    }

    /// The same, with another way to the database.
    pub(crate) fn serve_on(&self, database: Option<&str>, options: &[&str]) -> Server {
        let key = self.new_key();
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.envs(database.map(|database| ("DATABASE_URL", database)));
        command.args(options).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command.env("SOUND_FORGE_LOG", "error").env("SOUND_FORGE_RETRY_DELAY", "20");
        let mut process = Process(command.spawn().unwrap());
        let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        let url = lines.next().unwrap().strip_prefix("listening on ").unwrap().to_owned();
        let login_link = lines.next().unwrap().rsplit_once(' ').unwrap().1.to_owned();
        Server { process, url, login_link, key, http: http_client() }
    }

    /// Options of a server whose download tool is this shell script; it may use the folder `$HERE`.
    pub(crate) fn tool(&self, script: &str) -> [String; 4] {
        let tool = self.path().join("tool.sh");
        std::fs::write(&tool, script.replace("$HERE", &self.path().display().to_string())).unwrap();
        let command = format!("sh {} {{folder}} {{url}}", tool.display());
        [
            "--download-command".to_owned(),
            command,
            "--download-command-host".to_owned(),
            "tool.example".to_owned(),
        ]
    }

    /// The names of everything in a folder below the data folder.
    pub(crate) fn entries(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.data().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Asserts that no audio, whole or half, lies anywhere.
    pub(crate) fn assert_no_files(&self) {
        for folder in ["tmp", "uploads", "downloads", "stems", "analysis"] {
            assert_eq!(self.entries(folder), Vec::<String>::new(), "{folder}");
        }
    }
}

impl Server {
    /// A request with the owner's key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.key)
    }

    /// A request of somebody unknown.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        answer(
            self.request(Method::POST, path)
                .body(body.to_string())
                .header("content-type", "application/json"),
        )
        .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path)).await
    }

    /// Asks for a download; the job as it was answered.
    pub(crate) async fn download(&self, url: &str) -> Value {
        let answer = self.post("/api/download/track", serde_json::json!({ "url": url })).await;
        assert!(answer.status.is_success(), "{answer:?}");
        answer.body["data"].clone()
    }

    /// Sends a file as a browser does.
    pub(crate) async fn upload(&self, name: &str, content: &[u8]) -> Answer {
        let boundary = "----a-boundary-of-the-test";
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: audio/mpeg\r\n\r\n"
        );
        let body = [head.as_bytes(), content, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
        let content_type = format!("multipart/form-data; boundary={boundary}");
        answer(self.request(Method::POST, "/api/tracks").header("content-type", content_type).body(body))
            .await
    }

    pub(crate) fn socket_url(&self, vsn: &str, token: &str) -> String {
        format!("{}/socket/websocket?vsn={vsn}&token={token}", self.url.replace("http:", "ws:"))
    }

    /// Kills the process as a power cut would.
    pub(crate) fn kill(mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }

    /// Lets the process do nothing, not even notice it, until it goes on.
    pub(crate) fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.process.0), signal).unwrap();
    }

    /// Asks the process to stop, and returns its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.process.0.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already when the test ended it itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn http_client() -> reqwest::Client {
    // Another test of this process may have been the first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    client.build().unwrap()
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status();
    let body = response.bytes().await.unwrap();
    Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
}
