//! The contract as files.

use std::path::Path;

use bennu::prelude::*;
use bennu::typed::{Contract, ContractError, Empty, NoEvents};

use crate::channels::contract;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/contract");

#[test]
fn the_committed_contract_is_what_the_types_say() {
    if let Err(error) = contract().check(COMMITTED) {
        let command =
            "cargo run -p bennu-typed --example contract -- contract crates/bennu-typed/examples/contract";
        panic!("{error}: {command}");
    }
}

#[test]
fn one_command_writes_both_documents_and_nothing_else_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("web/contract");
    let arguments = |rest: &[&str]| {
        std::iter::once("rooms").chain(rest.iter().copied()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(!contract().command(arguments(&[])).unwrap());
    assert!(!contract().command(arguments(&["serve", "contract"])).unwrap());
    assert_eq!(
        contract().command(arguments(&["contract"])).unwrap_err().to_string(),
        "contract needs the folder to write into"
    );
    assert!(contract().command(arguments(&["contract", new.to_str().unwrap()])).unwrap());
    assert_eq!(names(&new), ["asyncapi.json", "channels.d.ts"]);
    contract().check(&new).unwrap();
}

#[test]
fn a_stale_or_absent_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("channels.d.ts");
    assert!(matches!(
        contract().check(folder.path()),
        Err(ContractError::Unreadable { file: named, .. }) if named == file
    ));
    contract().write(folder.path()).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    for (changed, expected) in [
        (text.replacen("export", "import", 1), 4),
        (text.trim_end().to_owned(), text.lines().count() + 1),
        (format!("{text}// more\n"), text.lines().count() + 1),
    ] {
        std::fs::write(&file, changed).unwrap();
        match contract().check(folder.path()) {
            Err(ContractError::Stale { file: named, line }) => {
                assert_eq!((named, line), (file.clone(), expected))
            }
            other => panic!("expected a stale file, got {other:?}"),
        }
    }
}

#[derive(ServerEvents)]
#[expect(dead_code, reason = "only the contract is looked at")]
enum Numbers {
    Counted(Vec<u64>),
}

struct Counter;

impl TypedChannel for Counter {
    type Assigns = ();
    type Params = Empty;
    type Response = Empty;
    type In = NoEvents;
    type Out = Numbers;

    async fn join(_: JoinRequest<()>, _: Empty) -> Result<(Self, Empty), JoinRefusal> {
        Ok((Counter, Empty))
    }

    async fn handle_in(&mut self, event: NoEvents, _: &mut TypedContext<'_, Self>) -> AnswerResult {
        match event {}
    }
}

#[test]
fn a_server_event_that_clients_cannot_get_fails_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let contract = Contract::new("Counter", "1.0.0").channel::<Counter>("a").channel::<Counter>("b:*");
    contract.write(folder.path()).unwrap();
    match contract.check(folder.path()) {
        Err(ContractError::NotAnObject { channel, event }) => {
            assert_eq!((channel.as_str(), event), ("Counter", "counted"));
        }
        other => panic!("expected an event of an array, got {other:?}"),
    }
    let types = contract.typescript();
    assert!(types.contains("export interface Counter {") && types.contains("export interface Counter2 {"));
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
