//! Telling: what the sockets of this crate call, and whoever makes something like them.

use std::time::{Duration, SystemTime};

use bennu_protocol::{Event, Payload, Topic};

use super::event::{
    ChannelAction, ChannelTelemetry, Group, MessageAction, MessageTelemetry, SocketAction, SocketId,
    SocketTelemetry, StateOf, StateTelemetry, TelemetryEvent,
};
use super::handlers::{is_listened_to, tell};

/// Tells of any event.
pub fn emit_event(event: &TelemetryEvent) {
    tell(event);
}

/// Tells of something that happened to a socket. Of the URL the query and the user are left out.
pub fn socket_event(socket: SocketId, url: &str, action: SocketAction) {
    if is_listened_to(Group::Socket) {
        let (url, timestamp) = (without_secrets(url), SystemTime::now());
        tell(&TelemetryEvent::Socket(SocketTelemetry { socket, url, timestamp, action }));
    }
}

/// Tells of something that happened to a channel.
pub fn channel_event(socket: SocketId, topic: &str, action: ChannelAction) {
    if is_listened_to(Group::Channel) {
        let (topic, timestamp) = (Topic::from(topic), SystemTime::now());
        tell(&TelemetryEvent::Channel(ChannelTelemetry { socket, topic, timestamp, action }));
    }
}

/// Tells of something that happened to a message.
pub fn message_event(socket: SocketId, topic: &str, event: &str, payload: &Payload, action: MessageAction) {
    if is_listened_to(Group::Message) {
        tell(&TelemetryEvent::Message(MessageTelemetry {
            socket,
            topic: Topic::from(topic),
            event: Event::from(event),
            payload: payload.clone(),
            timestamp: SystemTime::now(),
            action,
        }));
    }
}

/// Tells of a change of status, to the group [`State`](Group::State) alone.
pub fn state_change_event(socket: SocketId, of: StateOf, old: &'static str, new: &'static str) {
    if is_listened_to(Group::State) {
        let timestamp = SystemTime::now();
        tell(&TelemetryEvent::State(StateTelemetry { socket, of, old, new, timestamp }));
    }
}

/// Tells that a connection is being made.
pub fn socket_connecting(socket: SocketId, url: &str) {
    socket_event(socket, url, SocketAction::Connecting);
}

/// Tells that a connection is open.
pub fn socket_connected(socket: SocketId, url: &str) {
    socket_event(socket, url, SocketAction::Connected);
}

/// Tells that a connection has ended.
pub fn socket_disconnected(socket: SocketId, url: &str, reason: &str) {
    if is_listened_to(Group::Socket) {
        socket_event(socket, url, SocketAction::Disconnected { reason: reason.to_owned() });
    }
}

/// Tells that a connection failed or could not be made.
pub fn socket_connection_error(socket: SocketId, url: &str, error: &str) {
    if is_listened_to(Group::Socket) {
        socket_event(socket, url, SocketAction::ConnectionError { error: error.to_owned() });
    }
}

/// Tells how long it took to connect.
pub fn socket_connection_duration(socket: SocketId, url: &str, duration: Duration) {
    socket_event(socket, url, SocketAction::ConnectionDuration { duration });
}

/// Tells that the next connection will be made by itself.
pub fn reconnecting(socket: SocketId, url: &str, attempt: u32) {
    socket_event(socket, url, SocketAction::Reconnecting { attempt });
}

/// Tells that a heartbeat was sent.
pub fn heartbeat_sent(socket: SocketId, url: &str) {
    socket_event(socket, url, SocketAction::Heartbeat);
}

/// Tells of a socket's new status: to the group of sockets, then to that of states.
pub fn socket_status_changed(socket: SocketId, url: &str, old: &'static str, new: &'static str) {
    socket_event(socket, url, SocketAction::StatusChanged { old, new });
    state_change_event(socket, StateOf::Socket, old, new);
}

/// Tells that a server let a channel in.
pub fn channel_joined(socket: SocketId, topic: &str, response: &Payload) {
    if is_listened_to(Group::Channel) {
        channel_event(socket, topic, ChannelAction::Joined { response: response.clone() });
    }
}

/// Tells that an attempt to join failed.
pub fn channel_join_error(socket: SocketId, topic: &str, error: &str) {
    if is_listened_to(Group::Channel) {
        channel_event(socket, topic, ChannelAction::JoinError { error: error.to_owned() });
    }
}

/// Tells how long joining took.
pub fn channel_join_duration(socket: SocketId, topic: &str, duration: Duration) {
    channel_event(socket, topic, ChannelAction::JoinDuration { duration });
}

/// Tells that a channel has ended for good.
pub fn channel_left(socket: SocketId, topic: &str, reason: &str) {
    if is_listened_to(Group::Channel) {
        channel_event(socket, topic, ChannelAction::Left { reason: reason.to_owned() });
    }
}

/// Tells how long leaving took.
pub fn channel_leave_duration(socket: SocketId, topic: &str, duration: Duration) {
    channel_event(socket, topic, ChannelAction::LeaveDuration { duration });
}

/// Tells of a channel's new status: to the group of channels, then to that of states.
pub fn channel_status_changed(socket: SocketId, topic: &str, old: &'static str, new: &'static str) {
    channel_event(socket, topic, ChannelAction::StatusChanged { old, new });
    if is_listened_to(Group::State) {
        state_change_event(socket, StateOf::Channel(Topic::from(topic)), old, new);
    }
}

/// Tells that a message was handed to the socket.
pub fn message_sent(socket: SocketId, topic: &str, event: &str, payload: &Payload) {
    message_event(socket, topic, event, payload, MessageAction::Sent);
}

/// Tells that a message came from the server.
pub fn message_received(socket: SocketId, topic: &str, event: &str, payload: &Payload) {
    message_event(socket, topic, event, payload, MessageAction::Received);
}

/// The URL up to its query or fragment, without user and password.
pub(crate) fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_without_their_secrets() {
        for (url, told) in [
            ("wss://h/socket/websocket?token=s&vsn=2.0.0", "wss://h/socket/websocket"),
            ("ws://user:s@h:4000/socket", "ws://h:4000/socket"),
            ("ws://user:s@h?x=/@", "ws://h"),
            ("ws://h/a@b#s", "ws://h/a@b"),
            ("no url?s", "no url"),
        ] {
            assert_eq!(without_secrets(url), told, "{url}");
        }
    }
}
