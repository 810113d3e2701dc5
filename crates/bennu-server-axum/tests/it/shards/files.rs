//! A process that has no files left.

use std::fs::File;
use std::process::Command;

use bennu_server_axum::ServerLimits;
use serde_json::json;

use super::start_with;
use crate::peer::Peer;

/// Set in a process of its own, as files belong to a process.
const ALONE: &str = "BENNU_TEST_ALONE";

/// Few, so that they are soon taken.
const FILES: u64 = 64;

/// Takes all files but some.
fn take_files_but(left: usize) -> Vec<File> {
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    taken.truncate(taken.len() - left);
    taken
}

#[test]
fn attack_057_without_files_shards_go_on_and_who_waits_is_let_in_later() {
    if std::env::var_os(ALONE).is_none() {
        let itself = std::env::current_exe().unwrap();
        let name = "shards::files::attack_057_without_files_shards_go_on_and_who_waits_is_let_in_later";
        let output = Command::new(itself).args(["--exact", name]).env(ALONE, "yes").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    rlimit::Resource::NOFILE.set(FILES, FILES).unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(check());
}

async fn check() {
    let limits = ServerLimits::default().max_connections(1_000);
    let (server, _) = start_with(2, limits).await;
    // There is a file for a client and one for the server, and none for shards.
    let taken = take_files_but(2);
    let mut refused = Peer::open(server.address).await;
    refused.write(crate::peer::UPGRADE).await;
    assert_eq!(refused.answer().await.status, 101);
    refused.ended().await;
    drop(refused);
    drop(taken);
    let (mut one, mut two) =
        (Peer::joined(server.address, "room:a").await, Peer::joined(server.address, "room:a").await);
    // A client comes that the server has no file for.
    let taken = take_files_but(1);
    let mut waiting = Peer::open(server.address).await;
    waiting.write(crate::peer::UPGRADE).await;
    for _ in 0..100 {
        one.expect_echo("room:a").await;
        server.endpoint.broadcast("room:a", "said", json!({})).unwrap();
        assert_eq!((one.event().await, two.event().await), (json!("said"), json!("said")));
        tokio::task::yield_now().await;
    }
    assert_eq!(server.endpoint.connection_count(), 2);
    drop(taken);
    assert_eq!(waiting.answer().await.status, 101);
    waiting.join("room:a").await;
    server.endpoint.broadcast("room:a", "said", json!({})).unwrap();
    assert_eq!(waiting.event().await, "said");
}
