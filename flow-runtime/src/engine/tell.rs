//! What a stage's consumers are told, and what they answer.

use crate::control::{Answer, Control, Signal};
use crate::describe::StepId;
use crate::engine::core::Core;
use crate::time::Timestamp;

/// What a stage remembers of its consumers' answers.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// Somebody wants to know the time before items come.
    pub(crate) uses_time: bool,
    /// Somebody wants a tick then.
    pub(crate) wake_at: Option<Timestamp>,
}

impl Answered {
    /// Tells the consumers of the stage `id`, which `control` leads to, a signal.
    pub(crate) fn tell(
        &mut self,
        core: &Core,
        id: &StepId,
        signal: Signal,
        control: impl FnOnce(&mut Control<'_>),
    ) {
        let mut answer = Answer::default();
        control(&mut Control::new(signal, core.now(), &mut answer));
        core.take(&mut answer, id);
        self.uses_time |= answer.uses_time;
        // Asked anew on these, so that what has fired is forgotten.
        if let Signal::Flush | Signal::Tick = signal {
            self.wake_at = answer.wake_at;
        }
    }
}
