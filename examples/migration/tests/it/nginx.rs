//! A real nginx with the configuration that the guide shows, on a free port, in a folder of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::guide::code;

/// The addresses in the guide's configuration.
const LISTEN: &str = "listen 80;";
const PHOENIX: &str = "server 127.0.0.1:4000;";
const BENNU: &str = "server 127.0.0.1:4010;";

/// Debian keeps it where only root looks.
const PROGRAMS: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

/// Runs a program until standard input ends, which it does however the test process ends.
const UNTIL_STDIN_ENDS: &str = r#""$@" </dev/null & server=$!
while read -r line; do :; done; kill -KILL $server; wait $server"#;

/// How long nginx may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running nginx; dropping it ends it.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    guard: Child,
    _folder: TempDir,
}

impl Nginx {
    /// Starts it in front of the two nodes.
    pub(crate) fn start(phoenix: SocketAddr, bennu: SocketAddr) -> Self {
        // Somebody else may take a port that was free a moment ago.
        (0..5).find_map(|_| Self::try_start(phoenix, bennu)).expect("nginx listens on a free port")
    }

    fn try_start(phoenix: SocketAddr, bennu: SocketAddr) -> Option<Self> {
        let address = free_address();
        let folder = tempfile::tempdir().unwrap();
        let config = configuration(folder.path(), address, phoenix, bennu);
        fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let log = folder.path().join("error.log");
        let mut nginx = Command::new("sh");
        nginx.args(["-c", UNTIL_STDIN_ENDS, "sh", program(), "-c", "nginx.conf", "-p"]).arg(folder.path());
        nginx.arg("-e").arg(&log).stdin(Stdio::piped()).stderr(Stdio::null());
        let nginx = Nginx { address, guard: nginx.spawn().unwrap(), _folder: folder };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = fs::read_to_string(&log).unwrap_or_default();
            if said.contains("[emerg]") {
                assert!(said.contains("Address already in use"), "{said}");
                return None;
            }
            if TcpStream::connect(address).is_ok() {
                return Some(nginx);
            }
            assert!(Instant::now() < deadline, "nginx does not listen: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().unwrap();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn program() -> &'static str {
    let runs = |name: &&str| Command::new(name).arg("-v").stderr(Stdio::null()).status().is_ok();
    PROGRAMS.into_iter().find(runs).expect("nginx is needed for these tests: apt-get install nginx-light")
}

/// The guide's part, and around it what the distribution's configuration says otherwise.
fn configuration(folder: &Path, listen: SocketAddr, phoenix: SocketAddr, bennu: SocketAddr) -> String {
    let mut site = code("nginx").remove(0);
    for (shown, used) in [
        (LISTEN, format!("listen {listen};")),
        (PHOENIX, format!("server {phoenix};")),
        (BENNU, format!("server {bennu};")),
    ] {
        assert_eq!(site.matches(shown).count(), 1, "the guide has {shown:?} once");
        site = site.replace(shown, &used);
    }
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log notice;\n\
         events {{}}\nhttp {{\naccess_log {folder}/access.log;\n{temporary}{site}}}\n"
    )
}
