//! What the official client makes of the messages: a model of its merge, which fails where that would.

use serde_json::{Map, Value};

/// What the client holds of a view.
#[derive(Debug, Default)]
pub(crate) struct Client {
    tree: Value,
}

impl Client {
    /// Takes a message.
    pub(crate) fn receive(&mut self, message: &[u8]) {
        let mut message: Value = serde_json::from_slice(message).expect("a message is JSON");
        resolve(&mut message, None);
        match message.get("s") {
            Some(_) => self.tree = message,
            None => merge(&mut self.tree, message),
        }
    }

    /// The page as it shows it.
    pub(crate) fn page(&self) -> String {
        let mut page = String::new();
        node(&self.tree, object(&self.tree), &mut page);
        page
    }
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("not a node: {value}"))
}

/// Puts statics in the places of their numbers.
fn resolve(value: &mut Value, table: Option<&Value>) {
    let Some(object) = value.as_object_mut() else {
        if let Some(array) = value.as_array_mut() {
            array.iter_mut().for_each(|value| resolve(value, table));
        }
        return;
    };
    let own = object.remove("p");
    let table = own.as_ref().or(table);
    for (name, value) in object.iter_mut() {
        if name != "s" {
            resolve(value, table);
        } else if value.is_number() {
            *value = table.expect("a table of statics")[value.to_string()].clone();
            assert!(value.is_array(), "the table lacks statics");
        }
    }
}

fn merge(target: &mut Value, diff: Value) {
    let Value::Object(mut diff) = diff else { panic!("no message: {diff}") };
    if let Some(entries) = diff.remove("k") {
        assert!(diff.is_empty(), "keys that the client does not look at: {diff:?}");
        merge_entries(&mut target["k"], entries);
        return;
    }
    for (name, value) in diff {
        assert!(name.parse::<usize>().is_ok(), "{name} is no hole");
        let held = target.get_mut(&name).unwrap_or_else(|| panic!("the client has no hole {name}"));
        merge_hole(held, value);
    }
}

fn merge_hole(held: &mut Value, value: Value) {
    if !value.is_object() || value.get("s").is_some() {
        *held = value;
    } else {
        assert!(held.is_object(), "an update of what is no node: {held}");
        merge(held, value);
    }
}

fn merge_entries(held: &mut Value, diff: Value) {
    let Value::Object(mut diff) = diff else { panic!("no entries: {diff}") };
    let count = diff.remove("kc").and_then(|count| count.as_u64()).expect("a count");
    let moves = diff.remove("km").is_some();
    let before = if moves { held.clone() } else { Value::Null };
    let mut moved = false;
    for (index, value) in diff {
        let mut from_before = |index: &Value| {
            assert!(moves, "a move without km");
            moved = true;
            before.get(index.to_string()).cloned().unwrap_or_else(|| panic!("no entry {index} before"))
        };
        match value {
            Value::Number(old) => held[&index] = from_before(&Value::Number(old)),
            Value::Array(pair) => {
                let [old, change] = <[Value; 2]>::try_from(pair).expect("an entry and its change");
                let mut entry = from_before(&old);
                merge(&mut entry, change);
                held[&index] = entry;
            }
            value => match held.get_mut(&index) {
                Some(held) => merge_entry(held, value),
                None => held[&index] = value,
            },
        }
    }
    assert_eq!(moves, moved, "km is there for moves alone");
    let held = held.as_object_mut().expect("entries");
    held.retain(|index, _| index.parse::<u64>().is_ok_and(|index| index < count));
    held.insert("kc".to_owned(), count.into());
}

/// An entry is laid over what is at its index, whether that was another entry or the same.
fn merge_entry(held: &mut Value, value: Value) {
    let Value::Object(value) = value else { panic!("no entry: {value}") };
    for (name, value) in value {
        match held.get_mut(&name) {
            Some(held) => merge_hole(held, value),
            None => held[&name] = value,
        }
    }
}

fn node(node: &Value, holes: &Map<String, Value>, page: &mut String) {
    let statics = node["s"].as_array().unwrap_or_else(|| panic!("no statics: {node}"));
    for (index, part) in statics.iter().enumerate() {
        if index > 0 {
            let name = (index - 1).to_string();
            hole(holes.get(&name).unwrap_or_else(|| panic!("no hole {name} in {node}")), page);
        }
        page.push_str(part.as_str().expect("a literal string"));
    }
}

fn hole(value: &Value, page: &mut String) {
    match value {
        Value::String(text) => page.push_str(text),
        Value::Object(list) if list.contains_key("k") => {
            let entries = &list["k"];
            for index in 0..entries["kc"].as_u64().expect("a count") {
                node(value, object(&entries[index.to_string()]), page);
            }
        }
        Value::Object(holes) => node(value, holes, page),
        other => panic!("nothing to show: {other}"),
    }
}
