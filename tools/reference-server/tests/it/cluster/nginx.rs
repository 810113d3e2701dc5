//! A real nginx with the configuration that the chapter on several nodes shows, in front of three nodes.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bennu_engines::Port;
use tempfile::TempDir;

use crate::server::UNTIL_STDIN_ENDS;
use crate::wire::PATIENCE;

/// The chapter, and where its nodes and its nginx are.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/deployment.md");
const CHAPTER: &str = "\n## Several nodes\n";
const NODES: [&str; 3] = ["10.0.0.1:4000", "10.0.0.2:4000", "10.0.0.3:4000"];
const LISTEN: &str = "listen 443 ssl;";

/// Debian keeps it where only root looks.
const PROGRAMS: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

/// A running nginx; dropping it ends it.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    guard: Child,
    _folder: TempDir,
    _port: Port,
}

impl Nginx {
    pub(crate) fn start(nodes: &[SocketAddr]) -> Nginx {
        let port = Port::reserve().expect("a free port");
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("error.log");
        let configuration = configuration(folder.path(), port.address(), nodes);
        fs::write(folder.path().join("nginx.conf"), configuration).expect("the folder is ours");
        let mut nginx = Command::new("sh");
        nginx.args(["-c", UNTIL_STDIN_ENDS, "sh", program(), "-c", "nginx.conf", "-p"]).arg(folder.path());
        nginx.arg("-e").arg(&log).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let guard = nginx.spawn().expect("sh starts");
        let nginx = Nginx { address: port.address(), guard, _folder: folder, _port: port };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(nginx.address).is_err() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            assert!(!said.contains("[emerg]") && Instant::now() < deadline, "nginx does not listen: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().expect("the guard is our child");
    }
}

fn program() -> &'static str {
    let runs = |name: &&str| Command::new(name).arg("-v").stderr(Stdio::null()).status().is_ok();
    PROGRAMS.into_iter().find(runs).expect("nginx is needed for this test: apt-get install nginx-light")
}

/// The chapter's part, without its TLS, and around it what the distribution's configuration says otherwise.
fn configuration(folder: &Path, listen: SocketAddr, nodes: &[SocketAddr]) -> String {
    let page = fs::read_to_string(PAGE).expect("the page is there");
    let (_, chapter) = page.split_once(CHAPTER).expect("the chapter is there");
    let (_, site) = chapter.split_once("```nginx\n").expect("it shows nginx");
    let mut site = site.split("```").next().unwrap_or_default().to_owned();
    let nodes = NODES.into_iter().zip(nodes.iter().map(ToString::to_string));
    for (shown, used) in nodes.chain([(LISTEN, format!("listen {listen};"))]) {
        assert_eq!(site.matches(shown).count(), 1, "the chapter has {shown:?} once");
        site = site.replace(shown, &used);
    }
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log notice;\n\
         events {{}}\nhttp {{\naccess_log off;\n{temporary}{site}}}\n"
    )
}
