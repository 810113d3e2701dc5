//! Seed 002, custom channels: who gets the messages, and what a panic does.

use std::time::Duration;

use bennu_client::{
    Channel, ChannelEnd, ChannelStatus, CustomChannel, Handled, JoinError, Message, Socket, SocketConfig,
};
use bennu_protocol::{Payload, Topic};
use bennu_testkit::{ScriptedConnection, scripted};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::scene;

/// Says what it is told, counts, and does what events ask for.
struct Teller {
    topic: Topic,
    heard: u32,
    told: UnboundedSender<String>,
}

impl Teller {
    fn types() -> (
        impl Fn(&Socket, &Topic, &Payload) -> Teller + Clone + Send + Sync + 'static,
        UnboundedReceiver<String>,
    ) {
        let (told, hear) = unbounded_channel();
        let init = move |socket: &Socket, topic: &Topic, params: &Payload| {
            assert!(socket.is_connected());
            let params: Value = params.parse().unwrap();
            assert!(params != json!({"panic": true}), "as its params ask for");
            told.send(format!("init {topic} {params}")).unwrap();
            Teller { topic: topic.clone(), heard: 0, told: told.clone() }
        };
        (init, hear)
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        // The test may have heard enough.
        let _ = self.told.send("dropped".to_owned());
    }
}

impl CustomChannel for Teller {
    async fn handle_in(&mut self, event: &str, payload: &Payload, channel: &Channel) -> Handled {
        self.heard += 1;
        let payload: Value = payload.parse().unwrap();
        self.told.send(format!("{} {event} {payload} {}", self.topic, self.heard)).unwrap();
        match event {
            "ask" => {
                let response = channel.push("question", json!({})).await.unwrap();
                self.told.send(format!("answer {}", response.parse::<Value>().unwrap())).unwrap();
            }
            "stop" => return Handled::Stop,
            "panic" => panic!("as the event asks for"),
            _ => {}
        }
        Handled::NoReply
    }
}

