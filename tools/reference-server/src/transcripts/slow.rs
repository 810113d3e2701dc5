//! `slow:*`: what takes its time. The delays are what the recorded application has.

use std::time::Duration;

use bennu::prelude::*;
use serde::Deserialize;

use super::Connection;

/// After how long `async` is answered.
const LATER: Duration = Duration::from_millis(100);

pub(super) struct SlowChannel;

/// How long to take.
#[derive(Deserialize)]
struct Delay {
    #[serde(default)]
    ms: u64,
}

/// A reply that is due now.
struct Due(SocketRef, Payload);

impl Delay {
    async fn pass(&self) {
        tokio::time::sleep(Duration::from_millis(self.ms)).await;
    }
}

impl Channel for SlowChannel {
    type Assigns = Connection;

    async fn join(request: JoinRequest<Connection>) -> Result<Joined<Self>, JoinRefusal> {
        let delay: Delay = request.payload().parse()?;
        delay.pass().await;
        Ok(Joined::new(SlowChannel))
    }

    async fn handle_in(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &mut Context<Connection>,
    ) -> HandlerResult {
        match event {
            "slow" => {
                let delay: Delay = payload.parse()?;
                delay.pass().await;
                Handled::ok()
            }
            "async" => {
                answer_later(payload, cx);
                Handled::no_reply()
            }
            _ => Handled::unknown_event(event),
        }
    }

    async fn handle_info(&mut self, info: Info, _: &mut Context<Connection>) -> HandlerResult {
        if let Ok(Due(socket_ref, payload)) = info.take() {
            socket_ref.reply("ok", payload)?;
        }
        Handled::no_reply()
    }
}

fn answer_later(payload: Payload, cx: &Context<Connection>) {
    let Some(socket_ref) = cx.socket_ref() else { return };
    let channel = cx.handle();
    tokio::spawn(async move {
        tokio::time::sleep(LATER).await;
        channel.send(Due(socket_ref, payload));
    });
}
