//! `bennu doctor`: a deployment as it should be, and each thing that can be wrong with one.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bennu::axum::rustls::ServerConfig;
use bennu::axum::rustls::crypto::ring;
use bennu::axum::rustls::pki_types::PrivateKeyDer;
use bennu::{CheckOrigin, Serializer};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;

use crate::program::{Run, bennu, command, run};
use crate::server::{Asked, Broken, Server, carry, options};

/// What `--json` says of one check; several findings of one check are several rows.
struct Examined(Value, Run);

impl Examined {
    fn outcomes(&self, check: &str) -> Vec<&str> {
        let checks = self.0["checks"].as_array().expect("checks").iter();
        checks.filter(|row| row["check"] == check).filter_map(|row| row["outcome"].as_str()).collect()
    }

    /// The text and the advice of the first finding of this check that is not `ok`.
    #[track_caller]
    fn complaint(&self, check: &str, outcome: &str) -> String {
        let mut checks = self.0["checks"].as_array().expect("checks").iter();
        let row = checks.find(|row| row["check"] == check && row["outcome"] == outcome);
        let row = row.unwrap_or_else(|| panic!("{check} is not {outcome}: {:#}", self.0));
        format!("{} → {}", row["text"].as_str().expect("text"), row["advice"].as_str().unwrap_or_default())
    }
}

fn examine(url: &str, arguments: &[&str]) -> Examined {
    let arguments = [&["doctor", "--json", url], arguments].concat();
    examined(bennu(&arguments))
}

fn examined(run: Run) -> Examined {
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    assert_eq!(report["ok"] == true, run.code == 0, "{run:?}");
    Examined(report, run)
}

/// With one complaint of this kind, and none of a failure elsewhere.
#[track_caller]
fn fails_alone(examined: &Examined, check: &str) -> String {
    let complaint = examined.complaint(check, "fail");
    assert!(complaint.contains(" → ") && complaint.len() > 40, "no advice: {complaint}");
    assert_eq!(examined.1.code, 1);
    let others = examined.0["checks"].as_array().expect("checks").iter();
    let others: Vec<&Value> =
        others.filter(|row| row["outcome"] == "fail" && row["check"] != check).collect();
    assert!(others.is_empty(), "{others:#?}");
    complaint
}

#[test]
fn a_deployment_as_it_should_be() {
    let server = Server::start();
    let report = examine(&server.url(), &[]);
    assert_eq!(report.1.code, 0, "{:#}", report.0);
    for (check, outcomes) in [
        ("name", &["ok"][..]),
        ("tcp", &["ok"]),
        ("tls", &["skip"]),
        ("http", &["ok"]),
        ("clock", &["ok"]),
        ("upgrade", &["ok"]),
        ("version", &["ok", "ok"]),
        ("origin", &["ok", "ok"]),
        ("compression", &["ok"]),
        ("heartbeat", &["ok"]),
        ("idle", &["skip"]),
        ("longpoll", &["ok"]),
        ("buffering", &["ok", "ok"]),
    ] {
        assert_eq!(report.outcomes(check), outcomes, "{check}: {:#}", report.0);
    }
}

#[test]
fn people_get_a_line_for_each_check_and_a_sum() {
    let server = Server::with(options().check_origin(CheckOrigin::Any));
    let said = bennu(&["doctor", &server.url()]).ok();
    assert!(said.contains("ok    heartbeat   is answered"), "{said}");
    assert!(said.contains("warn  origin      a page of anybody may connect\n"), "{said}");
    assert!(said.contains("→ where cookies say"), "{said}");
    assert!(said.ends_with("13 ok, 1 to look at, 0 failed, 2 skipped\n"), "{said}");
    assert!(!said.contains('\u{1b}'), "no colours into a pipe: {said}");
    let colourful = bennu(&["doctor", "--color", "always", &server.url()]).ok();
    assert!(colourful.contains("\u{1b}[1m\u{1b}[33mwarn"), "{colourful:?}");
}

#[test]
fn secrets_of_the_command_line_are_not_shown() {
    let server = Server::start();
    let url = format!("{}?token=hush1", server.url());
    let arguments =
        ["doctor", &url, "--params", r#"{"a": "hush2"}"#, "--token", "hush3", "-H", "Cookie: hush4"];
    let said = bennu(&arguments).ok();
    assert!(!said.contains("hush"), "{said}");
}

#[test]
fn a_name_that_nobody_has() {
    let report = examine("ws://bennu-doctor.invalid/socket", &["--timeout", "2s"]);
    assert!(fails_alone(&report, "name").contains("typing error"));
}

#[test]
fn a_port_that_nobody_listens_on() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let report = examine(&format!("ws://{address}/socket"), &[]);
    assert!(fails_alone(&report, "tcp").contains("is the server running"));
}

