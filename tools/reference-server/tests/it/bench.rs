//! The application for load, where it differs from the checklist's.

use serde_json::json;

use crate::client::{Client, V2, broadcast};
use crate::server::Server;

#[test]
fn rooms_of_the_other_mount_have_state() {
    let server = Server::start("bench", &[]);
    let mut client = Client::connect_to(server.address, "/state/websocket?vsn=2.0.0");
    client.join("1", "room:a");
    client.push("2", "room:a", "count", json!({}));
    assert_eq!(client.receive()[4]["response"]["count"], 128 + 1);
}

#[test]
fn rooms_with_state_keep_it_for_each_join_and_are_rooms() {
    let server = Server::start("bench", &[]);
    let (mut one, mut other) =
        (Client::connect_to(server.address, V2), Client::connect_to(server.address, V2));
    one.join("1", "state:a");
    other.join("1", "state:a");
    one.push("2", "state:a", "echo", json!({"t": "x"}));
    assert_eq!(one.receive()[4]["response"], json!({"t": "x"}));
    one.push("3", "state:a", "shout", json!({"t": "y"}));
    for client in [&mut one, &mut other] {
        assert_eq!(client.receive(), broadcast("state:a", "shout", json!({"t": "y"})));
    }
    for (client, count) in [(&mut one, 128 + 3), (&mut other, 128 + 1)] {
        client.push("4", "state:a", "count", json!({}));
        assert_eq!(client.receive()[4]["response"]["count"], count);
    }
}
