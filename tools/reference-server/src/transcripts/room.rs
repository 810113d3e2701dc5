//! `room:*` and `exact`: every shape of reply, push, broadcast and end.

use std::error::Error;

use bennu::Bytes;
use bennu::prelude::*;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Connection;

/// What the events with binary answers send.
const BYTES: &[u8] = &[0x00, 0x01, 0x02, 0xff];
const ERROR_BYTES: &[u8] = &[0x09, 0x09];

/// Numbers and text of which serializers make different things.
const FLOATS: &str = r#"{"atom":"abc","big":123456789012345678901,"f":1.0,"g":1.0e30,"neg":-0.0,"nul":null,"uni":"é✓😀\u2028</script>\"\\\n\t\u0001"}"#;

pub(super) struct RoomChannel;

#[derive(Serialize)]
struct Welcome<'a> {
    ok_user: Option<&'a str>,
    params: InsideJson<'a>,
}

/// A payload as a part of a JSON document; a binary one cannot be that.
struct InsideJson<'a>(&'a Payload);

impl Serialize for InsideJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: Box<RawValue> = self.0.parse().map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

#[derive(Deserialize)]
struct OtherTopic {
    topic: String,
}

impl Channel for RoomChannel {
    type Assigns = Connection;

    const INTERCEPT: &'static [&'static str] = &["intercepted"];

    async fn join(request: JoinRequest<Connection>) -> Result<Joined<Self>, JoinRefusal> {
        match request.topic().as_str() {
            "room:private" => Err(JoinRefusal::reason("unauthorized")),
            "room:emptyerr" => Err(JoinRefusal::with(Payload::empty())),
            "room:crash" => panic!("asked to crash"),
            "room:exit" => std::panic::resume_unwind(Box::new("asked to exit")),
            "room:badreturn" => Err(JoinRefusal::Crashed(Box::<dyn Error + Send + Sync>::from("nonsense"))),
            "room:noreply" | "room:after" => Ok(Joined::new(RoomChannel)),
            _ => {
                let ok_user = request.assigns().user_id.as_deref();
                let params = InsideJson(request.payload());
                Joined::with_response(RoomChannel, Welcome { ok_user, params })
            }
        }
    }

    async fn after_join(&mut self, cx: &mut Context<Connection>) -> Result<(), ChannelError> {
        if cx.topic().as_str() == "room:after" {
            cx.push("welcome", json!({ "hi": true }))?;
        }
        Ok(())
    }

    async fn handle_in(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut Context<Connection>,
    ) -> HandlerResult {
        match event {
            "ping" => Handled::ok(),
            "echo" => Handled::reply(payload),
            "err" => Handled::error(json!({ "reason": "bad" })),
            "err_atom" => Handled::error(Payload::empty()),
            "custom_status" => Handled::reply_as("maybe", json!({ "a": 1 })),
            "noreply" => Handled::no_reply(),
            "floats" => Handled::reply(Payload::Json(Bytes::from_static(FLOATS.as_bytes()))),
            "bad_payload" => Handled::reply("not a map"),
            "bin_reply" => Handled::reply(Payload::binary(BYTES)),
            "bin_err" => Handled::error(Payload::binary(ERROR_BYTES)),
            "info" => Handled::reply(info(cx)),
            "subscribe_other" => {
                let OtherTopic { topic } = payload.parse()?;
                cx.subscribe(topic);
                Handled::ok()
            }
            "stop" => Handled::stop(StopReason::Normal),
            "stop_reply" => Handled::stop_reply(StopReason::Normal, json!({ "bye": true })),
            "stop_shutdown" | "stop_shutdown_tuple" => Handled::stop(StopReason::Shutdown),
            "stop_other" => Handled::stop(StopReason::Failure("asked to stop".to_owned())),
            "crash" => panic!("asked to crash"),
            _ => send(event, payload, cx),
        }
    }

    async fn handle_out(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut Context<Connection>,
    ) -> HandlerResult {
        let mut payload: Value = payload.parse()?;
        payload["seen_by"] = cx.assigns().user_id.as_deref().into();
        cx.push(event, payload)?;
        Handled::no_reply()
    }

    /// Broadcasts of topics that `subscribe_other` named.
    async fn handle_info(&mut self, info: Info, cx: &mut Context<Connection>) -> HandlerResult {
        if let Some(broadcast) = info.broadcast() {
            let mut payload: Value = broadcast.payload().parse()?;
            payload["via"] = broadcast.topic().as_str().into();
            cx.push(broadcast.event(), payload)?;
        }
        Handled::no_reply()
    }
}

/// Events that send something beside a reply.
fn send(event: &str, payload: Payload, cx: &Context<Connection>) -> HandlerResult {
    match event {
        "push_me" => cx.push("pushed", payload)?,
        "push_then_reply" => {
            cx.push("pushed", payload)?;
            return Handled::ok();
        }
        "shout" => cx.broadcast("shout", payload)?,
        "shout_from" => cx.broadcast_from("shout", payload)?,
        "shout_reply" => {
            cx.broadcast("shout", payload)?;
            return Handled::ok();
        }
        "shout_intercepted" => cx.broadcast("intercepted", payload)?,
        "bin_push" => cx.push("bin", Payload::binary(BYTES))?,
        "bin_shout" => cx.broadcast("bin", Payload::binary(BYTES))?,
        _ => return Handled::unknown_event(event),
    }
    Handled::no_reply()
}

/// What the channel knows about its connection.
fn info(cx: &Context<Connection>) -> Value {
    let connection = cx.assigns();
    json!({
        "id": cx.socket_id().map(Topic::as_str),
        "params": connection.params,
        "uri": connection.uri,
        "serializer": connection.serializer,
        "transport": connection.transport,
        "topic": cx.topic().as_str(),
        "join_ref": cx.join_ref(),
        "auth_token": connection.auth_token,
        "x_headers": connection.x_headers,
        "ua": connection.user_agent,
    })
}
