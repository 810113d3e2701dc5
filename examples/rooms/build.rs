//! Fetches the page's npm packages, pinned by the lock file, into the build's output folder.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    for file in ["package.json", "package-lock.json", ".npmrc"] {
        println!("cargo::rerun-if-changed=assets/{file}");
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    if let Err(message) = fetch(Path::new("assets"), &out) {
        println!("cargo::error={message}");
        std::process::exit(1);
    }
    let script = out.join("node_modules/phoenix/priv/static/phoenix.mjs");
    println!("cargo::rustc-env=PHOENIX_JS={}", script.display());
    println!("cargo::rustc-env=PACKAGES={}", out.display());
}

fn fetch(assets: &Path, out: &Path) -> Result<(), String> {
    for file in ["package.json", "package-lock.json", ".npmrc"] {
        std::fs::copy(assets.join(file), out.join(file)).map_err(|error| format!("{file}: {error}"))?;
    }
    let status = Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(out).output();
    match status {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            Err(format!("npm ci failed: {}", String::from_utf8_lossy(&output.stderr).replace('\n', " ")))
        }
        Err(error) => Err(format!("npm is needed to fetch the page's packages and cannot be run: {error}")),
    }
}
