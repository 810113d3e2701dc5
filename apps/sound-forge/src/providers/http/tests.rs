//! The rules against reaching inwards, with a look-up and a policy made for the purpose.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::queue::{Failure, Progress, WorkError};

use super::*;

/// Answers from a table; a name may answer differently each time.
#[derive(Debug, Default)]
struct Table {
    names: HashMap<&'static str, Vec<SocketAddr>>,
    asked: AtomicUsize,
}

impl Lookup for Table {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let found = self.names.get(name.as_str()).cloned();
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }
}

/// Takes one loopback port for the public internet.
#[derive(Debug)]
struct OnlyPort(u16);

impl AddressPolicy for OnlyPort {
    fn permits(&self, address: SocketAddr) -> bool {
        // A look-up knows no port; the fake names below stand on addresses of their own.
        address.ip() == IpAddr::from([127, 0, 0, 2]) && (address.port() == self.0 || address.port() == 0)
    }
}

/// A server that answers every connection with these bytes, and counts them.
async fn serve(address: &str, answer: String) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            // The peer may leave at any time.
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, count)
}

fn redirect_to(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn fetcher(policy: impl AddressPolicy + 'static, names: &[(&'static str, &str)]) -> Fetcher {
    let names = names
        .iter()
        .map(|(name, address)| (*name, vec![SocketAddr::new(address.parse().unwrap(), 0)]))
        .collect();
    Fetcher::new(Arc::new(policy), Arc::new(Table { names, ..Table::default() })).unwrap()
}

async fn fetch(fetcher: &Fetcher, url: &str, max_bytes: u64) -> Result<String, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audio");
    let target = Target { path: &path, max_bytes };
    match fetcher.fetch(url, target, &Progress::unwatched()).await {
        Ok(()) => Ok(std::fs::read_to_string(path).unwrap()),
        Err(WorkError::Failed(failure)) => Err(failure),
        Err(WorkError::Stopped(_)) => unreachable!("nobody stops it"),
    }
}

fn understood(url: &str) -> Result<Wanted, SourceError> {
    fetcher(PublicOnly, &[]).understand(Url::parse(url)?)
}

#[tokio::test]
async fn every_spelling_of_a_private_address_is_refused_before_there_is_a_job() {
    for url in [
        "http://127.0.0.1/a.mp3",
        "http://127.0.0.1./a.mp3",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://0x7f000001/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://0/",
        "http://①②⑦.0.0.1/",
        "https://[fe80::1]/",
    ] {
        let refusal = understood(url).unwrap_err();
        assert!(matches!(refusal, SourceError::Address(_)), "{url}: {refusal}");
    }
    assert!(matches!(understood("http://u:p@example.org/a.mp3"), Err(SourceError::Credentials)));
}

#[tokio::test]
async fn spellings_of_one_url_have_one_canonical_form() {
    let canonical = "http://example.org/a%20b.mp3";
    for url in ["HTTP://EXAMPLE.ORG:80/a%20b.mp3#t=1", "http://example.org./x/../a b.mp3"] {
        let wanted = understood(url).unwrap();
        assert_eq!((wanted.canonical_url.as_str(), wanted.title.as_str()), (canonical, "a b"), "{url}");
    }
}

#[tokio::test]
async fn a_name_that_leads_inwards_is_refused_for_good_and_nobody_connects() {
    let (address, count) = serve("127.0.0.1:0", redirect_to("/")).await;
    let fetcher = fetcher(PublicOnly, &[("inward.example", "127.0.0.1")]);
    let failure =
        fetch(&fetcher, &format!("http://inward.example:{}/", address.port()), 1).await.unwrap_err();
    assert_eq!(failure, Failure::permanent(failure.reason.clone()));
    assert!(failure.reason.contains("inward.example, which is no address of the public internet"));
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_redirect_that_leads_inwards_is_refused_for_good_and_nobody_connects() {
    let (inner, count) = serve("127.0.0.1:0", "HTTP/1.1 200 OK\r\n\r\nsecret".to_owned()).await;
    for location in [
        format!("http://{inner}/"),
        format!("http://2130706433:{}/", inner.port()),
        format!("http://inward.example:{}/", inner.port()),
        "file:///etc/passwd".to_owned(),
    ] {
        let (outer, first) = serve("127.0.0.2:0", redirect_to(&location)).await;
        let names = [("outward.example", "127.0.0.2"), ("inward.example", "127.0.0.1")];
        let fetcher = fetcher(OnlyPort(outer.port()), &names);
        let url = format!("http://outward.example:{}/", outer.port());
        let failure = fetch(&fetcher, &url, 100).await.unwrap_err();
        assert_eq!(failure, Failure::permanent(failure.reason.clone()), "{location}");
        assert_eq!(first.load(Ordering::SeqCst), 1, "{location}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn redirects_end() {
    let (address, count) = serve("127.0.0.2:0", redirect_to("/again")).await;
    let fetcher = fetcher(OnlyPort(address.port()), &[]);
    let failure = fetch(&fetcher, &format!("http://{address}/"), 100).await.unwrap_err();
    assert_eq!(failure, Failure::permanent("more than 5 redirects"));
    assert_eq!(count.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn answers_decide_whether_to_try_again() {
    for (status, again) in
        [("404 Not Found", false), ("403 Forbidden", false), ("503 Busy", true), ("429 Slow", true)]
    {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let (address, _) = serve("127.0.0.2:0", answer).await;
        let fetcher = fetcher(OnlyPort(address.port()), &[]);
        let failure = fetch(&fetcher, &format!("http://{address}/"), 100).await.unwrap_err();
        assert!(failure.reason.starts_with("the server answered"), "{status}: {}", failure.reason);
        let expected = if again { Failure::transient } else { Failure::permanent };
        assert_eq!(failure, expected(failure.reason.clone()), "{status}");
    }
}

#[tokio::test]
async fn no_more_is_let_in_than_allowed() {
    let body = |length: &str| format!("HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n0123456789");
    for (answer, max_bytes, expected) in [
        (body("Content-Length: 10\r\n"), 10, Ok("0123456789")),
        (body(""), 10, Ok("0123456789")),
        (body("Content-Length: 10\r\n"), 9, Err("the file has more than the 9 bytes")),
        (body(""), 9, Err("the file has more than the 9 bytes")),
        (body("Content-Length: 11\r\n"), 20, Err("the network failed")),
    ] {
        let (address, _) = serve("127.0.0.2:0", answer.clone()).await;
        let fetcher = fetcher(OnlyPort(address.port()), &[]);
        let result = fetch(&fetcher, &format!("http://{address}/"), max_bytes).await;
        match (result, expected) {
            (Ok(content), Ok(expected)) => assert_eq!(content, expected),
            (Err(failure), Err(expected)) => assert!(failure.reason.starts_with(expected), "{failure:?}"),
            (result, _) => panic!("{answer}: {result:?}"),
        }
    }
}
