//! Who may talk where, and what was said. In memory: it ends with the process.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bennu::presence::Presences;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};

/// Messages that a room keeps; older ones are forgotten.
const KEPT: usize = 1_000;

/// Characters that a message may have.
const MAX_BODY: usize = 2_000;

/// Users, rooms and messages. Cheap to clone; clones are the same chat.
#[derive(Debug, Clone)]
pub struct Chat(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    users: Vec<User>,
    rooms: Vec<Room>,
    talk: Mutex<Talk>,
}

#[derive(Debug, Default)]
struct Talk {
    messages: HashMap<u64, VecDeque<Message>>,
    last_id: u64,
}

/// Somebody who may log in.
#[derive(Debug, Clone, Serialize)]
pub struct User {
    /// What tokens and presence know of them.
    pub id: u64,
    /// What people call them.
    pub name: &'static str,
}

/// A room.
#[derive(Debug, Clone, Serialize)]
pub struct Room {
    /// The end of its topic, `room:{id}`.
    pub id: u64,
    /// What people call it.
    pub name: &'static str,
    /// Who may enter.
    pub members: Vec<u64>,
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Counts the messages of the chat.
    pub id: u64,
    /// The text.
    pub body: String,
    /// Who said it.
    pub user_id: u64,
    /// When, in UTC.
    pub inserted_at: Timestamp,
}

/// What is wrong with which field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[doc(alias = "changeset")]
pub struct Invalid {
    /// For each field, its errors as sentences without their subject.
    pub errors: BTreeMap<&'static str, Vec<String>>,
}

impl Chat {
    /// Three users and three rooms, in which nothing has been said.
    #[must_use]
    pub fn sample() -> Self {
        let users = [(1, "Ada"), (2, "Grace"), (3, "Alan")].map(|(id, name)| User { id, name });
        let rooms = [(1, "Lobby", vec![1, 2, 3]), (2, "Compilers", vec![1, 2]), (3, "Machines", vec![1, 3])];
        let rooms = rooms.map(|(id, name, members)| Room { id, name, members });
        Chat(Arc::new(Inner { users: users.into(), rooms: rooms.into(), talk: Mutex::default() }))
    }

    /// Everyone who may log in.
    #[must_use]
    pub fn users(&self) -> &[User] {
        &self.0.users
    }

    /// Somebody by id.
    #[must_use]
    pub fn user(&self, id: u64) -> Option<&User> {
        self.0.users.iter().find(|user| user.id == id)
    }

    /// Every room.
    #[must_use]
    pub fn rooms(&self) -> &[Room] {
        &self.0.rooms
    }

    /// A room by id.
    #[must_use]
    pub fn room(&self, id: u64) -> Option<&Room> {
        self.0.rooms.iter().find(|room| room.id == id)
    }

    /// Whether a user may enter a room.
    #[must_use]
    #[doc(alias = "member?")]
    pub fn is_member(&self, user: u64, room: u64) -> bool {
        self.room(room).is_some_and(|room| room.members.contains(&user))
    }

    /// The last messages of a room, oldest first.
    #[must_use]
    pub fn recent_messages(&self, room: u64, limit: usize) -> Vec<Message> {
        let talk = self.0.talk.lock();
        let messages = talk.messages.get(&room);
        let skipped = messages.map_or(0, VecDeque::len).saturating_sub(limit);
        messages.into_iter().flatten().skip(skipped).cloned().collect()
    }

    /// Says something in a room, if it can be said: a text that is not blank and not too long.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with the errors of `body`.
    pub fn create_message(&self, room: u64, user: u64, body: &Value) -> Result<Message, Invalid> {
        let body =
            valid_body(body).map_err(|error| Invalid { errors: BTreeMap::from([("body", vec![error])]) })?;
        let mut talk = self.0.talk.lock();
        talk.last_id += 1;
        let message = Message { id: talk.last_id, body, user_id: user, inserted_at: Timestamp::now() };
        let messages = talk.messages.entry(room).or_default();
        if messages.len() == KEPT {
            messages.pop_front();
        }
        messages.push_back(message.clone());
        Ok(message)
    }

