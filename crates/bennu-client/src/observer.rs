//! What a driver does, as telemetry.

use std::sync::Arc;
use std::time::Duration;

use bennu_protocol::client::{ClientEvent, ConnectionEnd, Heartbeat};
use bennu_protocol::{DecodeError, Frame, Payload, Serializer, Topic};

use crate::channel::Core;
use crate::error::{ChannelEnd, JoinError, SocketEnd};
use crate::message::Message;
use crate::shared::Shared;
use crate::status::{ChannelStatus, SocketStatus};
use crate::telemetry::{self, Group, SocketId};

/// Tells the process's telemetry what its socket does.
pub(crate) struct Observer {
    shared: Arc<Shared>,
    /// Of the connection that there is, or that is being made.
    url: String,
    connect_started: Duration,
    is_open: bool,
}

impl Observer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let url = shared.lock().config.url.clone();
        Observer { shared, url, connect_started: Duration::ZERO, is_open: false }
    }

    /// Tells of one event of the session, with the channel that it is about.
    pub(crate) fn tell(&mut self, event: &ClientEvent, core: Option<&Core>) {
        if let ClientEvent::LeaveAnswered { topic, took } = event {
            telemetry::channel_leave_duration(self.id(), topic, *took);
        }
        match core {
            Some(core) => self.tell_of_channel(event, core),
            None => self.tell_of_socket(event),
        }
    }

    fn tell_of_socket(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Connect { .. } => {
                self.url = self.shared.lock().config.url.clone();
                self.connect_started = self.shared.now();
                telemetry::socket_connecting(self.id(), &self.url);
            }
            ClientEvent::Opened => {
                self.is_open = true;
                telemetry::socket_connected(self.id(), &self.url);
                let (now, started) =
                    (self.shared.now(), self.shared.lock().session.snapshot().connect_started);
                let took = now.saturating_sub(started.unwrap_or(now));
                telemetry::socket_connection_duration(self.id(), &self.url, took);
            }
            ClientEvent::Closed(end) if std::mem::take(&mut self.is_open) => {
                telemetry::socket_disconnected(self.id(), &self.url, &reason(end));
            }
            ClientEvent::ConnectionError { reason, .. } => {
                telemetry::socket_connection_error(self.id(), &self.url, reason);
            }
            ClientEvent::Heartbeat(Heartbeat::Sent) => telemetry::heartbeat_sent(self.id(), &self.url),
            ClientEvent::SocketStatus { old, new } => {
                let [old, new] = [old, new].map(|status| SocketStatus::new(*status, self.shared.epoch));
                telemetry::socket_status_changed(self.id(), &self.url, old.as_str(), new.as_str());
                if let SocketStatus::Reconnecting { attempt, .. } = new {
                    telemetry::reconnecting(self.id(), &self.url, attempt);
                }
            }
            _ => {}
        }
    }

    fn tell_of_channel(&self, event: &ClientEvent, core: &Core) {
        let (id, topic) = (self.id(), &core.topic);
        match event {
            ClientEvent::Joined { response, took, .. } => {
                telemetry::channel_joined(id, topic, response);
                telemetry::channel_join_duration(id, topic, *took);
            }
            ClientEvent::JoinFailed { failure, .. } => {
                let error = JoinError::new(failure.clone());
                telemetry::channel_join_error(id, topic, &error.to_string());
            }
            ClientEvent::ChannelStatus { old, new, .. } => {
                let [old, new] = [old, new].map(|status| ChannelStatus::new(*status, self.shared.epoch));
                // The time of the next attempt is no other status.
                if old.as_str() != new.as_str() {
                    telemetry::channel_status_changed(id, topic, old.as_str(), new.as_str());
                }
            }
            ClientEvent::ChannelClosed { reason, .. } => self.tell_closed(core, reason.clone().into()),
            _ => {}
        }
    }

    /// Its last status is told here, as nobody knows the channel any more when the session tells it.
    fn tell_closed(&self, core: &Core, reason: ChannelEnd) {
        let reason = core.end_reason().unwrap_or(reason);
        let (old, new) = match &reason {
            ChannelEnd::Left | ChannelEnd::Replaced => (ChannelStatus::Leaving, ChannelStatus::Left),
            ChannelEnd::Panicked => (ChannelStatus::Leaving, ChannelStatus::Failed),
            ChannelEnd::Closed(_) | ChannelEnd::SocketEnded(_) => (core.status(), ChannelStatus::Left),
        };
        telemetry::channel_left(self.id(), &core.topic, &reason.to_string());
        telemetry::channel_status_changed(self.id(), &core.topic, old.as_str(), new.as_str());
    }

    /// The transport takes this frame.
    pub(crate) fn sent(&self, frame: &Frame) {
        self.tell_message(frame, Message::decode_client, telemetry::message_sent);
    }

    /// The transport has brought this frame.
    pub(crate) fn received(&self, frame: &Frame) {
        self.tell_message(frame, Message::decode, telemetry::message_received);
    }

    /// Heartbeats are told as what they are.
    fn tell_message(
        &self,
        frame: &Frame,
        decode: fn(Serializer, Frame) -> Result<Message, DecodeError>,
        tell: fn(SocketId, &str, &str, &Payload),
    ) {
        if !telemetry::is_listened_to(Group::Message) {
            return;
        }
        let serializer = self.shared.lock().session.serializer();
        match decode(serializer, frame.clone()) {
            Ok(message) if *message.topic != *Topic::PHOENIX => {
                tell(self.id(), &message.topic, message.event.as_str(), &message.payload);
            }
            // What cannot be read is warned about where it is handled.
            Ok(_) | Err(_) => {}
        }
    }

    /// The driver does nothing any more.
    pub(crate) fn ended(&mut self, end: SocketEnd) {
        if std::mem::take(&mut self.is_open) {
            telemetry::socket_disconnected(self.id(), &self.url, &end.to_string());
        }
    }

    fn id(&self) -> SocketId {
        self.shared.id
    }
}

fn reason(end: &ConnectionEnd) -> String {
    match end.reason.as_str() {
        "" => end.code.to_string(),
        reason => format!("{} {reason}", end.code),
    }
}
