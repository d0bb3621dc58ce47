use super::*;
use crate::io::testing::Memory;

fn names(input: &Input, disk: &Memory) -> Result<Vec<String>, String> {
    let partitions = input.partitions(&disk.io()).map_err(|error| error.to_string())?;
    Ok(partitions.iter().map(|partition| partition.as_str().to_owned()).collect())
}

/// The partitions, and that each of them can be opened.
fn opened(input: &Input, disk: &Memory) -> Vec<String> {
    for partition in input.partitions(&disk.io()).expect("lists") {
        input.open(&disk.io(), &partition, Resume::Fresh).expect("opens");
    }
    names(input, disk).expect("lists")
}

fn disk() -> Memory {
    let disk = Memory::default();
    for path in ["in/b.log", "in/a.log", "in/.hidden.log", "in/deep/er/c.log", "in/deep/d.txt"] {
        disk.put(path, "text\n");
    }
    disk
}

#[test]
fn one_file_is_named_by_its_file_name() {
    assert_eq!(opened(&Input::path("in/b.log".into()), &disk()), ["b.log"]);
    assert_eq!(opened(&Input::path("./in/.hidden.log".into()), &disk()), [".hidden.log"]);
}

#[test]
fn a_folder_is_read_with_all_below_it() {
    let all = ["a.log", "b.log", "deep/d.txt", "deep/er/c.log"];
    assert_eq!(opened(&Input::path("in".into()), &disk()), all);
    assert_eq!(opened(&Input::path("in/".into()), &disk()), all);
    let empty = disk();
    empty.folder("empty");
    assert_eq!(opened(&Input::path("empty".into()), &empty), [""; 0]);
}

#[test]
fn several_are_named_as_they_are_given() {
    let input = Input::paths(vec!["./in/deep".into(), "in/b.log".into()]);
    assert_eq!(opened(&input, &disk()), ["in/b.log", "in/deep/d.txt", "in/deep/er/c.log"]);
    for twice in [["in/b.log", "./in/b.log"], ["in", "in/b.log"]] {
        let input = Input::paths(twice.map(PathBuf::from).to_vec());
        let error = names(&input, &disk()).expect_err("is given twice");
        assert!(error.contains("the file `in/b.log` is given twice"), "{error}");
    }
}

#[test]
fn patterns_are_matched_part_by_part() {
    let glob = |pattern: &str| opened(&Input::glob(pattern.into()), &disk());
    assert_eq!(glob("in/*.log"), ["a.log", "b.log"]);
    assert_eq!(glob("in/[b-z].log"), ["b.log"]);
    assert_eq!(glob("in/**/*.log"), ["a.log", "b.log", "deep/er/c.log"]);
    assert_eq!(glob("in/**"), ["a.log", "b.log", "deep/d.txt", "deep/er/c.log"]);
    assert_eq!(glob("*/deep/*.txt"), ["in/deep/d.txt"]);
    assert_eq!(glob("in/d*/?.txt"), ["deep/d.txt"]);
    assert_eq!(glob("in/.h*"), [".hidden.log"]);
    assert_eq!(glob("in/b.log"), ["b.log"]);
}

#[test]
fn patterns_that_cannot_be_meant_are_refused() {
    let glob =
        |pattern: &str| names(&Input::glob(pattern.into()), &disk()).expect_err("is refused");
    assert!(glob("in/*.csv").contains("no file matches `in/*.csv`"));
    assert!(glob("in/[").contains("the pattern `in/[` is wrong: "));
    assert!(glob("none/*.log").contains("cannot read `none`: no such file"), "{}", glob("none/*"));
}

#[test]
fn links_in_a_circle_are_noticed() {
    let disk = Memory::default();
    let deep: String = "in/".to_owned() + &"f/".repeat(DEPTH_MAX + 1);
    disk.put(&(deep + "a.txt"), "");
    let error = names(&Input::path("in".into()), &disk).expect_err("is too deep");
    assert!(error.contains("folders deep"), "{error}");
}

#[test]
#[cfg(unix)]
fn a_pipe_is_no_file() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no mkfifo here");
        return;
    }
    let input = Input::path(path);
    let opened = input.open(&Io::real(), &PartitionId::new("pipe"), Resume::Fresh);
    let error = opened.expect_err("is a pipe").to_string();
    assert!(error.contains("it is a pipe or a device"), "{error}");
}
