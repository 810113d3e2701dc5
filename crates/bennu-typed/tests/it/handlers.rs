//! The handlers that the example does not need.

use std::time::Duration;

use bennu::prelude::*;
use bennu::typed::{Empty, Reply};
use bennu_testkit::{assert_push, assert_reply, connect, refute_push, refute_reply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

#[derive(Serialize, JsonSchema)]
struct Sum {
    sum: i64,
}

#[derive(Deserialize, JsonSchema)]
struct Numbers(Vec<i64>);

#[derive(ClientEvents)]
enum In {
    Add(Numbers, Reply<Sum>),
    Finish(Empty, Reply),
    Fail(Empty, Reply),
}

#[derive(ServerEvents)]
enum Out {
    Noted { number: u64 },
    Secret { word: String },
}

struct Desk {
    ended: UnboundedSender<TerminateReason>,
}

impl TypedChannel for Desk {
    type Assigns = ();
    type Params = Empty;
    type Response = Empty;
    type In = In;
    type Out = Out;

    const INTERCEPT: &'static [&'static str] = &["secret"];

    async fn join(request: JoinRequest<()>, _: Empty) -> Result<(Self, Empty), JoinRefusal> {
        let ended = request.route_value::<UnboundedSender<TerminateReason>>().cloned().unwrap();
        Ok((Desk { ended }, Empty))
    }

    async fn handle_in(&mut self, event: In, cx: &mut TypedContext<'_, Self>) -> AnswerResult {
        match event {
            In::Add(numbers, reply) => {
                let (later, channel) = (reply.later(cx), cx.handle());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    later.ok(Sum { sum: numbers.0.iter().sum() }).unwrap();
                    channel.send(numbers.0.len() as u64);
                });
                Answer::no_reply()
            }
            In::Finish(Empty, reply) => reply.stop(StopReason::Normal, Empty),
            In::Fail(..) => Err(std::io::Error::other("the disk is full").into()),
        }
    }

    async fn handle_out(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut TypedContext<'_, Self>,
    ) -> AnswerResult {
        assert_eq!((event, payload.len() > 2), ("secret", true));
        cx.push(Out::Secret { word: "***".to_owned() })?;
        Answer::no_reply()
    }

    async fn handle_info(&mut self, info: Info, cx: &mut TypedContext<'_, Self>) -> AnswerResult {
        let number = info.take::<u64>().map_err(|_| ChannelError::msg("another message"))?;
        cx.push(Out::Noted { number })?;
        Answer::no_reply()
    }

    async fn terminate(&mut self, reason: &TerminateReason, _: &mut TypedContext<'_, Self>) {
        self.ended.send(reason.clone()).unwrap();
    }
}

fn endpoint() -> (Endpoint, UnboundedReceiver<TerminateReason>) {
    let (ended, endings) = unbounded_channel();
    let channels = Channels::new().channel_with::<Typed<Desk>>("desk", ended);
    let endpoint = Endpoint::builder(PubSub::local())
        .socket("/socket", AllowAnonymous, channels, SocketOptions::default())
        .build()
        .unwrap();
    (endpoint, endings)
}

#[tokio::test(start_paused = true)]
async fn a_reply_can_come_later_and_a_message_of_the_application_is_handled() {
    let (endpoint, _endings) = endpoint();
    let socket = connect(&endpoint, "/socket", json!({})).await.unwrap();
    let (_, desk) = socket.join("desk", json!({})).await.unwrap();
    let reference = desk.push("add", json!([1, 2, 3]));
    refute_reply!(desk, reference);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(assert_reply!(desk, reference, "ok").json(), &json!({"sum": 6}));
    assert_eq!(assert_push!(desk, "noted").json(), &json!({"number": 3}));
}

#[tokio::test(start_paused = true)]
async fn a_reply_can_end_the_channel() {
    let (endpoint, mut endings) = endpoint();
    let socket = connect(&endpoint, "/socket", json!({})).await.unwrap();
    let (_, desk) = socket.join("desk", json!({})).await.unwrap();
    let reference = desk.push("finish", json!({}));
    assert_reply!(desk, reference, "ok");
    assert_push!(desk, "phx_close");
    assert_eq!(endings.recv().await, Some(TerminateReason::Stopped(StopReason::Normal)));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_program_crashes_the_channel() {
    let (endpoint, mut endings) = endpoint();
    let socket = connect(&endpoint, "/socket", json!({})).await.unwrap();
    let (_, desk) = socket.join("desk", json!({})).await.unwrap();
    let reference = desk.push("fail", json!({}));
    assert_push!(desk, "phx_error");
    refute_reply!(desk, reference);
    assert_eq!(endings.recv().await, Some(TerminateReason::Crashed));
}

#[tokio::test(start_paused = true)]
async fn an_intercepted_event_goes_through_handle_out() {
    let (endpoint, _endings) = endpoint();
    let socket = connect(&endpoint, "/socket", json!({})).await.unwrap();
    let (_, desk) = socket.join("desk", json!({})).await.unwrap();
    Out::Secret { word: "swordfish".to_owned() }.broadcast(&endpoint, "desk").unwrap();
    assert_eq!(assert_push!(desk, "secret").json(), &json!({"word": "***"}));
    refute_push!(desk, "secret");
}
