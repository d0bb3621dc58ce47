//! The names that a step's outputs are bound to.

use proc_macro2::Ident;
use syn::{Member, Pat, Path};

use super::{Outputs, StreamIx};
use crate::diag::{Errors, with_help};

/// What stands between `let` and `=`.
pub(super) enum Binding {
    One(Ident),
    Tuple(Vec<Ident>),
    /// Field and name.
    Named {
        path: Path,
        fields: Vec<(Ident, Ident)>,
    },
}

/// Reads a pattern; `None` where there is an error.
pub(super) fn binding(pat: &Pat, branch: bool, errors: &mut Errors) -> Option<Binding> {
    match pat {
        Pat::Struct(pattern) => {
            let mut fields = Vec::new();
            for field in &pattern.fields {
                match (&field.member, name(&field.pat, errors)) {
                    (Member::Named(field), Some(name)) => fields.push((field.clone(), name)),
                    (Member::Unnamed(index), _) => {
                        errors.at(index, "streams are bound by the names of fields")
                    }
                    _ => {}
                }
            }
            if let Some(rest) = &pattern.rest {
                errors.at(
                    rest,
                    with_help(
                        "every stream must be bound",
                        "bind it, and drop it visibly with `discard(stream, \"why\")`",
                    ),
                );
            } else if fields.is_empty() && errors.is_empty() {
                errors.at(pat, "no stream is bound");
            }
            errors.is_empty().then(|| Binding::Named { path: pattern.path.clone(), fields })
        }
        _ if branch => {
            errors.at(
                pat,
                with_help(
                    "`branch` yields one stream per variant of an enum",
                    "bind them by name: `let Enum { first_variant, second_variant } = branch(..);`",
                ),
            );
            None
        }
        Pat::Tuple(tuple) => {
            let names: Vec<Ident> =
                tuple.elems.iter().filter_map(|pat| name(pat, errors)).collect();
            if names.is_empty() && errors.is_empty() {
                errors.at(pat, "no stream is bound");
            }
            errors.is_empty().then_some(Binding::Tuple(names))
        }
        _ => name(pat, errors).map(Binding::One),
    }
}

/// One name.
fn name(pat: &Pat, errors: &mut Errors) -> Option<Ident> {
    match pat {
        Pat::Ident(pat)
            if pat.by_ref.is_none() && pat.subpat.is_none() && pat.mutability.is_none() =>
        {
            return Some(pat.ident.clone());
        }
        Pat::Ident(_) => {
            errors.at(pat, "a stream is bound to a plain name, without `mut` or `ref`")
        }
        Pat::Wild(_) => errors.at(
            pat,
            with_help(
                "every step needs a name: it is the step's id in the recovery log",
                "bind it, and drop it visibly with `discard(name, \"why\")`",
            ),
        ),
        _ => errors.at(pat, "expected a name for the stream"),
    }
    None
}

impl Binding {
    /// The first name as written: the id of the step.
    pub(super) fn first(&self) -> &Ident {
        match self {
            Binding::One(name) => name,
            Binding::Tuple(names) => &names[0],
            Binding::Named { fields, .. } => &fields[0].1,
        }
    }

    /// Makes the streams. Those of a struct are numbered alphabetically by field.
    pub(super) fn outputs(&self, mut stream: impl FnMut(&Ident, usize) -> StreamIx) -> Outputs {
        match self {
            Binding::One(name) => Outputs::One(stream(name, 0)),
            Binding::Tuple(names) => {
                Outputs::Tuple(names.iter().enumerate().map(|(n, name)| stream(name, n)).collect())
            }
            Binding::Named { path, fields } => {
                let mut sorted = fields.clone();
                sorted.sort_by_key(|(field, _)| field.to_string());
                let streams = sorted.into_iter().enumerate().map(|(n, (field, name))| {
                    let ix = stream(&name, n);
                    (field, ix)
                });
                Outputs::Named { path: path.clone(), fields: streams.collect() }
            }
        }
    }
}
