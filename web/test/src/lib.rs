//! What the page runs: a conversation with the reference server's `clients`, over every path of the shell, in the order of [`Step`].

use std::cell::RefCell;
use std::rc::Rc;

use bennu_client_web::{BrowserWebSocket, Client};
use bennu_protocol::client::{
    ChannelId, ClientConfig, ClientEvent, Heartbeat, OpenRequest, Push, PushId, PushOutcome,
};
use bennu_protocol::{Payload, Status};
use js_sys::Function;
use serde_json::json;
use wasm_bindgen::prelude::*;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Join,
    Heartbeat,
    Echo,
    BinaryEcho,
    /// The server closes the connection, as it is asked to.
    Drop,
    Rejoin,
    Leave,
    Disconnect,
    Done,
}

struct Talk {
    step: Step,
    channel: Option<ChannelId>,
    push: Option<PushId>,
    log: Vec<String>,
}

/// Runs it all, and calls `done` with what happened as JSON: `{"step", "log"}`. The page gives it its time.
#[wasm_bindgen]
pub fn run(url: String, done: Function) -> Handle {
    let talk = Talk { step: Step::Join, channel: None, push: None, log: Vec::new() };
    let talk = Rc::new(RefCell::new(talk));
    let request = move || {
        let mut request = OpenRequest::new(url.clone());
        request.auth_token = Some("a token".to_owned());
        request
    };
    let config = ClientConfig::default().heartbeat_interval(std::time::Duration::from_millis(200));
    let handle = {
        let talk = Rc::clone(&talk);
        move |client: &Client, event: ClientEvent| talk.borrow_mut().hear(client, event, &done)
    };
    let client = Client::start(BrowserWebSocket, request, config, handle);
    client.call(|session, now| session.connect(now));
    talk.borrow_mut().channel = client.call(|session, now| session.join("room:1", None, now)).ok();
    Handle { client, talk }
}

/// Keeps the client alive, and tells how far it came.
#[wasm_bindgen]
pub struct Handle {
    client: Client,
    talk: Rc<RefCell<Talk>>,
}

#[wasm_bindgen]
impl Handle {
    /// What has happened, as JSON.
    pub fn report(&self) -> String {
        let _alive = &self.client;
        self.talk.borrow().report()
    }
}

impl Talk {
    fn report(&self) -> String {
        json!({"step": format!("{:?}", self.step), "log": self.log}).to_string()
    }

    fn hear(&mut self, client: &Client, event: ClientEvent, done: &Function) {
        self.log.push(format!("{event:?}"));
        match (self.step, event) {
            (_, ClientEvent::JoinDue { channel, .. }) => {
                client
                    .call(|session, now| session.send_join(channel, Payload::empty(), now))
                    .expect("it is due");
            }
            (Step::Join, ClientEvent::Joined { .. }) => self.step = Step::Heartbeat,
            (Step::Heartbeat, ClientEvent::Heartbeat(Heartbeat::Answered(_))) => {
                self.step = Step::Echo;
                self.push(client, "echo", Payload::json(&json!({"n": "ü"})).expect("it is JSON"));
            }
            (Step::Echo, ClientEvent::PushEnded { push, outcome, .. }) if Some(push) == self.push => {
                let payload = Payload::json(&json!({"n": "ü"})).expect("it is JSON");
                assert_eq!(outcome, PushOutcome::Reply { status: Status::Ok, response: payload });
                self.step = Step::BinaryEcho;
                // More than the browser's buffer may hold before the next frame waits.
                self.push(client, "bin_echo", Payload::binary(vec![7; 100_000]));
            }
            (Step::BinaryEcho, ClientEvent::PushEnded { push, outcome, .. }) if Some(push) == self.push => {
                let response = Payload::binary(vec![7; 100_000]);
                assert!(outcome == PushOutcome::Reply { status: Status::Ok, response }, "the same bytes");
                self.step = Step::Drop;
                self.push(client, "drop_me", Payload::empty());
            }
            (Step::Drop, ClientEvent::Closed(end)) => {
                assert_eq!(end.code, 1001);
                self.step = Step::Rejoin;
            }
            (Step::Rejoin, ClientEvent::Joined { channel, .. }) => {
                assert_eq!(Some(channel), self.channel);
                self.step = Step::Leave;
                self.push = client.call(|session, now| session.leave(channel, now));
            }
            (Step::Leave, ClientEvent::PushEnded { push, outcome, .. }) if Some(push) == self.push => {
                assert!(matches!(outcome, PushOutcome::Reply { status: Status::Ok, .. }));
                self.step = Step::Disconnect;
                client.call(|session, now| session.disconnect(1000, "bye", now));
            }
            (Step::Disconnect, ClientEvent::Closed(end)) => {
                assert_eq!(end.code, 1000);
                self.step = Step::Done;
                done.call1(&JsValue::NULL, &self.report().into()).expect("the page hears");
            }
            _ => {}
        }
    }

    fn push(&mut self, client: &Client, event: &str, payload: Payload) {
        let channel = self.channel.expect("it is joined");
        let pushed = client.call(|session, now| session.push(channel, Push::new(event, payload), now));
        self.push = Some(pushed.expect("it is taken"));
    }
}
