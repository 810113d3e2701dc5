//! From one transport to another where the first does not work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bennu_client::transport::{
    ConnectionEvent, Fallback, LongPoll, OpenError, OpenRequest, Opening, Transport, WebSocket,
};
use bennu_protocol::Frame;
use bennu_protocol::websocket::{Decoder, Item, Limits, Opcode, Role, encode_frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http_server::HttpServer;
use crate::peer::{Driven, event, open, refusal, serve, upgrade};

/// A first transport: it goes to a server of its own, and counts how often it was asked.
#[derive(Clone, Debug)]
struct First {
    inner: WebSocket,
    address: std::net::SocketAddr,
    opened: Arc<AtomicUsize>,
}

impl First {
    fn new(address: std::net::SocketAddr) -> Self {
        First { inner: WebSocket::new(), address, opened: Arc::default() }
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Transport for First {
    fn open(&self, mut request: OpenRequest) -> Opening {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let path = request.url.split_once("/socket").unwrap().1.to_owned();
        request.url = format!("ws://{}/socket{path}", self.address);
        self.inner.open(request)
    }
}

/// Reads frames, and gives those that carry something.
async fn next_text(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let count = stream.read(&mut bytes).await.unwrap();
    let item = Decoder::new(Role::Server, Limits::default()).decode(&mut &mut bytes[..count]).unwrap();
    let Some(Item::Text(text)) = item else { panic!("{item:?}") };
    String::from_utf8(text.into()).unwrap()
}

const OPENED: &str = r#"{"status":410,"token":"t","messages":[]}"#;

fn request(second: &HttpServer, vsn: &str) -> OpenRequest {
    OpenRequest::new(format!("ws://{}/socket/websocket?vsn={vsn}", second.address))
}

/// A server that is connected to and never answers.
async fn silent() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    address
}

#[tokio::test]
async fn check_160_a_first_transport_that_answers_a_heartbeat_is_kept() {
    for (vsn, heartbeat, reply) in [
        (
            "2.0.0",
            r#"[null,"fallback","phoenix","heartbeat",{}]"#,
            r#"[null,"fallback","phoenix","phx_reply",{"response":{},"status":"ok"}]"#,
        ),
        (
            "1.0.0",
            r#"{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"fallback"}"#,
            r#"{"topic":"phoenix","event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"fallback"}"#,
        ),
    ] {
        let (address, served) = serve(move |mut stream| async move {
            let request = upgrade(&mut stream, "").await;
            let heartbeat = next_text(&mut stream).await;
            for text in ["early", reply, "later"] {
                stream.write_all(&encode_frame(Opcode::Text, text.as_bytes())).await.unwrap();
            }
            (request, heartbeat)
        })
        .await;
        let mut second = HttpServer::start().await;
        let fallback = Fallback::new(First::new(address), LongPoll::new());
        let mut connection = open(&fallback, request(&second, vsn)).await.unwrap();
        assert_eq!(event(&mut *connection).await, ConnectionEvent::Frame(Frame::text("early")));
        assert_eq!(
            event(&mut *connection).await,
            ConnectionEvent::Frame(Frame::text("later")),
            "not the reply"
        );
        let (request, sent) = served.await.unwrap();
        assert!(request.starts_with(&format!("GET /socket/websocket?vsn={vsn} ")), "{request}");
        let sent: serde_json::Value = serde_json::from_str(&sent).unwrap();
        let heartbeat: serde_json::Value = serde_json::from_str(heartbeat).unwrap();
        assert_eq!(sent, heartbeat, "{vsn}");
        assert!(second.try_next().is_none() && !fallback.has_fallen_back());
        assert!(fallback.needs_heartbeats());
    }
}

#[tokio::test]
async fn check_160_one_that_does_not_work_gives_way_and_that_is_remembered() {
    let (refusing, _served) = serve(|mut stream| async move {
        crate::peer::read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    let (unhealthy, _served) = serve(|mut stream| async move {
        upgrade(&mut stream, "").await;
        // It takes the heartbeat, and says nothing.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    for (name, address) in [("refuses", refusing), ("is silent", silent().await), ("swallows", unhealthy)] {
        let mut second = HttpServer::start().await;
        let first = First::new(address);
        let fallback = Fallback::new(first.clone(), LongPoll::new()).after(Duration::from_millis(200));
        for attempt in 1..=2 {
            let asking = request(&second, "2.0.0");
            let answer = async {
                let asked = second.next().await;
                assert_eq!(asked.line(), "GET /socket/longpoll?vsn=2.0.0 HTTP/1.1", "{name}");
                asked.json(OPENED);
            };
            let (connection, ()) = tokio::join!(open(&fallback, asking), answer);
            assert!(connection.is_ok(), "{name}");
            assert!(fallback.has_fallen_back() && !fallback.needs_heartbeats(), "{name}");
            assert_eq!(first.opened(), 1, "{name}: the first, in attempt {attempt}");
        }
        let clone = fallback.clone();
        assert!(clone.has_fallen_back(), "clones are of one mind");
    }
}

#[tokio::test]
async fn one_that_has_worked_is_tried_again() {
    let (address, _served) = serve(|mut stream| async move {
        upgrade(&mut stream, "").await;
        next_text(&mut stream).await;
        let reply = br#"[null,"fallback","phoenix","phx_reply",{"response":{},"status":"ok"}]"#;
        stream.write_all(&encode_frame(Opcode::Text, reply)).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let mut second = HttpServer::start().await;
    let first = First::new(address);
    let fallback = Fallback::new(first.clone(), LongPoll::new());
    drop(open(&fallback, request(&second, "2.0.0")).await.unwrap());
    // Its server takes no second connection.
    for attempts in 2..=3 {
        let asking = request(&second, "2.0.0");
        let answer = async { second.next().await.json(OPENED) };
        let (connection, ()) = tokio::join!(open(&fallback, asking), answer);
        let mut driven = Driven::new(connection.unwrap());
        let poll = second.next().await;
        poll.json(r#"{"status":200,"token":"t","messages":["over polls"]}"#);
        assert_eq!(driven.event().await, ConnectionEvent::Frame(Frame::text("over polls")));
        // The next poll is of no use.
        second.next().await;
        assert_eq!(first.opened(), attempts);
        assert!(!fallback.has_fallen_back());
    }
}

#[tokio::test]
async fn when_neither_works_nothing_is_remembered_and_the_better_reason_is_told() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let mut second = HttpServer::start().await;
    let first = First::new(closed);
    let fallback = Fallback::new(first.clone(), LongPoll::new());
    for attempts in 1..=2 {
        let asking = request(&second, "2.0.0");
        let answer = async { second.next().await.http("404 Not Found", "") };
        let (error, ()) = tokio::join!(refusal(&fallback, asking), answer);
        assert_eq!(error, OpenError::Refused { status: 404, body: "".into(), retry_after: None });
        assert_eq!(first.opened(), attempts, "the first is tried each time");
        assert!(!fallback.has_fallen_back());
    }
    let request = OpenRequest::new(format!("ws://{closed}/socket/websocket?vsn=2.0.0"));
    let OpenError::Failed(reason) = refusal(&fallback, request).await else { panic!() };
    assert_eq!(reason.matches("cannot connect").count(), 2, "{reason}");
}
