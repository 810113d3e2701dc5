//! The client's example in the README, which is compiled as the front page of the crate.

#[test]
fn the_readmes_example_is_the_one_that_is_compiled() {
    let front_page = include_str!("../../src/lib.rs").split("//! ```").nth(1).unwrap();
    let lines = front_page.lines().skip(1).map(|line| line.trim_start_matches("//!").trim_start_matches(' '));
    let compiled: Vec<&str> = lines.collect();
    let readme = include_str!("../../../../README.md");
    let shown: Vec<&str> = readme.lines().map(str::trim_start).collect();
    assert!(compiled.len() > 10);
    assert!(shown.windows(compiled.len()).any(|lines| lines == compiled), "{compiled:#?}");
}
