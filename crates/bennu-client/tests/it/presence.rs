//! Who is there, as a program sees it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bennu_client::{Channel, Presence, PresenceChange, RecvError};
use bennu_testkit::ScriptedConnection;
use bennu_testkit::scripted::advance;
use serde_json::{Value, json};

use crate::scene::{connected, joined};

fn metas(refs: &[&str]) -> Value {
    let metas = Vec::from_iter(refs.iter().map(|reference| json!({"phx_ref": reference})));
    json!({"metas": metas})
}

fn diff(joins: Value, leaves: Value) -> Value {
    json!({"joins": joins, "leaves": leaves})
}

/// Until the client has heard of everything.
async fn settle() {
    advance(Duration::from_millis(1)).await;
}

fn keys(presence: &Presence) -> Vec<String> {
    presence.list().iter().map(|(key, _)| key.clone()).collect()
}

/// What hooks were told, a line each.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn of(presence: &Presence) -> Self {
        let told = Told::default();
        let [on_join, on_leave, on_sync] = [told.clone(), told.clone(), told.clone()];
        presence
            .on_join(move |key, current, new| {
                let current = current.map(|current| current.metas.len());
                on_join.say(format!("{key} joined: {current:?} {}", new.metas[0]["phx_ref"]));
            })
            .on_leave(move |key, current, left| {
                on_leave.say(format!("{key} left: {} {}", current.metas.len(), left.metas[0]["phx_ref"]));
            })
            .on_sync(move |list| on_sync.say(format!("sync {}", list.len())));
        told
    }

    fn say(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn check_158_diffs_before_the_state_wait_for_it_and_updates_keep_the_key() {
    let (_server, connection, _socket, channel) = joined().await;
    let presence = channel.presence();
    let told = Told::of(&presence);
    connection.broadcast("room:1", "presence_diff", diff(json!({"ben": metas(&["2"])}), json!({})));
    settle().await;
    assert!(presence.list().is_empty() && !presence.is_synced() && told.take().is_empty());
    connection.push("room:1", "presence_state", json!({"ada": metas(&["1"])}));
    settle().await;
    assert_eq!(told.take(), [r#"ada joined: None "1""#, r#"ben joined: None "2""#, "sync 2"]);
    assert!(presence.is_synced());
    let update = diff(json!({"ada": metas(&["3"])}), json!({"ada": metas(&["1"])}));
    connection.broadcast("room:1", "presence_diff", update);
    connection.broadcast("room:1", "presence_diff", diff(json!({}), json!({"ben": metas(&["2"])})));
    settle().await;
    let expected =
        [r#"ada joined: Some(1) "3""#, r#"ada left: 1 "1""#, "sync 2", r#"ben left: 0 "2""#, "sync 1"];
    assert_eq!(told.take(), expected);
    assert_eq!(presence.get("ada").unwrap().metas[0]["phx_ref"], "3");
    assert_eq!(presence.get("ben"), None);
    assert!(channel.try_recv().is_none(), "what presence takes is not received");
}

#[tokio::test(start_paused = true)]
async fn what_came_before_somebody_asked_counts_and_late_hooks_are_told_of_those_who_are_there() {
    let (_server, connection, _socket, channel) = joined().await;
    connection.push("room:1", "presence_state", json!({"ada": metas(&["1"])}));
    connection.broadcast("room:1", "other", json!({}));
    connection.broadcast("room:1", "presence_diff", diff(json!({"ben": metas(&["2"])}), json!({})));
    settle().await;
    let presence = channel.presence();
    assert_eq!(keys(&presence), ["ada", "ben"]);
    let told = Told::of(&presence);
    assert_eq!(told.take(), [r#"ada joined: None "1""#, r#"ben joined: None "2""#, "sync 2"]);
    assert_eq!(keys(&channel.presence()), ["ada", "ben"]);
    assert_eq!(channel.recv().await.unwrap().event.as_str(), "other");
    assert!(channel.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn after_a_reconnect_the_list_stays_until_the_new_state_and_then_says_what_has_changed() {
    let (server, connection, _socket, channel) = joined().await;
    let presence = channel.presence();
    connection.push("room:1", "presence_state", json!({"ada": metas(&["1"]), "ben": metas(&["2"])}));
    settle().await;
    let told = Told::of(&presence);
    told.take();
    connection.drop_link();
    let connection = server.accept().await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    connection.broadcast("room:1", "presence_diff", diff(json!({"eve": metas(&["4"])}), json!({})));
    settle().await;
    assert_eq!((keys(&presence), presence.is_synced()), (vec!["ada".to_owned(), "ben".to_owned()], false));
    connection.push("room:1", "presence_state", json!({"ada": metas(&["1"])}));
    settle().await;
    assert_eq!(told.take(), [r#"ben left: 0 "2""#, r#"eve joined: None "4""#, "sync 2"]);
}

#[tokio::test(start_paused = true)]
async fn changes_begin_with_those_who_are_there_and_end_with_the_channel() {
    let (_server, connection, _socket, channel) = joined().await;
    let presence = channel.presence();
    connection.push("room:1", "presence_state", json!({"ada": metas(&["1"])}));
    settle().await;
    let mut changes = presence.changes();
    drop(presence);
    connection.broadcast("room:1", "presence_diff", diff(json!({}), json!({"ada": metas(&["1"])})));
    settle().await;
    connection.close_channel("room:1");
    let mut told = Vec::new();
    while let Some(change) = changes.next().await {
        told.push(match change.unwrap() {
            PresenceChange::Joined { key, current: None, .. } => format!("{key} joined"),
            PresenceChange::Left { key, .. } => format!("{key} left"),
            PresenceChange::Synced => "sync".to_owned(),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(told, ["ada joined", "sync", "ada left", "sync"]);
    // Of a channel that has ended there is nothing more to tell.
    assert_eq!(channel.presence().changes().next().await, Some(Ok(PresenceChange::Synced)));
    assert_eq!(channel.presence_of("other", "names").changes().next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_says_how_much_it_missed() {
    let (_server, connection, _socket, channel) = joined().await;
    let presence = channel.presence();
    let mut changes = presence.changes();
    let everyone: serde_json::Map<String, Value> =
        (0..12_000).map(|number| (format!("{number:05}"), metas(&["1"]))).collect();
    connection.push("room:1", "presence_state", &everyone);
    settle().await;
    for _ in 0..10_000 {
        assert!(matches!(changes.next().await, Some(Ok(PresenceChange::Joined { .. }))));
    }
    // The sync is the last of them.
    assert_eq!(changes.next().await, Some(Err(RecvError::Missed { count: 2_001 })));
    assert_eq!(presence.list().len(), 12_000);
    connection.broadcast("room:1", "presence_diff", diff(json!({}), json!({})));
    assert_eq!(changes.next().await, Some(Ok(PresenceChange::Synced)));
}

#[tokio::test(start_paused = true)]
async fn a_presence_keeps_its_channel_joined_and_its_changes_do_not() {
    let (_server, connection, _socket, channel) = joined().await;
    let presence = channel.presence();
    let mut changes = presence.changes();
    drop(channel);
    connection.expect_nothing(Duration::from_secs(1)).await;
    drop(presence);
    connection.expect_leave("room:1").await.reply_ok(json!({}));
    assert_eq!(changes.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_hook_may_do_what_it_likes_and_one_that_panics_is_taken_off() {
    let (_server, connection, _socket, channel) = joined().await;
    let presence = channel.presence();
    let told = Told::of(&presence);
    let (inside, seen) = (presence.clone(), told.clone());
    presence.on_sync(move |_| {
        seen.say(format!("sync of {:?}", keys(&inside)));
        let seen = seen.clone();
        inside.on_join(move |key, _, _| {
            seen.say(format!("again {key}"));
            panic!("a hook of the test");
        });
    });
    connection.push("room:1", "presence_state", json!({"ada": metas(&["1"])}));
    settle().await;
    assert_eq!(told.take(), [r#"ada joined: None "1""#, r#"sync of ["ada"]"#, "again ada"]);
    presence.on_sync(|_| {});
    connection.broadcast("room:1", "presence_diff", diff(json!({"ben": metas(&["2"])}), json!({})));
    settle().await;
    assert_eq!((told.take(), keys(&presence)), (vec![], vec!["ada".to_owned(), "ben".to_owned()]));
    presence.off();
    connection.broadcast("room:1", "presence_diff", diff(json!({}), json!({"ada": metas(&["1"])})));
    settle().await;
    assert_eq!((told.take(), keys(&presence)), (vec![], vec!["ben".to_owned()]));
}

/// With names of the application's own.
async fn renamed() -> (ScriptedConnection, Channel) {
    let (_server, connection, socket) = connected().await;
    connection.answer_joins();
    let channel = socket.channel_join("room:1", json!({})).unwrap();
    channel.joined().await.unwrap();
    (connection, channel)
}

#[tokio::test(start_paused = true)]
async fn events_may_have_other_names_and_what_cannot_be_read_is_passed_over() {
    let (connection, channel) = renamed().await;
    let (own, official) = (channel.presence_of("everyone", "change"), channel.presence());
    connection.push("room:1", "everyone", json!({"ada": metas(&["1"])}));
    connection.push("room:1", "everyone", json!({"ada": "here"}));
    connection.broadcast("room:1", "change", json!({"ben": metas(&["2"])}));
    connection.broadcast("room:1", "change", diff(json!({"eve": metas(&["3"])}), json!({})));
    settle().await;
    assert_eq!((keys(&own), keys(&official)), (vec!["ada".to_owned(), "eve".to_owned()], vec![]));
    assert!(!format!("{own:?}").contains("ada"));
}
