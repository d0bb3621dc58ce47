//! ls, show, diff, verify and why: what they say, and that they change nothing.

mod common;

use common::{Place, damage};
use serde_json::{Value, json};

#[test]
fn ls_shows_whose_log_it_is_and_what_is_in_it() {
    let place = Place::after(8);
    place.flow_log(&["pin", "state", "friday", "--at", "6"]).good();
    let text = place.flow_log(&["ls", "state"]).good();
    for line in [
        "dataflow    spending",
        "runs        1, the last with 1 worker",
        "key groups  4",
        "next run    begins at epoch 8",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
    }
    assert!(
        text.contains("\nEPOCH  RUN  COMMITTED") && text.contains("\nfriday      6    1  20"),
        "{text}"
    );
    let step = text.lines().find(|line| line.starts_with("totals ")).expect("is there");
    assert!(
        step.contains(" keyed state ")
            && step.ends_with("String → Spent v1 { cents: u64, last: String }"),
        "{step}"
    );
    let json = place.flow_log(&["ls", "state", "--format", "json", "--all"]).json();
    assert_eq!((&json["dataflow"], &json["next_epoch"]), (&json!("spending"), &json!(8)));
    let epochs = json["epochs"].as_array().expect("is a list");
    assert_eq!(epochs.last().map(|epoch| &epoch["keys"]), Some(&json!({ "totals": 3 })));
    assert_eq!(epochs.first().map(|epoch| &epoch["keys"]["totals"]), Some(&json!(1)));
    assert_eq!(
        (&json["pins"][0]["name"], &json["pins"][0]["epoch"]),
        (&json!("friday"), &json!(6))
    );
    let steps = json["steps"].as_array().expect("is a list").iter();
    let kinds: Vec<_> = steps.map(|step| (step["id"].as_str(), step["kind"].as_str())).collect();
    for expected in [("sales", "source"), ("totals", "keyed state"), ("totals.sink", "sink")] {
        assert!(kinds.contains(&(Some(expected.0), Some(expected.1))), "{kinds:?}");
    }
}

#[test]
fn show_shows_keys_and_states_in_each_format() {
    let place = Place::after(8);
    let show =
        |args: &[&str]| place.flow_log(&[&["show", "state", "--step", "totals"], args].concat());
    let table = show(&[]).good();
    assert_eq!(table.lines().next(), Some("KEY  CENTS  LAST"));
    assert_eq!(table.lines().count(), 4, "{table}");
    let csv = show(&["--format", "csv"]).good();
    let mut lines: Vec<&str> = csv.lines().collect();
    lines[1..].sort_unstable();
    assert_eq!(
        lines,
        ["key,cents,last", "ann,848,soap", "bob,434,bread", "eve,438,\"a \"\"book\"\"\""]
    );
    let lines = show(&["--format", "json"]).good();
    let mut rows: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
    rows.sort_by_key(|row| row["key"].to_string());
    assert_eq!(rows[0], json!({ "key": "ann", "state": { "cents": 848, "last": "soap" } }));
    assert_eq!(show(&["--key", "ann"]).good(), "KEY  CENTS  LAST\nann    848  soap\n");
    let at = show(&["--key", "ann", "--at", "1", "--format", "json"]).good();
    assert_eq!(at, "{\"key\":\"ann\",\"state\":{\"cents\":201,\"last\":\"bread\"}}\n");
    let limited = show(&["--limit", "1"]).good();
    assert!(limited.lines().count() == 3 && limited.contains("and more: "), "{limited}");
    show(&["--key", "joe"]).bad(&["step `totals`: there is no key `joe` as of epoch 8", "help: "]);
    let source = place.flow_log(&["show", "state", "--step", "sales"]).good();
    assert!(source.starts_with("PARTITION"), "{source}");
    place.flow_log(&["show", "state", "--step", "total"]).bad(&["no step `total`", "`totals`"]);
    place
        .flow_log(&["show", "state", "--step", "totals", "--at", "99"])
        .bad(&["does not keep epoch 99"]);
}

