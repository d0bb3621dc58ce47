use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::Write;

use super::*;
use crate::io::testing::{Memory, drain, poll, rest};
use crate::time::Epoch;

fn lines(bytes: impl AsRef<[u8]>) -> Result<Vec<String>, String> {
    let disk = Memory::default();
    disk.put("a.txt", bytes);
    drain(&Lines::of("a.txt"), &disk.io())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn fresh(source: &Lines, disk: &Memory, name: &str) -> LinesReader {
    source.open(&disk.io(), &PartitionId::new(name), Resume::Fresh).expect("opens")
}

fn at(
    source: &Lines,
    disk: &Memory,
    name: &str,
    position: &FilePosition,
) -> Result<LinesReader, String> {
    let resume = Resume::At { epoch: Epoch(1), position: position.clone() };
    source.open(&disk.io(), &PartitionId::new(name), resume).map_err(|error| error.to_string())
}

/// Reads this many lines and gives the position behind them.
fn position_after(source: &Lines, disk: &Memory, name: &str, count: usize) -> FilePosition {
    let mut reader = fresh(source, disk, name);
    if count > 0 {
        poll(&mut reader, count).1.expect("reads");
    }
    reader.position()
}

/// Reads to the end and gives the position there.
fn end_of(source: &Lines, disk: &Memory, name: &str) -> FilePosition {
    let mut reader = fresh(source, disk, name);
    rest(&mut reader, 5).expect("reads");
    reader.position()
}

#[test]
fn ends_of_lines_are_cut_off() {
    assert_eq!(lines(""), Ok(vec![]));
    assert_eq!(lines("\n"), Ok(vec![String::new()]));
    assert_eq!(lines("a\nb\n"), Ok(vec!["a".into(), "b".into()]));
    assert_eq!(lines("a\r\nb\r\n\r\n"), Ok(vec!["a".into(), "b".into(), String::new()]));
    assert_eq!(lines("a\nb"), Ok(vec!["a".into(), "b".into()]));
    assert_eq!(lines("a\rb\n"), Ok(vec!["a\rb".into()]));
}

#[test]
fn a_byte_order_mark_is_dropped_at_the_beginning_only() {
    assert_eq!(lines("\u{feff}"), Ok(vec![]));
    assert_eq!(lines("\u{feff}a\n\u{feff}b"), Ok(vec!["a".into(), "\u{feff}b".into()]));
    let disk = Memory::default();
    disk.put("a.txt", "\u{feff}a\n");
    disk.read_at_most(1);
    assert_eq!(drain(&Lines::of("a.txt"), &disk.io()), Ok(vec!["a".into()]));
}

#[test]
fn invalid_utf8_is_an_error_that_names_the_place() {
    let bytes = b"good\nb\xffd\nlast\n";
    let error = lines(bytes).expect_err("is not UTF-8");
    assert_eq!(error.lines().next(), Some("line 2 of `a.txt` is not UTF-8, at byte 6 of the file"));
    let disk = Memory::default();
    disk.put("a.txt", bytes);
    let read = |policy| drain(&Lines::of("a.txt").invalid_utf8(policy), &disk.io());
    assert_eq!(read(Utf8::Lossy), Ok(vec!["good".into(), "b\u{fffd}d".into(), "last".into()]));
    assert_eq!(read(Utf8::Skip), Ok(vec!["good".into(), "last".into()]));
}

#[test]
fn a_line_may_be_long_but_not_endless() {
    let long = "x".repeat(1_000_000);
    assert_eq!(lines(format!("a\n{long}\nb")), Ok(vec!["a".into(), long.clone(), "b".into()]));
    let disk = Memory::default();
    disk.put("a.txt", format!("a\n{long}\nb"));
    for limit in [10, 999_999] {
        let error = drain(&Lines::of("a.txt").max_line_bytes(limit), &disk.io());
        let error = error.expect_err("is too long");
        assert!(
            error.contains(&format!("line 2 of `a.txt` begins a line of more than {limit} bytes")),
            "{error}"
        );
    }
    let exactly = Lines::of("a.txt").max_line_bytes(1_000_000);
    assert_eq!(drain(&exactly, &disk.io()).map(|lines| lines.len()), Ok(3));
}

#[test]
fn what_cannot_be_read_is_named() {
    let disk = Memory::default();
    disk.folder("folder");
    disk.put("secret.txt", "a");
    disk.forbid("secret.txt");
    let error = |path: &str| drain(&Lines::of(path), &disk.io()).expect_err("cannot be read");
    assert!(
        error("none.txt")
            .starts_with("cannot read `none.txt`: no such file or directory\n  help: check"),
        "{}",
        error("none.txt")
    );
    assert!(error("secret.txt").contains("cannot read `secret.txt`: permission denied"));
    assert_eq!(drain(&Lines::of("folder"), &disk.io()), Ok(vec![]));
}

#[test]
fn compressed_files_are_decompressed() {
    let disk = Memory::default();
    let mut two = gzip(b"a\nb");
    two.extend(gzip(b"c\nd\n"));
    disk.put("a.txt.gz", &two);
    let source = Lines::of("a.txt.gz");
    assert_eq!(drain(&source, &disk.io()), Ok(vec!["a".into(), "bc".into(), "d".into()]));

    disk.put("a.txt.gz", &two[..two.len() - 9]);
    let error = drain(&source, &disk.io()).expect_err("breaks off");
    assert!(error.contains("`a.txt.gz` behind line"), "{error}");
    assert!(error.contains("its compressed data breaks off"), "{error}");

    disk.put("a.txt.gz", "no gzip at all, but long enough");
    let error = drain(&source, &disk.io()).expect_err("is not gzip");
    assert!(error.contains("not compressed by gzip"), "{error}");

    disk.put("a.txt.gz", "");
    let error = drain(&source, &disk.io()).expect_err("is not gzip");
    assert!(error.contains("breaks off"), "{error}");
}

/// The texts that the tests of positions use: each with something at the end that matters.
fn texts() -> Vec<String> {
    let long: String = (0..3000).map(|n| format!("line {n}\n")).collect();
    vec![
        String::new(),
        "one".into(),
        "one\ntwo\n".into(),
        "\u{feff}one\r\ntwo\r\n\r\nfour".into(),
        long.clone() + "unterminated",
        "x".repeat(300_000) + "\n" + &long,
    ]
}

#[test]
fn resumed_behind_any_line_the_rest_is_read() {
    for name in ["a.txt", "a.txt.gz"] {
        for text in texts() {
            let disk = Memory::default();
            let bytes =
                if name.ends_with("gz") { gzip(text.as_bytes()) } else { text.into_bytes() };
            disk.put(name, bytes);
            let source = Lines::of(name);
            let all = drain(&source, &disk.io()).expect("reads");
            let near = 30.min(all.len());
            for count in (0..near).chain(all.len() - near..=all.len()) {
                let position = position_after(&source, &disk, name, count);
                assert_eq!(position.line(), count as u64);
                let mut reader = at(&source, &disk, name, &position).expect("resumes");
                assert_eq!(reader.position(), position);
                assert_eq!(rest(&mut reader, 1000).as_deref(), Ok(&all[count..]));
                assert_eq!(reader.position(), end_of(&source, &disk, name));
            }
        }
    }
}

#[test]
fn appended_lines_are_read() {
    for text in texts() {
        let disk = Memory::default();
        disk.put("a.txt", &text);
        let source = Lines::of("a.txt");
        let position = end_of(&source, &disk, "a.txt");
        assert!(position.ended());
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\r\n" };
        disk.put("a.txt", format!("{text}{end}new\n"));
        let mut reader = at(&source, &disk, "a.txt", &position).expect("resumes");
        assert_eq!(rest(&mut reader, 9), Ok(vec!["new".into()]));
        assert_eq!(reader.position(), end_of(&source, &disk, "a.txt"));
    }
}

#[test]
fn a_last_line_that_grew_is_refused() {
    let disk = Memory::default();
    disk.put("a.txt", "one\ntwo");
    let source = Lines::of("a.txt");
    let position = end_of(&source, &disk, "a.txt");
    disk.put("a.txt", "one\ntwo and a half\n");
    let error = at(&source, &disk, "a.txt", &position).expect_err("has grown");
    assert!(error.starts_with("`a.txt` has grown in its line 2"), "{error}");
}

#[test]
fn truncated_and_replaced_files_are_refused() {
    let text: String = (0..3000).map(|n| format!("line {n}\n")).collect();
    let disk = Memory::default();
    disk.put("a.txt", &text);
    let source = Lines::of("a.txt");
    let position = position_after(&source, &disk, "a.txt", 2000);
    let refused = |text: String| {
        disk.put("a.txt", text);
        at(&source, &disk, "a.txt", &position).expect_err("is refused")
    };
    assert!(refused(text[..9000].into()).contains("`a.txt` has been truncated: "));
    assert!(refused(text.replacen("line 7", "line x", 1)).contains("its beginning differs"));
    assert!(refused(text.replacen("line 1999", "line xxxx", 1)).contains("where reading stopped"));
    // What has not been read may change.
    disk.put("a.txt", text.replacen("line 2000", "line xxxx", 1));
    at(&source, &disk, "a.txt", &position).expect("goes on");
}

#[test]
fn a_file_that_is_gone_may_have_been_renamed() {
    let disk = Memory::default();
    disk.put("logs/a.txt", "one\ntwo\n");
    disk.put("logs/b.txt", "other\n");
    let source = Lines::of("logs");
    let position = position_after(&source, &disk, "a.txt", 1);
    let end = end_of(&source, &disk, "a.txt");
    disk.delete("logs/a.txt");
    let error = at(&source, &disk, "a.txt", &position).expect_err("is gone");
    assert!(error.contains("`logs/a.txt` is gone; 1 lines"), "{error}");
    assert!(error.contains("put the file back"), "{error}");
    disk.put("logs/c.txt", "one\ntwo\n");
    let error = at(&source, &disk, "a.txt", &position).expect_err("is gone");
    assert!(error.contains("renamed to `logs/c.txt`?"), "{error}");

    let mut reader = at(&source, &disk, "a.txt", &end).expect("had ended");
    assert_eq!(rest(&mut reader, 9), Ok(vec![]));
    assert_eq!(reader.position(), end);
}

#[test]
fn a_compressed_file_must_not_change() {
    let disk = Memory::default();
    disk.put("a.gz", gzip(b"one\ntwo\n"));
    let source = Lines::of("a.gz");
    for position in [position_after(&source, &disk, "a.gz", 1), end_of(&source, &disk, "a.gz")] {
        let mut grown = gzip(b"one\ntwo\n");
        grown.extend(gzip(b"three\n"));
        disk.put("a.gz", grown);
        let error = at(&source, &disk, "a.gz", &position).expect_err("has grown");
        assert!(error.contains("`a.gz` is not the file"), "{error}");
        assert!(error.contains("cannot grow"), "{error}");
        disk.put("a.gz", gzip(b"one\ntwo\n"));
        at(&source, &disk, "a.gz", &position).expect("is as it was");
    }
}

#[test]
fn the_real_disk_behaves_alike() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("a.txt");
    std::fs::write(&path, "one\ntwo\n").expect("writes");
    let io = Io::real();
    let all = Ok(vec!["one".into(), "two".into()]);
    assert_eq!(drain(&Lines::of(&path), &io), all);
    assert_eq!(drain(&Lines::of(folder.path()), &io), all);
    let missing = drain(&Lines::of(folder.path().join("b.txt")), &io).expect_err("is missing");
    assert!(missing.contains("b.txt`: no such file or directory"), "{missing}");
}

