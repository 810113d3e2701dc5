//! What is written about runs, and read again.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{assert_succeeds, bench, phoenix, run, said};

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("runs were written");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn a_run_is_a_line_of_the_documented_members() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("runs.json");
    let options = ["--json", json.to_str().unwrap(), "--runs", "2", "--name", "ours", "--commit", "abc"];
    let output = run("echo --connections 3 --warmup 0 --seconds 0.1", phoenix::start(), &options);
    assert_succeeds(&output);
    assert!(said(&output).contains("medians of 2 runs"), "{}", said(&output));
    let lines = lines(&json);
    assert_eq!(lines.len(), 2);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(line["bench"], 1);
        assert_eq!(
            (&line["mode"], &line["server"], &line["protocol"]),
            (&"echo".into(), &"ours".into(), &"phoenix".into())
        );
        assert_eq!(
            (&line["run"], &line["tls"], &line["commit"]),
            (&(number + 1).into(), &false.into(), &"abc".into())
        );
        assert_eq!(
            (&line["parameters"]["connections"], &line["parameters"]["size"]),
            (&3.into(), &64.into())
        );
        assert!(line["figures"]["echo_count"].as_f64() >= Some(3.0));
        assert!(line["machine"]["cpus"].as_u64() >= Some(1) && line["unix_time"].is_u64());
    }
}

#[test]
fn a_suite_runs_servers_in_turn_and_is_compared() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("suite.toml");
    let (first, second) = (phoenix::start(), phoenix::start());
    let suite = format!(
        r#"
        runs = 2
        [common]
        warmup = 0
        seconds = 0.1
        [[server]]
        name = "first"
        url = "ws://{first}"
        [[server]]
        name = "second"
        url = "ws://{second}"
        [[case]]
        mode = "echo"
        connections = 2
        [[case]]
        mode = "fanout"
        subscribers = 3
        "#
    );
    fs::write(&file, suite).unwrap();
    let file = file.to_str().unwrap();
    let path = |name: &str| folder.path().join(name);
    let all = path("all.json");
    assert_succeeds(&bench(&["suite", file, "--json", all.to_str().unwrap()]));
    let order: Vec<(String, u64)> = lines(&all)
        .iter()
        .map(|line| (line["server"].as_str().unwrap().to_owned(), line["run"].as_u64().unwrap()))
        .collect();
    let turn =
        [("first", 1), ("second", 1), ("first", 2), ("second", 2)].map(|(name, run)| (name.to_owned(), run));
    assert_eq!(order, [turn.clone(), turn].concat());

    for server in ["first", "second"] {
        let json = path(server);
        assert_succeeds(&bench(&["suite", file, "--servers", server, "--json", json.to_str().unwrap()]));
    }
    let output = bench(&["--compare", path("first").to_str().unwrap(), path("second").to_str().unwrap()]);
    assert_succeeds(&output);
    assert!(said(&output).contains("A is first (2 runs), B is second (2 runs)"), "{}", said(&output));
    let output = bench(&["--compare", path("first").to_str().unwrap(), file]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

#[test]
fn a_server_is_started_measured_and_stopped() {
    // It answers nothing, but its port is open; the run fails, and it must be gone then.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("server.mjs");
    let pid = folder.path().join("pid");
    let text = r#"
        import net from "node:net"; import fs from "node:fs";
        fs.writeFileSync(process.argv[3], String(process.pid));
        net.createServer(socket => socket.on("error", () => {}).end("HTTP/1.1 418 Teapot\r\n\r\n"))
            .listen(Number(process.argv[2]), "127.0.0.1");
    "#;
    fs::write(&program, text).unwrap();
    let spawn = format!("node {} {{port}} {}", program.display(), pid.display());
    let options =
        ["--url", "ws://127.0.0.1:{port}", "--spawn", &spawn, "--server-cpu", "0", "--client-cpu", "0"];
    let output = bench(&[&["echo", "--connections", "1", "--seconds", "0.1"][..], &options].concat());
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("418"), "{}", said(&output));
    let pid = fs::read_to_string(pid).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "{pid} is still there");

    let output = bench(&["echo", "--url", "ws://127.0.0.1:{port}", "--spawn", "sh -c 'exit 7' {port}"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("exit status: 7"), "{}", said(&output));
}
