//! One HTTP connection, kept from one request to the next.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use thiserror::Error;

use super::server::Server;
use crate::transport::OpenError;
use crate::transport::connect::Stream;

/// What requests of one kind run over, one after the other.
#[derive(Default)]
pub(super) struct Lane(Option<Link>);

/// The two halves of an HTTP connection. Nothing moves unless the second is polled.
struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Moving,
}

/// What moves bytes; gone once it has ended.
type Moving = Option<Pin<Box<Connection<TokioIo<Stream>, Full<Bytes>>>>>;

/// A response with all of its body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why a request was not answered.
#[derive(Debug, Error)]
pub(super) enum LaneError {
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("the request failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("the answer failed: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("timeout")]
    TimedOut,
}

impl Lane {
    /// Sends a request and reads its answer, within the time that one has.
    pub(super) async fn exchange(
        &mut self,
        server: &Server,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, LaneError> {
        let exchanged =
            tokio::time::timeout(server.settings.timeout, self.try_exchange(server, request)).await;
        exchanged.unwrap_or(Err(LaneError::TimedOut))
    }

    async fn try_exchange(
        &mut self,
        server: &Server,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Answer, LaneError> {
        // A connection that failed in the middle of something is of no use to the next request.
        if let Some(mut link) = self.0.take() {
            match link.send(request).await {
                Ok(response) => return self.finish(link, server, response).await,
                // The server has closed it meanwhile, and none of this request was sent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let mut link = Link::open(server).await?;
        let response = link.send(request).await.map_err(TrySendError::into_error)?;
        self.finish(link, server, response).await
    }

    async fn finish(
        &mut self,
        mut link: Link,
        server: &Server,
        response: hyper::Response<Incoming>,
    ) -> Result<Answer, LaneError> {
        let (parts, body) = response.into_parts();
        let collecting = Limited::new(body, server.settings.max_answer_size).collect();
        let body = link.drive(collecting).await.map_err(LaneError::Body)?.to_bytes();
        self.0 = Some(link);
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

impl Link {
    async fn open(server: &Server) -> Result<Self, LaneError> {
        let stream = server.settings.connector.connect(&server.target).await.map_err(OpenError::from)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Link { sender, connection: Some(Box::pin(connection)) })
    }

    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<hyper::Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let Link { sender, connection } = self;
        // An answer before has to be done with. If that fails, so does sending, which gives the request back.
        let _ = drive(connection, sender.ready()).await;
        let sending = sender.try_send_request(request);
        drive(connection, sending).await
    }

    async fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        drive(&mut self.connection, work).await
    }
}

/// Does what needs the connection to move. If that ends, the work finds out by itself.
async fn drive<T>(connection: &mut Moving, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Some(moving) = connection
            && moving.as_mut().poll(cx).is_ready()
        {
            *connection = None;
        }
        work.as_mut().poll(cx)
    })
    .await
}
