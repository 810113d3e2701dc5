//! `bennu new`: writes a small working project.
//!
//! What it writes is a crate of our own workspace, `tools/cli/template`, so that it is compiled and tested with everything else. Only
//! its manifest is made here.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::exit::{Exit, failure};

/// `bennu new`.
#[derive(Debug, Args)]
#[command(after_help = "Example: bennu new my-chat --bennu-path ../bennu")]
pub(crate) struct New {
    /// Folder of the project; its last part is the project's name
    #[arg(value_name = "NAME")]
    path: PathBuf,

    /// Use the checkout of bennu in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "bennu_git")]
    bennu_path: Option<PathBuf>,

    /// Use bennu from this git repository; without either, the published version of this program
    #[arg(long, value_name = "URL")]
    bennu_git: Option<String>,
}

/// The template's files; `starter` in them stands for the project's name.
const FILES: &[(&str, &str)] = &[
    (".gitignore", include_str!("../template/gitignore")),
    ("README.md", include_str!("../template/README.md")),
    ("examples/chat.rs", include_str!("../template/examples/chat.rs")),
    ("src/lib.rs", include_str!("../template/src/lib.rs")),
    ("src/main.rs", include_str!("../template/src/main.rs")),
    ("src/room.rs", include_str!("../template/src/room.rs")),
    ("tests/room.rs", include_str!("../template/tests/room.rs")),
];

const TEMPLATE: &str = "starter";

/// What a project cannot be called: crates that it uses, and what Rust or cargo keep for themselves.
const TAKEN: &[&str] = &[
    "anyhow",
    "axum",
    "bennu",
    "serde",
    "serde-json",
    "tokio",
    "tracing",
    "tracing-subscriber",
    "alloc",
    "core",
    "proc-macro",
    "std",
    "test",
    "build",
    "deps",
    "examples",
    "incremental",
    "as",
    "async",
    "await",
    "box",
    "break",
    "const",
    "continue",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "abstract",
    "become",
];

pub(crate) fn run(new: &New) -> anyhow::Result<Exit> {
    let name = name(&new.path)?;
    let manifest = manifest(name, &new.source()?);
    create(&new.path)?;
    write(&new.path, "Cargo.toml", &manifest)?;
    for (file, template) in FILES {
        write(&new.path, file, &named(template, name))?;
    }
    // For people; whoever cannot read it has the project all the same.
    let _ = writeln!(
        anstream::stderr(),
        "{} is there. Next:\n\n    cd {}\n    cargo test\n    cargo run\n\nREADME.md says what is where.",
        name,
        new.path.display()
    );
    Ok(Exit::Done)
}

impl New {
    fn source(&self) -> anyhow::Result<Source> {
        if let Some(path) = &self.bennu_path {
            let root = path.canonicalize().with_context(|| format!("there is no {}", path.display()))?;
            if !root.join("crates/bennu/Cargo.toml").is_file() {
                return Err(failure(
                    Exit::Usage,
                    format!("{} is no checkout of bennu: it has no crates/bennu", path.display()),
                ));
            }
            return Ok(Source::Path(root));
        }
        Ok(self.bennu_git.clone().map_or(Source::Published, Source::Git))
    }
}

/// Where the project's bennu comes from.
enum Source {
    Path(PathBuf),
    Git(String),
    Published,
}

