//! TLS, both ways.

use std::fs;
use std::path::Path;

use bennu_engines::RedisServer;
use bennu_pubsub_redis::Redis;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::account::{Account, Numbered};
use crate::nodes::{connected, down, node};

/// An authority, and certificates that it signed, as files.
struct Certificates(TempDir);

impl Certificates {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Else it would have the name of those that it signs, which OpenSSL takes for having signed themselves.
        authority.distinguished_name.push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        for (name, of) in [("server", "127.0.0.1"), ("client", "node"), ("stranger", "localhost")] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new([of.to_owned()]).unwrap();
            let certificate = match name {
                "stranger" => params.self_signed(&key).unwrap(),
                _ => params.signed_by(&key, &authority).unwrap(),
            };
            fs::write(folder.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    async fn server(&self) -> RedisServer {
        let [certificate, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| self.file(name));
        let configuration = format!(
            "port 0\ntls-port {{port}}\ntls-cert-file {certificate}\ntls-key-file {key}\ntls-ca-cert-file {ca}"
        );
        RedisServer::start_with(&configuration).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_a_certificate_of_the_authority_meet() {
    let certificates = Certificates::new();
    let server = certificates.server().await;
    let address = server.url().replace("redis://", "rediss://");
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| certificates.file(name));
    let url = format!("{address}?ca={ca}&cert={cert}&key={key}");
    let (a, b) = (connected("a", &url).await, connected("b", &url).await);
    let mut there = b.subscribe("room");
    b.settle("room").await;
    a.broadcast("room", Numbered::new(1));
    Account::of(&mut there, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_or_a_node_that_is_not_trusted_is_told() {
    let certificates = Certificates::new();
    let server = certificates.server().await;
    let address = server.url().replace("redis://", "rediss://");
    let other = certificates.file("stranger.pem");
    let untrusting = node("a", Redis::from_url(&format!("{address}?ca={other}")).unwrap());
    let reason = down(&untrusting, "TLS").await;
    assert!(reason.contains("invalid peer certificate"), "{reason}");

    let ca = certificates.file("ca.pem");
    let nameless = node("b", Redis::from_url(&format!("{address}?ca={ca}")).unwrap());
    down(&nameless, "ertificate").await;
}

#[test]
fn a_key_of_another_certificate_is_refused_at_once() {
    let certificates = Certificates::new();
    let file = |name| certificates.file(name);
    let redis = Redis::new("127.0.0.1", 6379).tls_with_ca(Path::new(&file("ca.pem"))).unwrap();
    let refused = redis.client_certificate(Path::new(&file("client.pem")), Path::new(&file("stranger.key")));
    assert!(refused.unwrap_err().to_string().starts_with("the client's certificate is refused"));
}
