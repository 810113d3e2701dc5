//! The official npm clients, unmodified, in Node.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::certificate::{certificate, path};
use crate::server::{Server, TMP, clients};

#[test]
fn phoenix_1_8_16_runs_the_scenario() {
    run("phoenix-1.8", "1.8.16");
}

#[test]
fn phoenix_1_8_16_polls_through_the_scenario_with_what_node_has() {
    poll("phoenix-1.8", "1.8.16");
}

#[test]
fn phoenix_1_7_23_polls_through_the_scenario_and_out_of_a_lost_session() {
    poll("phoenix-1.7", "1.7.23");
}

#[test]
fn phoenix_1_6_16_polls_through_the_scenario_and_out_of_a_lost_session() {
    poll("phoenix-1.6", "1.6.16");
}

#[test]
fn phoenix_1_5_14_polls_through_the_scenario_and_out_of_a_lost_session() {
    poll("phoenix-1.5", "1.5.14");
}

#[test]
fn phoenix_1_8_16_falls_back_to_polling_when_the_websocket_is_refused() {
    run_script("fallback.mjs", "phoenix-1.8", "1.8.16", clients());
}

#[test]
fn phoenix_1_8_16_speaks_compressed_over_ws() {
    run_script("compression.mjs", "phoenix-1.8", "1.8.16", clients());
}

#[test]
fn phoenix_1_7_23_falls_back_to_polling_when_the_websocket_is_refused() {
    run_script("fallback.mjs", "phoenix-1.7", "1.7.23", clients());
}

#[test]
fn phoenix_1_7_23_runs_the_scenario() {
    run("phoenix-1.7", "1.7.23");
}

#[test]
fn phoenix_1_6_16_runs_the_scenario() {
    run("phoenix-1.6", "1.6.16");
}

#[test]
fn phoenix_1_5_14_runs_the_scenario() {
    run("phoenix-1.5", "1.5.14");
}

#[test]
fn phoenix_1_8_16_runs_the_scenario_over_tls() {
    let (certificate, key) = certificate("npm");
    let options = ["--tls-cert", path(&certificate), "--tls-key", path(&key)];
    let server = Server::start_with_log("clients", &options, "clients-tls");
    // Beside the certificates that Node trusts by itself.
    let trust = ("NODE_EXTRA_CA_CERTS", path(&certificate));
    let arguments = [&server.address.to_string(), "tls"];
    run_script_with("scenario.mjs", "phoenix-1.8", "1.8.16", &arguments, &[trust]);
}

/// The folder of the scripts.
pub(crate) const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

fn run(package: &str, version: &str) {
    run_script("scenario.mjs", package, version, clients());
}

/// The same over long polling.
fn poll(package: &str, version: &str) {
    run_script_with("scenario.mjs", package, version, &[&clients().to_string(), "longpoll"], &[]);
}

/// Runs a script of this folder with one of the packages against the server at `address`.
pub(crate) fn run_script(script: &str, package: &str, version: &str, address: SocketAddr) {
    run_script_with(script, package, version, &[&address.to_string()], &[]);
}

#[expect(clippy::print_stdout, reason = "the steps of the script are the test's output")]
fn run_script_with(
    script: &str,
    package: &str,
    version: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) {
    let script = Path::new(CLIENTS).join(script);
    let mut node = Command::new("node");
    node.arg(script).arg(package).args(arguments).current_dir(packages()).envs(environment.iter().copied());
    let output = output(&mut node);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the scenario of {package} failed; see its steps above");
    assert!(text.starts_with(&format!("phoenix {version}\n")), "not the version that was asked for");
}

/// The folder that holds the packages of the lock file, installed once for each lock file.
pub(crate) fn packages() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let lock = fs::read(Path::new(CLIENTS).join("package-lock.json")).expect("the lock file is readable");
        let mut hasher = DefaultHasher::new();
        lock.hash(&mut hasher);
        let folder = Path::new(TMP).join(format!("npm-{:016x}", hasher.finish()));
        if !folder.exists() {
            install(&folder);
        }
        folder
    })
}

/// Installs beside `folder` and renames at the end, so that `folder` is whole or absent.
fn install(folder: &Path) {
    let unfinished = folder.with_extension(std::process::id().to_string());
    fs::create_dir_all(&unfinished).expect("the build's own folder is writable");
    for file in ["package.json", "package-lock.json", ".npmrc"] {
        fs::copy(Path::new(CLIENTS).join(file), unfinished.join(file)).expect("npm's files are readable");
    }
    let output = output(Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(&unfinished));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "npm ci failed: {text}");
    if let Err(error) = fs::rename(&unfinished, folder) {
        // Another test process was faster.
        assert!(folder.exists(), "{}: {error}", folder.display());
        fs::remove_dir_all(&unfinished).expect("the folder is ours");
    }
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| {
        panic!("{:?} is needed to test the npm clients: {error}", command.get_program())
    })
}
