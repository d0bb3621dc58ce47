//! What may change between two runs: each step that keeps something is compared with what the log knows of it.
//!
//! Steps without state, sinks without a position among them, and what functions do, are free to change. What is kept must fit: same kind, same key, same shape, same
//! meaning. A step that is gone, renamed or changed is refused with the ways out.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::describe::StepId;
use crate::error::Error;
use crate::recovery::fault::refused;
use crate::recovery::manifest::{Manifest, SavedStep, StepSpec};
use crate::time::Epoch;

/// What the user allows to happen to saved state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Old and new ids.
    pub(crate) renames: Vec<(String, String)>,
    /// Ids; with an epoch also what fits is dropped, if that is the resume epoch.
    pub(crate) drops: Vec<(String, Option<Epoch>)>,
}

impl Allowed {
    /// The renames, and with those of steps those of the sinks that have no name of their own.
    fn renames_in_full(&self, ids: &BTreeSet<&str>) -> Vec<(String, String)> {
        let sinks = self.renames.iter().map(|(from, to)| (sink_of(from), sink_of(to)));
        let sinks = sinks.filter(|(_, to)| ids.contains(to.as_str()));
        self.renames.iter().cloned().chain(sinks).collect()
    }

    /// The ids that are named and of which nothing is saved.
    fn unknown<'a>(&'a self, saved: &'a Manifest) -> impl Iterator<Item = &'a str> {
        let is_saved = |id: &str| saved.steps.iter().any(|step| step.id == id);
        // What has been renamed by an earlier start is saved under the new id.
        let renames =
            self.renames.iter().filter(move |(old, new)| !is_saved(old) && !is_saved(new));
        let drops = self.drops.iter().filter(move |(id, _)| !is_saved(id));
        renames.map(|(old, _)| old.as_str()).chain(drops.map(|(id, _)| id.as_str()))
    }
}

/// The id of the sink of a stream, where it has no name of its own.
fn sink_of(stream: &str) -> String {
    format!("{stream}{SINK}")
}

const SINK: &str = ".sink";

/// What becomes of one step's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    /// From this id.
    Renamed(String),
    New,
    Dropped,
}

/// What a start makes of a log.
#[derive(Debug)]
pub(crate) struct Compared {
    /// The steps as the log will know them.
    pub(crate) steps: Vec<SavedStep>,
    pub(crate) next_step: u32,
    /// In the order of their ids.
    pub(crate) fates: Vec<(String, Fate)>,
    /// What does not fit, in words, each with the ways out.
    pub(crate) unfit: Vec<String>,
}

/// Compares the steps of a dataflow with those of a log, which must fit. As [`compare_all`].
pub(crate) fn compare(
    saved: &Manifest,
    steps: &[(StepId, StepSpec)],
    allowed: &Allowed,
    wrote: &dyn Fn(u32) -> bool,
) -> Result<Compared, Error> {
    let compared = compare_all(saved, steps, allowed, wrote)?;
    if compared.unfit.is_empty() {
        return Ok(compared);
    }
    let epoch = saved.resume_epoch();
    let mut text =
        format!("the log's state of epoch {epoch} does not fit the dataflow any more:\n");
    text.push_str(&compared.unfit.join("\n"));
    for id in allowed.unknown(saved) {
        let _ = write!(text, "\n  a flag names `{id}`, of which nothing is saved");
    }
    Err(refused(text)
        .help("nothing has been changed; `--plan` shows what would be kept and what would not"))
}

