//! TLS and proxies.

use std::net::SocketAddr;
use std::sync::Arc;

use bennu_client::transport::{
    Connection, Connector, OpenError, OpenRequest, Proxy, RootCertificatesError, WebSocket,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::peer::{header, open, read_head, refusal, serve, upgrade};

/// An authority that nobody knows but who is given its PEM.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// What a server with one of these names or addresses speaks TLS with.
    fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config =
            config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        // A server that would rather speak HTTP/2 has to be told otherwise.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    fn connector(&self) -> Connector {
        Connector::new().proxy(Proxy::none()).root_certificates_pem(self.issuer.pem()).unwrap()
    }
}

/// A WebSocket server with TLS, for one connection; gives the head of the request.
async fn secure_server(acceptor: TlsAcceptor) -> (SocketAddr, JoinHandle<String>) {
    serve(|stream| async move {
        match acceptor.accept(stream).await {
            Ok(mut stream) => upgrade(&mut stream, "").await,
            Err(error) => error.to_string(),
        }
    })
    .await
}

/// A proxy that takes one connection, and leads to `target` whatever it is asked for; gives the head of the request.
async fn proxy<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut client: S,
    target: SocketAddr,
) -> String {
    let request = read_head(&mut client).await;
    let mut server = TcpStream::connect(target).await.unwrap();
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
    request
}

fn through(connector: Connector, proxy: String) -> WebSocket {
    WebSocket::new().connector(connector.proxy(Proxy::all(proxy).unwrap()))
}

async fn opens(transport: &WebSocket, url: String) -> Box<dyn Connection> {
    open(transport, OpenRequest::new(url)).await.unwrap()
}

#[tokio::test]
async fn a_certificate_of_a_given_root_is_trusted_by_name_and_by_address() {
    let authority = Authority::new();
    for (names, host) in [(&["localhost"][..], "localhost"), (&["127.0.0.1"], "127.0.0.1")] {
        let (address, served) = secure_server(authority.acceptor(names)).await;
        let transport = WebSocket::new().connector(authority.connector());
        opens(&transport, format!("wss://{host}:{}/socket", address.port())).await;
        assert!(served.await.unwrap().starts_with("GET /socket"), "{host}");
    }
}

#[tokio::test]
async fn certificates_of_strangers_and_of_others_are_refused() {
    let (ours, other) = (Authority::new(), Authority::new());
    for (name, server, names, client) in [
        ("another root", &other, ["localhost"], ours.connector()),
        ("another name", &ours, ["example.com"], ours.connector()),
        ("the roots of the system", &ours, ["localhost"], Connector::new().proxy(Proxy::none())),
    ] {
        let (address, _served) = secure_server(server.acceptor(&names)).await;
        let transport = WebSocket::new().connector(client);
        let url = format!("wss://localhost:{}/socket?token=secret", address.port());
        let OpenError::Failed(reason) = refusal(&transport, OpenRequest::new(url)).await else {
            panic!("{name}")
        };
        assert!(reason.starts_with("no TLS with localhost: "), "{name}: {reason}");
        assert!(!reason.contains("secret"), "{name}: {reason}");
    }
}

#[tokio::test]
async fn errors_name_the_step_that_failed() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let plain = || WebSocket::new().connector(Connector::new().proxy(Proxy::none()));
    let proxied = through(Connector::new(), format!("http://user:secret@{closed}"));
    let port = closed.port();
    for (transport, expected) in [
        (plain(), format!("cannot connect to 127.0.0.1 port {port}: ")),
        (proxied, format!("the proxy 127.0.0.1 failed: cannot connect to 127.0.0.1 port {port}: ")),
    ] {
        let url = format!("ws://{closed}/socket?token=secret");
        let OpenError::Failed(reason) = refusal(&transport, OpenRequest::new(url)).await else { panic!() };
        assert!(reason.starts_with(&expected) && !reason.contains("secret"), "{reason}");
    }
    let invalid = refusal(&plain(), OpenRequest::new("ftp://h/?token=secret")).await;
    assert!(matches!(&invalid, OpenError::Invalid(reason) if !reason.contains("secret")), "{invalid:?}");
}

#[test]
fn pem_without_certificates_is_no_root() {
    let connector = |pem: &str| Connector::new().root_certificates_pem(pem).map(|_| ());
    assert_eq!(connector(""), Err(RootCertificatesError::Empty));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(connector(broken), Err(RootCertificatesError::Malformed(_))));
}

