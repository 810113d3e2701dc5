//! `bennu new`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::bennu;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders below the root").to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the build's own folder has a name in UTF-8")
}

/// Cargo's word on a generated project. Its lock file and its built dependencies are the workspace's, as far as their features agree:
/// nothing is fetched, and a second run builds nothing. Its folder is a workspace of its own, as it lies below ours.
#[test]
fn a_new_project_compiles_with_its_tests() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new_project");
    let _ = fs::remove_dir_all(&folder);
    let project = folder.join("my-chat");
    bennu(&["new", text(&project), "--bennu-path", text(&root())]).ok();
    fs::write(folder.join("Cargo.toml"), "[workspace]\nmembers = [\"my-chat\"]\nresolver = \"3\"\n").unwrap();
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder");
    let checked = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--all-targets", "--target-dir", text(target)])
        .current_dir(&project)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

/// Its tests run with the workspace's: it is the template, with another name.
#[test]
fn a_new_project_is_the_template_that_the_workspace_tests() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("starter");
    bennu(&["new", text(&project), "--bennu-path", text(&root())]).ok();
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("template");
    for file in ["README.md", "examples/chat.rs", "src/lib.rs", "src/main.rs", "src/room.rs", "tests/room.rs"]
    {
        assert_eq!(
            fs::read_to_string(project.join(file)).unwrap(),
            fs::read_to_string(template.join(file)).unwrap(),
            "{file}"
        );
    }
    assert_eq!(fs::read_to_string(project.join(".gitignore")).unwrap(), "/target\n");
    // The template's own dependencies are the ones that a project gets.
    let names = |manifest: &Path| {
        let text = fs::read_to_string(manifest).unwrap();
        let tables: Vec<&str> = text.split("dependencies]\n").skip(1).collect();
        let lines = tables.iter().flat_map(|table| table.lines().take_while(|line| !line.is_empty()));
        lines.filter_map(|line| line.split(['.', ' ']).next().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(names(&project.join("Cargo.toml")), names(&template.join("Cargo.toml")));
}

#[test]
fn every_file_says_the_projects_name() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("some/where/my-chat");
    let said = bennu(&["new", text(&project)]);
    assert!(said.stderr.contains("cargo run"), "{}", said.stderr);
    said.ok();
    for (file, expected) in [
        ("Cargo.toml", "name = \"my-chat\""),
        ("README.md", "# my-chat\n"),
        ("src/main.rs", "my_chat::endpoint()"),
    ] {
        let text = fs::read_to_string(project.join(file)).unwrap();
        assert!(text.contains(expected) && !text.contains("starter"), "{file}: {text}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes"), "mine").unwrap();
    let project = folder.path().join("chat");
    fs::create_dir(&project).unwrap();
    bennu(&["new", text(&project)]).ok();
    let written = fs::read_to_string(project.join("src/lib.rs")).unwrap();
    fs::write(project.join("src/lib.rs"), "// mine").unwrap();

    let complaint = bennu(&["new", text(&project)]).failed(1);
    assert!(complaint.contains("not empty"), "{complaint}");
    assert_ne!(fs::read_to_string(project.join("src/lib.rs")).unwrap(), written);
    bennu(&["new", text(&folder.path().join("notes"))]).failed(1);
    assert_eq!(fs::read_to_string(folder.path().join("notes")).unwrap(), "mine");
}

#[test]
fn a_name_or_a_checkout_that_cannot_be_used_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    bennu(&["new", &path("Chat")]).failed(2);
    bennu(&["new", &path("tokio")]).failed(2);
    let complaint = bennu(&["new", &path("chat"), "--bennu-path", text(folder.path())]).failed(2);
    assert!(complaint.contains("no checkout of bennu"), "{complaint}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
