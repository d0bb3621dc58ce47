//! The targets of the fuzzer, called with what lies in `fuzz/corpus` and with what comes of changing that.
//!
//! `FLOW_FUZZ_SECONDS` is how long each target gets changed input; without it, a fixed number of times.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::log::KINDS;
use super::{TARGETS, folder};
use crate::io::file::Files;
use crate::recovery::block::Block;
use crate::recovery::frame::{Frames, HEADER, Header, frame_type};
use crate::state::Shape;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus");

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % end.max(1)
    }
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(CORPUS).join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("it can be read"))).collect()
}

/// Calls a target; what it must not get over is shown.
fn call(name: &str, target: fn(&[u8]), bytes: &[u8]) {
    let called = catch_unwind(AssertUnwindSafe(|| target(bytes)));
    assert!(called.is_ok(), "`{name}` fails with {bytes:?}");
}

#[test]
fn every_input_of_the_corpus_is_refused_or_read() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(inputs.len() >= 2, "{name} has {} inputs", inputs.len());
        inputs.iter().for_each(|(_, bytes)| call(name, target, bytes));
        call(name, target, &[]);
    }
}

/// Some changes of an input.
fn change(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = random.below(256) as u8,
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => bytes.insert(at, [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n'][random.below(7)]),
            4 => bytes.truncate(at.max(1)),
            5 => {
                let to = at + random.below(bytes.len().saturating_sub(at).min(32) + 1);
                let again = bytes.get(at..to).unwrap_or_default().to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let from = random.below(other.len());
                bytes.truncate(at);
                bytes.extend(&other[from.min(other.len())..]);
            }
        }
    }
    bytes.truncate(1 << 14);
}

#[test]
fn changed_inputs_of_the_corpus_are_refused_or_read() {
    let given = std::env::var("FLOW_FUZZ_SECONDS").ok();
    let seconds = given.map(|text| text.parse().expect("the variable is a number"));
    let only = std::env::var("FLOW_FUZZ_TARGET").ok();
    let seed = std::env::var("FLOW_SEED").map_or(1, |text| text.parse().expect("it is a number"));
    for (name, target) in TARGETS {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let (inputs, mut random) = (corpus(name), Random(seed));
        let (began, mut calls) = (Instant::now(), 0_u64);
        while seconds.map_or(calls < 300, |most| began.elapsed() < Duration::from_secs(most)) {
            let (_, other) = &inputs[random.below(inputs.len())];
            let mut bytes = inputs[random.below(inputs.len())].1.clone();
            change(&mut random, &mut bytes, other);
            call(name, target, &bytes);
            calls += 1;
        }
        println!("{name}: {calls} inputs");
    }
}

#[test]
fn the_log_that_is_changed_is_whole_at_first() {
    let entries = folder::start(&folder::disk().fork()).expect("it is a log");
    assert!(entries > 3, "{entries}");
    let names = folder::paths(folder::disk());
    for part in ["FORMAT", "commit-", "seg/", "base/"] {
        assert!(
            names.iter().any(|path| path.to_string_lossy().contains(part)),
            "{part}: {names:?}"
        );
    }
}

/// Every frame of a log: its type and its payload.
fn frames_of(disk: &crate::sim::SimDisk) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    for path in folder::paths(disk) {
        let bytes = disk.get(&path).expect("it is there");
        let Some(head) = bytes.first_chunk::<HEADER>() else { continue };
        let header = KINDS.iter().find_map(|kind| Header::decode(head, *kind).ok());
        let Some(header) = header else { continue };
        let mut file = disk.open(&path).expect("it is there");
        let mut frames = Frames::new(&mut *file, header.seed(), HEADER as u64, bytes.len() as u64);
        while let Ok(Some(frame)) = frames.next() {
            found.push((frame.head.frame_type, frame.payload.to_vec()));
        }
    }
    found
}

