//! Checks 1 to 33: HTTP and the handshake.

use serde_json::{Value, json};

use crate::client::{Client, V2, ok};
use crate::server::checklist;
use crate::wire::{self, ACCEPT, Response, get, refused, request, upgrade};

/// Upgrades `path` and returns the 101 response with the client.
fn connected(path: &str, headers: &[(&str, &str)]) -> (Response, Client) {
    let (response, wire) = upgrade(checklist(), path, headers);
    assert_eq!(response.status, 101, "{path} {headers:?} should be upgraded, got {response:?}");
    (response, Client { wire })
}

fn assert_refused(path: &str, headers: &[(&str, &str)], status: u16) {
    let response = refused(checklist(), path, headers);
    assert_eq!((response.status, response.body.as_str()), (status, ""), "{path} {headers:?}");
}

/// What the event `info` says about the connection.
fn info(client: &mut Client) -> Value {
    client.join("1", "room:info");
    client.push("2", "room:info", "info", json!({}));
    client.receive()[4]["response"].take()
}

fn expect_v1(path: &str) {
    let mut client = Client::connect(path);
    client.send(json!({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"}));
    client.expect(json!({
        "topic": "phoenix",
        "event": "phx_reply",
        "ref": "1",
        "payload": {"status": "ok", "response": {}},
    }));
}

#[test]
fn check_001_upgrade_switches_protocols_without_a_sub_protocol() {
    let (response, mut client) = connected(V2, &[]);
    assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT));
    assert_eq!(response.header("upgrade").map(str::to_ascii_lowercase).as_deref(), Some("websocket"));
    assert_eq!(response.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(response.header("sec-websocket-protocol"), None);
    assert_eq!(response.header("cache-control"), Some("max-age=0, private, must-revalidate"));
    client.expect_alive();
}

#[test]
fn check_002_trailing_slash_is_the_same_path() {
    connected("/socket/websocket/?vsn=2.0.0", &[]).1.expect_alive();
}

#[test]
fn check_003_base_path_belongs_to_the_application() {
    assert_eq!(get(checklist(), "/socket").status, 404);
}

#[test]
fn check_004_no_vsn_speaks_version_1() {
    expect_v1("/socket/websocket");
}

#[test]
fn check_005_vsn_1_0_7_speaks_version_1() {
    expect_v1("/socket/websocket?vsn=1.0.7");
}

#[test]
fn check_006_vsn_2_0_9_speaks_version_2() {
    Client::connect("/socket/websocket?vsn=2.0.9").expect_alive();
}

#[test]
fn check_007_vsn_2_1_0_is_refused() {
    assert_refused("/socket/websocket?vsn=2.1.0", &[], 403);
}

#[test]
fn check_008_vsn_of_two_parts_is_refused() {
    assert_refused("/socket/websocket?vsn=2.0", &[], 403);
}

#[test]
fn check_009_empty_vsn_is_refused() {
    assert_refused("/socket/websocket?vsn=", &[], 403);
}

#[test]
fn check_010_nested_vsn_is_refused() {
    assert_refused("/socket/websocket?vsn[a]=1", &[], 403);
    assert_refused("/socket/websocket?vsn[]=2.0.0", &[], 403);
}

#[test]
fn check_011_pre_releases_count_before_their_release() {
    Client::connect("/socket/websocket?vsn=2.0.1-rc.1").expect_alive();
    assert_refused("/socket/websocket?vsn=2.0.0-rc.1", &[], 403);
}

#[test]
fn check_012_the_last_of_two_vsns_wins() {
    Client::connect("/socket/websocket?vsn=9.0.0&vsn=2.0.0").expect_alive();
}

#[test]
fn check_013_connect_can_refuse() {
    assert_refused("/socket/websocket?vsn=2.0.0&reject=1", &[], 403);
}

#[test]
fn check_014_error_handler_answers_a_refusal_with_a_reason() {
    let response = refused(checklist(), "/socket/websocket?vsn=2.0.0&reason=xx", &[]);
    assert_eq!((response.status, response.body.as_str()), (429, "custom xx"));
}

#[test]
fn check_015_negotiation_precedes_connect() {
    assert_refused("/socket/websocket?vsn=9.0.0&reason=xx", &[], 403);
}

#[test]
fn check_016_get_without_upgrade_headers_says_what_is_missing() {
    let missing = get(checklist(), V2);
    let expected = "'connection' header must contain 'upgrade', got []";
    assert_eq!((missing.status, missing.body.as_str()), (400, expected));
    let close = request(checklist(), "GET", V2, &[("Connection", "close")], "");
    let expected = r#"'connection' header must contain 'upgrade', got ["close"]"#;
    assert_eq!((close.status, close.body.as_str()), (400, expected));
}

#[test]
fn check_017_negotiation_precedes_the_upgrade_headers() {
    let response = get(checklist(), "/socket/websocket?vsn=9.0.0");
    assert_eq!((response.status, response.body.as_str()), (403, ""));
}

#[test]
fn check_018_another_websocket_version_is_refused_by_name() {
    let mut headers = wire::UPGRADE;
    headers[2].1 = "12";
    let response = request(checklist(), "GET", V2, &headers, "");
    let expected = r#"'sec-websocket-version' header must equal '13', got ["12"]"#;
    assert_eq!((response.status, response.body.as_str()), (400, expected));
}

#[test]
fn check_019_other_methods_are_refused() {
    for method in ["POST", "PUT", "HEAD"] {
        let response = request(checklist(), method, V2, &wire::UPGRADE, "");
        assert_eq!((response.status, response.body.as_str()), (400, ""), "{method}");
    }
}

#[test]
fn check_020_an_origin_entry_of_a_host_ignores_scheme_and_port() {
    for origin in ["https://example.com", "http://example.com:444"] {
        connected(V2, &[("Origin", origin)]).1.expect_alive();
    }
}

#[test]
fn check_021_other_origins_are_refused() {
    for origin in ["https://bad.com", "https://sub.example.com", "null", "", "file://"] {
        assert_refused(V2, &[("Origin", origin)], 403);
    }
}

#[test]
fn check_022_no_origin_is_allowed() {
    connected(V2, &[]).1.expect_alive();
}

#[test]
fn check_023_origins_are_compared_case_sensitively() {
    assert_refused(V2, &[("Origin", "https://EXAMPLE.com")], 403);
}

#[test]
fn check_024_auth_token_comes_as_a_sub_protocol() {
    let offered = ("Sec-WebSocket-Protocol", "phoenix, base64url.bearer.phx.aGVsbG8");
    let (response, mut client) = connected("/auth/websocket?vsn=2.0.0", &[offered]);
    assert_eq!(response.header("sec-websocket-protocol"), Some("phoenix"));
    assert_eq!(info(&mut client)["auth_token"], "hello");
}

#[test]
fn check_025_auth_token_may_be_padded() {
    let offered = ("Sec-WebSocket-Protocol", "phoenix, base64url.bearer.phx.aGVsbG8=");
    let (response, mut client) = connected("/auth/websocket?vsn=2.0.0", &[offered]);
    assert_eq!(response.header("sec-websocket-protocol"), Some("phoenix"));
    assert_eq!(info(&mut client)["auth_token"], "hello");
}

#[test]
fn check_026_no_auth_token_is_null() {
    let (response, mut client) = connected("/auth/websocket?vsn=2.0.0", &[]);
    assert_eq!(response.header("sec-websocket-protocol"), None);
    assert_eq!(info(&mut client)["auth_token"], Value::Null);
}

#[test]
fn check_027_auth_token_alone_answers_no_sub_protocol() {
    let offered = ("Sec-WebSocket-Protocol", "base64url.bearer.phx.aGVsbG8");
    let (response, mut client) = connected("/auth/websocket?vsn=2.0.0", &[offered]);
    assert_eq!(response.header("sec-websocket-protocol"), None);
    assert_eq!(info(&mut client)["auth_token"], "hello");
}

#[test]
fn check_028_auth_token_with_a_foreign_sub_protocol_is_refused() {
    let offered = ("Sec-WebSocket-Protocol", "foo, base64url.bearer.phx.aGVsbG8");
    assert_refused("/auth/websocket?vsn=2.0.0", &[offered], 403);
}

#[test]
fn check_029_sub_protocols_are_ignored_where_none_is_served() {
    let (response, mut client) = connected(V2, &[("Sec-WebSocket-Protocol", "foo")]);
    assert_eq!(response.header("sec-websocket-protocol"), None);
    client.expect_alive();
}

#[test]
fn check_030_path_variables_override_query_parameters() {
    let mut client = Client::connect("/idle/77/websocket?pid=9&vsn=2.0.0");
    assert_eq!(info(&mut client)["params"], json!({"pid": "77", "vsn": "2.0.0"}));
}

#[test]
fn check_031_brackets_nest_and_the_last_plain_value_wins() {
    let query = "user[id]=1&user[tags][]=a&user[tags][]=b&x&y=1&y=2&vsn=2.0.0";
    let mut client = Client::connect(&format!("/socket/websocket?{query}"));
    let params = json!({"user": {"id": "1", "tags": ["a", "b"]}, "x": "", "y": "2", "vsn": "2.0.0"});
    assert_eq!(
        info(&mut client),
        json!({"params": params, "auth_token": null, "transport": "websocket", "vsn": "2.0.0"})
    );
}

#[test]
fn check_032_numbers_in_brackets_make_a_map() {
    let mut client = Client::connect("/socket/websocket?p[0][a]=1&p[1][a]=2&vsn=2.0.0");
    let params = json!({"p": {"0": {"a": "1"}, "1": {"a": "2"}}, "vsn": "2.0.0"});
    assert_eq!(info(&mut client)["params"], params);
}

#[test]
fn check_033_compression_is_accepted_where_it_is_on_and_understood() {
    let offer = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
    let (response, mut client) = connected("/idle/1/websocket?vsn=2.0.0", &[offer]);
    let answer = response.header("sec-websocket-extensions").expect("the extension is accepted");
    assert!(answer.starts_with("permessage-deflate"), "{answer}");
    client.wire.take_compressed();
    let long = json!({"text": "so long ".repeat(1_000)});
    let send = |client: &mut Client, message: Value| {
        let payload = wire::deflated(message.to_string().as_bytes());
        client.wire.write(&wire::frame_with(0x80 | wire::RSV1 | wire::TEXT, true, &payload));
    };
    send(&mut client, json!(["1", "1", "room:a", "phx_join", {}]));
    client.expect(ok("1", "1", "room:a", json!({})));
    assert_eq!(client.wire.compressed_messages(), 0, "a short reply is not compressed");
    send(&mut client, json!(["1", "2", "room:a", "echo", long]));
    client.expect(ok("1", "2", "room:a", long.clone()));
    send(&mut client, json!(["1", "3", "room:a", "push", long]));
    client.expect(json!(["1", null, "room:a", "pushed", long]));
    send(&mut client, json!(["1", "4", "room:a", "bcast", long]));
    client.expect(json!([null, null, "room:a", "msg", long]));
    client.expect(ok("1", "4", "room:a", json!({})));
    assert_eq!(client.wire.compressed_messages(), 3, "the long ones are");

    let (response, mut client) = connected(V2, &[offer]);
    assert_eq!(response.header("sec-websocket-extensions"), None);
    client.expect_alive();
}

#[test]
fn a_get_that_asks_for_no_upgrade_runs_connect_all_the_same() {
    let response = get(checklist(), "/socket/websocket?vsn=2.0.0&reason=early");
    assert_eq!((response.status, response.body.as_str()), (429, "custom early"));
}

#[test]
fn bytes_sent_right_behind_the_request_are_not_lost() {
    let mut wire = wire::Wire::open(checklist());
    let head: String = wire::UPGRADE.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let heartbeat = json!([null, "1", "phoenix", "heartbeat", {}]).to_string();
    let mut bytes = format!("GET {V2} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n").into_bytes();
    bytes.extend(wire::frame(true, wire::TEXT, heartbeat.as_bytes()));
    wire.write(&bytes);
    assert_eq!(wire.read_response("GET").status, 101);
    Client { wire }.expect(ok(Value::Null, "1", "phoenix", json!({})));
}
