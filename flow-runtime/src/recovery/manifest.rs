//! What a log knows of itself: the contents of FORMAT, of a manifest and of a commit. Encoded by postcard.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::expiry::state_reader;
use crate::recovery::names::{BaseName, SegmentName};
use crate::state::{LoadError, Reader, Saved, Shape};
use crate::time::{Epoch, Timestamp};

/// What is decided when a log is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) dataflow: String,
    /// Key groups: a power of two.
    pub(crate) groups: u32,
    /// The seed of key hashes.
    pub(crate) seed: u64,
    /// Which hash it is; 1 is the one of this version.
    pub(crate) hash: u16,
}

/// Everything that is needed to go on: what a generation begins with, and what its commits add to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// FORMAT once more.
    pub(crate) format: Format,
    pub(crate) workers: u32,
    /// The last commit, `None` before the first.
    pub(crate) last: Option<Committed>,
    /// The input was ended for good.
    pub(crate) finished: bool,
    pub(crate) steps: Vec<SavedStep>,
    /// The number of the next step that is new to the log. Numbers are never used again.
    pub(crate) next_step: u32,
    /// Files that hold all of a range of groups. Of two that hold a group the one of the later barrier counts.
    pub(crate) bases: Vec<Base>,
    /// Where the changes lie, in the order of their epochs. Of a group those count that are later than its base.
    pub(crate) parts: Vec<Part>,
    /// What sinks have stored with epochs and is not known to be carried out.
    pub(crate) stored: Vec<StoredAt>,
    /// The event time that each step had reached.
    pub(crate) watermarks: Vec<(u32, Timestamp)>,
}

/// A commit that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Committed {
    pub(crate) generation: u64,
    pub(crate) barrier: u64,
    /// The epoch that was closed.
    pub(crate) epoch: Epoch,
    /// The one that follows: the resume epoch.
    pub(crate) next: Epoch,
    /// Processing time, which never goes back.
    pub(crate) at: Timestamp,
}

/// A step that keeps something, as the log knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedStep {
    pub(crate) number: u32,
    pub(crate) id: String,
    pub(crate) spec: StepSpec,
}

/// What a step keeps, and by what it is compared from run to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepSpec {
    pub(crate) kind: String,
    /// Of keyed state: the keys.
    pub(crate) key: Option<Shape>,
    /// What it keeps, slot by slot.
    pub(crate) slots: Vec<Slot>,
    /// The configuration that gives the state its meaning, in words.
    pub(crate) meaning: String,
}

impl StepSpec {
    /// A step that keeps one thing, of this shape, under each key of this type.
    pub(crate) fn keyed<K: DeserializeOwned>(kind: &str, shape: Shape) -> StepSpec {
        StepSpec { key: Some(Shape::of_serde::<K>()), ..StepSpec::single(kind, "state", shape) }
    }

    /// A step that keeps one thing.
    pub(crate) fn single(kind: &str, name: &str, shape: Shape) -> StepSpec {
        let slots = vec![Slot { name: name.to_owned(), shape, reads: Reads::default() }];
        StepSpec { kind: kind.to_owned(), key: None, slots, meaning: String::new() }
    }

    /// A source or sink, which keeps the positions of its partitions.
    pub(crate) fn positions<P: DeserializeOwned>(kind: &str) -> StepSpec {
        StepSpec::single(kind, "position", Shape::of_serde::<P>())
    }

    /// What it keeps are values of `V`, whose older versions can be read.
    pub(crate) fn migrates<V: Saved + 'static>(self) -> StepSpec {
        self.reads(|was| Reader::<V>::of(was).map(drop))
    }

    /// The same, with or without the time of a key's last item beside it: state may begin and cease to expire.
    pub(crate) fn migrates_with_time<V: Saved + 'static>(self) -> StepSpec {
        self.reads(|was| state_reader::<V>(was).map(drop))
    }

    /// What it keeps can also be read where it was saved under another shape and `check` finds nothing wrong with that.
    pub(crate) fn reads(mut self, check: fn(&Shape) -> Result<(), LoadError>) -> StepSpec {
        self.slots.iter_mut().for_each(|slot| slot.reads = Reads(check));
        self
    }

    /// Takes out the shapes that entries may still have which were saved under older versions.
    pub(crate) fn take_older(&mut self) -> Vec<Shape> {
        let (older, now) = self.slots.drain(..).partition(|slot| slot.name == OLDER);
        self.slots = now;
        let older: Vec<Slot> = older;
        older.into_iter().map(|slot| slot.shape).collect()
    }

    /// Adds such shapes.
    pub(crate) fn add_older(&mut self, shapes: Vec<Shape>) {
        let slot = |shape| Slot { name: OLDER.to_owned(), shape, reads: Reads::default() };
        self.slots.extend(shapes.into_iter().map(slot));
    }

    /// The shapes that entries may still have which were saved under older versions.
    pub(crate) fn older(&self) -> impl Iterator<Item = &Shape> {
        self.slots.iter().filter(|slot| slot.name == OLDER).map(|slot| &slot.shape)
    }
}