#[test]
#[ignore = "writes the corpus, where it is not there"]
fn write_corpus() {
    let disk = folder::disk();
    let frames = frames_of(disk);
    let mut random = Random(1);
    let of =
        |wanted: u8| frames.iter().filter(move |frame| frame.0 == wanted).map(|frame| &frame.1);
    let paths = folder::paths(disk);
    let content = |path: &PathBuf| disk.get(path).expect("it is there");
    let headers = paths.iter().map(content).filter(|bytes| bytes.len() >= HEADER);
    let mut inputs: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("header", headers.clone().map(|bytes| bytes[..HEADER].to_vec()).collect()),
        (
            "frames",
            frames
                .iter()
                .step_by(5)
                .map(|(of, payload)| [&[*of, 190, 0, 1], &payload[..]].concat())
                .collect(),
        ),
        ("block", of(frame_type::CHANGES).step_by(3).cloned().collect()),
    ];
    let said = [frame_type::START, frame_type::COMMIT, frame_type::FORMAT];
    let manifests = said.iter().flat_map(|wanted| of(*wanted).take(4).cloned()).collect();
    inputs.push(("manifest", manifests));
    let mut pairs = vec![
        [&[0, 0, 0], &headers.clone().max_by_key(Vec::len).expect("there is one")[HEADER..]]
            .concat(),
    ];
    for (cut_a, cut_b) in [(0, 0), (30, 0), (0, 9), (40, 50)] {
        let mut pair = vec![cut_a, cut_b, 1];
        for payload in of(frame_type::START).take(1).chain(of(frame_type::COMMIT).take(3)) {
            pair.extend((payload.len() as u16).to_le_bytes());
            pair.extend(payload);
        }
        pairs.push(pair);
    }
    inputs.push(("newest", pairs));
    let changes = |random: &mut Random| {
        (0..5 * (1 + random.below(4))).map(|_| random.below(256) as u8).collect()
    };
    inputs.push(("folder", (0..12).map(|_| changes(&mut random)).collect()));
    let steps = folder::steps();
    let shapes =
        steps.iter().flat_map(|(_, spec)| spec.slots.iter().map(|slot| slot.shape.encode()));
    inputs.push((
        "shape",
        shapes.chain([Shape::of_serde::<(Vec<Option<u8>>, [char; 3])>().encode()]).collect(),
    ));
    let (mut keys, mut states) = (Vec::new(), Vec::new());
    for block in of(frame_type::CHANGES).filter_map(|payload| Block::decode(payload)).take(6) {
        let _ = block.entries(
            |_| true,
            |entry| {
                keys.push(entry.key.to_vec());
                states.push(entry.value.to_vec());
                Err(())
            },
        );
    }
    keys.extend([vec![1, 2, b'a', b'b', 1, 1, 5], vec![0; 16], vec![7, 1, b'x', 1, 2, 3, 1, 2, 3]]);
    states.extend([
        vec![0; 120],
        vec![1; 60],
        vec![2, 1, 1, 3, b'a', b'b', b'c'],
        vec![3, 0, 0, 0],
    ]);
    inputs.extend([("keys", keys), ("states", states)]);
    let number = (1_u64 << 63).to_be_bytes();
    let part = |slot: u8, sub: &[u8], value: &[u8]| {
        [&[slot, 1, sub.len() as u8, value.len() as u8], sub, value].concat()
    };
    let gone = |slot: u8, sub: &[u8]| [&[slot, 0, sub.len() as u8, 0], sub].concat();
    let item = part(1, &[2, b'a', b'b'], &[7, 0, 0, 0]);
    let element = part(3, &number, &[1, 9]);
    inputs.push((
        "parts",
        vec![
            item.clone(),
            [item.clone(), part(2, &[1, 2], &[2, 0, 1]), element.clone()].concat(),
            [item, gone(1, &[2, b'a', b'b'])].concat(),
            [element, part(3, &((1_u64 << 63) + 1).to_be_bytes(), &[0]), gone(3, &number)].concat(),
        ],
    ));
    let texts = |all: &[&str]| all.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    inputs.push((
        "csv",
        texts(&[
            "word,count,share\na,1,0.5\nb,2,\n",
            "\u{feff}word,count,share\r\n\"a, \"\"b\"\"\",1,2\r\n\"two\nlines\",3,\r\n",
            "a;1;2\nb;x;\n\n;;\n",
            "open\n\"x,1,2\ny\n",
        ]),
    ));
    inputs.push((
        "json_lines",
        texts(&[
            "[\"a\",1]\n[\"b\",null]\n",
            "{\n\n[\"\\u00e4\",2]\r\n",
            "[\"a\",1]",
            "[1]\n[\"a\",1,2]\n \n",
        ]),
    ));
    let mut text = texts(&["one\ntwo\r\n\nfour", "\u{feff}\u{e4}\n", "\n\n\r\n\r", "a\u{0}b\n"]);
    text.push(vec![b'a', 0xff, b'\n', 0xc3, b'\n']);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, b"one\ntwo\n").expect("it is memory");
    text.push(packed.finish().expect("it is memory"));
    inputs.push(("lines", text));
    for (target, mut inputs) in inputs {
        inputs.dedup();
        let folder = Path::new(CORPUS).join(target);
        if folder.exists() {
            continue;
        }
        fs::create_dir_all(&folder).expect("the folder is writable");
        for (n, bytes) in inputs.iter().take(16).enumerate() {
            fs::write(folder.join(format!("{n:02}")), bytes).expect("the folder is writable");
        }
    }
}
