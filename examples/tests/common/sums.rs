//! What the example `trades` writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The last line of each key, and how many lines it has; the first column after the key counts trades.
pub(crate) fn last_lines(file: &Path) -> BTreeMap<String, (u64, String)> {
    let mut lines: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for line in fs::read_to_string(file).expect("the output was written").lines() {
        let (key, totals) = line.split_once(',').expect("a line is `key,trades,quantity,cents`");
        let entry = lines.entry(key.to_owned()).or_default();
        entry.0 += 1;
        assert!(
            totals.starts_with(&format!("{},", entry.0)),
            "update {} of {key}: {totals}",
            entry.0
        );
        totals.clone_into(&mut entry.1);
    }
    lines
}