#[tokio::test]
async fn a_proxy_tunnels_what_is_encrypted_and_what_is_not() {
    let authority = Authority::new();
    for scheme in ["ws", "wss"] {
        let (server, served) = match scheme {
            "ws" => serve(|mut stream| async move { upgrade(&mut stream, "").await }).await,
            _ => secure_server(authority.acceptor(&["chat.example"])).await,
        };
        let (address, proxied) = serve(move |stream| proxy(stream, server)).await;
        let transport = through(authority.connector(), format!("http://user:p%40ss@{address}"));
        // The name is the proxy's to resolve.
        opens(&transport, format!("{scheme}://chat.example:9/socket")).await;
        let request = proxied.await.unwrap();
        assert!(request.starts_with("CONNECT chat.example:9 HTTP/1.1\r\n"), "{request}");
        assert_eq!(header(&request, "host"), Some("chat.example:9"));
        assert_eq!(header(&request, "proxy-authorization"), Some("Basic dXNlcjpwQHNz"), "{scheme}");
        let request = served.await.unwrap();
        assert!(request.starts_with("GET /socket"), "{request}");
        assert_eq!(
            header(&request, "proxy-authorization"),
            None,
            "the server is told no password of the proxy"
        );
    }
}

#[tokio::test]
async fn a_secure_proxy_is_spoken_to_with_tls() {
    let authority = Authority::new();
    let (server, served) = secure_server(authority.acceptor(&["chat.example"])).await;
    let acceptor = authority.acceptor(&["localhost"]);
    let (address, proxied) =
        serve(move |stream| async move { proxy(acceptor.accept(stream).await.unwrap(), server).await }).await;
    let transport = through(authority.connector(), format!("https://localhost:{}", address.port()));
    opens(&transport, "wss://chat.example/socket".to_owned()).await;
    assert!(proxied.await.unwrap().starts_with("CONNECT chat.example:443 "));
    assert!(served.await.unwrap().starts_with("GET /socket"), "TLS in TLS");
}

#[tokio::test]
async fn a_socks_proxy_is_given_the_name_and_the_password() {
    let authority = Authority::new();
    let (server, served) = secure_server(authority.acceptor(&["chat.example"])).await;
    let (address, proxied) = serve(move |mut client| async move {
        let mut asked = [0; 4];
        client.read_exact(&mut asked).await.unwrap();
        client.write_all(&[5, 2]).await.unwrap();
        let mut credentials = [0; "\x01\x04user\x04p@ss".len()];
        client.read_exact(&mut credentials).await.unwrap();
        client.write_all(&[1, 0]).await.unwrap();
        let mut request = [0; 4 + 1 + "chat.example".len() + 2];
        client.read_exact(&mut request).await.unwrap();
        client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await.unwrap();
        let mut server = TcpStream::connect(server).await.unwrap();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        (credentials, request)
    })
    .await;
    let transport = through(authority.connector(), format!("socks5h://user:p%40ss@{address}"));
    opens(&transport, "wss://chat.example/socket".to_owned()).await;
    let (credentials, request) = proxied.await.unwrap();
    assert_eq!(&credentials, b"\x01\x04user\x04p@ss");
    assert_eq!(&request, b"\x05\x01\x00\x03\x0cchat.example\x01\xbb");
    assert!(served.await.unwrap().starts_with("GET /socket"));
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named() {
    for (answer, expected) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "it refused with status 407"),
        ("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 x", "it spoke in the tunnel"),
        ("SSH-2.0-x\r\n\r\n", "the answer is no http"),
    ] {
        let (address, _served) = serve(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let transport = through(Connector::new(), format!("http://{address}"));
        let error = refusal(&transport, OpenRequest::new("ws://chat.example/")).await;
        assert_eq!(error, OpenError::Failed(format!("the proxy 127.0.0.1 failed: {expected}")));
    }
}

/// The environment of a process is that of its parent: the test runs itself with another one.
#[test]
fn the_environment_names_the_proxies() {
    const ASKED: &str = "BENNU_CLIENT_ASKED_BY_A_TEST";
    if let Ok(expected) = std::env::var(ASKED) {
        let shown = format!("{:?}", Proxy::from_env());
        assert_eq!(shown.contains("proxy.example:3128"), expected == "proxy", "{shown}");
        return;
    }
    for (variable, expected) in
        [("HTTP_PROXY", "proxy"), ("https_proxy", "proxy"), ("ALL_PROXY", "proxy"), ("X", "none")]
    {
        let mut itself = std::process::Command::new(std::env::current_exe().unwrap());
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            itself.env_remove(name).env_remove(name.to_lowercase());
        }
        itself.args(["--exact", "connect::the_environment_names_the_proxies"]);
        let run = itself.env(variable, "http://proxy.example:3128").env(ASKED, expected).output().unwrap();
        assert!(run.status.success(), "{variable}: {}", String::from_utf8_lossy(&run.stdout));
    }
}
