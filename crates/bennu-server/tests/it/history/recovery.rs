//! Positions and replays.

use std::time::Duration;

use bennu_protocol::{EncodeError, Payload};
use bennu_server::{BroadcastError, BuildError, Channels, Endpoint, History, SocketOptions};
use serde_json::json;

use super::{Room, assert_offset, endpoint, join, joined, shout, since};
use crate::client::Client;

#[tokio::test(start_paused = true)]
async fn a_join_reply_says_where_the_client_is() {
    let endpoint = endpoint(History::last(10));
    let (_first, response) = joined(&endpoint, "room:a", json!({})).await;
    let epoch = response["epoch"].clone();
    assert!(epoch.is_string());
    assert_eq!(response, json!({"epoch": epoch, "offset": 0}));
    for n in 1..=3 {
        shout(&endpoint, "room:a", n);
    }
    let (_second, response) = joined(&endpoint, "room:a", json!({"response": {"own": 1}})).await;
    assert_eq!(response, json!({"own": 1, "epoch": epoch, "offset": 3}));
    let (_other, response) = joined(&endpoint, "room:b", json!({"recover": null})).await;
    assert_eq!(response, json!({"epoch": response["epoch"], "offset": 0}));
    assert_ne!(response["epoch"], epoch);
    let (mut quiet, response) = joined(&endpoint, "quiet:a", since(&epoch, 0)).await;
    assert_eq!(response, json!({}), "a topic without a history");
    endpoint.broadcast("quiet:a", "msg", json!({"n": 1})).unwrap();
    assert_eq!(quiet.recv().await[4], json!({"n": 1}));
}