#[test]
fn a_url_that_is_none_is_a_wrong_command_line() {
    for url in ["example.com/socket", "ftp://example.com", "ws://"] {
        bennu(&["doctor", url]).failed(2);
    }
}

/// A certificate for 127.0.0.1 that is valid until the first day of a year, as a server's settings and as PEM.
pub(crate) fn certificate(until_year: i32) -> (ServerConfig, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    params.not_after = date_time_ymd(until_year, 1, 1);
    let certificate = params.self_signed(&key).expect("a certificate");
    let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .expect("a certificate and its key");
    (config, certificate.pem())
}

fn examine_tls(config: ServerConfig, trusted: &str) -> Examined {
    let server = Server::secure(config);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), trusted).expect("a file");
    let url = format!("wss://{}/socket", server.address);
    examined(run(command(&["doctor", "--json", &url]).env("SSL_CERT_FILE", file.path()), ""))
}

#[test]
fn a_certificate_that_is_trusted_says_until_when() {
    let (config, pem) = certificate(2300);
    let report = examine_tls(config, &pem);
    assert_eq!((report.outcomes("tls"), report.1.code), (vec!["ok"], 0), "{:#}", report.0);
    assert!(report.0.to_string().contains("2300-01-01"), "{:#}", report.0);
}

#[test]
fn a_certificate_that_has_expired() {
    let (config, pem) = certificate(2020);
    let report = examine_tls(config, &pem);
    assert!(fails_alone(&report, "tls").contains("renew"), "{:#}", report.0);
}

#[test]
fn a_certificate_of_an_authority_that_nobody_knows() {
    let report = examine_tls(certificate(2300).0, &certificate(2300).1);
    assert!(fails_alone(&report, "tls").contains("intermediate"), "{:#}", report.0);
}

#[test]
fn a_port_that_speaks_no_tls() {
    let server = Server::start();
    let report = examine(&format!("wss://{}/socket", server.address), &[]);
    assert!(fails_alone(&report, "tls").contains("does not speak TLS"), "{:#}", report.0);
}

#[test]
fn a_program_that_speaks_no_http() {
    let server = Broken::start(|mut asked| {
        let _ = asked.stream.write_all(b"220 mail.example.com ESMTP\r\n");
    });
    let report = examine(&server.url(), &[]);
    assert!(fails_alone(&report, "http").contains("another program"));
}

#[test]
fn a_redirect_is_not_followed() {
    let server = Broken::start(|asked| {
        let location = "location: https://user:pa55@example.com/in?token=s3cret#s3cret\r\n";
        asked.answer("301 Moved Permanently", location, "")
    });
    let report = examine(&server.url(), &[]);
    let complaint = fails_alone(&report, "http");
    assert!(complaint.contains("redirects to https://example.com/in (301)"), "{complaint}");
}

/// Hands a request to a server, and its answers back.
fn pass_on(asked: Asked, to: SocketAddr) {
    let (client, server) = asked.forward(to);
    let back = (server.try_clone().expect("a stream"), client.try_clone().expect("a stream"));
    std::thread::spawn(move || carry(client, server));
    carry(back.0, back.1);
}

#[test]
fn a_refusal_of_a_busy_server_says_nothing_about_what_was_asked() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let server = Server::start();
        let address = server.address;
        let proxy = Broken::start(move |asked| {
            let further = !asked.head.contains("vsn=2.0.0")
                || asked.header("origin").is_some()
                || asked.header("sec-websocket-extensions").is_some();
            if further { asked.answer(status, "", "") } else { pass_on(asked, address) }
        });
        let report = examine(&proxy.url(), &[]);
        for (check, outcomes) in
            [("version", &["skip"; 2][..]), ("origin", &["skip"; 2]), ("compression", &["skip"])]
        {
            assert_eq!(report.outcomes(check), outcomes, "{check}: {:#}", report.0);
            let said = report.complaint(check, "skip");
            assert!(said.contains(&format!("refused with {}", &status[..3])), "{said}");
        }
        assert_eq!(report.1.code, 0, "{:#}", report.0);
    }
}

