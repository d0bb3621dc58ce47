use proptest::prelude::*;
use serde::Serialize;

use super::*;
use crate::io::testing::Memory;
use crate::io::{CsvFile, Encoder, JsonLinesFile, Sink, TextFile};
use crate::stream::{Keyed, NoKey, Stream};
use crate::time::Epoch;

/// What a sink writes of the items of a plain stream.
fn write<T: 'static, S>(
    sink: &S,
    disk: &Memory,
    items: impl IntoIterator<Item = T>,
) -> Result<(), String>
where
    S: Sink<Stream<T>, Block = Rows>,
{
    let mut encoder = sink.encoder();
    let partitions = sink.partitions(&disk.io()).map_err(|error| error.to_string())?;
    let mut writer =
        sink.open(&disk.io(), &partitions[0], Resume::Fresh).map_err(|error| error.to_string())?;
    for item in items {
        let mut block = Rows::default();
        encoder.encode(&NoKey, item, &mut block).map_err(|error| error.to_string())?;
        writer.write(block).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The same of a keyed stream, all in one block.
fn write_keyed<K: 'static, T: 'static, S>(
    sink: &S,
    disk: &Memory,
    items: impl IntoIterator<Item = (K, T)>,
) where
    S: Sink<Keyed<K, T>, Block = Rows>,
{
    let mut encoder = sink.encoder();
    let partitions = sink.partitions(&disk.io()).expect("lists");
    let mut writer = sink.open(&disk.io(), &partitions[0], Resume::Fresh).expect("opens");
    let mut block = Rows::default();
    for (key, item) in items {
        encoder.encode(&key, item, &mut block).expect("encodes");
    }
    writer.write(block).expect("writes");
}

#[derive(Serialize)]
struct Ride {
    from: &'static str,
    place: Place,
    fare: Option<f64>,
}

#[derive(Serialize)]
struct Place {
    x: i32,
    y: i32,
}

const RIDE: Ride = Ride { from: "a, \"b\"", place: Place { x: 1, y: -2 }, fare: None };

#[test]
fn csv_takes_scalars_tuples_and_structs() {
    let disk = Memory::default();
    let sink = CsvFile::at("a.csv");
    write(&sink, &disk, [("word", 3_u64), ("two\nlines", 4)]).expect("writes");
    assert_eq!(disk.text("a.csv"), "word,3\n\"two\nlines\",4\n");
    write(&sink, &disk, [1.5, 2.0]).expect("writes");
    assert_eq!(disk.text("a.csv"), "1.5\n2.0\n");
    write(&sink.clone().delimiter(b'\t'), &disk, [RIDE]).expect("writes");
    assert_eq!(disk.text("a.csv"), "\"a, \"\"b\"\"\"\t1\t-2\t\n");
    write_keyed(&sink, &disk, [("word".to_owned(), 3_u64), ("next".to_owned(), 4)]);
    assert_eq!(disk.text("a.csv"), "word,3\nnext,4\n");
    write_keyed(&sink, &disk, [((1, 'k'), RIDE)]);
    assert_eq!(disk.text("a.csv"), "1,k,\"a, \"\"b\"\"\",1,-2,\n");
}

#[test]
fn csv_names_its_columns_once() {
    let disk = Memory::default();
    let sink = CsvFile::at("a.csv").header(true);
    write(&sink, &disk, [Place { x: 1, y: 2 }, Place { x: 3, y: 4 }]).expect("writes");
    assert_eq!(disk.text("a.csv"), "x,y\n1,2\n3,4\n");
    write(&sink, &disk, [7]).expect("writes");
    assert_eq!(disk.text("a.csv"), "value\n7\n");
    write(&sink, &disk, [("a", 2)]).expect("writes");
    assert_eq!(disk.text("a.csv"), "value_1,value_2\na,2\n");
    write_keyed(&sink, &disk, [("word", 1), ("other", 2)]);
    assert_eq!(disk.text("a.csv"), "key,value\nword,1\nother,2\n");
    write_keyed(&sink, &disk, [((1, 'k'), Place { x: 1, y: 2 })]);
    assert_eq!(disk.text("a.csv"), "key_1,key_2,x,y\n1,k,1,2\n");
    write(&sink, &disk, [0; 0]).expect("writes");
    assert_eq!(disk.text("a.csv"), "");
}

#[test]
fn csv_rows_have_one_length() {
    let error = write(&CsvFile::at("a.csv"), &Memory::default(), [vec![1, 2], vec![1]]);
    let error = error.expect_err("is refused");
    assert!(error.starts_with("an item cannot be written as CSV: "), "{error}");
}

#[test]
fn json_and_text_take_plain_and_keyed_items() {
    let disk = Memory::default();
    let json = JsonLinesFile::at("a.jsonl");
    write(&json, &disk, ["a\nb", "c"]).expect("writes");
    assert_eq!(disk.text("a.jsonl"), "\"a\\nb\"\n\"c\"\n");
    write_keyed(&json, &disk, [("word", Place { x: 1, y: 2 })]);
    assert_eq!(disk.text("a.jsonl"), "[\"word\",{\"x\":1,\"y\":2}]\n");
    let text = TextFile::at("a.txt");
    write(&text, &disk, ["a", ""]).expect("writes");
    assert_eq!(disk.text("a.txt"), "a\n\n");
    write_keyed(&text, &disk, [("word", 3)]);
    assert_eq!(disk.text("a.txt"), "word\t3\n");
}

#[test]
fn an_item_without_a_json_form_is_an_error() {
    let map = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = write(&JsonLinesFile::at("a.jsonl"), &Memory::default(), [map]);
    let error = error.expect_err("is refused");
    assert!(
        error.starts_with("an item cannot be written as JSON: key must be a string"),
        "{error}"
    );
}

#[test]
fn where_it_cannot_be_written_is_named() {
    let disk = Memory::default();
    disk.folder("folder");
    let error = |path: &str| write(&TextFile::at(path), &disk, ["a"]).expect_err("is refused");
    assert!(error("folder").contains("cannot write `folder`: it is a folder"));
    let missing = error("none/a.txt");
    assert!(missing.contains("cannot write `none/a.txt`: there is no folder `none`"), "{missing}");
    assert!(missing.contains("mkdir -p none"), "{missing}");
    let none = TextFile::folder("folder").parts(0);
    assert!(write(&none, &disk, ["a"]).expect_err("is refused").contains("in 0 parts"));
}

#[test]
fn a_full_disk_is_named() {
    let disk = Memory::default();
    disk.limit(10);
    let error = write(&TextFile::at("a.txt"), &disk, ["12345678", "1"]).expect_err("is full");
    assert!(error.starts_with("cannot write `a.txt`: no space left on device"), "{error}");
    assert!(error.contains("make room"), "{error}");
}

#[test]
fn a_folder_has_parts() {
    let disk = Memory::default();
    let sink = CsvFile::folder("out/parts").parts(3);
    let list = |sink: &CsvFile| Sink::<Stream<u64>>::partitions(sink, &disk.io());
    let names = list(&sink).expect("lists");
    assert_eq!(
        names.iter().map(PartitionId::as_str).collect::<Vec<_>>(),
        ["part-00000.csv", "part-00001.csv", "part-00002.csv"]
    );
    assert_eq!(list(&CsvFile::folder("out/others")).expect("lists").len(), 8);
    for name in &names {
        let opened = Sink::<Stream<u64>>::open(&sink, &disk.io(), name, Resume::Fresh);
        let mut writer = opened.expect("opens");
        writer.write(Rows::of(b"1\n")).expect("writes");
    }
    assert_eq!(disk.text("out/parts/part-00002.csv"), "1\n");
    disk.put("out/parts/notes.txt", "not ours");
    list(&sink).expect("is still the same output");
    let error = list(&sink.parts(2)).expect_err("has three").to_string();
    assert!(error.contains("`out/parts/part-00002.csv` is a part of another output"), "{error}");
}

fn reopen(disk: &Memory, end: &FileEnd) -> Result<FileWriter, String> {
    let position = end.clone();
    Target::File("a.txt".into())
        .open(&disk.io(), &PartitionId::new("a.txt"), Resume::At { epoch: Epoch(1), position })
        .map_err(|error| error.to_string())
}

fn create(disk: &Memory) -> FileWriter {
    Target::File("a.txt".into())
        .open(&disk.io(), &PartitionId::new("a.txt"), Resume::Fresh)
        .expect("opens")
}

#[test]
fn a_file_that_is_not_as_it_was_left_is_refused() {
    let disk = Memory::default();
    let mut writer = create(&disk);
    writer.write(Rows::of(b"one\ntwo\n")).expect("writes");
    let end = writer.seal(Barrier(0)).expect("seals");
    let refused = |text: &str| {
        disk.put("a.txt", text);
        let error = reopen(&disk, &end).expect_err("is refused");
        assert_eq!(disk.text("a.txt"), text, "it must be left as it is");
        error
    };
    assert!(refused("one\n").contains("`a.txt` has been truncated: it had 8 bytes and has 4"));
    assert!(refused("one\nTWO\n").contains("`a.txt` is not the file that was written before"));
    disk.delete("a.txt");
    assert!(reopen(&disk, &end).expect_err("is refused").contains("`a.txt` is gone"));
    assert_eq!(disk.get("a.txt"), None);
}

#[test]
fn one_that_was_empty_may_be_gone() {
    let disk = Memory::default();
    let end = create(&disk).seal(Barrier(0)).expect("seals");
    disk.delete("a.txt");
    reopen(&disk, &end).expect("is made");
    disk.put("a.txt", "of an epoch that was not committed");
    reopen(&disk, &end).expect("is emptied");
    assert_eq!(disk.text("a.txt"), "");
}

#[test]
fn a_new_file_is_made_durable_with_its_folder() {
    let disk = Memory::default();
    disk.folder("out");
    let mut writer = FileWriter::create(&disk.io(), "out/a.txt".into()).expect("is made");
    for _ in 0..2 {
        let durable = writer.durable().expect("prepares").expect("there is something to do");
        std::thread::spawn(durable).join().expect("does not panic").expect("syncs");
    }
    let synced: Vec<_> = disk.synced();
    assert_eq!(synced, [Path::new("out/a.txt"), Path::new("out"), Path::new("out/a.txt")]);
    disk.fail_syncs();
    let durable = writer.durable().expect("prepares").expect("there is something to do");
    let error = durable().expect_err("fails").to_string();
    assert!(error.contains("cannot make durable `out/a.txt`: input/output error"), "{error}");
}

#[test]
fn its_folder_is_synced_also_where_only_the_last_of_several_epochs_is_made_durable() {
    let disk = Memory::default();
    disk.folder("out");
    let mut writer = FileWriter::create(&disk.io(), "out/a.txt".into()).expect("is made");
    let first = writer.durable().expect("prepares");
    let second = writer.durable().expect("prepares").expect("there is something to do");
    drop(first);
    second().expect("syncs");
    assert_eq!(disk.synced(), [Path::new("out/a.txt"), Path::new("out")]);
}

#[test]
fn the_real_disk_behaves_alike() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("a.txt");
    let io = Io::real();
    let mut writer = FileWriter::create(&io, path.clone()).expect("is made");
    writer.write(Rows::of(b"one\n")).expect("writes");
    let end = writer.seal(Barrier(0)).expect("seals");
    writer.durable().expect("prepares").expect("there is something to do")().expect("syncs");
    writer.write(Rows::of(b"two\n")).expect("writes");
    drop(writer);
    let mut writer = FileWriter::reopen(&io, path.clone(), &end).expect("resumes");
    writer.write(Rows::of(b"three\n")).expect("writes");
    assert_eq!(std::fs::read_to_string(&path).expect("reads"), "one\nthree\n");
    let error = FileWriter::create(&io, folder.path().join("no/a.txt")).expect_err("has no folder");
    assert!(error.to_string().contains("there is no folder"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Cut back to any sealed position, a file has what had been written then, and can be written on.
    #[test]
    fn rewound_to_any_sealed_position(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6000), 1..8),
    ) {
        let disk = Memory::default();
        let mut writer = create(&disk);
        let mut sealed = vec![(writer.seal(Barrier(0)).expect("seals"), Vec::new())];
        for block in &blocks {
            writer.write(Rows::of(block)).expect("writes");
            let written = disk.get("a.txt").expect("is there");
            sealed.push((writer.seal(Barrier(0)).expect("seals"), written));
        }
        for (end, written) in sealed.iter().rev() {
            prop_assert_eq!(end.length(), written.len() as u64);
            let mut writer = reopen(&disk, end).expect("resumes");
            prop_assert_eq!(&disk.get("a.txt").expect("is there"), written);
            prop_assert_eq!(&writer.seal(Barrier(0)).expect("seals"), end);
            writer.write(Rows::of(b"of an epoch that is not committed")).expect("writes");
        }
    }
}