/// The name of slots that are none: they come behind the others, and hold the shapes of older versions.
const OLDER: &str = "older";

impl StepSpec {
    /// Whether it says nothing: it is a source or sink without a position.
    pub(crate) fn keeps_nothing(&self) -> bool {
        let nothing = Shape::of_serde::<()>();
        self.key.is_none() && self.slots.iter().all(|slot| slot.shape == nothing)
    }
}

/// One of the things that a step keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    /// What the program can read besides.
    #[serde(skip)]
    pub(crate) reads: Reads,
}

/// Whether a program can read what was saved under another shape. It belongs to the program alone: it is not saved, and says
/// nothing about whether two specs are the same.
#[derive(Clone, Copy)]
pub(crate) struct Reads(fn(&Shape) -> Result<(), LoadError>);

impl Reads {
    /// Whether it can read values of this shape; if not, why.
    pub(crate) fn check(self, was: &Shape) -> Result<(), LoadError> {
        (self.0)(was)
    }
}

impl Default for Reads {
    fn default() -> Self {
        Reads(|_| Err(LoadError::new("it has no versions")))
    }
}

impl PartialEq for Reads {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Reads {}

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reads")
    }
}

/// A run of frames in a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) file: SegmentName,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The checksum of the frames' checksums.
    pub(crate) crc: u32,
    /// The barrier of its last frame.
    pub(crate) last: u64,
}

/// Everything that a range of groups holds as of a barrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    pub(crate) file: BaseName,
    pub(crate) end: u64,
    /// The checksum of the frames' checksums.
    pub(crate) crc: u32,
}

/// Where something lies that a sink has stored with an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredAt {
    pub(crate) step: u32,
    pub(crate) partition: String,
    pub(crate) epoch: Epoch,
    pub(crate) file: SegmentName,
    /// Where the frame begins.
    pub(crate) offset: u64,
}

/// The commits that were made durable together. They are one record, so that of what was not synced before a power cut there is
/// at most one record, at the end: a gap before a record is damage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The checksum of the record before.
    pub(crate) before: u32,
    pub(crate) commits: Vec<Commit>,
}

/// What a commit changes of the manifest before it. One with the barrier of the commit before it closes no epoch: it only says that
/// files have been compacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Commit {
    pub(crate) last: Committed,
    pub(crate) finished: bool,
    /// New parts; one of a file that the manifest has already is the longer form of that.
    pub(crate) parts: Vec<Part>,
    /// All that is stored and not known to be carried out.
    pub(crate) stored: Vec<StoredAt>,
    /// Those that have changed.
    pub(crate) watermarks: Vec<(u32, Timestamp)>,
    /// New bases.
    pub(crate) bases: Vec<Base>,
    /// What is not needed any more: nothing of it counts beside the bases.
    pub(crate) gone_bases: Vec<BaseName>,
    pub(crate) gone_parts: Vec<SegmentName>,
}

impl Commit {
    /// A commit that changes nothing but what comes last.
    pub(crate) fn of(last: Committed) -> Commit {
        Commit {
            last,
            finished: false,
            parts: Vec::new(),
            stored: Vec::new(),
            watermarks: Vec::new(),
            bases: Vec::new(),
            gone_bases: Vec::new(),
            gone_parts: Vec::new(),
        }
    }
}

impl Manifest {
    /// What a log knows in which nothing has been committed.
    pub(crate) fn nothing(format: Format) -> Manifest {
        Manifest {
            format,
            workers: 0,
            last: None,
            finished: false,
            steps: Vec::new(),
            next_step: 0,
            bases: Vec::new(),
            parts: Vec::new(),
            stored: Vec::new(),
            watermarks: Vec::new(),
        }
    }

    /// The manifest after a commit.
    pub(crate) fn apply(&mut self, commit: &Commit) {
        self.last = Some(commit.last);
        self.finished |= commit.finished;
        for part in &commit.parts {
            match self.parts.last_mut() {
                Some(last) if last.file == part.file && last.start == part.start => {
                    *last = part.clone();
                }
                _ => self.parts.push(part.clone()),
            }
        }
        self.bases.retain(|base| !commit.gone_bases.contains(&base.file));
        self.bases.extend(commit.bases.iter().cloned());
        self.parts.retain(|part| !commit.gone_parts.contains(&part.file));
        self.stored.clone_from(&commit.stored);
        for (step, time) in &commit.watermarks {
            match self.watermarks.iter_mut().find(|(known, _)| known == step) {
                Some((_, known)) => *known = *time,
                None => self.watermarks.push((*step, *time)),
            }
        }
    }

    /// The first epoch that is not committed.
    pub(crate) fn resume_epoch(&self) -> Epoch {
        self.last.map_or(Epoch(0), |last| last.next)
    }

    /// The barrier that ends it.
    pub(crate) fn next_barrier(&self) -> u64 {
        self.last.map_or(0, |last| last.barrier + 1)
    }
}

/// Encodes one of these.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value)
        .expect("what a log says of itself has no parts that refuse to be encoded")
}

/// Decodes one of these, which must fill the bytes.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}