#[tokio::test(start_paused = true)]
async fn kept_broadcasts_carry_their_offset_and_others_do_not() {
    let endpoint = endpoint(History::last(10));
    let (mut v2, _) = joined(&endpoint, "room:a", json!({})).await;
    let mut v1 = Client::connect_with(&endpoint, "vsn=1.0.0", 65_536).await;
    v1.send(json!({"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"})).await;
    assert_eq!(v1.recv().await["payload"]["response"]["offset"], 0);

    shout(&endpoint, "room:a", 1);
    endpoint.broadcast("room:a", "presence_diff", json!({"joins": {}})).unwrap();
    v2.send(json!(["1", "2", "room:a", "shout", {"n": 2}])).await;
    for (event, payload) in [
        ("msg", json!({"n": 1, "phx_offset": 1})),
        ("presence_diff", json!({"joins": {}})),
        ("msg", json!({"n": 2, "phx_offset": 2})),
    ] {
        assert_eq!(v2.recv().await, json!([null, null, "room:a", event, payload]));
        assert_eq!(
            v1.recv().await,
            json!({"topic": "room:a", "event": event, "payload": payload, "ref": null})
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_gets_exactly_what_it_missed() {
    for missed in [0, 1, 3, 10] {
        for vsn in ["1.0.0", "2.0.0"] {
            let endpoint = endpoint(History::last(10));
            let (mut client, response) = joined(&endpoint, "room:a", json!({})).await;
            let (epoch, name) = (&response["epoch"], format!("{missed} missed, {vsn}"));
            shout(&endpoint, "room:a", 1);
            assert_offset(&mut client, 1).await;
            client.cut().await;
            for n in 2..2 + missed {
                shout(&endpoint, "room:a", n);
            }

            let mut client = Client::connect_with(&endpoint, &format!("vsn={vsn}"), 65_536).await;
            let params = since(epoch, 1);
            let array = vsn == "2.0.0";
            client
                .send(match array {
                    true => json!(["1", "1", "room:a", "phx_join", params]),
                    false => json!({"topic": "room:a", "event": "phx_join", "payload": params, "ref": "1"}),
                })
                .await;
            let reply = client.recv().await;
            let reply = if array { &reply[4] } else { &reply["payload"] };
            let position = json!({"epoch": epoch, "offset": 1, "recovered": true});
            assert_eq!(reply, &json!({"status": "ok", "response": position}), "{name}");
            for n in 2..2 + missed {
                let message = client.recv().await;
                let payload = if array { &message[4] } else { &message["payload"] };
                assert_eq!(payload, &json!({"n": n, "phx_offset": n}), "{name}");
            }
            client.hears_nothing().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_had_whole_is_not_replayed_at_all() {
    let last_3 = History::last(3);
    for (name, history, wait, params) in [
        ("more than are kept", last_3.clone(), 0, since(&json!("EPOCH"), 1)),
        ("too old", last_3.clone().max_age(Duration::from_secs(10)), 10, since(&json!("EPOCH"), 4)),
        ("too large", last_3.clone().max_bytes(1_000), 0, since(&json!("EPOCH"), 3)),
        ("nothing is kept", History::last(0), 0, since(&json!("EPOCH"), 4)),
        ("offset in the future", last_3.clone(), 0, since(&json!("EPOCH"), 6)),
        ("other epoch", last_3.clone(), 0, since(&json!("0123456789abcdef"), 4)),
        ("no epoch", last_3.clone(), 0, json!({"recover": {"offset": 4}})),
        ("no offset", last_3.clone(), 0, json!({"recover": {"epoch": "EPOCH"}})),
        ("offset no count", last_3.clone(), 0, json!({"recover": {"epoch": "EPOCH", "offset": -1}})),
        ("no position", last_3.clone(), 0, json!({"recover": [1, 2]})),
    ] {
        let endpoint = endpoint(history);
        let (_other, response) = joined(&endpoint, "room:a", json!({})).await;
        for n in 1..=5 {
            shout(&endpoint, "room:a", n);
        }
        tokio::time::sleep(Duration::from_secs(wait)).await;
        let epoch = response["epoch"].as_str().unwrap();
        let params = serde_json::from_str(&params.to_string().replace("EPOCH", epoch)).unwrap();
        let (mut client, response) = joined(&endpoint, "room:a", params).await;
        assert_eq!(response, json!({"epoch": epoch, "offset": 5, "recovered": false}), "{name}");
        shout(&endpoint, "room:a", 6);
        assert_offset(&mut client, 6).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_at_the_newest_recovers_however_little_is_kept() {
    let endpoint = endpoint(History::last(1).max_age(Duration::from_secs(10)));
    let (mut client, response) = joined(&endpoint, "room:a", json!({})).await;
    let (_other, _) = joined(&endpoint, "room:a", json!({})).await;
    shout(&endpoint, "room:a", 1);
    assert_offset(&mut client, 1).await;
    client.cut().await;
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    let (_client, response) = joined(&endpoint, "room:a", since(&response["epoch"], 1)).await;
    assert_eq!((&response["recovered"], &response["offset"]), (&json!(true), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn the_missed_comes_after_the_reply_and_before_after_join_and_what_is_live() {
    let endpoint = endpoint(History::last(10));
    let (mut client, response) = joined(&endpoint, "hall:slow", json!({})).await;
    assert_eq!(client.recv().await[4], json!({"recovery": "NotAsked"}));
    assert_eq!(client.recv_event().await, "hello again");
    client.cut().await;
    // A ring lives on for those who may come back.
    for (n, event) in ["msg", "secret", "msg", "secret"].into_iter().enumerate() {
        endpoint.broadcast("hall:slow", event, json!({"n": n + 1, "wait": true})).unwrap();
    }
    let (mut client, response) = joined(&endpoint, "hall:slow", since(&response["epoch"], 0)).await;
    assert_eq!(response["recovered"], true);
    shout(&endpoint, "hall:slow", 5);
    for n in 1..=4 {
        let message = client.recv().await;
        let intercepted = n % 2 == 0;
        assert_eq!((&message[4]["n"], &message[4]["phx_offset"]), (&json!(n), &json!(n)));
        assert_eq!(message[4]["seen"] == true, intercepted, "handle_out sees what it intercepts");
        assert_eq!(message[0], if intercepted { json!("1") } else { json!(null) });
    }
    assert_eq!(client.recv().await[4], json!({"recovery": "Recovered"}));
    shout(&endpoint, "hall:slow", 6);
    assert_eq!(client.recv_event().await, "hello again");
    assert_offset(&mut client, 5).await;
    assert_offset(&mut client, 6).await;

    let (mut client, _) = joined(&endpoint, "hall:slow", since(&json!("other"), 0)).await;
    assert_eq!(client.recv().await[4], json!({"recovery": "Lost"}));
}

#[tokio::test(start_paused = true)]
async fn where_offsets_count_broadcasts_wait_behind_a_handle_out() {
    let endpoint = endpoint(History::last(10));
    let (mut client, _) = joined(&endpoint, "hall:a", json!({})).await;
    assert_eq!(client.recv_event().await, "hello");
    for (n, event) in ["msg", "secret", "msg", "secret", "msg"].into_iter().enumerate() {
        endpoint.broadcast("hall:a", event, json!({"n": n + 1, "wait": n == 1})).unwrap();
    }
    for offset in 1..=5 {
        assert_offset(&mut client, offset).await;
    }
}

#[tokio::test(start_paused = true)]
async fn broadcast_from_counts_for_all_and_comes_back_to_a_sender_that_recovers() {
    let endpoint = endpoint(History::last(10));
    let (mut sender, response) = joined(&endpoint, "room:a", json!({})).await;
    let (mut other, _) = joined(&endpoint, "room:a", json!({})).await;
    sender.send(json!(["1", "2", "room:a", "shout_others", {"n": 1}])).await;
    assert_offset(&mut other, 1).await;
    sender.send(json!(["1", "3", "room:a", "shout", {"n": 2}])).await;
    assert_offset(&mut sender, 2).await;
    assert_offset(&mut other, 2).await;
    sender.send(json!(["1", "4", "room:a", "shout_others", {"n": 3}])).await;
    assert_offset(&mut other, 3).await;
    sender.cut().await;
    let (mut sender, response) = joined(&endpoint, "room:a", since(&response["epoch"], 2)).await;
    assert_eq!(response["recovered"], true);
    assert_offset(&mut sender, 3).await;
    sender.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_cannot_carry_an_offset_is_the_broadcasters_error() {
    let endpoint = endpoint(History::last(10).events(["msg"]));
    let (mut client, _) = joined(&endpoint, "room:a", json!({})).await;
    let taken = Err(EncodeError::MemberTaken("phx_offset".to_owned()));
    for (payload, error) in [
        (Payload::binary(vec![1]), Err(EncodeError::NoMembers)),
        (Payload::json(&[1]).unwrap(), Err(EncodeError::NoMembers)),
        (Payload::json(&json!({"phx_offset": 7})).unwrap(), taken),
    ] {
        let error = error.map_err(BroadcastError::Encode);
        assert_eq!(endpoint.broadcast("room:a", "msg", payload.clone()), error, "{payload:?}");
        assert_eq!(
            endpoint.broadcast("room:nobody", "msg", payload),
            error,
            "whether or not anyone is there"
        );
    }
    client.hears_nothing().await;
    endpoint.broadcast("room:a", "other", json!({"phx_offset": 7})).unwrap();
    assert_eq!(client.recv().await[4], json!({"phx_offset": 7}), "not kept, so as it is");
    shout(&endpoint, "room:a", 1);
    assert_offset(&mut client, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_join_response_that_cannot_carry_a_position_is_a_crashed_join() {
    let endpoint = endpoint(History::last(10));
    let mut client = Client::connect(&endpoint).await;
    for response in [json!([1]), json!("text"), json!({"offset": 7}), json!({"epoch": "mine"})] {
        client.send(json!(["1", "1", "room:a", "phx_join", {"response": response}])).await;
        let reply = json!({"status": "error", "response": {"reason": "join crashed"}});
        assert_eq!(client.recv().await[4], reply, "{response}");
        assert_eq!(endpoint.pubsub().subscriber_count("room:a"), 0);
    }
    join(&mut client, "room:a", json!({})).await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_crashed_recovers_over_the_same_connection() {
    let endpoint = endpoint(History::last(10));
    let (mut client, response) = joined(&endpoint, "room:a", json!({})).await;
    client.send(json!(["1", "2", "room:a", "unknown", {}])).await;
    assert_eq!(client.recv_event().await, "phx_error");
    shout(&endpoint, "room:a", 1);
    let response = join(&mut client, "room:a", since(&response["epoch"], 0)).await;
    assert_eq!(response["recovered"], true);
    assert_offset(&mut client, 1).await;
}

#[test]
fn a_history_in_front_of_the_first_channel_is_a_build_error() {
    let channels = Channels::new().history(History::last(1)).channel::<Room>("room:*");
    let built = Endpoint::builder(bennu_pubsub::PubSub::local())
        .socket("/socket", bennu_server::AllowAnonymous, channels, SocketOptions::default())
        .build();
    assert_eq!(built.unwrap_err(), BuildError::HistoryWithoutChannel { path: "/socket".to_owned() });
}
