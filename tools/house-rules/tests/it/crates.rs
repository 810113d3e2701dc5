//! The arrows between crates, as ARCHITECTURE.md draws them.

use house_rules::{SourceFile, files};

/// Each crate of the workspace, and the ones of ours that its code may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("bennu-protocol", &[]),
    ("bennu-pubsub", &[]),
    ("bennu-pubsub-nats", &["bennu-pubsub"]),
    ("bennu-token", &[]),
    ("bennu-presence", &["bennu-protocol", "bennu-pubsub"]),
    ("bennu-client", &["bennu-protocol"]),
    ("bennu-server", &["bennu-protocol", "bennu-pubsub", "bennu-token"]),
    ("bennu-server-axum", &["bennu-pubsub", "bennu-server"]),
    ("bennu-pubsub-redis", &["bennu-pubsub"]),
    ("bennu-pubsub-zenoh", &["bennu-pubsub"]),
    ("bennu-cluster", &["bennu-pubsub", "bennu-pubsub-nats", "bennu-pubsub-redis", "bennu-pubsub-zenoh"]),
    ("bennu-macros", &[]),
    ("bennu-live-macros", &[]),
    ("bennu-live", &["bennu-live-macros"]),
    ("bennu-typed", &["bennu-macros", "bennu-presence", "bennu-protocol", "bennu-server"]),
    ("bennu-testkit", &["bennu-client", "bennu-protocol", "bennu-pubsub", "bennu-server"]),
    (
        "bennu",
        &[
            "bennu-cluster",
            "bennu-presence",
            "bennu-protocol",
            "bennu-pubsub",
            "bennu-server",
            "bennu-server-axum",
            "bennu-token",
            "bennu-typed",
        ],
    ),
    ("sound-forge-audio", &[]),
    ("sound-forge", &["bennu", "sound-forge-audio"]),
    ("reference-server", &["bennu"]),
    ("bennu-bench", &["bennu-protocol"]),
    ("bennu-engines", &[]),
    ("bennu-cli", &["bennu-client", "bennu-protocol", "bennu-token"]),
    ("starter", &["bennu"]),
    ("chat", &["bennu"]),
    ("rooms", &["bennu"]),
    ("migration", &["bennu"]),
    ("house-rules", &[]),
];

/// What `bennu-protocol` may use at all: no runtime, no sockets, no clocks.
const PROTOCOL_DEPENDENCIES: &[&str] =
    &["bytes", "flate2", "itoa", "serde", "serde_json", "simdutf8", "smol_str", "thiserror"];

fn manifests() -> Vec<SourceFile> {
    let packages = files(&["/Cargo.toml"]).into_iter().filter(|file| file.text.contains("[package]"));
    // One with a `[workspace]` of its own, as the fuzz targets have, is none of this workspace, and neither is what is below it.
    let (others, rest): (Vec<SourceFile>, Vec<SourceFile>) =
        packages.partition(|file| file.text.contains("\n[workspace]"));
    let folders: Vec<&str> = others.iter().filter_map(|file| file.path.strip_suffix("Cargo.toml")).collect();
    rest.into_iter().filter(|file| !folders.iter().any(|folder| file.path.starts_with(folder))).collect()
}

fn name(manifest: &SourceFile) -> &str {
    let line = manifest.text.lines().find_map(|line| line.strip_prefix("name = "));
    line.expect("a package has a name").trim_matches('"')
}

/// The keys of `[dependencies]`, without those for tests and builds.
fn dependencies(manifest: &SourceFile) -> Vec<&str> {
    let section = manifest.text.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let keys = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    keys.filter(|key| !key.is_empty() && !key.starts_with('#')).collect()
}

#[test]
fn arrows_between_crates_are_the_drawn_ones() {
    let ours: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for manifest in manifests() {
        let name = name(&manifest);
        let (_, allowed) = ARROWS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| {
            panic!("{name} is not in the list: draw it in ARCHITECTURE.md and here");
        });
        for dependency in dependencies(&manifest) {
            let drawn = !ours.contains(&dependency) || allowed.contains(&dependency);
            assert!(drawn, "{name} must not know {dependency}");
        }
    }
}

#[test]
fn every_crate_of_the_list_exists() {
    let manifests = manifests();
    let names: Vec<&str> = manifests.iter().map(name).collect();
    for (known, _) in ARROWS {
        assert!(names.contains(known), "{known} is in the list but not in the workspace");
    }
}

#[test]
fn the_protocol_has_no_runtime() {
    let manifests = manifests();
    let protocol = manifests.iter().find(|manifest| name(manifest) == "bennu-protocol");
    let dependencies = dependencies(protocol.expect("the protocol crate"));
    assert_eq!(dependencies, PROTOCOL_DEPENDENCIES);
}

#[test]
fn every_crate_takes_its_lints_from_the_workspace() {
    for manifest in manifests() {
        assert!(manifest.text.contains("[lints]\nworkspace = true"), "{}", manifest.path);
    }
}
