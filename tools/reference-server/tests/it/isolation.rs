//! What one client does wrong, others do not feel.

use serde_json::json;

use crate::client::{Client, V2, crashed, ok};
use crate::server::Server;
use crate::wire;

#[test]
fn panics_of_a_hundred_clients_leave_everyone_else_connected() {
    let server = Server::start("checklist", &[]);
    let mut calm = Client::connect_to(server.address, V2);
    calm.join("1", "room:calm");
    let mut panicking: Vec<_> = (0..100).map(|_| Client::connect_to(server.address, V2)).collect();
    for client in &mut panicking {
        client.send(json!(["1", "1", "room:p", "phx_join", {}]));
        client.push("2", "room:p", "crash", json!({}));
        client.send(json!(["3", "3", "room:crash", "phx_join", {}]));
    }
    for client in &mut panicking {
        client.expect(ok("1", "1", "room:p", json!({})));
        client.expect(crashed("1", "room:p"));
        assert_eq!(client.receive()[4]["response"], json!({"reason": "join crashed"}));
        client.expect_alive();
    }
    calm.expect_echo("room:calm");
}

#[test]
fn garbage_on_one_connection_leaves_others_alone() {
    let mut calm = Client::joined("room:calm2");
    for garbage in [&b"\x00"[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 4096], &[0x81, 0xfe]] {
        let mut client = Client::connect(V2);
        // The server may close before all has been written.
        client.wire.write_if_open(garbage);
    }
    let mut half = wire::Wire::open(crate::server::checklist());
    half.write(b"GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost:");
    drop(half);
    calm.expect_echo("room:calm2");
}
