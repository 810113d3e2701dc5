//! What the server counts, as Prometheus reads it; that other machines may not is tested in the binary.

use crate::client::Client;
use crate::server::Server;
use crate::wire::get;

#[test]
fn what_happens_is_counted() {
    let server = Server::start("checklist", &[]);
    let mut client = Client::connect_to(server.address, "/socket/websocket?vsn=2.0.0");
    client.join("1", "room:a");
    let body = get(server.address, "/metrics").body;
    for line in [
        r#"bennu_connections{mount="/socket",transport="websocket"} 1"#,
        r#"bennu_channels{mount="/socket",channel="room:*"} 1"#,
        r#"bennu_joins_total{mount="/socket",channel="room:*",result="ok"} 1"#,
        r#"bennu_connects_total{mount="/socket",transport="websocket",result="ok"} 1"#,
        "# TYPE bennu_handle_in_duration_seconds histogram",
    ] {
        assert!(body.lines().any(|found| found == line), "{line} is missing in\n{body}");
    }
    drop(client);
}
