//! compact, pin, unpin, rollback and repair; and everything beside a running dataflow.

mod common;

use common::{Place, damage};

/// What a step has, sorted.
fn totals(place: &Place, at: &str) -> Vec<String> {
    let args = ["show", "state", "--step", "totals", "--format", "csv", "--at", at];
    let text = place.flow_log(&args).good();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The lines of a run without any interruption.
fn uninterrupted(epochs: u64) -> String {
    Place::after(epochs).output()
}

#[test]
fn compact_keeps_what_the_log_holds_and_the_program_goes_on() {
    let place = Place::after(200);
    let before = totals(&place, "newest");
    let text = place.flow_log(&["compact", "state"]).good();
    assert!(
        text.starts_with("compacted from ") && text.contains("cannot be gone back to any more"),
        "{text}"
    );
    assert_eq!(totals(&place, "newest"), before);
    assert_eq!(std::fs::read_dir(place.log().join("seg")).expect("is there").count(), 0);
    place.flow_log(&["verify", "state", "--all"]).good();
    assert_eq!(place.run(210).expect("runs"), 200);
    assert_eq!(place.output(), uninterrupted(210));
    // Twice is no different from once.
    place.flow_log(&["compact", "state"]).good();
    place.flow_log(&["compact", "state"]).good();
    assert_eq!(place.run(211).expect("runs"), 210);
}

#[test]
fn compact_keeps_the_epochs_that_it_is_told_to_keep() {
    let place = Place::after(20);
    let (before, now) = (totals(&place, "17"), totals(&place, "20"));
    place.flow_log(&["compact", "state", "--keep-epochs", "4"]).good();
    assert_eq!((totals(&place, "17"), totals(&place, "20")), (before, now));
    place.flow_log(&["verify", "state", "--all"]).good();
}

#[test]
fn a_pin_outlasts_runs_and_compaction() {
    let place = Place::after(6);
    let text = place.flow_log(&["pin", "state", "friday"]).good();
    assert_eq!(text, "pinned `friday`: a run that goes on from it begins at epoch 6\n");
    let friday = totals(&place, "friday");
    place.flow_log(&["pin", "state", "friday"]).bad(&["there is a pin `friday` already"]);
    place.flow_log(&["pin", "state", "7"]).bad(&["a pin cannot be called `7`"]);
    place.flow_log(&["pin", "state", "newest"]).bad(&["a pin cannot be called `newest`"]);
    place.run(30).expect("runs");
    place.flow_log(&["compact", "state"]).good();
    assert_eq!(totals(&place, "friday"), friday);
    assert_eq!(place.flow_log(&["unpin", "state", "friday"]).good(), "let go of `friday`\n");
    place.flow_log(&["unpin", "state", "friday"]).bad(&["there is no pin `friday`"]);
    place
        .flow_log(&["show", "state", "--step", "totals", "--at", "friday"])
        .bad(&["the pin `friday`"]);
    place.flow_log(&["compact", "state"]).good();
    assert_eq!(std::fs::read_dir(place.log().join("seg")).expect("is there").count(), 0);
}

#[test]
fn rollback_lets_the_next_run_begin_earlier() {
    let place = Place::after(8);
    let then = totals(&place, "5");
    let done = place.flow_log(&["rollback", "state", "5"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("warning: no sink was asked (`totals.sink`)"), "{done:?}");
    assert_eq!(
        done.out,
        "the next run begins at epoch 5 instead of 8; it removes what was committed later\n"
    );
    assert_eq!(totals(&place, "newest"), then);
    let again = place.flow_log(&["rollback", "state", "5"]).good();
    assert!(again.contains("nothing was changed"), "{again}");
    place.flow_log(&["rollback", "state", "7"]).bad(&["does not keep epoch 7"]);
    assert_eq!(place.run(9).expect("runs"), 5);
    assert_eq!(place.output(), uninterrupted(9));
}

#[test]
fn repair_of_a_whole_log_does_nothing() {
    let place = Place::after(4);
    let text = place.flow_log(&["repair", "state"]).good();
    assert_eq!(text, "everything is whole: there is nothing to repair\n");
}

#[test]
fn repair_goes_back_to_the_newest_commit_that_is_whole() {
    let place = Place::after(4);
    place.run(8).expect("runs");
    let segment = place.file("seg", ".seg");
    let length = std::fs::read(&segment).expect("can be read").len();
    damage(&segment, length - 30);
    assert!(place.run(9).is_err(), "a damaged log was taken");
    let before: Vec<_> =
        place.files().into_iter().map(|(path, (bytes, _))| (path, bytes)).collect();
    let plan = place.flow_log(&["repair", "state", "--dry-run"]).good();
    assert!(
        plan.contains(".seg` is damaged at byte ") && plan.contains("begins at epoch 7,"),
        "{plan}"
    );
    assert!(plan.contains("Cannot be gone back to any more: epoch 8.\n"), "{plan}");
    place.flow_log(&["repair", "state"]).bad(&["nothing was changed", "--yes"]);
    let without_lock = |files: Vec<(std::path::PathBuf, Vec<u8>)>| -> Vec<_> {
        files.into_iter().filter(|(path, _)| !path.ends_with("LOCK")).collect()
    };
    let after: Vec<_> = place.files().into_iter().map(|(path, (bytes, _))| (path, bytes)).collect();
    assert_eq!(without_lock(after), without_lock(before));
    let text = place.flow_log(&["repair", "state", "--yes"]).good();
    assert!(text.ends_with("repaired: the next run begins at epoch 7\n"), "{text}");
    assert_eq!(place.run(9).expect("runs"), 7);
    assert_eq!(place.output(), uninterrupted(9));
    place.flow_log(&["verify", "state", "--all"]).good();
}

#[test]
fn repair_moves_what_is_damaged_and_deletes_nothing() {
    let place = Place::after(4);
    place.flow_log(&["pin", "state", "early"]).good();
    place.run(6).expect("runs");
    // Of the newest file of commits both copies are damaged, at the same record.
    for copy in [".a", ".b"] {
        let path = place.file("", copy);
        damage(&path, 70);
    }
    damage(&place.log().join("pin").join("early"), 80);
    place.flow_log(&["ls", "state"]).bad(&["is damaged"]);
    let all = |place: &Place| {
        let files = place.files().into_iter();
        let mut bytes: Vec<Vec<u8>> = files.map(|(_, (bytes, _))| bytes).collect();
        bytes.sort();
        bytes
    };
    let before = all(&place);
    let text = place.flow_log(&["repair", "state", "--yes"]).good();
    assert!(text.contains("begins at epoch 4,") && text.contains("the pin `early`"), "{text}");
    assert!(
        text.contains("  commit-00000002-000000.a\n") && text.contains("  pin/early\n"),
        "{text}"
    );
    let after = all(&place);
    let is_there = |bytes: &Vec<u8>| after.contains(bytes) || bytes.starts_with(b"process ");
    assert!(before.iter().all(is_there), "something was deleted");
    assert_eq!(place.run(9).expect("runs"), 4);
    assert_eq!(place.output(), uninterrupted(9));
}

#[test]
fn what_is_missing_is_repaired_too_and_where_nothing_is_whole_nothing_is_done() {
    let place = Place::after(4);
    place.run(8).expect("runs");
    std::fs::remove_file(place.file("seg", ".seg")).expect("can be removed");
    let text = place.flow_log(&["repair", "state", "--yes"]).good();
    assert!(text.contains(".seg` is gone, and the commit of epoch "), "{text}");
    assert!(text.contains("repaired: the next run begins at epoch 4\n"), "{text}");
    assert_eq!(place.run(9).expect("runs"), 4);
    assert_eq!(place.output(), uninterrupted(9));
    let place = Place::after(4);
    std::fs::remove_file(place.file("seg", ".seg")).expect("can be removed");
    let before = place.files();
    place.flow_log(&["repair", "state", "--yes"]).bad(&["no commit of `state` is whole", "backup"]);
    assert_eq!(place.files().keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
}
