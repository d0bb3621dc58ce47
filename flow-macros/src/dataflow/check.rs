//! The rules of the whole graph. What rustc explains better, unknown names and types, is left to rustc.

use std::collections::HashMap;

use super::{Arg, Flow, From, Part, Step};
use crate::diag::{Errors, with_help};

pub(super) fn check(flow: &Flow, errors: &mut Errors) {
    consumed(flow, errors);
    ids(flow, errors);
    if flow.body.iter().all(|part| matches!(part, Part::Plain(_)))
        && errors.is_empty()
        && flow.streams.is_empty()
    {
        errors.at(
            &flow.function.sig.ident,
            with_help("this dataflow has no steps", "begin with `let name = source(..);`"),
        );
    }
}

/// Every stream is used.
fn consumed(flow: &Flow, errors: &mut Errors) {
    // A misspelt name is rustc's to report, with the name that was meant; that one is then not unused.
    let unclear = flow.body.iter().any(|part| match part {
        Part::Step(step) => step.args.iter().any(|arg| matches!(arg, Arg::Unknown(_))),
        Part::Bad(..) => true,
        Part::Plain(_) => false,
    });
    if unclear || !errors.is_empty() {
        return;
    }
    for stream in flow.streams.iter().filter(|stream| stream.uses.is_empty()) {
        let name = &stream.name;
        if stream.broadcast {
            errors.at(
                name,
                with_help(
                    format_args!("the broadcast value `{name}` is never read"),
                    format_args!(
                        "pass it to a step that takes it as configuration: `step(stream, {name})`"
                    ),
                ),
            );
        } else {
            let what = if let From::Input(_) = stream.from { "input" } else { "stream" };
            errors.at(
                name,
                with_help(
                    format_args!("{what} `{name}` is never consumed"),
                    format_args!("end it with `sink({name}, ..)`, or drop it visibly with `discard({name}, \"why\")`"),
                ),
            );
        }
    }
}

/// Ids are unique and well-formed.
fn ids(flow: &Flow, errors: &mut Errors) {
    let mut taken: HashMap<&str, &Step> = HashMap::new();
    for step in flow.steps() {
        if step.pinned {
            well_formed(step, errors);
        }
        let Some(before) = taken.insert(&step.id, step) else { continue };
        // Two steps bound to one name have been reported where the second was bound.
        if step.pinned || before.pinned || step.let_token.is_none() {
            errors.at(&step.id_at, taken_twice(step));
        }
    }
}

fn taken_twice(step: &Step) -> String {
    let (id, callee) = (&step.id, step.callee());
    if step.let_token.is_none() && !step.pinned {
        with_help(
            format_args!("a second step would get the id `{id}`"),
            format_args!("name this one: `#[id = \"name\"] {callee}(..);`"),
        )
    } else {
        with_help(
            format_args!("the id `{id}` is already taken in this dataflow"),
            "a step's id is what its state is recovered under, so it must be unique: choose another",
        )
    }
}

fn well_formed(step: &Step, errors: &mut Errors) {
    if step.id.is_empty() {
        errors.at(&step.id_at, "a step's id cannot be empty");
    }
    for (reserved, what) in [
        ('/', "the steps of sub-flows: `name/inner`"),
        ('.', "steps without a name: `counts.sink`"),
    ] {
        if step.id.contains(reserved) {
            errors.at(&step.id_at, format!("`{reserved}` is reserved in ids, for {what}"));
            return;
        }
    }
}
