//! `docs/client.md`: what shows each line of the Elixir client's documentation.

use house_rules::read;

use crate::coverage::tests;

#[test]
fn every_test_that_the_client_page_names_exists() {
    let (text, tests) = (read("docs/client.md"), tests());
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let mut shown = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let (thing, ours, shown_by) = (cells[0], cells[cells.len() - 2], cells[cells.len() - 1]);
        if shown_by == "Test" {
            continue;
        }
        let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        for name in &names {
            assert!(tests.contains(*name), "{thing:?} names the test {name}, which does not exist");
        }
        let has_reason = ours.starts_with("none: ");
        assert!(!names.is_empty() || has_reason, "{thing:?} has neither a test nor a reason");
        shown += 1;
    }
    assert!(shown > 90, "the page has {shown} rows; the client's documentation has more");
}
