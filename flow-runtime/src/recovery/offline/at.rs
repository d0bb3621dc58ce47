//! Which commit is meant.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::time::Epoch;

/// One of the commits that a log keeps.
///
/// ```
/// use flow_runtime::log::At;
/// use flow_runtime::time::Epoch;
///
/// assert_eq!("newest".parse(), Ok(At::Newest));
/// assert_eq!("7".parse(), Ok(At::Epoch(Epoch(7))));
/// assert_eq!(At::from("before-upgrade"), At::Pin("before-upgrade".into()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// The newest commit.
    #[default]
    Newest,
    /// The one behind which this epoch follows: a run that goes on from it begins with this epoch.
    Epoch(Epoch),
    /// The one that is pinned under this name.
    Pin(String),
}

impl From<Epoch> for At {
    fn from(epoch: Epoch) -> At {
        At::Epoch(epoch)
    }
}

impl From<u64> for At {
    fn from(epoch: u64) -> At {
        At::Epoch(Epoch(epoch))
    }
}

/// A number is an epoch, `newest` the newest commit, anything else a pin: no pin can be called otherwise.
impl From<&str> for At {
    fn from(text: &str) -> At {
        match text.parse() {
            Ok(epoch) => At::Epoch(Epoch(epoch)),
            Err(_) if text == "newest" => At::Newest,
            Err(_) => At::Pin(text.to_owned()),
        }
    }
}

impl FromStr for At {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<At, Infallible> {
        Ok(At::from(text))
    }
}

/// In words.
impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Newest => f.write_str("the newest commit"),
            At::Epoch(epoch) => write!(f, "epoch {epoch}"),
            At::Pin(name) => write!(f, "the pin `{name}`"),
        }
    }
}