#[test]
fn requests_are_those_of_the_client() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let server = Broken::start(move |asked| {
        seen.lock().unwrap().push(asked.head.clone());
        asked.answer("403 Forbidden", "", "");
    });
    let url = format!("ws://user:p%20w@{}/socket", server.address);
    examine(&url, &["-H", "host: elsewhere.example", "--token", "??>"]);
    let heads = std::mem::take(&mut *heads.lock().unwrap());
    assert_eq!(heads.len(), 3, "http, upgrade, longpoll: {heads:#?}");
    for head in &heads {
        let values = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let values = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
            values.map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(values("host"), ["elsewhere.example"], "{head}");
        assert_eq!(values("authorization"), ["Basic dXNlcjpwIHc="], "{head}");
        if !values("upgrade").is_empty() {
            assert_eq!(values("sec-websocket-protocol"), ["phoenix, base64url.bearer.phx.Pz8+"], "{head}");
        }
    }

    let server = Broken::start(|asked| {
        let status = if asked.header("authorization") == Some("Bearer mine") {
            "403 Forbidden"
        } else {
            "400 Bad Request"
        };
        asked.answer(status, "", "");
    });
    let url = format!("ws://user:p%20w@{}/socket", server.address);
    let report = examine(&url, &["-H", "Authorization: Bearer mine"]);
    assert!(report.complaint("upgrade", "fail").contains("403"), "{:#}", report.0);
}

#[test]
fn an_application_behind_a_proxy_that_is_down() {
    let server = Broken::start(|asked| asked.answer("502 Bad Gateway", "", "<h1>Bad Gateway</h1>"));
    let report = examine(&server.url(), &[]);
    assert!(report.complaint("http", "fail").contains("a proxy does not reach the application"));
    assert!(report.complaint("upgrade", "fail").contains("502"));
}

#[test]
fn a_page_for_everything_is_no_socket() {
    let server = Broken::start(|asked| asked.answer("200 OK", "", "<title>Welcome</title>"));
    let report = examine(&server.url(), &[]);
    let complaint = report.complaint("upgrade", "fail");
    assert!(complaint.contains("Welcome") && complaint.contains("something else answers"), "{complaint}");
    report.complaint("longpoll", "warn");
}

#[test]
fn a_path_where_nothing_is() {
    let server = Server::start();
    let report = examine(&format!("ws://{}/elsewhere", server.address), &[]);
    assert!(fails_alone(&report, "upgrade").contains("no socket is mounted"));
}

#[test]
fn a_proxy_that_takes_the_upgrade_out() {
    let server = Server::start();
    let address = server.address;
    let proxy = Broken::start(move |asked| {
        let lines = asked.head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("upgrade"));
        let head: Vec<&str> = lines.collect();
        let asked = Asked { head: head.join("\r\n") + "\r\n", stream: asked.stream };
        let (client, server) = asked.forward(address);
        carry(server, client);
    });
    let report = examine(&proxy.url(), &["--timeout", "2s"]);
    assert!(report.complaint("upgrade", "fail").contains("Upgrade and Connection"));
}

