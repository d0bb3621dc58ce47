//! Which calls are steps, and what their arguments are. By syntax alone, never by a guess at types.

use proc_macro2::Ident;
use syn::{Expr, ExprCall, Local, Path};

use super::body::{Known, Reader, step_attributes};
use super::scope::{self, bare};
use super::signature::{ParamKind, STREAMS_MAX, kind_of};
use super::{Arg, Outputs, Part, Step, last};
use crate::diag::{Errors, with_help};
use crate::text::written;

/// Built-in steps that end a stream.
const ENDS: [&str; 3] = ["sink", "discard", "fail"];

impl Reader<'_> {
    /// The path of a step, if the call is one: it is `source(..)`, or its first argument is a bare name. `Err` where it
    /// would be one, but for a first name that is known not to be a stream.
    pub(super) fn step_path(&mut self, call: &ExprCall) -> Option<Result<Path, Errors>> {
        let Expr::Path(callee) = &*call.func else { return None };
        if callee.qself.is_some() || through_a_type(&callee.path) {
            return None;
        }
        let path = &callee.path;
        if last(path) == "source" {
            return Some(Ok(path.clone()));
        }
        let first = bare(call.args.first()?)?.clone();
        match self.names.get(&first) {
            Some(Known::Stream(_)) => Some(Ok(path.clone())),
            None if !is_constant(&first) => Some(Ok(path.clone())),
            known => {
                let what = match known {
                    Some(Known::Param) => "a parameter",
                    Some(_) => "a local value",
                    None => "a constant",
                };
                let others: Vec<&Ident> = call.args.iter().skip(1).filter_map(bare).collect();
                let stream = others.into_iter().find(|name| self.stream_of(name).is_some());
                let callee = last(path);
                let help = match stream {
                    Some(stream) => {
                        format!("the stream comes first: write `{callee}({stream}, ..)`")
                    }
                    None => format!("write an ordinary call in braces: `{{ {} }}`", written(call)),
                };
                let mut errors = Errors::default();
                errors.at(
                    &first,
                    with_help(
                        format_args!(
                            "the first argument of a step is a stream, and `{first}` is {what}"
                        ),
                        help,
                    ),
                );
                for arg in &call.args {
                    self.mention(arg);
                }
                Some(Err(errors))
            }
        }
    }

    /// `let .. = step(..);`
    pub(super) fn let_step(&mut self, local: &Local, path: &Path, call: &ExprCall) {
        let mut errors = Errors::default();
        let args = self.args(path, call, &mut errors);
        let pinned = step_attributes(&local.attrs, &mut errors);
        let (pat, ty) = match &local.pat {
            syn::Pat::Type(typed) => (&*typed.pat, Some((*typed.ty).clone())),
            pat => (pat, None),
        };
        let callee = last(path);
        if ENDS.iter().any(|end| callee == end) {
            errors.at(
                pat,
                with_help(
                    format_args!("`{callee}` ends a stream and yields none"),
                    format_args!(
                        "write `{callee}(..);`, and `#[id = \"name\"]` in front to name it"
                    ),
                ),
            );
        }
        let binding = super::bind::binding(pat, callee == "branch", &mut errors);
        let Some(binding) = binding.filter(|_| errors.is_empty()) else {
            return self.bad(scope::bound_by(pat), errors);
        };
        let broadcast = callee == "broadcast"
            || ty.as_ref().is_some_and(|ty| kind_of(ty) == ParamKind::Broadcast);
        let node = self.nodes;
        let (id, id_at, is_pinned) = match pinned {
            Some((id, at)) => (id, at, true),
            None => (binding.first().to_string(), binding.first().clone(), false),
        };
        let outputs = binding.outputs(|name, output| {
            // What is called after the stream is called after the step, where the stream has the step's id.
            let stream_id = if name == binding.first() { id.clone() } else { name.to_string() };
            self.stream(name, super::From::Step { node, output }, broadcast, stream_id)
        });
        self.push_step(Step {
            id,
            id_at,
            pinned: is_pinned,
            path: path.clone(),
            call: call.clone(),
            args,
            let_token: Some(local.let_token),
            ty,
            outputs,
        });
    }

    /// `step(..);`
    pub(super) fn bare_step(&mut self, path: &Path, call: &ExprCall) {
        let mut errors = Errors::default();
        let args = self.args(path, call, &mut errors);
        let pinned = step_attributes(&call.attrs, &mut errors);
        let callee = last(path);
        if callee == "source" {
            errors.at(
                callee,
                with_help(
                    "the stream of this source is never consumed",
                    "give it a name: `let name = source(..);`",
                ),
            );
        }
        if !errors.is_empty() {
            return self.bad(Vec::new(), errors);
        }
        let (id, id_at, is_pinned) = match pinned {
            Some((id, at)) => (id, at, true),
            None => {
                let of = args.iter().find_map(|arg| match arg {
                    Arg::Stream(ix, _) | Arg::Broadcast(ix, _) => {
                        Some(self.streams[*ix].id.clone())
                    }
                    Arg::Unknown(name) => Some(name.to_string()),
                    Arg::Config(_) => None,
                });
                (format!("{}.{callee}", of.unwrap_or_default()), callee.clone(), false)
            }
        };
        let mut call = call.clone();
        call.attrs.clear();
        self.push_step(Step {
            id,
            id_at,
            pinned: is_pinned,
            path: path.clone(),
            call,
            args,
            let_token: None,
            ty: None,
            outputs: Outputs::None,
        });
    }

    fn push_step(&mut self, step: Step) {
        self.nodes += 1;
        self.body.push(Part::Step(Box::new(step)));
    }

    fn args(&mut self, path: &Path, call: &ExprCall, errors: &mut Errors) -> Vec<Arg> {
        let is_source = last(path) == "source";
        let mut args = Vec::new();
        for (n, arg) in call.args.iter().enumerate() {
            let Some(name) = bare(arg) else {
                self.refuse_streams(arg, errors);
                args.push(Arg::Config(arg.clone()));
                continue;
            };
            match self.stream_of(name) {
                Some(ix) if is_source => {
                    self.streams[ix].uses.push(name.clone());
                    errors.at(
                        name,
                        format!(
                            "`source` reads from outside, and `{name}` is a stream of this dataflow"
                        ),
                    );
                }
                Some(ix) => {
                    self.streams[ix].uses.push(name.clone());
                    args.push(match self.streams[ix].broadcast {
                        true => Arg::Broadcast(ix, name.clone()),
                        false => Arg::Stream(ix, name.clone()),
                    });
                }
                None if n == 0 && !is_source => {
                    self.poisoned = true;
                    args.push(Arg::Unknown(name.clone()));
                }
                None => args.push(Arg::Config(arg.clone())),
            }
        }
        self.arity(path, call, &args, errors);
        args
    }

    /// How many streams a step can have.
    fn arity(&self, path: &Path, call: &ExprCall, args: &[Arg], errors: &mut Errors) {
        let streams = args.iter().filter(|arg| matches!(arg, Arg::Stream(..))).count();
        if last(path) == "merge" {
            let unknown = args.iter().any(|arg| matches!(arg, Arg::Unknown(_)));
            if call.args.len() < 2 && !unknown {
                errors.at(last(path), "`merge` takes two or more streams of one type");
            } else if call.args.len() > STREAMS_MAX {
                errors.at(
                    &call.args[STREAMS_MAX],
                    with_help(
                        format_args!("`merge` takes at most {STREAMS_MAX} streams"),
                        "merge some of them first, then merge the results",
                    ),
                );
            }
        } else if streams > STREAMS_MAX {
            errors
                .at(&call.args[STREAMS_MAX], format!("a step takes at most {STREAMS_MAX} streams"));
        }
    }
}

/// `PathBuf::from`, `Some`: a name in upper case is a type or a constructor, which no step is.
fn through_a_type(path: &Path) -> bool {
    path.segments.iter().any(|segment| segment.ident.to_string().starts_with(char::is_uppercase))
}

/// `LIMIT`: no stream is written like this.
fn is_constant(name: &Ident) -> bool {
    name.to_string().starts_with(char::is_uppercase)
}
