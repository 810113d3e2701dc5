//! Completions, man pages, and what all commands have in common.

use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::program::{bennu, command};

/// The subcommands that the program says it has.
fn subcommands() -> Vec<String> {
    let help = bennu(&["--help"]).ok();
    let commands = help.split("Commands:\n").nth(1).expect("a list of commands");
    let lines = commands.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn every_command_is_in_the_guide() {
    let guide = include_str!("../../../../docs/cli.md");
    let commands = subcommands();
    assert!(commands.len() > 3, "{commands:?}");
    for command in commands.iter().filter(|name| *name != "help") {
        assert!(guide.contains(&format!("\n## bennu {command}")), "docs/cli.md has no section for {command}");
    }
}

#[test]
fn every_number_the_program_ends_with_is_in_the_guide() {
    let guide = include_str!("../../../../docs/cli.md");
    let numbers = include_str!("../../src/exit.rs").lines().filter_map(|line| {
        let (name, number) = line.trim().strip_suffix(',')?.split_once(" = ")?;
        name.chars().all(char::is_alphabetic).then_some(number)
    });
    let numbers: Vec<&str> = numbers.collect();
    assert!(numbers.len() >= 5, "{numbers:?}");
    for number in numbers {
        assert!(guide.contains(&format!("\n| {number} |")), "docs/cli.md does not explain {number}");
    }
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = bennu(&["completions", shell]).ok();
        for command in subcommands() {
            assert!(script.contains(&command), "{shell} does not know {command}");
        }
    }
    bennu(&["completions", "dos"]).failed(2);
}

#[test]
fn bash_can_read_its_completions() {
    let script = bennu(&["completions", "bash"]).ok();
    let completed = Command::new("bash")
        .args(["-c", r#"eval "$1"; COMP_WORDS=(bennu pre); COMP_CWORD=1; _bennu bennu pre bennu; echo "${COMPREPLY[@]}""#])
        .args(["bash", &script])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout), "presence\n", "{completed:?}");
}

#[test]
fn man_pages_are_there_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("man1");
    bennu(&["man", path.to_str().unwrap()]).ok();
    for command in subcommands().iter().filter(|name| *name != "help") {
        let page = std::fs::read_to_string(path.join(format!("bennu-{command}.1")));
        assert!(page.is_ok_and(|page| page.contains(".TH")), "no page of {command}");
    }
    assert!(bennu(&["man"]).ok().contains(".TH bennu"));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let complaint = bennu(&["man", "/dev/null/man"]).failed(1);
    assert!(complaint.contains("/dev/null/man"), "{complaint}");
}

#[test]
fn whoever_stops_reading_has_had_enough() {
    let mut child =
        command(&["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Closed before a word was read, as `| head -0` does.
    drop(child.stdout.take());
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!(complaint, "");
    assert!(child.wait().unwrap().success());
}