impl Source {
    /// What stands behind `=` in the manifest.
    fn dependency(&self, package: &str) -> String {
        let text = |text: String| toml_text(&text);
        match self {
            Source::Path(root) => {
                format!("{{ path = {} }}", text(root.join("crates").join(package).display().to_string()))
            }
            Source::Git(url) => format!("{{ git = {} }}", text(url.clone())),
            Source::Published => {
                text(format!("{}.{}", env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR")))
            }
        }
    }
}

/// A basic string of TOML has the escapes of JSON.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn manifest(name: &str, source: &Source) -> String {
    format!(
        r#"[package]
name = "{name}"
version = "0.1.0"
edition = "2024"
publish = false

[dependencies]
anyhow = "1"
axum = {{ version = "0.8", default-features = false, features = ["http1", "tokio"] }}
bennu = {bennu}
serde = {{ version = "1", features = ["derive"] }}
serde_json = "1"
tokio = {{ version = "1", features = ["macros", "net", "rt-multi-thread"] }}
tracing = "0.1"
tracing-subscriber = {{ version = "0.3", features = ["env-filter"] }}

[dev-dependencies]
bennu-client = {client}
bennu-testkit = {testkit}
tokio = {{ version = "1", features = ["io-std", "io-util"] }}
"#,
        bennu = source.dependency("bennu"),
        client = source.dependency("bennu-client"),
        testkit = source.dependency("bennu-testkit"),
    )
}

/// The project's name in a file of the template, which is text, or the crate's name in code.
fn named(template: &str, name: &str) -> String {
    let code = format!("{TEMPLATE}::");
    template.replace(&code, &format!("{}::", name.replace('-', "_"))).replace(TEMPLATE, name)
}

/// The last part of the path, if a crate can be called so.
fn name(path: &Path) -> anyhow::Result<&str> {
    let usage = |what: String| failure(Exit::Usage, what);
    let name = path.file_name().and_then(|name| name.to_str());
    let name =
        name.ok_or_else(|| usage(format!("{} has no name for a project at its end", path.display())))?;
    let letters = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
    if !letters || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(usage(format!(
            "a project cannot be called {name:?}: small letters, digits, - and _, and a letter first"
        )));
    }
    // Names that differ in these alone are the same crate in code.
    let same = name.replace('_', "-");
    if TAKEN.contains(&&*same) || same.starts_with("bennu-") {
        return Err(usage(format!(
            "a project cannot be called {name}: the name is taken by Rust or by a crate that it uses"
        )));
    }
    Ok(name)
}

/// Makes the folder, or takes one that is empty.
fn create(path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write to {}", path.display());
    match fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(failure(
                Exit::Failed,
                format!("{} is there already, and not empty: nothing was written", path.display()),
            )),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(path).with_context(cannot),
        Err(error) => Err(error).with_context(cannot),
    }
}

/// Writes a new file; one that appeared meanwhile stays as it is.
fn write(folder: &Path, file: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(file);
    let cannot = || format!("cannot write {}", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(cannot)?;
    }
    let mut opened = fs::File::create_new(&path).with_context(cannot)?;
    opened.write_all(text.as_bytes()).with_context(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_projects() {
        for (path, expected) in [
            ("chat", Some("chat")),
            ("some/where/my-chat_2", Some("my-chat_2")),
            ("./chat/", Some("chat")),
            ("Chat", None),
            ("2chat", None),
            ("-chat", None),
            ("my chat", None),
            ("chät", None),
            ("fn", None),
            ("test", None),
            ("tokio", None),
            ("bennu", None),
            ("bennu-server", None),
            ("bennu_client", None),
            ("serde-json", None),
            ("serde_json", None),
            ("tracing_subscriber", None),
            ("proc_macro", None),
            ("bennus_chat", Some("bennus_chat")),
            ("..", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(name(Path::new(path)).ok(), expected, "{path}");
        }
    }

    #[test]
    fn code_has_the_crates_name_and_text_the_projects() {
        assert_eq!(named("starter::endpoint() of starter", "my-chat"), "my_chat::endpoint() of my-chat");
    }

    #[test]
    fn bennu_comes_from_where_the_user_says() {
        let git = manifest("chat", &Source::Git("https://example.com/\"x\"".to_owned()));
        assert!(git.contains(r#"bennu = { git = "https://example.com/\"x\"" }"#), "{git}");
        let published = manifest("chat", &Source::Published);
        assert!(
            published.contains("bennu = \"0.1\"\n") && published.contains("bennu-testkit = \"0.1\"\n"),
            "{published}"
        );
    }
}
