//! What is logged.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::Mutex;

use bennu_engines::NatsServer;
use bennu_pubsub_nats::Nats;
use tracing_subscriber::EnvFilter;

use crate::nodes::{down, node, up};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The runtime has one thread, so this test's log is all that it causes.
#[tokio::test]
async fn no_log_of_any_level_has_a_credential() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("trace"))
        .with_writer(move || writer.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());

    let server =
        NatsServer::start_with(r#"authorization { user: "ada", password: "hunter2" }"#).await.unwrap();
    let url = |password: &str| server.url().replace("nats://", &format!("nats://ada:{password}@"));
    let right = Nats::from_url(&url("hunter2")).unwrap();
    let wrong = Nats::from_url(&url("hunter3")).unwrap();
    tracing::info!(?right, ?wrong, "settings");
    let (right, wrong) = (node("a", right), node("b", wrong));
    up(&right).await;
    down(&wrong, "authorization violation").await;
    tracing::info!(?right, ?wrong, status = ?wrong.link(), "nodes");

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("the link to other nodes is up") && text.contains("async_nats"), "{text}");
    let line = text.lines().find(|line| line.contains("hunter"));
    assert_eq!(line, None);
}
