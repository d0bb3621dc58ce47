//! The end of the commit log, torn: what was cut off is a record that counts in neither copy, or in both.

use super::golden::{
    Golden, LAST, LOG, Model, files_of, log, make, newest, open, records, rows, run,
};
use crate::io::testing::Memory;
use crate::recovery::names::Copy2;

/// How a copy ends.
fn ends(bytes: &[u8], from: usize) -> Vec<Vec<u8>> {
    let cut = |at: usize| bytes[..at].to_vec();
    let zeros = |at: usize| [&bytes[..at], &vec![0; bytes.len() - at]].concat();
    // As sectors may: the beginning is not there, the end is.
    let hole = |at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[from..at].fill(0);
        bytes
    };
    let places = (from..bytes.len()).step_by(11).chain([from, from + 1, bytes.len() - 1]);
    let torn = places.flat_map(|at| [cut(at), zeros(at), hole(at.max(from + 1))]);
    // The end of a record may be zeros anyway.
    torn.filter(|torn| torn != bytes).collect()
}

#[test]
fn the_last_record_counts_if_either_copy_has_it() {
    let Golden { disk, found, steps, .. } = make();
    let files = disk.files();
    let copies = newest(&files_of(&disk));
    let bytes = files[&copies[0]].clone();
    assert_eq!(bytes, {
        let mut other = files[&copies[1]].clone();
        // The header says which copy it is.
        other[..64].copy_from_slice(&bytes[..64]);
        other
    });
    let records = records(&bytes);
    let [.., before, last] = records[..] else { panic!("there are several records") };
    let open_with = |a: Option<&[u8]>, b: Option<&[u8]>| {
        let mut files = files.clone();
        for (path, torn) in copies.iter().zip([a, b]) {
            let Some(torn) = torn else { continue };
            let file = files.get_mut(path).expect("is there");
            file.truncate(64);
            file.extend_from_slice(&torn[64..]);
        }
        open(&Memory::of(files, vec![format!("{LOG}/seg").into()]), &steps).expect("opens")
    };
    let torn = ends(&bytes, last);
    for one in &torn {
        for (a, b) in [(Some(&one[..]), None), (None, Some(&one[..]))] {
            let (whole, repaired) = open_with(a, b);
            assert!(whole == found);
            assert_eq!(repaired.len(), 1, "{repaired:?}");
        }
        for other in &torn {
            let (shorter, repaired) = open_with(Some(one), Some(other));
            assert!(shorter.epoch < found.epoch);
            shorter.check();
            assert!(repaired.is_empty(), "{repaired:?}");
        }
    }
    // One copy lacks more than the other.
    for one in ends(&bytes, before) {
        for other in torn.iter().step_by(9) {
            for (a, b) in [(&one, other), (other, &one)] {
                let (shorter, _) = open_with(Some(a), Some(b));
                // Where one lacks another record than the other nothing is missing.
                assert!(shorter.epoch <= found.epoch);
                shorter.check();
            }
        }
    }
}

#[test]
fn every_earlier_record_is_a_state_of_its_own() {
    let Golden { disk, steps, found, .. } = make();
    let (mut epochs, mut continued) = (Vec::new(), 0);
    let mut files = disk.files();
    loop {
        let copies = newest(&files);
        let records = records(&files[&copies[0]]);
        for at in records.iter().rev() {
            match open(&Memory::of(files.clone(), vec![]), &steps) {
                Ok((opened, _)) => {
                    opened.check();
                    epochs.push(opened.epoch);
                }
                // The last record of a file that was full: it asks for the next file, which has been removed.
                Err(error) => {
                    assert!(error.to_string().contains("is continued in another file"), "{error}");
                    continued += 1;
                }
            }
            copies.iter().for_each(|path| files.get_mut(path).expect("is there").truncate(*at));
        }
        // Without its first record the file does not count; nor do the changes that follow.
        copies.iter().for_each(|path| drop(files.remove(path)));
        if copies[0].to_string_lossy().contains("-000000.") {
            break;
        }
    }
    assert_eq!(epochs[0], found.epoch);
    assert!(continued > 0, "no file was full");
    assert!(epochs.is_sorted_by(|later, earlier| later >= earlier), "{epochs:?}");
    assert!(epochs.len() >= 6, "{epochs:?}");
}

#[test]
fn a_run_goes_on_from_a_torn_end() {
    let Golden { disk, .. } = make();
    let copies = newest(&files_of(&disk));
    let files = disk.files();
    let bytes = &files[&copies[0]];
    let last = *records(bytes).last().expect("there are some");
    for (n, cut) in (last..bytes.len()).step_by(11).enumerate() {
        let mut files = files.clone();
        copies.iter().for_each(|path| files.get_mut(path).expect("is there").truncate(cut));
        let disk = Memory::of(files, vec![]);
        run(&disk, log(), 1 + n % 4, n as u64).expect("the run succeeds");
        assert_eq!(rows(&disk), Model::at(LAST).rows);
    }
}

#[test]
fn a_claim_whose_first_record_is_torn_never_happened() {
    let Golden { disk, found, steps, .. } = make();
    // What the next start writes.
    let next = disk.after_kill();
    open(&next, &steps).expect("opens");
    // What it has removed is there until its first record is durable.
    let mut files = disk.files();
    files.extend(next.files());
    let copies = newest(&files);
    assert!(copies[0].to_string_lossy().contains("00000005-000000"));
    let whole = files[&copies[0]].len();
    for cut in 0..whole {
        for missing in [None, Some(Copy2::A), Some(Copy2::B)] {
            let mut files = files.clone();
            for (path, copy) in copies.iter().zip(Copy2::BOTH) {
                files.get_mut(path).expect("is there").truncate(cut);
                if missing == Some(copy) {
                    files.remove(path);
                }
            }
            let disk = Memory::of(files.clone(), vec![]);
            let (opened, repaired) = open(&disk, &steps).expect("opens");
            assert!(opened == found && repaired.is_empty(), "{cut} {missing:?} {repaired:?}");
            // Nothing is written before the first record is durable: where there are changes it is damage.
            if cut % 16 == 0 {
                files.insert(format!("{LOG}/seg/00000005-0000-000000.seg").into(), vec![1]);
                let disk = Memory::of(files, vec![]);
                let error = open(&disk, &steps).expect_err("is damage").to_string();
                assert!(error.contains("00000005-000000.a` is damaged at byte 64"), "{error}");
            }
        }
    }
}
