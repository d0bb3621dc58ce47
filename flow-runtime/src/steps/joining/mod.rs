//! Joins: two keyed streams of one key type, item by item with what belongs together.
//!
//! | file | what it owns |
//! |---|---|
//! | `window` | `window_join`: the items of one window |
//! | `interval` | `interval_join`: items near one another in time |
//! | `as_of` | `as_of_join`: the version that was valid at an item's time |
//! | `table` | `table_join`, `changelog_join`: the latest row by arrival |
//! | `waiting` | the step, when it runs, of those in which items wait for event time |

mod as_of;
mod interval;
mod table;
mod waiting;
mod window;

pub use as_of::as_of_join;
pub use interval::interval_join;
pub use table::{changelog_join, table_join};
pub use window::window_join;
