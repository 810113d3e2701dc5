//! The contract's documents, read by the programs that they are for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::channels::contract;
use crate::npm::{output, packages, workplace};

/// Compiles one program against the declarations, and gives what the compiler says, a line each.
fn compile(program: &str) -> Vec<String> {
    let folder = workplace(&[program, "tsconfig.json"]);
    fs::write(folder.path().join("channels.d.ts"), contract().typescript()).unwrap();
    let compiler = packages().join("node_modules/typescript/bin/tsc");
    let output = output(
        Command::new("node").arg(compiler).args(["-p", ".", "--pretty", "false"]).current_dir(&folder),
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.success(), text.is_empty(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_right_typescript_program_compiles_and_needs_no_cast() {
    assert_eq!(compile("right.ts"), Vec::<String>::new());
}

#[test]
fn each_misuse_in_a_typescript_program_is_an_error_on_its_line() {
    let source = fs::read_to_string(Path::new(crate::npm::SOURCES).join("wrong.ts")).unwrap();
    let numbered = source.lines().zip(1..);
    let expected: BTreeSet<usize> =
        numbered.filter(|(line, _)| line.contains("// wrong: ")).map(|(_, number)| number).collect();
    let output = compile("wrong.ts");
    let line_of = |text: &str| text.strip_prefix("wrong.ts(")?.split_once(',')?.0.parse().ok();
    let found: BTreeSet<usize> = output.iter().filter_map(|text| line_of(text)).collect();
    assert!(expected.len() > 20, "{} lines are marked", expected.len());
    assert_eq!(found, expected, "{}", output.join("\n"));
}

#[test]
fn the_asyncapi_document_is_valid_against_the_specification() {
    let folder = workplace(&["asyncapi.mjs"]);
    contract().write(folder.path()).unwrap();
    let output = output(Command::new("node").args(["asyncapi.mjs", "asyncapi.json"]).current_dir(&folder));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let document = contract().asyncapi();
    let channels = document["channels"].as_object().unwrap();
    let messages: usize =
        channels.values().map(|channel| channel["messages"].as_object().unwrap().len()).sum();
    let expected = format!("AsyncAPI 3.0.0, {messages} messages\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn every_reference_of_the_asyncapi_document_leads_somewhere() {
    let document = contract().asyncapi();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50, "{} references", references.len());
    for reference in references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

#[test]
fn the_asyncapi_document_says_who_sends_what_and_who_answers() {
    let document = contract().asyncapi();
    let at = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    for (pointer, expected) in [
        ("/asyncapi", "3.0.0"),
        ("/info/title", "Rooms"),
        ("/channels/RoomChannel/address", "room:{rest}"),
        ("/channels/LobbyChannel/address", "lobby"),
        ("/channels/RoomChannel/messages/receive.message_new/name", "message:new"),
        (
            "/channels/RoomChannel/messages/receive.message_new/payload/$ref",
            "#/components/schemas/NewMessage",
        ),
        (
            "/channels/RoomChannel/messages/send.message_new/payload/allOf/0/$ref",
            "#/components/schemas/Message",
        ),
        ("/channels/RoomChannel/messages/send.stroke_add/payload/$ref", "#/components/schemas/Stroke"),
        ("/channels/RoomChannel/messages/send.picture_new/contentType", "application/octet-stream"),
        ("/operations/RoomChannel.receive.message_new/action", "receive"),
        ("/operations/RoomChannel.send.message_new/action", "send"),
        (
            "/operations/RoomChannel.receive.message_new/reply/messages/0/$ref",
            "#/channels/RoomChannel/messages/reply.message_new.ok",
        ),
        (
            "/operations/RoomChannel.receive.typing_start/reply/messages/0/$ref",
            "#/channels/RoomChannel/messages/reply.typing_start.error",
        ),
        (
            "/channels/RoomChannel/messages/reply.message_new.ok/payload/properties/response/$ref",
            "#/components/schemas/MessageCreated",
        ),
    ] {
        assert_eq!(at(pointer), expected, "{pointer}");
    }
}

#[test]
fn a_history_adds_its_members_where_it_is_kept_and_nowhere_else() {
    let document = contract().asyncapi();
    let messages = &document["channels"]["RoomChannel"]["messages"];
    let members = |pointer: &str| {
        messages.pointer(pointer).map_or(0, |part| part["properties"].as_object().unwrap().len())
    };
    assert_eq!(members("/receive.phx_join/payload/allOf/1"), 1, "recover");
    assert_eq!(
        members("/reply.phx_join.ok/payload/properties/response/allOf/1"),
        3,
        "epoch, offset, recovered"
    );
    assert_eq!(members("/send.message_new/payload/allOf/1"), 1, "phx_offset");
    let rest = document["channels"]["LobbyChannel"].to_string() + &messages["send.stroke_add"].to_string();
    for member in ["recover", "epoch", "phx_offset"] {
        assert!(!rest.contains(member), "{member}");
    }
}

fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        Value::Object(members) => {
            references.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| collect(member, references));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
