//! Windows: stretches of event time, or so many items, over which the items of a key are gathered.
//!
//! | file | what it owns |
//! |---|---|
//! | `result` | what comes out of a window |
//! | `settings` | what all kinds of windows can be told: lateness, early results |
//! | `aligned` | where windows that do not depend on the items begin and end |
//! | `calendar` | the same by civil time in a time zone |
//! | `tumbling` | tumbling and hopping windows, as they are wired |
//! | `slices` | tumbling and hopping windows of one key |
//! | `sessions` | session windows of one key |
//! | `counts` | windows of so many items of one key |
//!
//! A kind of windows says how the windows of one key are kept ([`Windows`]); the step (`steps/windowing`) has the table of keys, the
//! agenda and the clock.

mod aligned;
mod calendar;
mod counts;
mod result;
mod sessions;
mod settings;
mod slices;
#[cfg(test)]
mod tests;
mod tumbling;

pub use calendar::Calendar;
pub use counts::Counting;
pub(crate) use counts::{Counted, Counts};
pub use result::{Pane, Span, Windowed};
pub use sessions::Session;
pub use settings::Early;
pub(crate) use settings::Settings;
#[doc(hidden)]
pub use slices::Slicing;
pub use tumbling::{Hopping, Tumbling};

use crate::aggregate::Aggregate;
use crate::error::Error;
use crate::state::{Saved, State};
use crate::time::Timestamp;

/// A kind of windows, as it is wired: [`Tumbling`], [`Hopping`] or [`Session`].
pub trait WindowKind: Clone + 'static {
    /// How the windows of a key are kept.
    type Windows: Windows;
    /// How the windows of a key are kept.
    ///
    /// # Errors
    /// When what was said makes no sense, such as a window of no length.
    #[doc(hidden)]
    fn windows(&self) -> Result<(Self::Windows, Settings), Error>;
}

/// What a moment of event time has done to the windows of a key.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Fired {
    /// Whether anything has fired, or was given up.
    pub(crate) changed: bool,
    /// When there is something to fire or to give up next.
    pub(crate) next: Option<Timestamp>,
}

/// How the windows of a key are kept, fired and given up.
#[doc(hidden)]
pub trait Windows: 'static {
    /// The windows of one key.
    type Kept<S: State>: Saved + 'static;
    /// A moment of event time, as all keys see it.
    type Moment;

    /// No windows. All that end up to `watermark` count as fired.
    fn begin<A, G: Aggregate<A>>(watermark: Timestamp, aggregate: &G) -> Self::Kept<G::State>;

    /// Whether an item is late whatever is kept for its key; if so, it is late unless [`adopts`](Windows::adopts) says else.
    fn is_late(&mut self, at: Timestamp, watermark: Timestamp, settings: &Settings) -> bool;

    /// Whether a key's windows take an item that is late otherwise.
    fn adopts<S: State>(
        &self,
        kept: &Self::Kept<S>,
        at: Timestamp,
        watermark: Timestamp,
        settings: &Settings,
    ) -> bool;

    /// Whether a key's windows do not take an item that is not late otherwise. Only asked behind the watermark.
    fn refuses<S: State>(&self, kept: &Self::Kept<S>, at: Timestamp) -> bool {
        let _ = (kept, at);
        false
    }

    /// Whether keys have something to fire at the same times, mostly, so that going through all of them is better than an agenda.
    fn fires_together(&self, settings: &Settings) -> bool {
        let _ = settings;
        false
    }

    /// Adds an item that is not late. What has fired before fires again at once. Answers when there is something to fire or to give up
    /// that was not to be before, if there is.
    fn add<A, G: Aggregate<A>>(
        &mut self,
        kept: &mut Self::Kept<G::State>,
        settings: &Settings,
        aggregate: &G,
        item: (Timestamp, A),
        watermark: Timestamp,
        emit: &mut impl FnMut(Windowed<G::Out>),
    ) -> Option<Timestamp>;

    /// What is the same for all keys when event time has come to `now`.
    fn moment(&self, now: Timestamp, settings: &Settings) -> Self::Moment;

    /// Event time has come to a moment: fires what is due then, gives up what is over. What was due before has been fired.
    fn fire<A, G: Aggregate<A>>(
        &self,
        kept: &mut Self::Kept<G::State>,
        settings: &Settings,
        aggregate: &G,
        moment: &Self::Moment,
        emit: &mut impl FnMut(Windowed<G::Out>),
    ) -> Fired;

    /// Fires open windows that have changed since they last fired.
    fn fire_early<A, G: Aggregate<A>>(
        &self,
        kept: &mut Self::Kept<G::State>,
        aggregate: &G,
        emit: &mut impl FnMut(Windowed<G::Out>),
    );

    /// When there is something to fire or to give up next, in event time.
    fn next<S: State>(&self, kept: &Self::Kept<S>, settings: &Settings) -> Option<Timestamp>;

    /// Whether nothing is kept any more.
    fn is_gone<S: State>(kept: &Self::Kept<S>) -> bool;

    /// Whether a window that is open has changed since it last fired.
    fn has_changed<S: State>(kept: &Self::Kept<S>) -> bool;

    /// When open windows fire that have changed, where they do so by processing time; [`Timestamp::MAX`] if there is nothing to fire.
    fn early_at<S: State>(kept: &Self::Kept<S>) -> Timestamp;

    /// Says so.
    fn set_early<S: State>(kept: &mut Self::Kept<S>, at: Timestamp);
}