/// Compares the steps of a dataflow with those of a log. `wrote` says of a step's number whether the log holds anything of it.
pub(crate) fn compare_all(
    saved: &Manifest,
    steps: &[(StepId, StepSpec)],
    allowed: &Allowed,
    wrote: &dyn Fn(u32) -> bool,
) -> Result<Compared, Error> {
    let resume = saved.resume_epoch();
    let mut old: Vec<SavedStep> = saved.steps.clone();
    let mut fates = Vec::new();
    let mut renamed = Vec::new();
    let stored = |step: &SavedStep| saved.stored.iter().any(|at| at.step == step.number);
    let keeps = |step: &SavedStep| stored(step) || wrote(step.number) && !step.spec.keeps_nothing();
    let ids: BTreeSet<&str> = steps.iter().map(|(id, _)| id.as_str()).collect();
    for (from, to) in allowed.renames_in_full(&ids) {
        let (from, to) = (&from, &to);
        // One that has been renamed by an earlier start is not there any more.
        let taken = old.iter().any(|step| step.id == *to);
        if let Some(step) = old.iter_mut().find(|step| step.id == *from) {
            if taken && ids.contains(from.as_str()) {
                // Done by an earlier start; what is saved under the old id is another step's by now.
                continue;
            }
            if taken {
                return Err(refused(format!(
                    "the state of step `{from}` cannot be renamed: the log has state of `{to}` already"
                ))
                .help(format!("drop one of them: `--drop-state {to}@{resume}`")));
            }
            step.id.clone_from(to);
            renamed.push((from.clone(), to.clone()));
        }
    }
    let (mut kept, mut next_step, mut wrong) = (Vec::new(), saved.next_step, Vec::new());
    let dropped = |id: &str, fits: bool| {
        let meant = |(drop, at): &(String, Option<Epoch>)| {
            drop == id && at.map_or(!fits, |at| at == resume)
        };
        allowed.drops.iter().any(meant)
    };
    for (id, spec) in steps {
        let known = old.iter().position(|step| step.id == id.as_str()).map(|at| old.remove(at));
        let fits = known.as_ref().is_some_and(|step| step.spec == *spec);
        let known = known.filter(|step| fits || keeps(step));
        let fate = match known {
            Some(step) if dropped(id.as_str(), fits) => {
                fates.push((step.id, Fate::Dropped));
                None
            }
            Some(step) if fits => {
                let from = renamed.iter().find(|(_, to)| *to == step.id);
                let fate = from.map_or(Fate::Kept, |(from, _)| Fate::Renamed(from.clone()));
                kept.push(step);
                Some(fate)
            }
            Some(step) => {
                wrong.push(changed(id.as_str(), &step.spec, spec));
                continue;
            }
            None => Some(Fate::New),
        };
        if !matches!(fate, Some(Fate::Kept | Fate::Renamed(_))) {
            let (id, spec) = (id.as_str().to_owned(), spec.clone());
            kept.push(SavedStep { number: next_step, id, spec });
            next_step += 1;
        }
        fates.extend(fate.map(|fate| (id.as_str().to_owned(), fate)));
    }
    for step in old {
        if !keeps(&step) {
            continue;
        }
        if dropped(&step.id, false) {
            fates.push((step.id, Fate::Dropped));
        } else {
            wrong.push(gone(&step, steps, saved, &ids));
        }
    }
    fates.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Compared { steps: kept, next_step, fates, unfit: wrong })
}

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

