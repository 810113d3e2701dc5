//! `docs/attack-cases.md`: each case names tests that carry its number, or the issue that will bring one.

use house_rules::read;

use crate::coverage::tests;

#[test]
fn every_attack_case_has_a_test_of_its_number_or_an_issue() {
    let text = read("docs/attack-cases.md");
    let tests = tests();
    let mut listed = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let Ok(number) = cells[0].parse::<u32>() else { continue };
        let shown_by = cells[cells.len() - 1];
        let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        for name in &names {
            assert!(name.starts_with(&format!("attack_{number:03}_")), "case {number} names {name}");
            assert!(tests.contains(*name), "case {number} names {name}, which does not exist");
        }
        assert!(
            !names.is_empty() || shown_by.contains("issue "),
            "case {number} has neither a test nor an issue"
        );
        listed.extend(names);
    }
    let unlisted: Vec<&String> =
        tests.iter().filter(|name| name.starts_with("attack_") && !listed.contains(&name.as_str())).collect();
    assert!(unlisted.is_empty(), "not in docs/attack-cases.md: {unlisted:?}");
}
