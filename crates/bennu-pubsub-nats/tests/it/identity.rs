//! Who may in, and what is told when one may not.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bennu_engines::NatsServer;
use bennu_pubsub_nats::Nats;
use nkeys::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nodes::{down, meet, node, node_at, up};

fn with(server: &NatsServer, identity: &str) -> String {
    server.url().replace("nats://", &format!("nats://{identity}@"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_password_and_a_token_are_let_in() {
    let users = r#"authorization { users: [{ user: "a:da", password: "p@ss/%" }] }"#;
    let server = NatsServer::start_with(users).await.unwrap();
    let url = with(&server, "a%3Ada:p%40ss%2F%25");
    let typed = Nats::from_url(&server.url()).unwrap().user_and_password("a:da", "p@ss/%");
    meet(&node_at("a", &url), &node("b", typed)).await;

    let server = NatsServer::start_with(r#"authorization { token: "t0ken" }"#).await.unwrap();
    let url = with(&server, "t0ken");
    meet(&node_at("a", &url), &node_at("b", &url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nkey_is_let_in() {
    let user = KeyPair::new_user();
    let folder = TempDir::new().unwrap();
    let seed = folder.path().join("seed.nk");
    fs::write(&seed, format!("{}\n", user.seed().unwrap())).unwrap();
    let users = format!("authorization {{ users: [{{ nkey: {} }}] }}", user.public_key());
    let server = NatsServer::start_with(&users).await.unwrap();
    let url = format!("{}?nkey={}", server.url(), seed.display());
    meet(&node_at("a", &url), &node_at("b", &url)).await;

    fs::write(&seed, KeyPair::new_user().seed().unwrap()).unwrap();
    down(&node_at("c", &url), "authorization violation").await;
    fs::write(&seed, "SUnothing").unwrap();
    let reason = down(&node_at("d", &url), "sign").await;
    assert!(!reason.contains("SUnothing"), "{reason}");
}

/// A JWT as NATS has them.
fn jwt(issuer: &KeyPair, subject: &KeyPair, nats: Value) -> String {
    let claims = json!({
        "jti": "test", "iat": 1, "iss": issuer.public_key(), "sub": subject.public_key(), "name": "test", "nats": nats,
    });
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(json!({"typ": "JWT", "alg": "ed25519-nkey"})), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credentials_file_is_let_in() {
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
    });
    let of_operator = jwt(&operator, &operator, json!({"type": "operator", "version": 2}));
    let of_account = jwt(&operator, &account, json!({"type": "account", "version": 2, "limits": limits}));
    let of_user =
        jwt(&account, &user, json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}));
    let configuration = format!(
        "operator: {of_operator}\nresolver: MEMORY\nresolver_preload: {{ {}: {of_account} }}",
        account.public_key()
    );
    let server = NatsServer::start_with(&configuration).await.unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("user.creds");
    let seed = user.seed().unwrap();
    fs::write(
        &file,
        format!(
            "-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        ),
    )
    .unwrap();
    let url = format!("{}?creds={}", server.url(), file.display());
    let typed = Nats::from_url(&server.url()).unwrap().credentials_file(&file);
    meet(&node_at("a", &url), &node("b", typed)).await;

    fs::write(&file, "nothing of the kind").unwrap();
    let reason = down(&node_at("c", &url), "is not a credentials file").await;
    assert!(reason.contains(&file.display().to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_049_a_wrong_password_is_told_and_tried_again_until_it_is_right() {
    let users = |password: &str| format!(r#"authorization {{ user: "ada", password: "{password}" }}"#);
    let server = NatsServer::start_with(&users("hunter2")).await.unwrap();
    let node = node_at("a", &with(&server, "ada:hunter3"));
    let reason = down(&node, "authorization violation").await;
    assert!(reason.starts_with(&server.address().to_string()) && !reason.contains("hunter"), "{reason}");
    let mut here = node.subscribe("room");
    node.broadcast("room", 1_u32);
    assert!(here.try_recv().is_some());

    server.restart_with(&users("hunter3")).await.unwrap();
    up(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_do_it_is_told_what() {
    let allowed = |publish: &str, subscribe: &str| {
        let permissions = format!(r#"{{ publish: "{publish}", subscribe: "{subscribe}" }}"#);
        format!("authorization {{ users: [{{ user: ada, password: secret, permissions: {permissions} }}] }}")
    };
    let server = NatsServer::start_with(&allowed("bennu.test.>", "bennu.test.>")).await.unwrap();
    let url = with(&server, "ada:secret");
    meet(&node_at("a", &url), &node_at("b", &url)).await;

    for (publish, subscribe, word) in
        [("bennu.test.>", "other", "Subscription"), ("other", "bennu.test.>", "Publish")]
    {
        server.restart_with(&allowed(publish, subscribe)).await.unwrap();
        let reason = down(&node_at("c", &url), "Permissions Violation").await;
        assert!(reason.contains(word) && reason.contains("bennu.test."), "{reason}");
    }
}