/// What is said of a step that keeps something else than it did.
fn changed(id: &str, old: &StepSpec, new: &StepSpec) -> String {
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
    let mut text = format!("  step `{id}` keeps something else");
    if let Some(difference) = difference() {
        let _ = write!(text, ": {difference}");
    }
    let _ = write!(text, "\n    saved: {}\n    now:   {}", shown(old), shown(new));
    let _ = write!(
        text,
        "\n    change it back; or begin this step anew: `--drop-state {id}`{}; or let the new one be another step, under a new name",
        dropping(&old.kind)
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
fn gone(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::SegmentName;
    use crate::recovery::manifest::{Committed, Format, Slot, StoredAt};
    use crate::state::{Saved, Shape};
    use crate::time::Timestamp;

    fn spec<V: Saved>(kind: &str) -> StepSpec {
        let slot = Slot { name: "state".into(), shape: Shape::from(V::SCHEMA) };
        let key = Some(Shape::from(String::SCHEMA));
        StepSpec { kind: kind.into(), key, slots: vec![slot], meaning: String::new() }
    }

    fn saved(steps: &[(&str, StepSpec)]) -> Manifest {
        let last = Committed {
            generation: 1,
            barrier: 4,
            epoch: Epoch(6),
            next: Epoch(7),
            at: Timestamp(0),
        };
        Manifest {
            format: Format { dataflow: "f".into(), groups: 256, seed: 0, hash: 1 },
            workers: 1,
            last: Some(last),
            finished: false,
            next_step: steps.len() as u32,
            steps: (0..)
                .zip(steps)
                .map(|(number, (id, spec))| SavedStep {
                    number,
                    id: (*id).to_owned(),
                    spec: spec.clone(),
                })
                .collect(),
            bases: Vec::new(),
            parts: Vec::new(),
            stored: Vec::new(),
            watermarks: Vec::new(),
        }
    }

    fn now(steps: &[(&str, StepSpec)]) -> Vec<(StepId, StepSpec)> {
        steps.iter().map(|(id, spec)| (StepId::root().child(id), spec.clone())).collect()
    }

    fn numbers(compared: &Compared) -> Vec<(&str, u32)> {
        compared.steps.iter().map(|step| (step.id.as_str(), step.number)).collect()
    }

    fn renames(old: &str, new: &str) -> Allowed {
        Allowed { renames: vec![(old.into(), new.into())], ..Allowed::default() }
    }

    fn drops(id: &str, at: Option<u64>) -> Allowed {
        Allowed { drops: vec![(id.into(), at.map(Epoch))], ..Allowed::default() }
    }

    #[test]
    fn the_same_steps_and_new_ones_are_taken() {
        let before = saved(&[("a", spec::<u64>("keyed")), ("b", spec::<u32>("keyed"))]);
        let after = now(&[
            ("b", spec::<u32>("keyed")),
            ("c", spec::<u8>("keyed")),
            ("a", spec::<u64>("keyed")),
        ]);
        let compared = compare(&before, &after, &Allowed::default(), &|_| true).expect("fits");
        assert_eq!(numbers(&compared), [("b", 1), ("c", 2), ("a", 0)]);
        assert_eq!(compared.next_step, 3);
        assert_eq!(compared.fates[2], ("c".to_owned(), Fate::New));
    }

    #[test]
    fn a_renamed_step_is_refused_with_the_ways_out_and_can_be_renamed() {
        let before = saved(&[("a", spec::<u64>("keyed"))]);
        let after = now(&[("b", spec::<u64>("keyed"))]);
        let error =
            compare(&before, &after, &Allowed::default(), &|_| true).expect_err("is refused");
        for part in [
            "epoch 7",
            "`a` is gone",
            "renamed to `b`",
            "#[id = \"a\"]",
            "--rename-state a=b",
            "--drop-state a",
        ] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        let compared = compare(&before, &after, &renames("a", "b"), &|_| true).expect("is renamed");
        assert_eq!(numbers(&compared), [("b", 0)]);
        // The same command, once more.
        let before = Manifest { steps: compared.steps, next_step: 1, ..before };
        let compared =
            compare(&before, &after, &renames("a", "b"), &|_| true).expect("was renamed");
        assert_eq!(numbers(&compared), [("b", 0)]);
        // And again, when another step has got the old name.
        let after = now(&[("b", spec::<u64>("keyed")), ("a", spec::<u64>("keyed"))]);
        let compared =
            compare(&before, &after, &Allowed::default(), &|_| true).expect("a step is new");
        let before = Manifest { steps: compared.steps, next_step: 2, ..before };
        let compared =
            compare(&before, &after, &renames("a", "b"), &|_| true).expect("was renamed");
        assert_eq!(numbers(&compared), [("b", 0), ("a", 1)]);
        // Two that meet are refused.
        let after = now(&[("b", spec::<u64>("keyed"))]);
        let error =
            compare(&before, &after, &renames("a", "b"), &|_| true).expect_err("is refused");
        assert!(error.to_string().contains("state of `b` already"), "{error}");
    }

    #[test]
    fn a_sink_is_named_by_its_stream_and_comes_along() {
        let sink = || StepSpec::positions::<u64>("sink");
        let before = saved(&[("a", spec::<u64>("keyed")), ("a.sink", sink())]);
        let after = now(&[("b", spec::<u64>("keyed")), ("b.sink", sink())]);
        let error =
            compare(&before, &after, &Allowed::default(), &|_| true).expect_err("is refused");
        let text = error.to_string();
        assert!(text.contains("when `a` is pinned or renamed, it comes along"), "{text}");
        assert!(
            text.contains("a file is emptied") && !text.contains("#[id = \"a.sink\"]"),
            "{text}"
        );
        let compared = compare(&before, &after, &renames("a", "b"), &|_| true).expect("is renamed");
        assert_eq!(numbers(&compared), [("b", 0), ("b.sink", 1)]);
        // A step that keeps nothing was put in between: the stream, and so the sink, has another name.
        let after = now(&[("a", spec::<u64>("keyed")), ("late.sink", sink())]);
        let error =
            compare(&before, &after, &Allowed::default(), &|_| true).expect_err("is refused");
        assert!(error.to_string().contains("--rename-state a.sink=late.sink"), "{error}");
        let given = renames("a.sink", "late.sink");
        compare(&before, &after, &given, &|_| true).expect("is renamed");
        // A flag that names nothing is pointed out.
        let error =
            compare(&before, &after, &drops("aa", None), &|_| true).expect_err("is refused");
        assert!(
            error.to_string().contains("a flag names `aa`, of which nothing is saved"),
            "{error}"
        );
    }

    #[test]
    fn a_changed_state_is_refused_with_both_sides_and_can_be_dropped() {
        let before = saved(&[("a", spec::<u64>("keyed"))]);
        let after = now(&[("a", spec::<u32>("keyed"))]);
        let error =
            compare(&before, &after, &Allowed::default(), &|_| true).expect_err("is refused");
        for part in ["of u64", "of u32", "--drop-state a"] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        let compared = compare(&before, &after, &drops("a", None), &|_| true).expect("is dropped");
        // A new number: what was saved under the old one must not come back.
        assert_eq!(numbers(&compared), [("a", 1)]);
        // The same command, once more, drops nothing.
        let before = Manifest { steps: compared.steps, next_step: 2, ..before };
        let compared = compare(&before, &after, &drops("a", None), &|_| true).expect("fits");
        assert_eq!(numbers(&compared), [("a", 1)]);
    }

    #[test]
    fn what_fits_is_dropped_at_the_epoch_that_is_named_only() {
        let before = saved(&[("a", spec::<u64>("keyed"))]);
        let after = now(&[("a", spec::<u64>("keyed"))]);
        let kept = compare(&before, &after, &drops("a", Some(6)), &|_| true).expect("fits");
        assert_eq!(numbers(&kept), [("a", 0)]);
        let dropped =
            compare(&before, &after, &drops("a", Some(7)), &|_| true).expect("is dropped");
        assert_eq!(numbers(&dropped), [("a", 1)]);
    }

    #[test]
    fn a_sink_without_a_position_may_go_and_become_another_one() {
        let before = saved(&[("a", StepSpec::positions::<()>("sink"))]);
        let compared =
            compare(&before, &[], &Allowed::default(), &|_| true).expect("it kept nothing");
        assert!(compared.steps.is_empty() && compared.fates.is_empty());
        let after = now(&[("a", StepSpec::positions::<u64>("sink"))]);
        let compared =
            compare(&before, &after, &Allowed::default(), &|_| true).expect("it kept nothing");
        assert_eq!(numbers(&compared), [("a", 1)]);
        let before = Manifest { steps: compared.steps, ..before };
        let after = now(&[("a", StepSpec::positions::<()>("sink"))]);
        compare(&before, &after, &Allowed::default(), &|_| true)
            .expect_err("it keeps a position now");
        // A step whose run was over before it had saved anything.
        let before_it = saved(&[("a", spec::<u64>("keyed"))]);
        let compared = compare(&before_it, &[], &Allowed::default(), &|_| false);
        assert!(compared.expect("it kept nothing").steps.is_empty());
        // What it has stored may not have been carried out.
        let mut before = saved(&[("a", StepSpec::positions::<()>("sink"))]);
        before.stored.push(StoredAt {
            step: 0,
            partition: "p".into(),
            epoch: Epoch(6),
            file: SegmentName { generation: 1, writer: 0, number: 0 },
            offset: 96,
        });
        compare(&before, &[], &Allowed::default(), &|_| true).expect_err("its rows would be lost");
    }

    #[test]
    fn other_kinds_and_removed_steps_are_refused() {
        let before = saved(&[("a", spec::<u64>("keyed")), ("b", spec::<u64>("dedupe"))]);
        let after = now(&[("b", spec::<u64>("keyed"))]);
        let error =
            compare(&before, &after, &Allowed::default(), &|_| true).expect_err("is refused");
        for part in ["`a` is gone", "put it back", "step `b` keeps something else", "dedupe by"] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    }
}
