//! Expiry: how long a key's state is kept.
//!
//! A step whose state expires keeps beside it when the key's last item came, and saves both. An item that comes to state whose time is
//! over finds none: that is looked up in the entry, so it is exact. What nobody asks for any more is taken away by a sweep that goes
//! over a bounded part of the table at each barrier. Steps whose state does not expire have none of this.
//!
//! | file | what it owns |
//! |---|---|
//! | `ttl` | what a user says |
//! | `aged` | state with its time: how it is saved, and read where the time was not kept or by another clock |
//! | `watch` | the clock of a step, what is over by it, and the sweep |

mod aged;
mod ttl;
mod watch;

pub(crate) use aged::{Aged, AgedForm, Aging, UNKNOWN, shape_of, state_reader};
pub use ttl::Ttl;
pub(crate) use watch::Expiry;