#[test]
fn a_connect_that_refuses_says_how_to_come_in() {
    let server = Server::start();
    let wanted = ["--params", r#"{"want_token": "yes"}"#];
    let report = examine(&server.url(), &wanted);
    assert!(report.complaint("upgrade", "fail").contains("connect that refuses"), "{:#}", report.0);
    assert!(report.complaint("longpoll", "fail").contains("connect refuses"), "{:#}", report.0);

    let report = examine(&server.url(), &[&wanted[..], &["--token", "bad"]].concat());
    assert!(report.complaint("upgrade", "fail").contains("bennu token inspect"), "{:#}", report.0);
}

#[test]
fn a_token_comes_from_the_environment_or_a_file_and_as_a_parameter_too() {
    let server = Server::start();
    let arguments = ["doctor", "--json", &server.url(), "--params", r#"{"want_token": "yes"}"#];
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "good\n").unwrap();
    let path = file.path().to_str().unwrap();
    for run in [
        run(command(&arguments).env("BENNU_TOKEN", "good"), ""),
        run(command(&arguments).args(["--token-file", path]), ""),
        run(command(&arguments).args(["--token-file", "-"]), "good\n"),
        run(command(&arguments).args(["--token", "good", "--token-param", "token"]), ""),
    ] {
        let report = examined(run);
        assert_eq!(report.1.code, 0, "{:#}", report.0);
    }
}

#[test]
fn a_busy_server_should_say_for_how_long() {
    for (headers, outcome) in [("retry-after: 7\r\n", "ok"), ("", "warn")] {
        let server = Broken::start(move |asked| asked.answer("503 Service Unavailable", headers, "busy"));
        let report = examine(&server.url(), &[]);
        assert_eq!(report.outcomes("retry-after"), [outcome]);
        assert!(report.complaint("upgrade", "fail").contains("try again later"));
    }
}

#[test]
fn own_pages_that_are_refused() {
    let server = Server::with(options().check_origin(CheckOrigin::list(["//example.com"]).unwrap()));
    let complaint = fails_alone(&examine(&server.url(), &[]), "origin");
    assert!(
        complaint.contains("403") && complaint.contains(&format!("http://{}", server.address)),
        "{complaint}"
    );
}

#[test]
fn a_server_of_one_version() {
    let server = Server::with(options().serializers([Serializer::V2]));
    let report = examine(&server.url(), &[]);
    assert!(report.complaint("version", "warn").contains("1.0.0 is refused with 403"));
    assert_eq!(report.1.code, 0);
}

#[test]
fn a_proxy_that_drops_the_query_lets_every_version_in() {
    let server = Server::start();
    let address = server.address;
    let proxy = Broken::start(move |asked| {
        let head = asked.head.replace("vsn=99.0.0", "vsn=2.0.0");
        pass_on(Asked { head, stream: asked.stream }, address);
    });
    assert!(fails_alone(&examine(&proxy.url(), &[]), "version").contains("drops the query"));
}

#[test]
fn a_server_that_answers_no_heartbeat() {
    let server = Broken::start(|asked| {
        if !asked.wants_upgrade() {
            return asked.answer("404 Not Found", "", "");
        }
        if !asked.head.contains("vsn=99") {
            let mut stream = asked.upgrade("");
            let mut bytes = [0; 4096];
            while stream.read(&mut bytes).is_ok_and(|read| read > 0) {}
            return;
        }
        asked.answer("403 Forbidden", "", "");
    });
    let report = examine(&server.url(), &["--timeout", "500ms"]);
    assert!(fails_alone(&report, "heartbeat").contains("not answered within 500 ms"));
    assert_eq!(report.outcomes("buffering"), ["skip"]);
}

#[test]
fn a_proxy_that_opens_and_closes_at_once() {
    let server = Broken::start(|asked| {
        if !asked.wants_upgrade() {
            return asked.answer("404 Not Found", "", "");
        }
        if asked.head.contains("vsn=99") {
            return asked.answer("403 Forbidden", "", "");
        }
        drop(asked.upgrade(""));
    });
    let complaint = fails_alone(&examine(&server.url(), &[]), "heartbeat");
    assert!(complaint.contains("the connection is closed, without a word"), "{complaint}");
}

#[test]
fn a_server_that_speaks_something_else_on_its_websocket() {
    let server = Broken::start(|asked| {
        if !asked.wants_upgrade() {
            return asked.answer("404 Not Found", "", "");
        }
        let mut stream = asked.upgrade("");
        let mut bytes = [0; 4096];
        while stream.read(&mut bytes).is_ok_and(|read| read > 0) {
            // A text frame that says `40`, as Socket.IO would.
            let _ = stream.write_all(b"\x81\x0240");
        }
    });
    let report = examine(&server.url(), &[]);
    assert!(report.complaint("heartbeat", "fail").contains("no message of Phoenix"));
    assert!(report.complaint("version", "fail").contains("no server of Phoenix"));
}

#[test]
fn a_proxy_that_collects_what_the_server_sends() {
    let server = Server::start();
    let address = server.address;
    let proxy = Broken::start(move |asked| {
        let upgrade = asked.wants_upgrade();
        let (client, server) = asked.forward(address);
        let (mut back, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || carry(client, server));
        if !upgrade {
            return carry(back, to_client);
        }
        // The head passes; after it, 4 KiB have to come together.
        let (mut held, mut bytes) = (Vec::new(), [0; 4096]);
        let mut head_passed = false;
        while let Ok(read @ 1..) = back.read(&mut bytes) {
            held.extend_from_slice(&bytes[..read]);
            if !head_passed || held.len() >= 4096 {
                head_passed = true;
                let _ = to_client.write_all(&held);
                held.clear();
            }
        }
        let _ = to_client.shutdown(std::net::Shutdown::Both);
    });
    let report = examine(&proxy.url(), &["--timeout", "700ms"]);
    assert!(report.complaint("buffering", "fail").contains("held back until enough"), "{:#}", report.0);
    report.complaint("heartbeat", "fail");
}

#[test]
fn a_proxy_that_keeps_answers_to_polls() {
    let server = Server::start();
    let address = server.address;
    let proxy = Broken::start(move |asked| {
        let held = asked.head.starts_with("GET /socket/longpoll") && asked.head.contains("token=");
        let (client, server) = asked.forward(address);
        let (mut back, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || carry(client, server));
        let (mut bytes, mut first) = ([0; 4096], true);
        while let Ok(read @ 1..) = back.read(&mut bytes) {
            if held && std::mem::take(&mut first) {
                std::thread::sleep(Duration::from_millis(1500));
            }
            let _ = to_client.write_all(&bytes[..read]);
        }
        let _ = to_client.shutdown(std::net::Shutdown::Both);
    });
    assert!(fails_alone(&examine(&proxy.url(), &[]), "buffering").contains("collects answers"));
}

#[test]
fn long_polling_that_is_off_is_said() {
    let server = Server::with(bennu::SocketOptions::default());
    let report = examine(&server.url(), &[]);
    assert_eq!((report.outcomes("longpoll"), report.1.code), (vec!["ok"], 0));
    assert!(report.0.to_string().contains("is off (404)"), "{:#}", report.0);
}

#[test]
fn sessions_of_long_polling_that_are_spread_over_servers() {
    let (one, other) = (Server::start(), Server::start());
    let (one, other) = (one.address, other.address);
    let proxy = Broken::start(move |asked| {
        let to = if asked.head.starts_with("POST") { other } else { one };
        let (client, server) = asked.forward(to);
        let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || carry(client, server));
        carry(back.0, back.1);
    });
    let report = examine(&proxy.url(), &[]);
    assert!(report.complaint("longpoll", "fail").contains("different servers"), "{:#}", report.0);
}

