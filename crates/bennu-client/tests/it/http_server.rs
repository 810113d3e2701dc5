//! An HTTP server whose every answer is the test's.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::peer::{header, read_head};

/// Requests of all connections, in the order in which they came.
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Asked>,
    closed: mpsc::UnboundedReceiver<()>,
}

/// A request that waits for its answer.
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: String,
    /// Which connection it came on, counted from 0.
    pub(crate) connection: usize,
    answer: oneshot::Sender<String>,
}

impl HttpServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, requests) = mpsc::unbounded_channel();
        let (closing, closed) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, connection, arrived.clone(), closing.clone()));
            }
        });
        HttpServer { address, requests, closed }
    }

    pub(crate) async fn next(&mut self) -> Asked {
        let next = tokio::time::timeout(Duration::from_secs(20), self.requests.recv()).await;
        next.expect("a request comes").expect("the server runs")
    }

    /// Waits until the server has closed a connection behind an answer.
    pub(crate) async fn closed(&mut self) {
        self.closed.recv().await.expect("the server runs");
    }

    /// The next request if it came already.
    pub(crate) fn try_next(&mut self) -> Option<Asked> {
        self.requests.try_recv().ok()
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    arrived: mpsc::UnboundedSender<Asked>,
    closing: mpsc::UnboundedSender<()>,
) {
    loop {
        // A client that has gone, or a test that is over.
        if stream.peek(&mut [0]).await.is_ok_and(|count| count == 0) {
            return;
        }
        let head = read_head(&mut stream).await;
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let (answer, answered) = oneshot::channel();
        let body = String::from_utf8(body).unwrap();
        if arrived.send(Asked { head, body, connection, answer }).is_err() {
            return;
        }
        let Ok(answer) = answered.await else { return };
        stream.write_all(answer.as_bytes()).await.unwrap();
        if answer.contains("connection: close") {
            drop(stream);
            // The test may be over.
            let _ = closing.send(());
            return;
        }
    }
}

impl Asked {
    /// The first line.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Answers with a body as Phoenix does: the status is in it.
    pub(crate) fn json(self, body: &str) {
        self.http("200 OK\r\ncontent-type: application/json; charset=utf-8", body);
    }

    pub(crate) fn http(self, status_and_headers: &str, body: &str) {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status_and_headers}\r\ncontent-length: {length}\r\n\r\n{body}");
        // The client may have gone.
        let _ = self.answer.send(answer);
    }

    /// Answers with whatever this is.
    pub(crate) fn raw(self, answer: &str) {
        let _ = self.answer.send(answer.to_owned());
    }
}
