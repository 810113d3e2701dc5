//! A certificate of the tests' own, and how the binary takes one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::{BINARY, TMP};

/// Writes a certificate for 127.0.0.1 and its key, and says where they are. Each test has a name of its own.
pub(crate) fn certificate(name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let [certificate, key] = ["cert", "key"].map(|part| Path::new(TMP).join(format!("{name}.{part}.pem")));
    fs::write(&certificate, made.cert.pem()).expect("the build's own folder is writable");
    fs::write(&key, made.signing_key.serialize_pem()).expect("the build's own folder is writable");
    (certificate, key)
}

/// As an argument of a command.
pub(crate) fn path(file: &Path) -> &str {
    file.to_str().expect("the build's own folder has a name in UTF-8")
}

#[test]
fn a_certificate_without_its_key_or_with_another_is_an_error() {
    let ((first, key), (_, other)) = (certificate("first"), certificate("other"));
    let missing = Path::new(TMP).join("missing.pem");
    for (arguments, expected) in [
        (vec!["--tls-cert", path(&first)], "--tls-key"),
        (vec!["--tls-key", path(&key)], "--tls-cert"),
        (vec!["--tls-cert", path(&missing), "--tls-key", path(&key)], "missing.pem"),
        (vec!["--tls-cert", path(&first), "--tls-key", path(&missing)], "missing.pem"),
        (vec!["--tls-cert", path(&first), "--tls-key", path(&other)], "do not fit"),
    ] {
        let output =
            Command::new(BINARY).args(["bench", "--listen", "127.0.0.1:0"]).args(&arguments).output();
        let output = output.expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{arguments:?} said {said}");
    }
}
