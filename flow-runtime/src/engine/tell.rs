//! What a stage's consumers are told, and what they answer.

use crate::control::{Answer, Control, Signal};
use crate::describe::StepId;
use crate::engine::core::Core;
use crate::recovery::changes::Changes;
use crate::recovery::recovered::Restoring;
use crate::time::Timestamp;

/// What a stage remembers of its consumers' answers.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// Somebody wants to know the time before items come.
    pub(crate) uses_time: bool,
    /// Somebody wants to know what the partitions of the source are about.
    pub(crate) follows_partitions: bool,
    /// Somebody has asked, on the last signal, not to read a partition now.
    pub(crate) holds: bool,
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
        self.tell_with(core, id, signal, None, control);
    }

    /// Tells them that an epoch has ended, or to take over what is saved; what they changed goes to `changes`.
    pub(crate) fn tell_with(
        &mut self,
        core: &Core,
        id: &StepId,
        signal: Signal,
        changes: Option<&mut Changes>,
        control: impl FnOnce(&mut Control<'_>),
    ) {
        let mut answer = Answer::default();
        if let Signal::Barrier(_) = signal {
            answer.kept = core.meter().map(|_| Vec::new());
        }
        let mut message = Control::new(signal, core.now(), &mut answer).saving(changes);
        let recovered = core.link.recovered.as_ref().filter(|_| signal == Signal::Restore);
        if let Some(recovered) = recovered {
            message = message.restoring(Restoring::new(recovered, core.who, core.link.workers));
        }
        control(&mut message);
        core.take(&mut answer, id);
        self.uses_time |= answer.uses_time;
        self.follows_partitions |= answer.follows_partitions;
        self.holds = answer.holds;
        // Asked anew on these, so that what has fired is forgotten.
        if let Signal::Flush | Signal::Tick = signal {
            self.wake_at = answer.wake_at;
        }
    }
}
