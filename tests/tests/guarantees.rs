//! `docs/guarantees.md` names tests that exist.

use std::fs;
use std::path::Path;

/// What stands between backticks, in its order.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_guarantee_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/guarantees.md")).expect("the page is there");
    let mut named = 0;
    for line in page.lines().filter(|line| line.contains(".rs` ")) {
        let mut source = None;
        for word in quoted(line) {
            if word.ends_with(".rs") {
                let text = fs::read_to_string(root.join(word));
                source = Some((word, text.unwrap_or_else(|error| panic!("`{word}`: {error}"))));
            } else if let Some((file, text)) = &source
                && word.contains('_')
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            {
                assert!(text.contains(&format!("fn {word}(")), "`{file}` has no test `{word}`");
                named += 1;
            }
        }
    }
    assert!(named > 60, "{named}");
    // Each promise has one.
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise"))
    {
        assert!(row.contains(".rs` `"), "no test is named: {row}");
    }
}
