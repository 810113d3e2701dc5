//! `sound-forge key …`: keys, made and revoked beside a running server.

use std::io::Write as _;

use crate::cli::KeyCommand;
use crate::clock::{Clock as _, DatabaseClock, Moment, SystemClock};
use crate::config::Place;
use crate::serve::open_store;
use crate::store::{KeyListing, Store};

/// Does what the command asks for.
///
/// # Errors
///
/// When the database cannot be used, or there is no such key.
pub async fn run(place: &Place, command: KeyCommand) -> anyhow::Result<()> {
    let (_, store) = open_store(place).await?;
    let now =
        if store.engine().is_shared() { DatabaseClock::of(&store).await?.now() } else { SystemClock.now() };
    let said = match command {
        KeyCommand::Create { name } => create(&store, &name, now).await?,
        KeyCommand::List => store.keys().await?.iter().map(line).collect(),
        KeyCommand::Revoke { id } => {
            anyhow::ensure!(
                store.revoke_key(id, now).await?,
                "there is no key {id}; see 'sound-forge key list'"
            );
            String::new()
        }
    };
    store.close().await;
    std::io::stdout().write_all(said.as_bytes())?;
    Ok(())
}

async fn create(store: &Store, name: &str, now: Moment) -> anyhow::Result<String> {
    let owner = store.owner(now).await?;
    let key = store.create_key(owner.id, name, now).await?;
    Ok(format!("{}\n", key.secret))
}

fn line(key: &KeyListing) -> String {
    let day = |moment: Moment| {
        let text = serde_json::to_string(&moment).unwrap_or_default();
        text.trim_matches('"').to_owned()
    };
    let used =
        key.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("last used {}", day(at)));
    let state = key.revoked_at.map_or_else(|| used, |at| format!("revoked {}", day(at)));
    format!("{}  {}…  {}  made {}  {state}\n", key.id, key.prefix, key.name, day(key.created_at))
}
