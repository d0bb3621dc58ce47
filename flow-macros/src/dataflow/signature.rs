//! The head of a dataflow: which parameters are streams, which are configuration, and what is returned.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    FnArg, GenericArgument, GenericParam, Generics, ItemFn, Pat, PathArguments, ReturnType, Type,
    TypeParam, TypeParamBound,
};

use crate::diag::{Errors, with_help};
use crate::text::written;

/// The most inputs, and the most outputs, of a step.
pub(super) const STREAMS_MAX: usize = 8;

/// The most parameters of a whole dataflow: as many tuples the runtime knows.
const PARAMS_MAX: usize = 12;

/// The head of a dataflow, understood.
pub(super) struct Signature {
    pub(super) params: Vec<Param>,
    pub(super) output: Output,
    /// With a name for every `impl Trait` among the parameters.
    pub(super) generics: Generics,
}

/// A parameter.
#[derive(Clone)]
pub(super) struct Param {
    pub(super) name: Ident,
    pub(super) ty: Type,
    pub(super) kind: ParamKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ParamKind {
    Stream,
    Broadcast,
    Config,
}

/// The return type.
pub(super) enum Output {
    Nothing,
    /// Something that is reported.
    Error,
    One(Type),
    Tuple(Vec<Type>),
    Struct(Type),
}

/// What a dataflow is to its callers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// Called like a function, gives a `Dataflow`.
    Whole,
    /// Streams come out but none go in: wired by `source(..)`.
    Feed,
    /// Wired like an operator.
    Sub,
}

impl Signature {
    pub(super) fn shape(&self) -> Shape {
        let takes = self.params.iter().any(|param| param.kind != ParamKind::Config);
        match (takes, &self.output) {
            (true, _) => Shape::Sub,
            (false, Output::Nothing) => Shape::Whole,
            (false, _) => Shape::Feed,
        }
    }

    /// The parameters of a kind.
    pub(super) fn of_kind(&self, kind: ParamKind) -> impl Iterator<Item = &Param> {
        self.params.iter().filter(move |param| param.kind == kind)
    }

    /// What is stored in the plan: all but the streams.
    pub(super) fn stored(&self) -> impl Iterator<Item = &Param> {
        self.params.iter().filter(|param| param.kind != ParamKind::Stream)
    }

    /// `T, N`: the type and const parameters, as arguments.
    pub(super) fn generic_args(&self) -> Vec<Ident> {
        self.generics
            .params
            .iter()
            .filter_map(|param| match param {
                GenericParam::Type(ty) => Some(ty.ident.clone()),
                GenericParam::Const(constant) => Some(constant.ident.clone()),
                GenericParam::Lifetime(_) => None,
            })
            .collect()
    }

    /// The type parameters alone.
    pub(super) fn type_params(&self) -> Vec<Ident> {
        self.generics.type_params().map(|param| param.ident.clone()).collect()
    }

    /// `T: Item, const N: usize`: the parameters with their bounds.
    pub(super) fn generic_params(&self) -> Vec<TokenStream> {
        self.generics.params.iter().map(ToTokens::to_token_stream).collect()
    }

    /// `<T, N>`, or nothing.
    pub(super) fn generic_list(&self) -> TokenStream {
        match self.generic_args() {
            names if names.is_empty() => TokenStream::new(),
            names => quote!(<#(#names),*>),
        }
    }
}

impl Output {
    /// The types of the streams that are returned, in the order of the outputs; for a struct only its fields know.
    pub(super) fn types(&self) -> Vec<Type> {
        match self {
            Output::Nothing | Output::Error | Output::Struct(_) => Vec::new(),
            Output::One(ty) => vec![ty.clone()],
            Output::Tuple(all) => all.clone(),
        }
    }
}

/// What a type is, by its name.
pub(super) fn kind_of(ty: &Type) -> ParamKind {
    let Type::Path(path) = ty else { return ParamKind::Config };
    match path.path.segments.last() {
        Some(last) if last.ident == "Stream" || last.ident == "Keyed" => ParamKind::Stream,
        Some(last) if last.ident == "Broadcast" => ParamKind::Broadcast,
        _ => ParamKind::Config,
    }
}

pub(super) fn parse(function: &ItemFn, errors: &mut Errors) -> Signature {
    qualifiers(function, errors);
    let mut generics = function.sig.generics.clone();
    for param in generics.params.iter_mut() {
        match param {
            GenericParam::Type(ty) => ty.default = None,
            GenericParam::Lifetime(lifetime) => errors.at(
                &lifetime,
                with_help(
                    "a dataflow holds no borrows",
                    "take owned parameters: every worker has its own copy",
                ),
            ),
            GenericParam::Const(_) => {}
        }
    }
    let mut params = Vec::new();
    for input in &function.sig.inputs {
        match input {
            FnArg::Receiver(receiver) => errors
                .at(receiver, "a dataflow is a free function: move it out of the `impl` block"),
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(pat)
                    if pat.by_ref.is_none() && pat.subpat.is_none() && pat.mutability.is_none() =>
                {
                    let ty = named(&typed.ty, &mut generics);
                    params.push(Param { name: pat.ident.clone(), kind: kind_of(&ty), ty });
                }
                pat => errors.at(pat, "a parameter of a dataflow is a plain name"),
            },
        }
    }
    limits(&params, errors);
    let output = output(&function.sig.output, errors);
    let signature = Signature { params, output, generics };
    params_limit(&signature, errors);
    if let (Shape::Feed, Output::Tuple(_) | Output::Struct(_), ReturnType::Type(_, ty)) =
        (signature.shape(), &signature.output, &function.sig.output)
    {
        errors.at(
            ty,
            with_help(
                "a sub-flow without inputs returns one stream",
                "return an enum and take it apart with `branch(..)` where the sub-flow is wired",
            ),
        );
    }
    signature
}