#[test]
fn a_clock_that_is_wrong() {
    let server = Server::start();
    let address = server.address;
    let proxy = Broken::start(move |asked| {
        if !asked.wants_upgrade() && !asked.head.contains("longpoll") {
            return asked.answer("400 Bad Request", "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "");
        }
        pass_on(asked, address);
    });
    let report = examine(&proxy.url(), &[]);
    assert!(report.complaint("clock", "warn").contains("behind"));
    assert_eq!(report.1.code, 0);
}

#[test]
fn compression_that_keeps_context_though_asked_not_to() {
    let server = Server::with(options().compression(bennu::Compression::default()));
    let address = server.address;
    let proxy = Broken::start(move |asked| {
        if asked.header("sec-websocket-extensions").is_some() {
            let mut stream = asked.upgrade("sec-websocket-extensions: permessage-deflate\r\n");
            let _ = stream.read(&mut [0; 64]);
            return;
        }
        pass_on(asked, address);
    });
    assert!(fails_alone(&examine(&proxy.url(), &[]), "compression").contains("turn compression off"));
}

#[test]
fn silence_is_waited_out_when_asked_for() {
    let server = Server::with(options().timeout(Duration::from_secs(1)));
    let report = examine(&server.url(), &["--idle"]);
    let complaint = fails_alone(&report, "idle");
    assert!(complaint.contains("proxy_read_timeout"), "{complaint}");

    let server = Server::start();
    let report = examine(&server.url(), &["--idle", "300ms"]);
    assert!(report.complaint("idle", "warn").contains("stays open"));
}

#[test]
fn a_message_that_ends_the_silence_and_cannot_be_read_is_said() {
    let server = Server::start();
    let address = server.address;
    let opened = AtomicUsize::new(0);
    let proxy = Broken::start(move |asked| {
        let usual = asked.wants_upgrade()
            && asked.head.contains("vsn=2.0.0")
            && asked.header("origin").is_none()
            && asked.header("sec-websocket-extensions").is_none();
        // The upgrade is the first, heartbeats the second, silence the third.
        if usual && opened.fetch_add(1, Ordering::Relaxed) == 2 {
            let mut stream = asked.upgrade("");
            stream.write_all(b"\x81\x01x").unwrap();
            let _ = stream.read(&mut [0; 64]);
            return;
        }
        pass_on(asked, address);
    });
    let complaint = fails_alone(&examine(&proxy.url(), &["--idle", "20s"]), "idle");
    assert!(complaint.contains("cannot be read: the server sends what is no message"), "{complaint}");
}
