//! What is said of steps that do not fit, with the ways out.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::SINK;
use crate::describe::StepId;
use crate::recovery::manifest::{Manifest, SavedStep, StepSpec};
use crate::state::{LoadError, Shape};

fn shown(spec: &StepSpec) -> String {
    let mut text = spec.kind.clone();
    if let Some(key) = &spec.key {
        let _ = write!(text, " by {key}");
    }
    for slot in &spec.slots {
        let _ = write!(text, " of {}", slot.shape);
    }
    if !spec.meaning.is_empty() {
        let _ = write!(text, ", {}", spec.meaning);
    }
    text
}

/// What is said of a step that keeps something else than it did; with the reason why it cannot be converted, where it might
/// have been.
pub(super) fn changed(id: &str, old: &StepSpec, new: &StepSpec, why: Option<&LoadError>) -> String {
    let difference = || {
        if old.kind != new.kind {
            return None;
        }
        if let (Some(old), Some(new)) = (&old.key, &new.key)
            && let Some(difference) = old.differences(new)
        {
            return Some(format!("of the key, {difference}"));
        }
        let mut slots = old.slots.iter().zip(&new.slots);
        slots.find_map(|(old, new)| old.shape.differences(&new.shape))
    };
    let difference = difference();
    let mut text = format!("  step `{id}` keeps something else");
    if let Some(difference) = &difference {
        let _ = write!(text, ": {difference}");
    }
    let _ = write!(text, "\n    saved: {}\n    now:   {}", shown(old), shown(new));
    let shapes = old.slots.first().zip(new.slots.first());
    let shapes = shapes.map(|(old, new)| (&old.shape, &new.shape));
    let mut ways = vec!["change it back".to_owned()];
    if let (Some(why), Some((was, is))) = (why, shapes) {
        if is_newer(was, is) {
            text.push_str("\n    a newer program has saved it, and there is no way back");
            ways = vec!["start that program again".to_owned()];
        } else if why.what() != difference.as_deref().unwrap_or_default() {
            let _ = write!(text, "\n    it cannot be converted: {}", why.what());
        }
        ways.extend(new_version(was, is));
    }
    ways.push(format!("begin this step anew: `--drop-state {id}`{}", dropping(&old.kind)));
    ways.push("let the new one be another step, under a new name".to_owned());
    let _ = write!(text, "\n    {}", ways.join("; or "));
    text
}

/// The name and the version of a `#[stateful]` type.
fn version(shape: &Shape) -> Option<(&str, u32)> {
    match shape {
        Shape::Struct { name, version, .. } | Shape::Enum { name, version, .. } => {
            Some((name, *version))
        }
        _ => None,
    }
}

fn is_newer(was: &Shape, is: &Shape) -> bool {
    version(was).zip(version(is)).is_some_and(|((was, old), (is, new))| was == is && old > new)
}

/// How a type gets a new version.
fn new_version(was: &Shape, is: &Shape) -> Option<String> {
    let (name, number) = version(was)?;
    let (now, _) = version(is)?;
    if now != name || is_newer(was, is) {
        return None;
    }
    let (next, old) = (number.saturating_add(1), format!("{name}V{number}"));
    Some(format!(
        "convert it: `#[stateful(version = {next}, from = {old})]` on `{name}`, with `impl From<{old}> for {name}`, where `{old}` is the type as it was, `#[stateful(name = \"{name}\", version = {number})]`"
    ))
}

/// What is said of a step of which there are entries of a version that nobody reads any more.
pub(super) fn unreadable(
    id: &str,
    shape: Option<&Shape>,
    now: &StepSpec,
    why: &LoadError,
) -> String {
    let mut text = format!(
        "  step `{id}` has entries of an older version, which cannot be read any more: {}",
        why.what()
    );
    if let Some(shape) = shape {
        let _ = write!(text, "\n    saved: {} of {shape}", now.kind);
    }
    let _ = write!(
        text,
        "\n    now:   {}\n    put the older version back into the chain of `from = ..`; or begin this step anew: `--drop-state {id}`{}",
        shown(now),
        dropping(&now.kind)
    );
    text
}

/// What dropping means, where it is more than beginning with nothing.
fn dropping(kind: &str) -> &'static str {
    match kind {
        "source" => ", which reads its input again from the beginning",
        "sink" => ", which begins its output anew: a file is emptied",
        _ => "",
    }
}

/// What is said of a step that the dataflow does not have any more.
pub(super) fn gone(
    step: &SavedStep,
    steps: &[(StepId, StepSpec)],
    saved: &Manifest,
    ids: &BTreeSet<&str>,
) -> String {
    let id = &step.id;
    let mut text = format!("  step `{id}` is gone\n    saved: {}", shown(&step.spec));
    let is_new = |id: &str| !saved.steps.iter().any(|step| step.id == id) && ids.contains(id);
    let likely = steps.iter().find(|(id, spec)| *spec == step.spec && is_new(id.as_str()));
    let drop = format!("`--drop-state {id}`{}", dropping(&step.spec.kind));
    if let Some(stream) = id.strip_suffix(SINK) {
        let _ = match likely {
            // Whatever is done about the step that it belongs to brings it along.
            _ if saved.steps.iter().any(|step| step.id == stream) && !ids.contains(stream) => {
                write!(
                    text,
                    "\n    it is named by its stream: when `{stream}` is pinned or renamed, it comes along; or drop it: {drop}"
                )
            }
            Some((new, _)) => write!(
                text,
                "\n    a sink without a name of its own is named by its stream, which was `{stream}`: rename its state, `--rename-state {id}={new}`, or drop it: {drop}; a name of its own, `#[id = \"NAME\"]` in front of `sink(..)`, stays"
            ),
            None => write!(text, "\n    put it back; or drop it: {drop}"),
        };
        return text;
    }
    match likely {
        Some((new, _)) => {
            let _ = write!(
                text,
                "\n    was it renamed to `{new}`? then either pin its id, `#[id = \"{id}\"]` in front of `let {new} = ..`, or rename its state: `--rename-state {id}={new}`; or drop it: {drop}"
            );
        }
        None => {
            let _ = write!(
                text,
                "\n    put it back; or drop it: {drop}; was it renamed? `--rename-state {id}=NEW`"
            );
        }
    }
    text
}
