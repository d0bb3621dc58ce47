//! What the example `parking` writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program with this many events.
pub(crate) fn parking(events: u64) -> Command {
    let mut command = super::example("parking");
    command.args(["--seed", "7", "--events", &events.to_string()]);
    command
}

/// The rows of a file, or of a folder of epochs, by car in their order: so it does not matter which worker wrote when.
pub(crate) fn visits(path: &Path) -> BTreeMap<String, Vec<String>> {
    let mut visits: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files(path) {
        let text = fs::read_to_string(file).expect("the output was written");
        // Files of epochs have a header.
        for line in text.lines().filter(|line| !line.starts_with("key,")) {
            let (plate, visit) =
                line.split_once(',').expect("a line is `plate,since,until,places`");
            visits.entry(plate.to_owned()).or_default().push(visit.to_owned());
        }
    }
    visits
}

/// What there must be in the end, as a run says that nobody disturbs.
pub(crate) fn undisturbed(folder: &Path, events: u64) -> BTreeMap<String, Vec<String>> {
    let out = folder.join(format!("undisturbed-{events}.csv"));
    if !out.exists() {
        super::succeed(parking(events).arg("--out").arg(&out));
    }
    visits(&out)
}

/// The files of a folder that are there to be picked up, behind their epochs.
fn epochs(folder: &Path) -> BTreeSet<(u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let epoch = |path: &Path| {
        path.file_name()?.to_str()?.strip_prefix("epoch-")?.get(..20)?.parse::<u64>().ok()
    };
    entries.filter_map(|entry| Some((epoch(&entry.path())?, entry.path()))).collect()
}

/// The first epoch of which no file is there yet. What is there has been committed.
pub(crate) fn behind_the_last(folder: &Path) -> u64 {
    epochs(folder).last().map_or(0, |(epoch, _)| epoch + 1)
}

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        epochs(path).into_iter().map(|(_, path)| path).collect()
    } else {
        vec![path.to_owned()]
    }
}
