//! What a session is opened with.

use std::fmt::Display;
use std::path::Path;

use zenoh::Config;

use crate::adapter::{Tls, Zenoh};
use crate::listen::Places;
use crate::session::Failure;

/// The settings of a node's session.
pub(crate) fn config(zenoh: &Zenoh, places: &Places) -> Result<Config, Failure> {
    settings(zenoh, std::slice::from_ref(&places.listen), &places.connect)
}

/// The settings of a session that makes others known to each other: of all that it is connected to, it tells all.
pub(crate) fn introduction(zenoh: &Zenoh, places: &Places, listen: &[String]) -> Result<Config, Failure> {
    let zenoh = Zenoh { discovery: None, ..zenoh.clone() };
    let others = places.connect.iter().filter(|address| !listen.contains(address));
    let connect: Vec<String> = [&places.listen].into_iter().chain(others).cloned().collect();
    settings(&zenoh, listen, &connect)
}

/// All settings that differ from Zenoh's own.
fn settings(zenoh: &Zenoh, listen: &[String], connect: &[String]) -> Result<Config, Failure> {
    let protocol = if zenoh.tls.is_some() { "tls" } else { "tcp" };
    let endpoints = |addresses: &[String]| {
        let endpoints: Vec<String> =
            addresses.iter().map(|address| text(format!("{protocol}/{address}"))).collect();
        format!("[{}]", endpoints.join(","))
    };
    let timeout = zenoh.timeout.as_millis();
    let mut settings = vec![
        ("mode", text("peer")),
        ("listen/endpoints", endpoints(listen)),
        ("connect/endpoints", endpoints(connect)),
        // A node that is away is looked for in the background, for as long as it takes.
        ("connect/timeout_ms", "-1".to_owned()),
        ("connect/exit_on_failure", "false".to_owned()),
        ("connect/retry", "{period_init_ms:250,period_max_ms:1000,period_increase_factor:2}".to_owned()),
        ("scouting/multicast/enabled", zenoh.discovery.is_some().to_string()),
        ("scouting/gossip/enabled", zenoh.gossip.to_string()),
        ("transport/unicast/open_timeout", timeout.to_string()),
        ("transport/unicast/accept_timeout", timeout.to_string()),
        ("transport/link/tx/lease", timeout.to_string()),
        ("transport/link/tx/queue/congestion_control/block/wait_before_close", (timeout * 500).to_string()),
        // What is put together from fragments has a little around the packet.
        ("transport/link/rx/max_message_size", (zenoh.max_packet + 65_536).to_string()),
    ];
    if let Some(address) = zenoh.discovery {
        settings.push(("scouting/multicast/address", text(address)));
    }
    if let Some(tls) = &zenoh.tls {
        settings.extend(certificates(tls)?);
    }
    let mut config = Config::default();
    for (name, value) in settings {
        let inserted = config.insert_json5(name, &value);
        inserted.map_err(|error| Failure::Settings(format!("{name} cannot be {value}: {error}")))?;
    }
    Ok(config)
}

fn certificates(tls: &Tls) -> Result<Vec<(&'static str, String)>, Failure> {
    let file = |path: &Path| {
        // Zenoh would say so when the first node connects.
        std::fs::metadata(path).map_err(|error| Failure::File { file: path.to_owned(), error })?;
        Ok(text(path.display()))
    };
    let (ca, certificate, key) = (file(&tls.ca)?, file(&tls.certificate)?, file(&tls.key)?);
    Ok(vec![
        ("transport/link/protocols", r#"["tls"]"#.to_owned()),
        ("transport/link/tls/root_ca_certificate", ca),
        ("transport/link/tls/listen_certificate", certificate.clone()),
        ("transport/link/tls/listen_private_key", key.clone()),
        ("transport/link/tls/connect_certificate", certificate),
        ("transport/link/tls/connect_private_key", key),
        ("transport/link/tls/enable_mtls", "true".to_owned()),
        ("transport/link/tls/verify_name_on_connect", "false".to_owned()),
    ])
}

/// A string of JSON, which is one of JSON5.
fn text(value: impl Display) -> String {
    serde_json::Value::from(value.to_string()).to_string()
}
