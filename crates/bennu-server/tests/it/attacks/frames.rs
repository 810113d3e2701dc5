//! Frames that are begun and not ended, over streams in memory and on a clock that jumps.

use std::time::Duration;

use bennu_protocol::websocket::{Opcode, encode_masked};
use bennu_pubsub::PubSub;
use bennu_server::{AllowAnonymous, Channels, Endpoint, SocketOptions};

use crate::client::Client;

fn endpoint(options: SocketOptions) -> Endpoint {
    let builder = Endpoint::builder(PubSub::local());
    builder.socket("/socket", AllowAnonymous, Channels::new(), options).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn attack_009_a_byte_now_and_then_does_not_keep_a_frame_open() {
    let endpoint = endpoint(SocketOptions::default());
    let mut client = Client::connect(&endpoint).await;
    let frame = encode_masked(Opcode::Text, &[b'x'; 1_000], [1, 2, 3, 4]);
    for byte in &frame[..5] {
        tokio::time::sleep(Duration::from_secs(11)).await;
        client.write(&[*byte]).await;
    }
    assert!(!client.has_ended());
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(client.closed().await, 1002);
}

#[tokio::test(start_paused = true)]
async fn a_long_frame_may_take_longer_than_the_timeout_as_long_as_it_comes() {
    let endpoint = endpoint(SocketOptions::default());
    let mut client = Client::connect(&endpoint).await;
    let frame = encode_masked(Opcode::Text, &[b'x'; 20_000], [1, 2, 3, 4]);
    for piece in frame.chunks(2_000) {
        tokio::time::sleep(Duration::from_secs(40)).await;
        client.write(piece).await;
    }
    // It came whole: it is the message that is wrong.
    assert_eq!(client.closed().await, 1011);
}

#[tokio::test(start_paused = true)]
async fn attack_046_a_stream_that_takes_a_byte_a_second_is_dropped() {
    let endpoint = endpoint(SocketOptions::default());
    let mut client = Client::connect_with(&endpoint, "vsn=2.0.0", 64).await;
    // The answer does not fit into the stream.
    let payload = "x".repeat(1_000);
    let heartbeat = format!(r#"[null,"{payload}","phoenix","heartbeat",{{}}]"#);
    let sending = tokio::spawn(async move {
        client.send_frame(Opcode::Text, heartbeat.as_bytes()).await;
        let mut taken = 0;
        while !client.has_ended() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            taken += client.take_byte().await;
        }
        taken
    });
    let taken = sending.await.unwrap();
    // One in each of the 30 s; the idle timeout would have let it go on for 60.
    assert!((25..45).contains(&taken), "{taken} bytes were taken");
    assert_eq!(endpoint.connection_count(), 0);
}