/// What a dataflow cannot be.
fn qualifiers(function: &ItemFn, errors: &mut Errors) {
    let sig = &function.sig;
    if let Some(asyncness) = &sig.asyncness {
        errors.at(
            asyncness,
            with_help(
                "a dataflow is wired, not awaited: it cannot be `async`",
                "await what it needs before, and pass that as a parameter",
            ),
        );
    }
    if let Some(constness) = &sig.constness {
        errors.at(constness, "a dataflow cannot be `const`; its graph is: `name::GRAPH`");
    }
    if !matches!(sig.safety, syn::Safety::Default) {
        errors.at(&sig.safety, "a dataflow cannot be `unsafe`");
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "a dataflow is an ordinary function, without `extern`");
    }
}

/// Streams first, and not too many.
fn limits(params: &[Param], errors: &mut Errors) {
    let mut configured: Option<&Param> = None;
    for param in params {
        match (param.kind, configured) {
            (ParamKind::Config, None) => configured = Some(param),
            (ParamKind::Stream, Some(before)) => errors.at(
                &param.name,
                with_help(
                    "the streams of a sub-flow come before its configuration",
                    format_args!(
                        "put `{}` before `{}`: a call is wired by its first argument",
                        param.name, before.name
                    ),
                ),
            ),
            _ => {}
        }
    }
    if let Some(param) =
        params.iter().filter(|param| param.kind == ParamKind::Stream).nth(STREAMS_MAX)
    {
        errors.at(&param.name, too_many("inputs"));
    }
}

/// A whole dataflow hands its parameters to every worker as a tuple.
fn params_limit(signature: &Signature, errors: &mut Errors) {
    if let (Shape::Whole, Some(param)) = (signature.shape(), signature.params.get(PARAMS_MAX)) {
        errors.at(
            &param.name,
            with_help(
                format_args!("a dataflow has at most {PARAMS_MAX} parameters"),
                "put those that belong together into a struct",
            ),
        );
    }
}

pub(super) fn too_many(what: &str) -> String {
    with_help(
        format_args!("a sub-flow has at most {STREAMS_MAX} {what}"),
        "send several kinds of items through one stream, as an enum",
    )
}

fn output(output: &ReturnType, errors: &mut Errors) -> Output {
    let ReturnType::Type(_, ty) = output else { return Output::Nothing };
    match &**ty {
        Type::Tuple(tuple) if tuple.elems.is_empty() => Output::Nothing,
        Type::Tuple(tuple) => {
            for ty in &tuple.elems {
                match kind_of(ty) {
                    ParamKind::Stream => {}
                    ParamKind::Broadcast => errors.at(ty, broadcast_returned(ty)),
                    ParamKind::Config => errors
                        .at(ty, "a dataflow returns streams: expected `Stream<..>` or `Keyed<..>`"),
                }
            }
            if let Some(ty) = tuple.elems.iter().nth(STREAMS_MAX) {
                errors.at(ty, too_many("outputs"));
            }
            Output::Tuple(tuple.elems.iter().cloned().collect())
        }
        ty => match (kind_of(ty), ty) {
            (ParamKind::Stream, _) => Output::One(ty.clone()),
            (ParamKind::Broadcast, _) => {
                errors.at(ty, broadcast_returned(ty));
                Output::Error
            }
            (ParamKind::Config, Type::Path(_)) => Output::Struct(ty.clone()),
            _ => {
                errors.at(
                    ty,
                    with_help(
                        "a dataflow returns streams",
                        "return `Stream<..>`, `Keyed<..>`, a tuple of them, or a struct with `#[derive(Outputs)]`",
                    ),
                );
                Output::Error
            }
        },
    }
}

fn broadcast_returned(ty: &Type) -> String {
    let inner = match ty {
        Type::Path(path) => path.path.segments.last().and_then(|last| match &last.arguments {
            PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
                Some(GenericArgument::Type(ty)) => Some(written(ty)),
                _ => None,
            },
            _ => None,
        }),
        _ => None,
    };
    with_help(
        "a sub-flow cannot return a `Broadcast`: each worker's copy belongs to the dataflow that reads it",
        format_args!(
            "return the stream of changes, and write `let value: Broadcast<{}> = broadcast(changes, ..);` where it is read",
            inner.as_deref().unwrap_or("_")
        ),
    )
}

/// A type with every `impl Trait` replaced by a type parameter, which is then known to all that is generated.
fn named(ty: &Type, generics: &mut Generics) -> Type {
    struct Name<'a>(&'a mut Generics);
    impl VisitMut for Name<'_> {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            visit_mut::visit_type_mut(self, ty);
            let Type::ImplTrait(hidden) = ty else { return };
            let name = format_ident!("__P{}", self.0.params.len(), span = hidden.span());
            let bounds: syn::punctuated::Punctuated<TypeParamBound, _> = hidden.bounds.clone();
            let param: TypeParam = syn::parse_quote!(#name: #bounds);
            self.0.params.push(GenericParam::Type(param));
            *ty = syn::parse_quote!(#name);
        }
    }
    let mut ty = ty.clone();
    Name(generics).visit_type_mut(&mut ty);
    ty
}
