//! A background task that speaks in the rooms: how much was said there.

use std::time::Duration;

use bennu::Endpoint;
use serde_json::json;

use crate::chat::Chat;

/// Says in each room how many messages it had in the last `period`, again and again; in rooms
/// where nobody said anything it says nothing.
pub async fn run(endpoint: Endpoint, chat: Chat, period: Duration) {
    let mut told = chat.last_id();
    loop {
        tokio::time::sleep(period).await;
        let newest = chat.last_id();
        for room in chat.rooms() {
            let count = chat.count_between(room.id, told, newest);
            if count > 0 {
                announce(&endpoint, room.id, &format!("{count} new message(s) since the last digest"));
            }
        }
        told = newest;
    }
}

/// Says something in a room as the system: nobody's message, and not kept.
pub fn announce(endpoint: &Endpoint, room: u64, body: &str) {
    let announced =
        endpoint.broadcast(format!("room:{room}"), "message:new", json!({ "body": body, "system": true }));
    announced.expect("an object of text and a boolean can be carried by every version");
}
