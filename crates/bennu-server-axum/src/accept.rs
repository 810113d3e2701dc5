//! Lets clients in: no more than there is room for, and with patience when the system has none.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bennu_server::{Endpoint, Unready};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long nobody is accepted after the system could not, such as when it is out of files.
const PAUSE: Duration = Duration::from_millis(500);

/// Where clients come from.
pub(crate) trait Accept {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        TcpListener::accept(self)
    }
}

/// Lets clients in, up to a number at once.
pub(crate) struct Door<L> {
    listener: L,
    slots: Arc<Semaphore>,
    /// Those that are not ready while nobody can be let in.
    endpoints: Vec<Endpoint>,
}

impl<L: Accept> Door<L> {
    pub(crate) fn new(listener: L, slots: usize, endpoints: Vec<Endpoint>) -> Self {
        Door { listener, slots: Arc::new(Semaphore::new(slots)), endpoints }
    }

    /// The next client, once there is room for it.
    pub(crate) async fn next(&self) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
        let slot = self.slot().await;
        let (stream, peer) = self.accept().await;
        (stream, peer, slot)
    }

    async fn slot(&self) -> OwnedSemaphorePermit {
        if let Ok(slot) = self.slots.clone().try_acquire_owned() {
            return slot;
        }
        tracing::warn!("the server is full; new connections wait");
        let _unready = self.unready();
        self.slots.clone().acquire_owned().await.expect("nobody closes this semaphore")
    }

    async fn accept(&self) -> (TcpStream, SocketAddr) {
        // Held from the first failure to the next success.
        let mut unready = None;
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                // The client was gone before it was accepted.
                Err(error) if is_of_one_client(&error) => {}
                Err(error) => {
                    tracing::error!(%error, pause = ?PAUSE, "connections cannot be accepted");
                    unready.get_or_insert_with(|| self.unready());
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Sends load balancers away as long as it is held.
    pub(crate) fn unready(&self) -> Vec<Unready> {
        self.endpoints.iter().map(Endpoint::unready).collect()
    }
}

fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use bennu_pubsub::PubSub;
    use parking_lot::Mutex;
    use tokio::time::Instant;

    use super::*;

    /// Fails as it is told, then lets clients in.
    struct Failing {
        errors: Mutex<Vec<io::Error>>,
        listener: TcpListener,
    }

    impl Accept for Failing {
        async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
            let error = self.errors.lock().pop();
            match error {
                Some(error) => Err(error),
                None => self.listener.accept().await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn attack_057_out_of_files_is_waited_out_and_not_ready_meanwhile() {
        const EMFILE: i32 = 24;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut errors: Vec<_> = (0..4).map(|_| io::Error::from_raw_os_error(EMFILE)).collect();
        errors.push(io::ErrorKind::ConnectionAborted.into());
        let endpoint = Endpoint::builder(PubSub::local()).build().unwrap();
        let door = Door::new(Failing { errors: Mutex::new(errors), listener }, 1, vec![endpoint.clone()]);
        let began = Instant::now();
        let first = tokio::spawn(async move { door.next().await });
        tokio::time::sleep(PAUSE).await;
        assert!(!endpoint.is_ready());
        let _first = first.await.unwrap();
        assert_eq!(began.elapsed(), 4 * PAUSE);
        assert!(endpoint.is_ready());
    }

    #[tokio::test]
    async fn attack_010_who_finds_no_room_waits_and_is_let_in_when_somebody_goes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = Endpoint::builder(PubSub::local()).build().unwrap();
        let door = Arc::new(Door::new(listener, 1, vec![endpoint.clone()]));
        let _clients =
            (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        let (_, _, slot) = door.next().await;
        let second = tokio::spawn(async move { door.next().await.0 });
        while endpoint.is_ready() {
            tokio::task::yield_now().await;
        }
        assert!(!second.is_finished());
        drop(slot);
        second.await.unwrap();
        assert!(endpoint.is_ready());
    }
}