#[test]
#[cfg(unix)]
fn an_unreadable_file_is_refused_by_the_real_disk() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("a.txt");
    std::fs::write(&path, "one\n").expect("writes");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).expect("is ours");
    if std::fs::read(&path).is_ok() {
        eprintln!("skipped: this user (root?) may read everything");
        return;
    }
    let error = drain(&Lines::of(&path), &Io::real()).expect_err("is unreadable");
    assert!(error.contains("permission denied"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bytes, however they are read in pieces, wherever it is stopped: what is read equals what std reads.
    #[test]
    fn stops_change_nothing(
        parts in prop::collection::vec(prop_oneof!["[a-c]{0,9}", "\r?\n", "\u{feff}"], 0..60),
        piece in 1_usize..40,
        stops in prop::collection::vec(1_usize..9, 0..20),
    ) {
        let text = parts.concat();
        let disk = Memory::default();
        disk.read_at_most(piece);
        disk.put("a.txt", &text);
        let source = Lines::of("a.txt");
        let mut reader = fresh(&source, &disk, "a.txt");
        let mut all = Vec::new();
        for limit in stops {
            all.extend(poll(&mut reader, limit).0);
            let position = reader.position();
            let bytes = postcard::to_stdvec(&position).expect("is plain data");
            let position = postcard::from_bytes(&bytes).expect("was just written");
            reader = at(&source, &disk, "a.txt", &position).expect("resumes");
        }
        all.extend(rest(&mut reader, 7).expect("reads"));
        let expected: Vec<String> =
            text.strip_prefix('\u{feff}').unwrap_or(&text).lines().map(str::to_owned).collect();
        prop_assert_eq!(all, expected);
    }
}
