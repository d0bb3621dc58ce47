//! `#[dataflow]`: from a function over streams to a plan.
//!
//! * `signature`: parameters and outputs, by their types as written;
//! * `body`, `step`, `bind`: the statements, into steps, ordinary Rust and errors;
//! * `check`: the rules of the whole graph;
//! * `lower`: phase 1, the body as written, on tokens;
//! * `assemble`: phase 2, downstream first, of consumers;
//! * `graph`: the const graph and its drawing;
//! * `emit`: the items around them.

mod assemble;
mod bind;
mod body;
mod check;
mod emit;
mod graph;
mod lower;
mod scope;
mod signature;
mod step;

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{Expr, ExprCall, ItemFn, Path, Stmt, Token, Type};

use crate::diag::Errors;
use crate::paths::{Argument, Paths, arguments};
use signature::Signature;

/// Index into [`Flow::streams`].
type StreamIx = usize;

/// A dataflow, understood.
struct Flow {
    function: ItemFn,
    paths: Paths,
    signature: Signature,
    streams: Vec<StreamInfo>,
    body: Vec<Part>,
    /// What is returned.
    returned: Returned,
    /// `delivery = exactly_once`: every source and sink is checked to allow for it.
    exactly_once: bool,
    /// There is an error, here or for rustc to report, and the steps are not all known. Types are checked, nothing
    /// is assembled, and the expansion does not compile.
    poisoned: bool,
}

/// A stream, or a broadcast value.
struct StreamInfo {
    name: Ident,
    /// Its producer's id, where the stream is the one after which the step is called; otherwise its name.
    id: String,
    from: From,
    broadcast: bool,
    /// Where it is used, in the order of the text.
    uses: Vec<Ident>,
}

/// Where a stream comes from.
#[derive(Clone, Copy)]
enum From {
    /// A parameter, by its place among the streams.
    Input(usize),
    /// An output of a step.
    Step { node: usize, output: usize },
    /// Something that is reported as an error.
    Error,
}

/// A statement of the body.
enum Part {
    Plain(Box<Stmt>),
    Step(Box<Step>),
    /// Names that an error stands for.
    Bad(Vec<Ident>, TokenStream),
}

/// A step.
struct Step {
    id: String,
    /// Where to report what is wrong with the id.
    id_at: Ident,
    pinned: bool,
    path: Path,
    call: ExprCall,
    args: Vec<Arg>,
    let_token: Option<Token![let]>,
    /// `let x: T = ..`
    ty: Option<Type>,
    outputs: Outputs,
}

/// An argument of a step.
enum Arg {
    Stream(StreamIx, Ident),
    Broadcast(StreamIx, Ident),
    /// A first name that nothing in the dataflow binds: left to rustc.
    Unknown(Ident),
    Config(Expr),
}

/// What a step's outputs are bound to.
enum Outputs {
    None,
    One(StreamIx),
    /// `let (a, b) = ..`
    Tuple(Vec<StreamIx>),
    /// `let Sides { buys, sells } = ..`, alphabetically by field.
    Named {
        path: Path,
        fields: Vec<(Ident, StreamIx)>,
    },
}

impl Outputs {
    /// The streams, in the order in which the plan takes their consumers.
    fn streams(&self) -> Vec<StreamIx> {
        match self {
            Outputs::None => Vec::new(),
            Outputs::One(ix) => vec![*ix],
            Outputs::Tuple(all) => all.clone(),
            Outputs::Named { fields, .. } => fields.iter().map(|(_, ix)| *ix).collect(),
        }
    }
}

/// What a sub-flow returns.
enum Returned {
    Nothing,
    /// `hot` or `(a, b)`.
    Streams(Vec<(StreamIx, Ident)>),
    /// `Sides { buys, sells: x }`, alphabetically by field.
    Struct {
        expr: Box<Expr>,
        fields: Vec<(Ident, StreamIx, Ident)>,
    },
}

impl Returned {
    /// The streams, in the order of the outputs.
    fn streams(&self) -> Vec<(StreamIx, Ident)> {
        match self {
            Returned::Nothing => Vec::new(),
            Returned::Streams(all) => all.clone(),
            Returned::Struct { fields, .. } => {
                fields.iter().map(|(_, ix, at)| (*ix, at.clone())).collect()
            }
        }
    }
}

impl Flow {
    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.body.iter().filter_map(|part| match part {
            Part::Step(step) => Some(&**step),
            _ => None,
        })
    }
}

impl Step {
    /// The name under which the operator was called.
    fn callee(&self) -> &Ident {
        last(&self.path)
    }

    /// The streams that the plan has inputs for.
    fn inputs(&self) -> impl Iterator<Item = (StreamIx, &Ident)> {
        self.args.iter().filter_map(|arg| match arg {
            Arg::Stream(ix, at) => Some((*ix, at)),
            _ => None,
        })
    }
}

/// Whether a type is that of a stream, by its name.
pub(crate) fn is_stream(ty: &Type) -> bool {
    signature::kind_of(ty) == signature::ParamKind::Stream
}

/// The last name of a path. syn parses no empty paths.
fn last(path: &Path) -> &Ident {
    &path.segments[path.segments.len() - 1].ident
}

/// Reads `delivery = ..`.
fn is_exactly_once(argument: &Argument, errors: &mut Errors) -> bool {
    const EXPECTED: &str = "`exactly_once` or `at_least_once`";
    match argument.parse_value::<Ident>(EXPECTED, errors) {
        Some(value) if value == "exactly_once" => true,
        Some(value) if value == "at_least_once" => false,
        Some(value) => {
            errors.at(&value, format_args!("expected {EXPECTED}"));
            false
        }
        None => false,
    }
}

/// Expands `#[dataflow]`.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut exactly_once = None;
    let paths = arguments(
        args,
        "#[dataflow]",
        &["delivery = exactly_once", "delivery = at_least_once"],
        &mut errors,
        |argument, errors| {
            if argument.name != "delivery" {
                return false;
            }
            if exactly_once.replace(is_exactly_once(argument, errors)).is_some() {
                errors.at(&argument.name, "`delivery` is given twice");
            }
            true
        },
    );
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            errors.push(syn::Error::new(
                error.span(),
                format!("`#[dataflow]` stands on a function: {error}"),
            ));
            let errors = errors.into_tokens();
            return quote!(#item #errors);
        }
    };
    let exactly_once = exactly_once.unwrap_or(false);
    let flow = body::parse(function, paths, exactly_once, &mut errors);
    emit::emit(flow, errors)
}

#[cfg(test)]
mod tests;
