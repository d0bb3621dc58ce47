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

/// A file with everything that a range of key groups holds as of a barrier.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct BaseName {
    pub(crate) barrier: u64,
    /// Which run wrote it.
    pub(crate) generation: u64,
    /// The first and the last group. What belongs to no group counts as one behind all others.
    pub(crate) first: u16,
    pub(crate) last: u16,
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

    pub(crate) fn bases(&self) -> PathBuf {
        self.root.join("base")
    }

    pub(crate) fn pins(&self) -> PathBuf {
        self.root.join("pin")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(crate) fn commit(&self, name: CommitName) -> PathBuf {
        self.root.join(name.to_file_name())
    }

    pub(crate) fn segment(&self, name: SegmentName) -> PathBuf {
        self.segments().join(name.to_file_name())
    }

    pub(crate) fn base(&self, name: BaseName) -> PathBuf {
        self.bases().join(name.to_file_name())
    }

    /// Where the commit of this name is pinned.
    pub(crate) fn pin(&self, name: &str) -> PathBuf {
        self.pins().join(name)
    }
}

impl CommitName {
    fn to_file_name(self) -> String {
        let CommitName { generation, number, copy } = self;
        format!("commit-{generation:08}-{number:06}.{}", copy.extension())
    }

    /// Understands a file's name; `None` for one that is not ours.
    pub(crate) fn parse(path: &Path) -> Option<CommitName> {
        let file = path.file_name()?.to_str()?;
        let (numbers, copy) = file.strip_prefix("commit-")?.split_once('.')?;
        let (generation, number) = numbers.split_once('-')?;
        let copy = Copy2::BOTH.into_iter().find(|known| known.extension() == copy)?;
        let name = CommitName { generation: parse(generation)?, number: parse(number)?, copy };
        (name.to_file_name() == file).then_some(name)
    }
}

impl SegmentName {
    fn to_file_name(self) -> String {
        let SegmentName { generation, writer, number } = self;
        format!("{generation:08}-{writer:04}-{number:06}.seg")
    }

    /// Understands a file's name; `None` for one that is not ours.
    pub(crate) fn parse(path: &Path) -> Option<SegmentName> {
        let file = path.file_name()?.to_str()?;
        let mut numbers = file.strip_suffix(".seg")?.split('-');
        let name = SegmentName {
            generation: parse(numbers.next()?)?,
            writer: u32::try_from(parse(numbers.next()?)?).ok()?,
            number: parse(numbers.next()?)?,
        };
        (name.to_file_name() == file).then_some(name)
    }
}

impl BaseName {
    fn to_file_name(self) -> String {
        let BaseName { barrier, generation, first, last } = self;
        format!("{barrier:012}-{generation:08}-{first:05}-{last:05}.base")
    }

    /// Understands a file's name; `None` for one that is not ours.
    pub(crate) fn parse(path: &Path) -> Option<BaseName> {
        let file = path.file_name()?.to_str()?;
        let mut numbers = file.strip_suffix(".base")?.split('-');
        let name = BaseName {
            barrier: parse(numbers.next()?)?,
            generation: parse(numbers.next()?)?,
            first: u16::try_from(parse(numbers.next()?)?).ok()?,
            last: u16::try_from(parse(numbers.next()?)?).ok()?,
        };
        (name.to_file_name() == file).then_some(name)
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
        let base = BaseName { barrier: 99, generation: 2, first: 0, last: u16::MAX };
        assert_eq!(BaseName::parse(&layout.base(base)), Some(base));
        for other in [
            "000000000099-00000002-00000-65536.base",
            "99-00000002-00000-00001.base",
            "commit-1-2.c",
            "commit-1.a",
            "commit-1-2.a",
            "commit-000000001-000002.a",
            "commit-99999999999999999999-000002.a",
            "commit--1-2.a",
            "commit-+1-2.a",
            "1-2.seg",
            "1-2-3-4.seg",
            "1-2-3.seg",
            "00000001-99999999999-000001.seg",
        ] {
            let path = Path::new(other);
            assert_eq!(
                (CommitName::parse(path), SegmentName::parse(path), BaseName::parse(path)),
                (None, None, None),
                "{other}"
            );
        }
    }
}
