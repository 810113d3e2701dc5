//! Somebody else who has the engine.

use async_nats::{Client, Message};
use bennu_engines::NatsServer;
use futures_util::StreamExt as _;

use crate::nodes::{meet, next, node_at};

/// Plays a packet again as it was, with a bit changed at several places, cut, and on another subject.
async fn play_again(stranger: &Client, message: &Message) {
    let bytes = &message.payload;
    let mut packets =
        vec![bytes.to_vec(), bytes.to_vec(), bytes[..bytes.len() - 1].to_vec(), bytes[..20].to_vec()];
    for at in [0, 1, 2, 18, 25, 27, 30, bytes.len() - 1] {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        packets.push(changed);
    }
    for packet in packets {
        stranger.publish(message.subject.clone(), packet.into()).await.unwrap();
    }
    for subject in ["bennu.test.all", "bennu.test.b1"] {
        if message.subject.as_str() != subject {
            stranger.publish(subject, bytes.clone()).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_051_packets_that_are_changed_or_played_again_are_not_heard() {
    let server = NatsServer::start().await.unwrap();
    let (a, b) = (node_at("a", &server.url()), node_at("b", &server.url()));
    meet(&a, &b).await;
    let mut there = b.subscribe("room");
    b.settle("room").await;
    let stranger = async_nats::ConnectOptions::new().no_echo().connect(server.url()).await.unwrap();
    let mut packets = stranger.subscribe("bennu.test.>").await.unwrap();
    stranger.flush().await.unwrap();
    let played = tokio::spawn(async move {
        while let Some(message) = packets.next().await {
            if message.payload.len() > 44 {
                play_again(&stranger, &message).await;
            }
        }
    });
    for number in 0..500_u32 {
        a.broadcast("room", number);
        assert_eq!(next(&mut there).await, Ok(number), "each once, and nothing is missed");
    }
    assert_eq!((a.nodes().len(), b.nodes().len()), (1, 1));
    played.abort();
}