#[test]
fn diff_says_what_has_changed_and_ends_with_3() {
    let place = Place::after(8);
    let done = place.flow_log(&["diff", "state", "2", "newest", "--format", "json"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    let json: Value = serde_json::from_str(&done.out).expect("is JSON");
    let steps = json["steps"].as_array().expect("is a list");
    let of = |id: &str| steps.iter().find(|step| step["id"] == id).expect("is a step");
    let totals = of("totals");
    let before = place
        .flow_log(&["show", "state", "--step", "totals", "--at", "2", "--format", "csv"])
        .good();
    let before = before.lines().count() as u64 - 1;
    assert_eq!(totals["changed"], json!(before));
    assert_eq!((&totals["added"], &totals["removed"]), (&json!(3 - before), &json!(0)));
    assert_eq!(of("sales")["changed"], json!(1));
    let text = place.flow_log(&["diff", "state", "newest", "2"]);
    assert!(
        text.code == Some(3)
            && text.out.starts_with("STEP ")
            && text.out.contains("\n  ~ \"ann\": {"),
        "{text:?}"
    );
    let same = place.flow_log(&["diff", "state", "8", "newest"]).good();
    assert_eq!(same.lines().count(), 4, "{same}");
}

#[test]
fn verify_reads_everything_and_names_what_is_damaged() {
    let place = Place::after(8);
    let text = place.flow_log(&["verify", "state", "--all"]).good();
    assert!(
        text.starts_with("1 file read, ") && text.ends_with("\nwhole: epochs 1 to 8\n"),
        "{text}"
    );
    let segment = place.file("seg", ".seg");
    let length = std::fs::read(&segment).expect("can be read").len();
    damage(&segment, length - 30);
    let done = place.flow_log(&["verify", "state", "--all"]);
    assert!(
        done.out.contains("whole: epochs 1 to 7\n")
            && done.out.contains(".seg` is damaged at byte "),
        "{done:?}"
    );
    assert!(done.out.contains("\n  needed by epoch 8\n"), "{done:?}");
    done.bad(&["1 of 8 commits cannot be gone on from", "flow-log repair"]);
    // An earlier commit needs only what was written before it.
    place.flow_log(&["verify", "state", "--at", "7"]).good();
    let done = place.flow_log(&["verify", "state", "--format", "json"]);
    let json: Value = serde_json::from_str(&done.out).expect("is JSON");
    assert_eq!(json["broken"], json!(["newest"]));
    assert_eq!(json["damages"][0]["needed_by"], json!(["newest"]));
    std::fs::remove_file(&segment).expect("can be removed");
    place.flow_log(&["verify", "state"]).bad(&["1 of 1 commit cannot"]);
}

#[test]
fn why_explains_every_file() {
    let place = Place::after(4);
    place.run(6).expect("runs");
    place.flow_log(&["pin", "state", "friday"]).good();
    std::fs::write(place.log().join("notes.txt"), "mine").expect("can be written");
    let tail = place.file("seg", ".seg");
    let mut bytes = std::fs::read(&tail).expect("can be read");
    bytes.extend([7; 100]);
    std::fs::write(&tail, bytes).expect("can be written");
    let text = place.flow_log(&["why", "state"]).good();
    for part in [
        "The next run begins at epoch 6: run 2 made the newest commit, ",
        "Both copies of the newest commit file say so.",
        "FORMAT ",
        "says whose log it is",
        "needed by the newest commit, ",
        "the pin `friday`",
        "; 100 B behind the last commit",
        "notes.txt ",
        "not a file of the log: it is left alone",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let copy = place.file("", ".b");
    let length = std::fs::read(&copy).expect("can be read").len();
    damage(&copy, length - 10);
    let text = place.flow_log(&["why", "state"]).good();
    assert!(
        text.contains("One copy of the newest commit file lacks something: ")
            && text.contains(".b` at byte "),
        "{text}"
    );
    let json = place.flow_log(&["why", "state", "--format", "json"]).json();
    assert_eq!(json["runs"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        json["runs"][1],
        json!({ "run": 2, "began": 4, "commits": 2, "reached": 6, "problem": null })
    );
}

#[test]
fn those_that_read_change_nothing() {
    let place = Place::after(8);
    place.flow_log(&["pin", "state", "friday"]).good();
    let before = place.files();
    for args in [
        &["ls", "state", "--all"][..],
        &["ls", "state", "--format", "json"],
        &["show", "state", "--step", "totals", "--at", "friday"],
        &["diff", "state", "friday", "newest"],
        &["verify", "state", "--all"],
        &["why", "state"],
        &["repair", "state", "--help"],
    ] {
        place.flow_log(args).good();
        assert!(place.files() == before, "{args:?} has written something");
    }
}

#[cfg(unix)]
#[test]
fn a_log_that_cannot_be_written_can_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::after(3);
    let set = |mode| {
        for folder in [place.log(), place.log().join("seg")] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder, permissions).expect("can be set");
        }
    };
    set(0o555);
    let done = place.flow_log(&["verify", "state", "--all"]);
    let shown = place.flow_log(&["show", "state", "--step", "totals"]);
    set(0o755);
    done.good();
    shown.good();
}

#[test]
fn what_is_no_log_is_refused() {
    let place = Place(tempfile::tempdir().expect("a folder can be made"));
    std::fs::create_dir(place.0.path().join("empty")).expect("can be made");
    std::fs::write(place.0.path().join("file"), "x").expect("can be written");
    for command in ["ls", "why", "verify", "compact"] {
        place
            .flow_log(&[command, "empty"])
            .bad(&["`empty` is no recovery log: it has no file `FORMAT`"]);
        place
            .flow_log(&[command, "file"])
            .bad(&["`file` is a file, and a recovery log is a folder"]);
        place.flow_log(&[command, "none"]).bad(&["`none` is not there", "help: "]);
    }
    let left = std::fs::read_dir(place.0.path().join("empty")).expect("is there").count();
    assert_eq!(left, 0, "something was made");
    let usage = place.flow_log(&["show", "empty"]);
    assert!(usage.code == Some(2) && usage.err.contains("--step"), "{usage:?}");
}

#[test]
fn a_newer_format_is_refused_by_its_version() {
    let place = Place::after(2);
    let path = place.log().join("FORMAT");
    let mut bytes = std::fs::read(&path).expect("can be read");
    bytes[8] = 9;
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, bytes).expect("can be written");
    for args in [&["ls", "state"][..], &["repair", "state", "--yes"], &["pin", "state", "p"]] {
        place.flow_log(args).bad(&["FORMAT` has version 9 of the log's format", "or a newer one"]);
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::{Command, Stdio};
    let place = Place::after(8);
    let program = env!("CARGO_BIN_EXE_flow-log");
    let mut child = Command::new(program)
        .args(["show", "state", "--step", "totals", "--format", "json"])
        .current_dir(place.0.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("can be run");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
