//! Timers of keys.
//!
//! What timers a key has is part of its state, and saved with it. Beside it a worker keeps an agenda: which keys have something to do
//! when. The agenda is made anew from the state when a run goes on; it may name a key too often, never too seldom.
//!
//! | file | what it owns |
//! |---|---|
//! | `agenda` | which keys have something to do when |
//! | `pending` | the timers of one key |

mod agenda;
mod pending;

pub(crate) use agenda::{Agenda, Armed};

pub use pending::By;
pub(crate) use pending::Timers;
