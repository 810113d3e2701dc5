//! Frames that are begun and not ended, over streams in memory and on a clock that jumps.

use std::time::Duration;

use bennu_protocol::websocket::{Opcode, encode_compressed, encode_masked};
use bennu_pubsub::PubSub;
use bennu_server::{AllowAnonymous, Channels, Compression, Endpoint, SocketOptions};

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

/// A compressed message that stands for so many bytes.
fn bomb(size: usize) -> bytes::Bytes {
    encode_compressed(Opcode::Text, &vec![b' '; size], Some([1, 2, 3, 4])).unwrap()
}

#[tokio::test(start_paused = true)]
async fn attack_018_a_deflate_bomb_closes_with_1009() {
    let options = || SocketOptions::default().compression(Compression::default());
    let low = SocketOptions::default().compression(Compression::default().max_inflated_size(2_000));
    // What fits is no message of the protocol.
    for (name, options, size, code) in [
        ("as much as a frame", options(), 10_000_000, 1011),
        ("more than a frame", options(), 10_000_001, 1009),
        ("a thousand to one", options(), 100_000_000, 1009),
        ("as much as a small frame", options().max_frame_size(50_000), 50_000, 1011),
        ("more than a small frame", options().max_frame_size(50_000), 50_001, 1009),
        ("as much as the limit", low.clone(), 2_000, 1011),
        ("more than the limit", low, 2_001, 1009),
    ] {
        let mut client = Client::connect_compressed(&endpoint(options)).await;
        let frame = bomb(size);
        assert!(frame.len() < size / 50, "{name}: {} bytes", frame.len());
        client.write(&frame).await;
        assert_eq!(client.closed().await, code, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn attack_018_compressed_data_that_is_none_closes_with_1007() {
    let endpoint = endpoint(SocketOptions::default().compression(Compression::default()));
    for payload in [&b"\xff\xff\xff"[..], b"\x06", b"\xf2\x48\xcd", b"\x4a\x04\x42\x00\x00"] {
        let mut client = Client::connect_compressed(&endpoint).await;
        let mut frame = encode_masked(Opcode::Text, payload, [0; 4]).to_vec();
        frame[0] |= 0x40;
        client.write(&frame).await;
        assert_eq!(client.closed().await, 1007, "{payload:?}");
    }
}
