//! The official npm client, unmodified, in Node, against the program's own server.

use std::path::Path;
use std::process::Command;

use rooms::web::router;
use tokio::net::TcpListener;

use crate::site::site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_npm_client_runs_the_tutorials_scenario() {
    let site = site();
    let admin_token = site.admin_token();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { bennu::axum::serve(listener, router(site)).await });
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/scenario.mjs");
    // The packages of the page, which the build fetched.
    let packages = Path::new(rooms::PACKAGES);
    let mut node = Command::new("node");
    node.arg(scenario).arg(packages).arg(address.to_string()).arg(admin_token);
    let output = tokio::task::spawn_blocking(move || node.output()).await.unwrap().unwrap();
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the scenario failed; see its steps above");
    server.abort();
}
