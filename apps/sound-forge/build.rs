//! Fetches the page's npm packages into the build's own folder, when their lock file changed.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "how a build script speaks to cargo and to people"
)]

use std::path::Path;
use std::process::Command;
use std::{env, fs};

const LOCK: &str = "package-lock.json";
const FILES: [&str; 3] = ["package.json", LOCK, ".npmrc"];

fn main() {
    if let Err(reason) = fetch() {
        // Cargo shows standard error when a build script fails.
        eprintln!("\nThe page's JavaScript packages could not be fetched: {reason}\n");
        std::process::exit(1);
    }
}

fn fetch() -> Result<(), String> {
    // A new file of them is built in.
    println!("cargo::rerun-if-changed=migrations");
    for file in FILES {
        println!("cargo::rerun-if-changed=assets/{file}");
    }
    let folder = Path::new(&env::var("OUT_DIR").map_err(|error| error.to_string())?).join("npm");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    // Written last, so it stands for a fetch that came to its end.
    let done = folder.join("fetched-for.json");
    let lock = fs::read(Path::new("assets").join(LOCK)).map_err(|error| error.to_string())?;
    if fs::read(&done).is_ok_and(|fetched| fetched == lock) {
        return Ok(());
    }
    for file in FILES {
        fs::copy(Path::new("assets").join(file), folder.join(file))
            .map_err(|error| format!("{file}: {error}"))?;
    }
    run_npm(&folder)?;
    fs::write(&done, lock).map_err(|error| error.to_string())
}

fn run_npm(folder: &Path) -> Result<(), String> {
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let status = Command::new(npm).args(["ci", "--ignore-scripts"]).current_dir(folder).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("'npm ci' ended with {status}; its words are above")),
        Err(error) => Err(format!(
            "npm could not be run ({error}). Install Node.js 20 or later, which brings npm, and build again"
        )),
    }
}
