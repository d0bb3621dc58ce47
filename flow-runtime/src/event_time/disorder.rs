//! What a user says of a source's times.

use std::time::Duration;

/// How far out of order the items of a source come, and what is done about partitions that fall silent or run ahead.
///
/// ```
/// use std::time::Duration;
/// use flow_runtime::prelude::*;
///
/// let disorder = Disorder::bounded(Duration::from_secs(5))
///     .idle_after(Duration::from_secs(60))
///     .at_most_ahead(Duration::from_secs(3600));
/// # let _ = disorder;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disorder {
    pub(crate) bound: Duration,
    pub(crate) idle_after: Option<Duration>,
    pub(crate) ahead: Option<Duration>,
    pub(crate) skew: Option<Duration>,
}

impl Disorder {
    /// The items of a partition come in the order of their times.
    pub const fn none() -> Disorder {
        Disorder::bounded(Duration::ZERO)
    }

    /// An item comes at most `bound` of event time behind the latest of its partition. The watermark of a partition is its latest
    /// time less this; what comes behind it is late.
    pub const fn bounded(bound: Duration) -> Disorder {
        Disorder { bound, idle_after: None, ahead: None, skew: None }
    }

    /// A partition that has had nothing to read for so long, in processing time, is idle: others do not wait for it until its next
    /// item, which may be late then. Without this a silent partition holds event time back for as long as it is silent.
    pub const fn idle_after(mut self, after: Duration) -> Disorder {
        self.idle_after = Some(after);
        self
    }

    /// An item is believed to be at most so far ahead of processing time. One that is further ahead would carry the watermark there,
    /// and make all others late. `event_time` takes it for so far ahead and no further; `try_event_time` rejects it.
    ///
    /// Only for sources whose items are as old as the run: it compares two clocks.
    pub const fn at_most_ahead(mut self, ahead: Duration) -> Disorder {
        self.ahead = Some(ahead);
        self
    }

    /// A partition that is so far ahead of the one that is furthest behind, in event time, is not read on until that has followed.
    /// What waits in windows then stays small where partitions are read at different speeds, such as old files beside new ones.
    /// Partitions that are idle, have ended or have not had an item yet count for nothing. It is looked at once a batch.
    pub const fn aligned_within(mut self, skew: Duration) -> Disorder {
        self.skew = Some(skew);
        self
    }
}
