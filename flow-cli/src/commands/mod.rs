//! The commands, one a file.
//!
//! | file | what it owns |
//! |---|---|
//! | `ls` | whose log it is, and what is in it |
//! | `show` | what a step keeps |
//! | `diff` | what is different between two commits |
//! | `verify` | whether everything is whole |
//! | `why` | where the next run begins, and why each file is there |
//! | `change` | compact, pin, unpin, rollback |
//! | `repair` | getting damaged files out of the way |

pub(crate) mod change;
pub(crate) mod diff;
pub(crate) mod ls;
pub(crate) mod repair;
pub(crate) mod show;
pub(crate) mod verify;
pub(crate) mod why;

use flow_runtime::log::At;
use serde_json::{Value, json};

/// A commit as JSON has it: an epoch as a number, a pin as its name.
fn at(at: &At) -> Value {
    match at {
        At::Epoch(epoch) => json!(epoch.0),
        At::Pin(name) => json!(name),
        _ => json!("newest"),
    }
}

/// Commits in words: epochs that follow each other as a range.
fn in_words(commits: &[At]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut run: Option<(u64, u64)> = None;
    let say = |(first, last): (u64, u64)| match first == last {
        true => format!("epoch {first}"),
        false => format!("epochs {first} to {last}"),
    };
    for commit in commits {
        match (commit, run) {
            (At::Epoch(epoch), Some((first, last))) if epoch.0 == last + 1 => {
                run = Some((first, epoch.0));
            }
            (At::Epoch(epoch), before) => {
                words.extend(before.map(say));
                run = Some((epoch.0, epoch.0));
            }
            (other, before) => {
                words.extend(before.map(say));
                run = None;
                words.push(other.to_string());
            }
        }
    }
    words.extend(run.map(say));
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_that_follow_each_other_are_a_range() {
        let commits = [1, 2, 3, 7].map(At::from);
        assert_eq!(in_words(&commits), "epochs 1 to 3, epoch 7");
        let commits = [At::Newest, 4.into(), 5.into(), "p".into()];
        assert_eq!(in_words(&commits), "the newest commit, epochs 4 to 5, the pin `p`");
        assert_eq!(in_words(&[]), "");
    }
}
