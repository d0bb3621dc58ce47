//! What a user says about how long state is kept.

use std::time::Duration;

use crate::expiry::Aging;

/// How long a key's state is kept after its last item: its time to live.
///
/// It stands last where a step is wired: `velocity(by_card, Ttl::event_time(WEEK))` for a function with `#[stateful_map(ttl)]`,
/// `expiring_map(keyed, f, ttl)` for a closure, `dedupe(keyed, ttl)`.
///
/// When the time is over the key's next item finds fresh state, exactly then. The memory is given back soon after: at each barrier a part
/// of the table is looked through, and a key that is over is taken out of the recovery log as well. A restart does not prolong the time.
///
/// It may be changed from run to run, turned on and turned off. State that was saved without a time, or with one by the other clock,
/// counts from the start of the run that takes it over.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// use std::time::Duration;
///
/// /// How often a card was used without a break of a minute.
/// #[stateful_map(ttl)]
/// fn in_a_row(uses: &mut u64, _card: &u32, _at: i64) -> u64 {
///     *uses += 1;
///     *uses
/// }
///
/// #[dataflow]
/// fn velocity(payments: Vec<(u32, i64)>, out: Collect<(u32, u64)>) {
///     let all = source(from_iter(payments));
///     let timed = event_time(all, |p| Timestamp::from_secs(p.1), Disorder::none());
///     let by_card = into_keyed(timed);
///     let uses = in_a_row(by_card, Ttl::event_time(Duration::from_secs(60)));
///     sink(uses, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, uses) = collect();
/// velocity(vec![(7, 0), (7, 59), (7, 119), (7, 130)], out).workers(2).spawn()?.wait()?;
/// assert_eq!(uses.sorted(), [(7, 1), (7, 1), (7, 2), (7, 2)]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    after: Option<Duration>,
    aging: Aging,
}

impl Ttl {
    /// For ever.
    pub const fn never() -> Ttl {
        Ttl { after: None, aging: Aging::Never }
    }

    /// For this long by processing time, to the millisecond, of the batch that an item comes in.
    pub const fn processing_time(after: Duration) -> Ttl {
        Ttl { after: Some(after), aging: Aging::ByProcessing }
    }

    /// For this long by event time, to the microsecond.
    ///
    /// State is over for an item of a time so much later than the latest item that the key had, and for every item once the
    /// watermark is so much later. So what an item finds does not depend on when it comes, unless it comes late. An
    /// `event_time` must stand upstream: an item without a time ends the run with an error.
    pub const fn event_time(after: Duration) -> Ttl {
        Ttl { after: Some(after), aging: Aging::ByEvent }
    }

    pub(crate) fn after(self) -> Option<Duration> {
        self.after
    }

    pub(crate) fn aging(self) -> Aging {
        self.aging
    }
}
