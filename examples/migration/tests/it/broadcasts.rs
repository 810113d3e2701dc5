//! How the application speaks on a topic that has moved.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

use bennu::token::SignOptions;
use migration::broadcasts::SALT;
use serde_json::{Value, json};

use crate::page::Page;
use crate::site::{ADA, Site, application};

/// Posts as the application does, and gives the status of the answer.
fn post(address: SocketAddr, token: &str, body: &Value) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    let body = body.to_string();
    let head = format!(
        "POST /bennu/broadcast HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn asked(topic: &str, event: &str, payload: Value) -> Value {
    json!({"topic": topic, "event": event, "payload": payload})
}

fn page(site: &Site) -> Page {
    let params = json!({"token": site.token(ADA)});
    let page = Page::open(site.nginx.address, "websocket", params, "notifications:1");
    page.joined();
    page
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_broadcasts_on_a_moved_topic() {
    let site = Site::start(&application()).await;
    let page = page(&site);
    let token = site.phoenix.tokens().sign(SALT, "notifications:1").unwrap();
    let mention = json!({"message_id": 7});
    assert_eq!(post(site.bennu_address, &token, &asked("notifications:1", "mention", mention.clone())), 204);
    assert_eq!(page.next(), json!({"topic": "notifications:1", "event": "mention", "payload": mention}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_disconnects_a_user_of_moved_topics() {
    let site = Site::start(&application()).await;
    let page = page(&site);
    let token = site.phoenix.tokens().sign(SALT, "user_socket:1").unwrap();
    assert_eq!(post(site.bennu_address, &token, &asked("user_socket:1", "disconnect", json!({}))), 204);
    assert_eq!(page.next(), json!({"topic": "notifications:1", "closed": 1001}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_broadcasts() {
    let site = Site::start(&application()).await;
    let tokens = site.phoenix.tokens();
    let old = SignOptions::new().signed_at(SystemTime::now() - Duration::from_secs(120));
    let mention = asked("notifications:1", "mention", json!({}));
    for (name, token) in [
        ("none", String::new()),
        ("a user's", site.token(ADA)),
        ("of another topic", tokens.sign(SALT, "notifications:2").unwrap()),
        ("old", tokens.sign_with(SALT, "notifications:1", &old).unwrap()),
    ] {
        assert_eq!(post(site.bennu_address, &token, &mention), 401, "{name}");
    }
    let genuine = tokens.sign(SALT, "notifications:1").unwrap();
    assert_eq!(post(site.nginx.address, &genuine, &mention), 404, "nginx does not lead there");
}
