//! Where the files of a log lie. All their names are made and understood here.

use std::path::{Path, PathBuf};

/// The folder of a log.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

/// A file of the commit log: one of two copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CommitName {
    pub(crate) generation: u64,
    /// Counts the commit files of a generation.
    pub(crate) number: u64,
    pub(crate) copy: Copy2,
}

/// Which of the two copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Copy2 {
    A,
    B,
}

impl Copy2 {
    pub(crate) const BOTH: [Copy2; 2] = [Copy2::A, Copy2::B];

    fn extension(self) -> &'static str {
        match self {
            Copy2::A => "a",
            Copy2::B => "b",
        }
    }
}

/// A file of changes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct SegmentName {
    pub(crate) generation: u64,
    /// Which process of a run writes it.
    pub(crate) writer: u32,
    /// Counts the segments of a writer in a generation.
    pub(crate) number: u64,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Layout { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    pub(crate) fn format(&self) -> PathBuf {
        self.root.join("FORMAT")
    }

    pub(crate) fn segments(&self) -> PathBuf {
        self.root.join("seg")
    }

    pub(crate) fn commit(&self, name: CommitName) -> PathBuf {
        let CommitName { generation, number, copy } = name;
        self.root.join(format!("commit-{generation:08}-{number:06}.{}", copy.extension()))
    }

    pub(crate) fn segment(&self, name: SegmentName) -> PathBuf {
        let SegmentName { generation, writer, number } = name;
        self.segments().join(format!("{generation:08}-{writer:04}-{number:06}.seg"))
    }
}

impl CommitName {
    /// Understands a file's name; `None` for one that is not ours.
    pub(crate) fn parse(path: &Path) -> Option<CommitName> {
        let name = path.file_name()?.to_str()?.strip_prefix("commit-")?;
        let (numbers, copy) = name.split_once('.')?;
        let (generation, number) = numbers.split_once('-')?;
        let copy = Copy2::BOTH.into_iter().find(|known| known.extension() == copy)?;
        Some(CommitName { generation: parse(generation)?, number: parse(number)?, copy })
    }
}

impl SegmentName {
    /// Understands a file's name; `None` for one that is not ours.
    pub(crate) fn parse(path: &Path) -> Option<SegmentName> {
        let name = path.file_name()?.to_str()?.strip_suffix(".seg")?;
        let mut numbers = name.split('-');
        let (generation, writer, number) = (numbers.next()?, numbers.next()?, numbers.next()?);
        numbers.next().is_none().then_some(SegmentName {
            generation: parse(generation)?,
            writer: u32::try_from(parse(writer)?).ok()?,
            number: parse(number)?,
        })
    }
}

/// A number as we write it: digits only.
fn parse(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood_again_and_others_are_not() {
        let layout = Layout::new(Path::new("log"));
        let commit = CommitName { generation: 7, number: 12, copy: Copy2::B };
        assert_eq!(CommitName::parse(&layout.commit(commit)), Some(commit));
        let segment = SegmentName { generation: 123_456_789, writer: 3, number: 0 };
        assert_eq!(SegmentName::parse(&layout.segment(segment)), Some(segment));
        for other in [
            "commit-1-2.c",
            "commit-1.a",
            "commit--1-2.a",
            "commit-+1-2.a",
            "1-2.seg",
            "1-2-3-4.seg",
        ] {
            let path = Path::new(other);
            assert_eq!(
                (CommitName::parse(path), SegmentName::parse(path)),
                (None, None),
                "{other}"
            );
        }
    }
}
