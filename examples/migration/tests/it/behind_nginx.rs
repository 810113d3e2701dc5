//! What a page meets at one address, whichever of the two nodes it is.

use std::net::SocketAddr;

use migration::Application;
use serde_json::json;

use crate::page::{Page, TRANSPORTS};
use crate::site::{ADA, Site, application, then};

/// `Phoenix.Token.sign(…, "user auth", 1, signed_at: 0)`, as Phoenix signed it with the secret of [`application`].
const PHOENIX_TOKEN: &str = "SFMyNTY.g2gDYQFhAGIAAVGA.6ZtIuy4vHo6LwprLkWqUde0Alr_sRLCu73PXUenFso4";

/// A cookie in Plug's format with `user_id` 7 and the session token of a Phoenix 1.8.12 server, signed by Python.
const COOKIE: &str = "_my_app_key=SFMyNTY.g3QAAAACbQAAAAtfY3NyZl90b2tlbm0AAAAYaS1TM2FyUVdJSHBLY0h4TkJJUFdRMTRFbQAAAAd1c2VyX2lkYQc.svJknnQ9Dkj-A0ZL9fXVDaOa-VMYZJ7Y1UriIyf48EI";

/// The masked token that the same server wrote into the page of that session.
const PAGE_TOKEN: &str = "LU5iegsqGRIkfwcBNAUhKTEQNi8DaQQADc1IjXHEm7wJWMYgsYfxRX0E";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_topic_is_joined_where_it_lives() {
    for transport in TRANSPORTS {
        let site = Site::start(&application()).await;
        let params = json!({"token": site.token(ADA)});
        let settings =
            json!({"transport": transport, "params": params, "topics": ["room:1", "notifications:1"]});
        let page = Page::open_with(site.nginx.address, settings);
        let mut joined = Vec::new();
        while joined.len() < 2 {
            // The room's own greeting comes as well.
            joined.extend(Some(page.next()).filter(|said| said.get("event").is_none()));
        }
        joined.sort_by_key(|said| said["topic"].as_str().map(str::to_owned));
        let at_bennu = json!({"topic": "notifications:1", "ok": {"connected_from": "127.0.0.1"}});
        assert_eq!(joined, [at_bennu, json!({"topic": "room:1", "ok": {}})], "{transport}");
        assert_eq!((site.phoenix.connection_count(), site.bennu.connection_count()), (1, 1), "{transport}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_did_not_move_or_moved_back_is_the_applications() {
    let site = Site::start(&application()).await;
    let params = json!({"token": site.token(ADA)});
    let settings = json!({"params": params, "topics": ["notifications:1"], "moved": []});
    let page = Page::open_with(site.nginx.address, settings);
    assert_eq!(page.joined(), json!({}));
    assert_eq!((site.phoenix.connection_count(), site.bennu.connection_count()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_phoenix_signed_connects() {
    let application = Application { token_salt: "user auth".to_owned(), ..application() };
    let site = Site::start_at(&application, then).await;
    for transport in TRANSPORTS {
        let open = |token: &str| {
            Page::open(site.nginx.address, transport, json!({"token": token}), "notifications:1")
        };
        open(PHOENIX_TOKEN).joined();
        open(&PHOENIX_TOKEN.replace("YQFh", "YQJh")).refused();
        open(&site.token(ADA)).refused();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_token_of_phoenix_does_not() {
    let application = Application { token_salt: "user auth".to_owned(), ..application() };
    let site = Site::start(&application).await;
    let params = json!({"token": PHOENIX_TOKEN});
    Page::open(site.nginx.address, "websocket", params, "notifications:1").refused();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_applications_session_connects_a_page_that_knows_its_token() {
    let site = Site::start(&application()).await;
    for transport in TRANSPORTS {
        let open = |cookie: &str, token: &str| {
            let settings = json!({"transport": transport, "params": {"_csrf_token": token},
                "headers": {"cookie": cookie}, "topics": ["notifications:7"]});
            Page::open_with(site.nginx.address, settings)
        };
        open(COOKIE, PAGE_TOKEN).joined();
        open(COOKIE, "").refused();
        open(&COOKIE.replace("Qc.", "Qg."), PAGE_TOKEN).refused();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_sites_stay_out() {
    let site = Site::start(&application()).await;
    for transport in TRANSPORTS {
        let open = |origin| {
            let params = json!({"token": site.token(ADA)});
            let settings = json!({"transport": transport, "params": params,
                "headers": {"origin": origin}, "topics": ["notifications:1"]});
            Page::open_with(site.nginx.address, settings)
        };
        open("http://myapp.com").joined();
        open("http://myapp.com.evil.example").refused();
    }
}

/// Where the node takes a client to be that is at 127.0.0.2, which on Linux is this machine too, and says that it
/// is elsewhere.
async fn connected_from(application: &Application, address: impl FnOnce(&Site) -> SocketAddr) -> String {
    let site = Site::start(application).await;
    let params = json!({"token": site.token(ADA)});
    let headers = json!({"x-forwarded-for": "6.6.6.6"});
    let settings = json!({"params": params, "headers": headers, "localAddress": "127.0.0.2",
        "topics": ["notifications:1"]});
    let page = Page::open_with(address(&site), settings);
    page.joined()["connected_from"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_where_nginx_saw_it_and_not_where_it_says() {
    assert_eq!(connected_from(&application(), |site| site.nginx.address).await, "127.0.0.2");
    assert_eq!(connected_from(&application(), |site| site.bennu_address).await, "127.0.0.2");
    let trusting_nobody = Application { proxies: Vec::new(), ..application() };
    assert_eq!(connected_from(&trusting_nobody, |site| site.nginx.address).await, "127.0.0.1");
}
