//! Each mode on a server of ours.

use crate::{assert_succeeds, phoenix, run, said};

/// Each mode, small, and figures that it must find.
const MODES: &[(&str, &[&str])] = &[
    ("conns --connections 20 --joins 3 --settle 0", &[]),
    ("conns --connections 20 --topics own --settle 0 --hold 0.1", &[]),
    ("conns --connections 20 --idle --settle 0", &[]),
    ("connect --connections 50 --warmup-connections 5", &["connect_p50_us", "join_p50_us"]),
    (
        "fanout --subscribers 20 --warmup 0 --seconds 0.2",
        &["delivery_count", "last_p99_us", "received_per_delivery_bytes"],
    ),
    ("fanout --subscribers 20 --publishers 4 --outstanding 16 --warmup 0.1 --seconds 0.2", &["first_p50_us"]),
    ("fanout --subscribers 20 --publishers 2 --rate 100 --warmup 0 --seconds 0.2", &["message_count"]),
    (
        "echo --connections 10 --joins 4 --warmup 0.1 --seconds 0.2",
        &["echo_per_second", "sent_per_echo_bytes", "received_per_echo_bytes"],
    ),
    ("presence --clients 20", &["join_diff_count", "leave_diff_count"]),
    ("churn --subscribers 10 --churners 5 --churn-rate 50 --warmup 0 --seconds 0.3", &["churn_count"]),
    ("mixed --users 10 --publishers 3 --rate 50 --echo-rate 200 --warmup 0 --seconds 0.3", &["echo_count"]),
];

#[test]
fn every_mode_runs() {
    let address = phoenix::start();
    for (mode, figures) in MODES {
        let output = run(mode, address, &["--size", "40", "--concurrency", "7"]);
        assert_succeeds(&output);
        for figure in *figures {
            assert!(said(&output).contains(figure), "{mode}: {}", said(&output));
        }
    }
}

#[test]
fn connections_come_from_several_addresses() {
    assert_succeeds(&run("conns --connections 20 --settle 0 --sources 4", phoenix::start(), &[]));
}

#[test]
fn processes_share_the_connections() {
    let address = phoenix::start();
    for mode in [
        "fanout --subscribers 20 --publishers 2 --outstanding 4 --processes 3 --warmup 0 --seconds 0.2",
        "conns --connections 20 --processes 3 --joins 2 --settle 0",
        "conns --connections 20 --processes 2 --topics own --settle 0 --sources 2",
    ] {
        assert_succeeds(&run(mode, address, &[]));
    }
}

#[test]
fn memory_and_time_are_those_of_the_process() {
    let pid = std::process::id().to_string();
    let output = run("conns --connections 20 --joins 2 --settle 0", phoenix::start(), &["--pid", &pid]);
    assert_succeeds(&output);
    for figure in ["base_bytes", "per_connection_after_heartbeats_bytes", "per_further_join_bytes"] {
        assert!(said(&output).contains(figure), "{}", said(&output));
    }
    let output = run("echo --connections 5 --seconds 0.2", phoenix::start(), &["--pid", &pid, "--tree"]);
    assert_succeeds(&output);
    assert!(said(&output).contains("cpu_per_echo_us"), "{}", said(&output));
}

#[test]
fn tls_carries_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    let address = phoenix::start_tls(&certificate);
    let certificate = certificate.to_str().unwrap();
    for mode in [
        "echo --connections 5 --warmup 0 --seconds 0.2 --tls",
        "fanout --subscribers 10 --outstanding 16 --warmup 0 --seconds 0.2 --tls",
        "conns --connections 5 --settle 0 --tls",
    ] {
        assert_succeeds(&run(mode, address, &["--ca", certificate]));
        assert_succeeds(&run(mode, address, &["--insecure"]));
    }
    // Another's certificate is not trusted, and nobody is trusted by default.
    let other = folder.path().join("other.pem");
    phoenix::start_tls(&other);
    let echo = "echo --connections 1 --seconds 0.1 --tls";
    assert_eq!(run(echo, address, &["--ca", other.to_str().unwrap()]).status.code(), Some(3));
    assert_eq!(run(echo, address, &[]).status.code(), Some(1));
}
