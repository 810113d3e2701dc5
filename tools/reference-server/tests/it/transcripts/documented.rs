//! That the lists agree: the recordings with the tests, the differences with the recordings and with their document.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::accepted::{DIFFERENCES, Difference, Ours, Place};
use super::recording::{Act, Recording};

const DOCUMENT: &str = "../../docs/transcripts.md";

fn path(relative: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

#[test]
fn every_recording_is_played() {
    let tests = include_str!("mod.rs");
    for entry in fs::read_dir(path("tests/transcripts")).expect("the folder of the recordings") {
        let name = entry.expect("an entry").file_name().into_string().expect("a plain name");
        let Some(file) = name.strip_suffix(".jsonl") else { continue };
        assert!(tests.contains(&format!("fn transcript_{file}_is_answered_alike()")), "{file} has a test");
        assert!(tests.contains(&format!("(\"{file}\", ")), "{file} is played");
    }
}

/// The places of differences, by file.
fn places() -> BTreeMap<&'static str, Vec<&'static Place>> {
    let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for place in DIFFERENCES.iter().flat_map(|difference| difference.places) {
        places.entry(place.file).or_default().push(place);
    }
    places
}

#[test]
fn a_difference_differs_and_leaves_out_nothing_of_the_client() {
    for (file, places) in places() {
        let recording = Recording::read(file);
        for place in &places {
            let events = place.events.clone();
            let others = places.iter().filter(|other| other.events.contains(events.start()));
            assert_eq!(others.count(), 1, "{file}: {events:?} overlaps with another place");
            let recorded: Vec<u32> = place.ours.iter().filter_map(recorded).collect();
            assert!(
                recorded.iter().all(|number| events.contains(number)),
                "{file}: {events:?}: {recorded:?}"
            );
            let unchanged: Vec<Ours> = events.clone().map(Ours::Recorded).collect();
            assert_ne!(place.ours, unchanged, "{file}: {events:?} is as it was recorded");
            for event in &recording.events[*events.start() as usize - 1..*events.end() as usize] {
                let is_kept = matches!(event.act, Act::Received(_)) || recorded.contains(&event.number);
                assert!(is_kept, "{file}: the client's event {} is left out", event.number);
            }
        }
    }
}

fn recorded(ours: &Ours) -> Option<u32> {
    match ours {
        Ours::Recorded(number) => Some(*number),
        Ours::With(..) | Ours::Text(..) | Ours::Close(..) | Ours::Fin(..) | Ours::Response(_) => None,
    }
}

#[test]
fn the_document_tells_the_differences() {
    let document = fs::read_to_string(path(DOCUMENT)).expect("docs/transcripts.md");
    let (_, table) = document.split_once("\n| Phoenix |").expect("the table of differences");
    let table: Vec<String> = format!("| Phoenix |{table}").lines().map(str::to_owned).collect();
    let mut expected =
        vec!["| Phoenix | Here | Why | Where |".to_owned(), "| --- | --- | --- | --- |".to_owned()];
    expected.extend(DIFFERENCES.iter().map(row));
    assert_eq!(table, expected, "the table of docs/transcripts.md should be:\n{}", expected.join("\n"));
}

fn row(difference: &Difference) -> String {
    let Difference { phoenix, here, reason, places } = difference;
    let mut files: Vec<(&str, Vec<String>)> = Vec::new();
    for place in *places {
        let (start, end) = (place.events.start(), place.events.end());
        let events = if start == end { start.to_string() } else { format!("{start}–{end}") };
        match files.iter_mut().find(|(file, _)| *file == place.file) {
            Some((_, all)) => all.push(events),
            None => files.push((place.file, vec![events])),
        }
    }
    let files: Vec<String> =
        files.iter().map(|(file, events)| format!("`{file}` {}", events.join(", "))).collect();
    format!("| {phoenix} | {here} | {reason} | {} |", files.join("; "))
}