/// A channel on `room:1` that has the type and is joined.
async fn joined() -> (ScriptedConnection, Socket, Channel, UnboundedReceiver<String>) {
    let (init, mut hear) = Teller::types();
    let (_, connection, socket) = scene::connected_with(|config| config.topic_channel("room:1", init)).await;
    let channel = socket.channel_join("room:1", json!({"user_id": 7})).unwrap();
    connection.expect_join("room:1").await.reply_ok(json!({}));
    channel.joined().await.unwrap();
    assert_eq!(hear.recv().await.unwrap(), r#"init room:1 {"user_id":7}"#);
    (connection, socket, channel, hear)
}

#[tokio::test(start_paused = true)]
async fn a_custom_channel_is_made_for_its_topic_and_hears_in_place_of_the_owner() {
    let (connection, _socket, channel, mut hear) = joined().await;
    connection.push("room:1", "new_msg", json!({"body": "hi"}));
    connection.broadcast("room:1", "other", json!({}));
    assert_eq!(hear.recv().await.unwrap(), r#"room:1 new_msg {"body":"hi"} 1"#);
    assert_eq!(hear.recv().await.unwrap(), "room:1 other {} 2", "its state goes on from message to message");
    assert!(channel.try_recv().is_none(), "the owner gets none of them");
}

#[tokio::test(start_paused = true)]
async fn a_custom_channel_pushes_and_waits_without_holding_up_the_socket() {
    let (connection, socket, _channel, mut hear) = joined().await;
    connection.push("room:1", "ask", json!({}));
    connection.push("room:1", "behind", json!({}));
    let question = connection.expect_push("room:1", "question").await;
    let other = scene::join(&connection, &socket, "room:2").await;
    assert_eq!(other.status(), ChannelStatus::Joined, "while the custom channel waits");
    question.reply_ok(json!(42));
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(hear.recv().await.unwrap());
    }
    assert_eq!(heard, ["room:1 ask {} 1", "answer 42", "room:1 behind {} 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_hooked_event_does_not_reach_the_custom_channel() {
    let (connection, _socket, channel, mut hear) = joined().await;
    let (hooked, mut hook) = unbounded_channel();
    channel.on("new_msg", move |payload: &Payload| hooked.send(payload.clone()).unwrap());
    connection.push("room:1", "new_msg", json!({"n": 1}));
    connection.push("room:1", "other", json!({}));
    assert_eq!(hook.recv().await.unwrap().parse::<Value>().unwrap(), json!({"n": 1}));
    assert_eq!(hear.recv().await.unwrap(), "room:1 other {} 1");
}

#[tokio::test(start_paused = true)]
async fn other_topics_have_the_default_type_or_their_owner() {
    let (default, mut hear) = Teller::types();
    let (_, connection, socket) = scene::connected_with(|config| {
        config.default_channel(default).join_channel("kept").topic_channel("quiet", |_, _, _| Quiet)
    })
    .await;
    let kept = connection.expect_join("kept").await;
    kept.reply_ok(json!({}));
    assert_eq!(hear.recv().await.unwrap(), "init kept {}", "with the default params");
    connection.push("kept", "event", json!({}));
    assert_eq!(hear.recv().await.unwrap(), "kept event {} 1", "nobody else holds it");
    let quiet = scene::join(&connection, &socket, "quiet").await;
    connection.push("quiet", "event", json!({}));
    scripted::advance(Duration::from_secs(1)).await;
    assert!(quiet.try_recv().is_none() && hear.try_recv().is_err());

    let (_, connection, socket) =
        scene::connected_with(|config| config.topic_channel("quiet", |_, _, _| Quiet)).await;
    let other = scene::join(&connection, &socket, "other").await;
    connection.push("other", "event", json!({}));
    assert_eq!(
        other.recv().await.unwrap().event.as_str(),
        "event",
        "without a default type the owner gets it"
    );
}

/// Both handlers are optional.
struct Quiet;

impl CustomChannel for Quiet {}

/// Takes whole messages.
struct Whole(UnboundedSender<Message>);

impl CustomChannel for Whole {
    async fn handle_message(&mut self, message: Message, _: &Channel) -> Handled {
        self.0.send(message).unwrap();
        Handled::NoReply
    }
}

#[tokio::test(start_paused = true)]
async fn start_channel_gives_a_type_to_one_channel_and_terminate_ends_it() {
    let (_server, connection, socket) = scene::connected().await;
    let (told, mut hear) = unbounded_channel();
    let channel =
        socket.start_channel("room:1", json!({"a": 1}), move |_, _, _| Whole(told.clone())).unwrap();
    let join = connection.expect_join("room:1").await;
    assert_eq!(*join, json!({"a": 1}));
    join.reply_ok(json!({}));
    connection.push("room:1", "event", json!({}));
    let message = hear.recv().await.unwrap();
    assert_eq!((message.topic.as_str(), message.event.as_str()), ("room:1", "event"));
    assert_eq!(socket.channel("room:1").unwrap().status(), ChannelStatus::Joined, "channel_pid");
    let again = socket.start_channel("room:1", json!({}), |_, _, _| Quiet).unwrap_err();
    assert!(matches!(again, JoinError::AlreadyJoined { .. }));

    assert!(socket.terminate_channel("room:1"));
    connection.expect_leave("room:1").await;
    assert_eq!(channel.ended().await, ChannelEnd::Left);
    assert!(!socket.terminate_channel("room:1") && socket.channel("room:1").is_none());
    assert!(hear.recv().await.is_none(), "its value is dropped");
}

#[tokio::test(start_paused = true)]
async fn terminate_channels_leaves_them_all() {
    let (_server, connection, socket) = scene::connected().await;
    let first = scene::join(&connection, &socket, "room:1").await;
    let second = scene::join(&connection, &socket, "room:2").await;
    socket.terminate_channels();
    connection.expect_leave("room:1").await;
    connection.expect_leave("room:2").await;
    assert_eq!((first.ended().await, second.ended().await), (ChannelEnd::Left, ChannelEnd::Left));
    assert!(socket.state().channels.is_empty() && socket.is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_custom_channel_may_end_its_channel() {
    let (connection, _socket, channel, mut hear) = joined().await;
    connection.push("room:1", "stop", json!({}));
    connection.expect_leave("room:1").await;
    assert_eq!(channel.ended().await, ChannelEnd::Left);
    assert_eq!(hear.recv().await.unwrap(), "room:1 stop {} 1");
    assert_eq!(hear.recv().await.unwrap(), "dropped");
}

#[tokio::test(start_paused = true)]
async fn the_owners_end_ends_the_custom_channel() {
    let (connection, socket, channel, mut hear) = joined().await;
    drop(channel);
    connection.expect_leave("room:1").await;
    assert_eq!(hear.recv().await.unwrap(), "dropped");
    assert!(socket.channel("room:1").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_panic_restarts_its_channel_alone_and_rejoins_it_with_its_params() {
    let (connection, socket, channel, mut hear) = joined().await;
    let other = scene::join(&connection, &socket, "room:2").await;
    connection.push("room:1", "first", json!({}));
    connection.push("room:1", "panic", json!({}));
    connection.push("room:1", "lost with the old value", json!({}));
    connection.expect_leave("room:1").await.reply_ok(json!({}));
    let join = connection.expect_join("room:1").await;
    assert_eq!(*join, json!({"user_id": 7}));
    join.reply_ok(json!({}));
    channel.joined().await.unwrap();
    connection.push("room:1", "after", json!({}));
    let mut heard = Vec::new();
    for _ in 0..5 {
        heard.push(hear.recv().await.unwrap());
    }
    let expected = [
        "room:1 first {} 1",
        "room:1 panic {} 2",
        "dropped",
        r#"init room:1 {"user_id":7}"#,
        "room:1 after {} 1",
    ];
    assert_eq!(heard, expected);
    assert_eq!((channel.status(), other.status()), (ChannelStatus::Joined, ChannelStatus::Joined));
    connection.push("room:2", "event", json!({}));
    assert_eq!(other.recv().await.unwrap().event.as_str(), "event", "the other one has noticed nothing");
}

#[tokio::test(start_paused = true)]
async fn after_three_restarts_in_five_seconds_a_channel_is_errored_for_good() {
    let (connection, socket, channel, _hear) = joined().await;
    let mut statuses = channel.statuses();
    for _ in 0..3 {
        connection.push("room:1", "panic", json!({}));
        connection.expect_leave("room:1").await.reply_ok(json!({}));
        connection.expect_join("room:1").await.reply_ok(json!({}));
        channel.joined().await.unwrap();
    }
    connection.push("room:1", "panic", json!({}));
    connection.expect_leave("room:1").await;
    assert_eq!(channel.ended().await, ChannelEnd::Panicked);
    assert_eq!((channel.status(), channel.status().as_str()), (ChannelStatus::Failed, "errored"));
    let mut last = None;
    while let Some(status) = statuses.next().await {
        last = Some(status);
    }
    assert_eq!(last, Some(ChannelStatus::Failed));
    connection.expect_nothing(Duration::from_secs(20)).await;
    assert!(socket.is_connected(), "the socket lives");
}

#[tokio::test(start_paused = true)]
async fn restarts_far_apart_go_on_for_ever() {
    let (connection, _socket, channel, _hear) = joined().await;
    for _ in 0..6 {
        scripted::advance(Duration::from_secs(2)).await;
        connection.push("room:1", "panic", json!({}));
        connection.expect_leave("room:1").await.reply_ok(json!({}));
        connection.expect_join("room:1").await.reply_ok(json!({}));
        channel.joined().await.unwrap();
    }
    assert_eq!(channel.status(), ChannelStatus::Joined);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_init_counts_as_a_restart() {
    let (init, _hear) = Teller::types();
    let (_server, connection, socket) =
        scene::connected_with(|config: SocketConfig| config.topic_channel("room:1", init)).await;
    let channel = socket.channel_join("room:1", json!({"panic": true})).unwrap();
    // It panics as soon as the join is on its way: then that is what it begins with again, and again.
    assert_eq!(channel.ended().await, ChannelEnd::Panicked);
    connection.expect_join("room:1").await;
    connection.expect_leave("room:1").await;
}

#[tokio::test(start_paused = true)]
async fn a_custom_channel_lives_through_a_reconnect() {
    let (init, mut hear) = Teller::types();
    let (server, connection, socket) =
        scene::connected_with(|config| config.topic_channel("room:1", init)).await;
    let channel = scene::join(&connection, &socket, "room:1").await;
    connection.push("room:1", "before", json!({}));
    assert_eq!(hear.recv().await.unwrap(), "init room:1 {}");
    assert_eq!(hear.recv().await.unwrap(), "room:1 before {} 1");
    connection.drop_link();
    let connection = server.accept().await;
    connection.expect_join("room:1").await.reply_ok(json!({}));
    channel.joined().await.unwrap();
    connection.push("room:1", "after", json!({}));
    assert_eq!(hear.recv().await.unwrap(), "room:1 after {} 2", "the same value");
}
