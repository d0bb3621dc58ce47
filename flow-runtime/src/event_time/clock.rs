//! How far event time has come at a step.

use crate::control::{Control, Signal, Standing};
use crate::describe::StepId;
use crate::error::{Error, ErrorKind};
use crate::time::Timestamp;

/// How far event time has come at a step. It is saved with the step, and a run never goes back behind it: what has been decided by it
/// stays decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    watermark: Timestamp,
    /// Whether somebody upstream gives items their time; `None` before it is known.
    timed: Option<bool>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Clock { watermark: Timestamp::MIN, timed: None }
    }

    /// No item of an earlier time is expected.
    #[inline(always)]
    pub(crate) fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// Somebody else has come so far.
    pub(crate) fn advance(&mut self, watermark: Timestamp) {
        self.watermark = self.watermark.max(watermark);
    }

    /// Whether it is known that nobody upstream gives items their time.
    pub(crate) fn is_untimed(&self) -> bool {
        self.timed == Some(false)
    }

    /// Looks at a signal, before the step acts on it. Answers whether the watermark has moved on.
    pub(crate) fn hear(&mut self, id: &StepId, control: &mut Control<'_>) -> bool {
        match control.signal() {
            Signal::Restore => {
                let saved = control.restored().and_then(|from| from.watermark(id));
                self.watermark = saved.unwrap_or(self.watermark);
                false
            }
            Signal::Watermark(time) => {
                let timed = time.standing != Standing::Ended || time.watermark > Timestamp::MIN;
                self.timed = Some(timed || self.timed == Some(true));
                let moved = time.watermark > self.watermark;
                self.watermark = self.watermark.max(time.watermark);
                moved
            }
            Signal::Barrier(_) => {
                if let Some(changes) = control.changes() {
                    changes.watermark(id, self.watermark);
                }
                false
            }
            _ => false,
        }
    }
}

/// An item has come to a step that works by event time, and has none. `what` the step is.
#[cold]
pub(crate) fn without_time(id: &StepId, what: &str) -> Error {
    Error::new(ErrorKind::Configuration, format!("an item without a time has come to a {what}"))
        .help(format!("put `let timed = event_time(stream, |item| .., Disorder::bounded(..));` behind the source, on every way from a source to the {what}"))
        .at_step(id)
}
