//! The contract as files.

use std::path::Path;

use bennu::typed::ContractError;

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

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