    /// The id of the newest message, in whatever room; 0 before the first.
    #[must_use]
    pub fn last_id(&self) -> u64 {
        self.0.talk.lock().last_id
    }

    /// How many messages a room has, of those after one id and up to another.
    #[must_use]
    pub fn count_between(&self, room: u64, after: u64, until: u64) -> usize {
        let talk = self.0.talk.lock();
        let messages = talk.messages.get(&room).into_iter().flatten();
        messages.filter(|message| after < message.id && message.id <= until).count()
    }

    /// The members of a room, but for the author, whose names stand in a text as `@Name`.
    #[must_use]
    pub fn mentioned(&self, room: u64, message: &Message) -> Vec<u64> {
        let words = message.body.split(|c: char| !c.is_alphanumeric() && c != '@');
        let names: Vec<String> =
            words.filter_map(|word| word.strip_prefix('@')).map(str::to_lowercase).collect();
        let members = self.room(room).map(|room| room.members.as_slice()).unwrap_or_default();
        let users = members.iter().filter(|id| **id != message.user_id).filter_map(|id| self.user(*id));
        users.filter(|user| names.contains(&user.name.to_lowercase())).map(|user| user.id).collect()
    }

    /// Presences with the users' names beside their metas.
    #[must_use]
    pub fn with_names(&self, mut presences: Presences) -> Presences {
        for (key, entry) in presences.iter_mut() {
            let user = key.parse().ok().and_then(|id| self.user(id));
            entry.extra.insert("user".to_owned(), json!({ "name": user.map(|user| user.name) }));
        }
        presences
    }
}

fn valid_body(body: &Value) -> Result<String, String> {
    match body {
        Value::Null => Err("can't be blank".to_owned()),
        Value::String(text) if text.trim().is_empty() => Err("can't be blank".to_owned()),
        Value::String(text) if text.chars().count() > MAX_BODY => {
            Err(format!("should be at most {MAX_BODY} character(s)"))
        }
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err("is invalid".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_said_is_told_in_words() {
        let chat = Chat::sample();
        for (body, error) in [
            (json!(null), "can't be blank"),
            (json!("  \n"), "can't be blank"),
            (json!(7), "is invalid"),
            (json!({"html": "x"}), "is invalid"),
            (json!("x".repeat(2_001)), "should be at most 2000 character(s)"),
        ] {
            let invalid = chat.create_message(1, 1, &body).unwrap_err();
            assert_eq!(serde_json::to_value(invalid).unwrap(), json!({"errors": {"body": [error]}}));
        }
        assert!(chat.create_message(1, 1, &json!("é".repeat(2_000))).is_ok());
    }

    #[test]
    fn the_last_messages_come_oldest_first_and_old_ones_are_forgotten() {
        let chat = Chat::sample();
        for number in 1..=KEPT + 5 {
            chat.create_message(1, 1, &json!(number.to_string())).unwrap();
        }
        let ids = |limit| chat.recent_messages(1, limit).iter().map(|message| message.id).collect::<Vec<_>>();
        assert_eq!(ids(2), [1_004, 1_005]);
        assert_eq!(ids(5_000).len(), KEPT);
        assert!(chat.recent_messages(2, 50).is_empty());
    }

    #[test]
    fn members_are_mentioned_by_name_and_others_are_not() {
        let chat = Chat::sample();
        for (room, body, expected) in [
            (1, "@grace, and @Alan!", vec![2, 3]),
            (2, "@alan is no member", vec![]),
            (1, "@ada talks to herself", vec![]),
            (1, "grace without a sign, and @gracefully", vec![]),
        ] {
            let message = chat.create_message(room, 1, &json!(body)).unwrap();
            assert_eq!(chat.mentioned(room, &message), expected, "{body}");
        }
    }
}
