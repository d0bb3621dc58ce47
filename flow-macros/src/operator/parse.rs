//! From a function's head to what an operator is.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{
    FnArg, GenericArgument, GenericParam, Generics, Pat, PathArguments, ReturnType, Signature,
    Type, TypeParamBound, TypeReference, parse_quote_spanned,
};

use super::{Head, Kind, Yields};
use crate::diag::{Errors, with_help};
use crate::paths::{cfgs, docs};
use crate::text::{Outlived, mentions, outlived, written};

/// An annotated function, understood.
pub(super) struct Operator<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a Ident,
    pub(super) vis: &'a syn::Visibility,
    pub(super) docs: Vec<&'a syn::Attribute>,
    pub(super) cfgs: Vec<&'a syn::Attribute>,
    /// Type and const parameters, every type parameter `'static`.
    pub(super) generics: Generics,
    /// The type behind `&mut` of the state, and behind `&` of the key.
    pub(super) keyed: Option<(Type, Type)>,
    /// The item; behind `&` for a filter.
    pub(super) item: Type,
    pub(super) output: Output,
    /// The function returns a `Result` of the output; where its error was written.
    pub(super) refuses: Option<proc_macro2::Span>,
    pub(super) config: Vec<Config>,
}

/// The type of what the step emits.
pub(super) enum Output {
    /// As written.
    Type(Type),
    /// Told by a trait: `<Ret as IntoIterator>::Item`, ..
    Of(Type, &'static str),
}

/// A parameter after the item.
pub(super) struct Config {
    pub(super) name: Ident,
    /// Without the `&`.
    pub(super) ty: Type,
    pub(super) by_ref: bool,
}

impl Operator<'_> {
    /// The names of the type and const parameters.
    pub(super) fn generic_names(&self) -> Vec<Ident> {
        generic_names(&self.generics)
    }

    /// Whether a type depends on a type parameter.
    pub(super) fn is_generic(&self, ty: &Type) -> bool {
        mentions(ty, &self.generic_names())
    }
}

fn generic_names(generics: &Generics) -> Vec<Ident> {
    generics
        .params
        .iter()
        .filter_map(|param| match param {
            GenericParam::Type(ty) => Some(ty.ident.clone()),
            GenericParam::Const(constant) => Some(constant.ident.clone()),
            GenericParam::Lifetime(_) => None,
        })
        .collect()
}

/// Understands a function. `None` where something is missing without which nothing can be emitted; then there is
/// an error.
pub(super) fn parse<'a>(kind: Kind, head: &'a Head, errors: &mut Errors) -> Option<Operator<'a>> {
    let sig = &head.sig;
    qualifiers(kind, sig, errors);
    let params = params(sig, errors);
    let before = if kind.is_stateful() { 2 } else { 0 };
    if params.len() <= before {
        if errors.is_empty() {
            errors.at(&sig.ident, too_few(kind));
        }
        return None;
    }
    let keyed = kind.is_stateful().then(|| keyed(kind, &params, errors));
    let item = item(kind, &params[before].1, errors);
    let configured: Vec<Config> =
        params[before + 1..].iter().filter_map(|(name, ty)| config(name, ty, errors)).collect();
    let yielded = output(kind, sig, item.as_ref(), errors);
    let operator = Operator {
        kind,
        name: &sig.ident,
        vis: &head.vis,
        docs: docs(&head.attrs),
        cfgs: cfgs(&head.attrs),
        generics: generics(&sig.generics),
        keyed: match keyed {
            Some(keyed) => Some(keyed?),
            None => None,
        },
        item: item?,
        output: yielded?,
        refuses: refuses(sig).filter(|_| kind.yields() == Yields::Awaited),
        config: configured,
    };
    constrained(&operator, errors);
    Some(operator)
}

/// What an operator cannot be.
fn qualifiers(kind: Kind, sig: &Signature, errors: &mut Errors) {
    match &sig.asyncness {
        Some(asyncness) if kind != Kind::AsyncMap => errors.at(
            asyncness,
            with_help(
                format_args!("{} function is called for every item and cannot be `async`", kind.one()),
                "look up what it waits for with an `#[async_map]` function in front, which has many items in flight",
            ),
        ),
        None if kind == Kind::AsyncMap => errors.at(
            &sig.fn_token,
            with_help(
                "an `#[async_map]` function is `async`",
                format_args!("write `{}`, or `#[map]` if it waits for nothing", kind.signature()),
            ),
        ),
        _ => {}
    }
    if !matches!(sig.safety, syn::Safety::Default) {
        errors.at(&sig.safety, "an operator cannot be `unsafe`");
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "an operator is an ordinary function, without `extern`");
    }
    if let Some(variadic) = &sig.variadic {
        errors.at(variadic, "an operator is an ordinary function, without `...`");
    }
}

/// The parameters, each with a name.
fn params(sig: &Signature, errors: &mut Errors) -> Vec<(Ident, Type)> {
    let mut params = Vec::new();
    for (n, input) in sig.inputs.iter().enumerate() {
        match input {
            FnArg::Receiver(receiver) => {
                errors.at(
                    receiver,
                    "operators are free functions: move this one out of the `impl` block",
                );
            }
            FnArg::Typed(typed) => {
                if let Some(hidden) = find_impl(&typed.ty) {
                    errors.at(
                        &hidden,
                        with_help(
                            "the types of an operator need names",
                            "write `fn f<T: Trait>(item: T)`",
                        ),
                    );
                }
                let name = match &*typed.pat {
                    Pat::Ident(pat) => pat.ident.clone(),
                    pat => format_ident!("__param{}", n, span = pat.span()),
                };
                params.push((name, (*typed.ty).clone()));
            }
        }
    }
    params
}

fn too_few(kind: Kind) -> String {
    let message = if kind.is_stateful() {
        format!("{} function takes the state and the key before the item", kind.one())
    } else {
        format!("{} function takes the item as its first parameter", kind.one())
    };
    with_help(message, format_args!("write `{}`", kind.signature()))
}

/// The types of state and key.
fn keyed(kind: Kind, params: &[(Ident, Type)], errors: &mut Errors) -> Option<(Type, Type)> {
    let (state, key) = (&params[0].1, &params[1].1);
    let state = match state {
        Type::Reference(TypeReference { mutability: Some(_), elem, .. }) => Some(outlived(elem)),
        other => {
            let what = format!(
                "the first parameter of {} function is the state of the item's key",
                kind.one()
            );
            let bare = written(strip_ref(other));
            errors.at(other, with_help(what, format_args!("take `&mut {bare}`")));
            None
        }
    };
    let key = match key {
        Type::Reference(TypeReference { mutability: None, elem, .. }) => Some(outlived(elem)),
        other => {
            let what = format!("the second parameter of {} function is the key", kind.one());
            let bare = written(strip_ref(other));
            errors.at(other, with_help(what, format_args!("take `&{bare}`")));
            None
        }
    };
    Some((state?, key?))
}

fn strip_ref(ty: &Type) -> &Type {
    match ty {
        Type::Reference(reference) => &reference.elem,
        other => other,
    }
}

/// The type of the item.
fn item(kind: Kind, ty: &Type, errors: &mut Errors) -> Option<Type> {
    match ty {
        Type::Reference(TypeReference { mutability: Some(_), .. }) => {
            errors.at(
                ty,
                format!("{} function takes its item by value: take `{}`", kind.one(), owned(ty)),
            );
            None
        }
        Type::Reference(reference) if kind == Kind::Filter => Some(outlived(&reference.elem)),
        _ if kind == Kind::Filter => {
            errors.at(ty, format!("a `#[filter]` looks at its item: take `&{}`", written(ty)));
            None
        }
        // `&'static str` items exist; any other borrow would have to live as long as the stream.
        Type::Reference(reference)
            if reference.lifetime.as_ref().is_none_or(|lifetime| lifetime.ident != "static") =>
        {
            errors.at(
                ty,
                format!("{} function takes its item by value: take `{}`", kind.one(), owned(ty)),
            );
            None
        }
        _ => Some(outlived(ty)),
    }
}

/// What a borrowed type is called when it is owned.
fn owned(ty: &Type) -> String {
    match strip_ref(ty) {
        Type::Slice(slice) => format!("Vec<{}>", written(&slice.elem)),
        other => match written(other).as_str() {
            "str" => "String".to_owned(),
            "Path" => "PathBuf".to_owned(),
            sized => sized.to_owned(),
        },
    }
}

fn config(name: &Ident, ty: &Type, errors: &mut Errors) -> Option<Config> {
    match ty {
        Type::Reference(TypeReference { mutability: Some(_), elem, .. }) => {
            errors
                .at(ty, format!("configuration is shared by all items: take `&{}`", written(elem)));
            None
        }
        Type::Reference(reference)
            if reference.lifetime.as_ref().is_none_or(|lifetime| lifetime.ident != "static") =>
        {
            Some(Config { name: name.clone(), ty: outlived(&reference.elem), by_ref: true })
        }
        _ => Some(Config { name: name.clone(), ty: outlived(ty), by_ref: false }),
    }
}

/// The type of what comes out.
fn output(kind: Kind, sig: &Signature, item: Option<&Type>, errors: &mut Errors) -> Option<Output> {
    let unit = || -> Type { parse_quote_spanned!(sig.ident.span()=> ()) };
    let written_type = match &sig.output {
        ReturnType::Type(_, ty) => Some(&**ty),
        ReturnType::Default => None,
    };
    let refuse = |errors: &mut Errors, message: String| {
        let at: &dyn ToTokens =
            written_type.map_or(&sig.ident as &dyn ToTokens, |ty| ty as &dyn ToTokens);
        errors.at(at, with_help(message, format_args!("write `{}`", kind.signature())));
        None
    };
    let hidden = written_type.and_then(find_impl);
    match kind.yields() {
        Yields::Awaited if written_type.is_none() => refuse(
            errors,
            "an `#[async_map]` function returns what comes out for its item".to_owned(),
        ),
        Yields::One | Yields::Awaited if hidden.is_some() => {
            refuse(errors, "what a step emits needs a type with a name".to_owned())
        }
        Yields::One => Some(Output::Type(written_type.map_or_else(unit, outlived))),
        Yields::Awaited => written_type.map(|ty| match argument_of(ty, "Result") {
            Some(value) => Output::Type(outlived(&value)),
            None if refuses(sig).is_some() => Output::Of(outlived(ty), "answer"),
            None => Output::Type(outlived(ty)),
        }),
        Yields::Whether => match written_type {
            Some(Type::Path(path))
                if path.path.segments.last().is_some_and(|last| last.ident == "bool") =>
            {
                item.cloned().map(Output::Type)
            }
            _ => refuse(
                errors,
                "a `#[filter]` function answers whether the item passes: a `bool`".to_owned(),
            ),
        },
        Yields::Option => match written_type {
            Some(ty) if hidden.is_none() => match argument_of(ty, "Option") {
                Some(inner) => Some(Output::Type(outlived(&inner))),
                None if is_plain(ty) => {
                    refuse(errors, format!("{} function returns an `Option`", kind.one()))
                }
                None => Some(Output::Of(outlived(ty), "option")),
            },
            _ => refuse(errors, format!("{} function returns an `Option`", kind.one())),
        },
        Yields::Each => match written_type {
            Some(Type::ImplTrait(_)) => match written_type.and_then(iterator_item) {
                Some(item) if find_impl(&item).is_none() => Some(Output::Type(outlived(&item))),
                _ => refuse(errors, "what a step emits needs a type with a name".to_owned()),
            },
            Some(ty) if hidden.is_none() => Some(Output::Of(outlived(ty), "iterator")),
            _ => refuse(
                errors,
                format!(
                    "{} function returns what it emits: something that is `IntoIterator`",
                    kind.one()
                ),
            ),
        },
    }
}

/// A type that is plainly no alias of `Option`: a tuple, a reference, `u64`, `String`, ..
fn is_plain(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return true };
    path.path.segments.last().is_some_and(|last| {
        let name = last.ident.to_string();
        name.starts_with(char::is_lowercase)
            || ["String", "Vec", "Result", "Box"].contains(&name.as_str())
    })
}

/// Whether a function returns a `Result`, and where its error type stands. It is known by its name, of any path, since an attribute sees no more.
fn refuses(sig: &Signature) -> Option<proc_macro2::Span> {
    let ReturnType::Type(_, ty) = &sig.output else { return None };
    let Type::Path(path) = &**ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Result")?;
    Some(match &last.arguments {
        PathArguments::AngleBracketed(arguments) => {
            arguments.args.iter().nth(1).map_or(last.ident.span(), Spanned::span)
        }
        _ => last.ident.span(),
    })
}

/// `X` of `Option<X>`.
fn argument_of(ty: &Type, name: &str) -> Option<Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match (last.ident == name, arguments.args.first()) {
        (true, Some(GenericArgument::Type(ty))) => Some(ty.clone()),
        _ => None,
    }
}

/// `X` of `impl Iterator<Item = X>`.
fn iterator_item(ty: &Type) -> Option<Type> {
    let Type::ImplTrait(hidden) = ty else { return None };
    hidden.bounds.iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else { return None };
        let PathArguments::AngleBracketed(arguments) = &bound.path.segments.last()?.arguments
        else {
            return None;
        };
        arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(assoc) if assoc.ident == "Item" => Some(assoc.ty.clone()),
            _ => None,
        })
    })
}

/// The first `impl Trait` in a type. Closure bounds may hold none.
fn find_impl(ty: &Type) -> Option<Type> {
    struct Find(Option<Type>);
    impl<'ast> syn::visit::Visit<'ast> for Find {
        fn visit_type(&mut self, ty: &'ast Type) {
            if let Type::ImplTrait(_) = ty {
                self.0.get_or_insert_with(|| ty.clone());
            } else {
                syn::visit::visit_type(self, ty);
            }
        }
    }
    let mut find = Find(None);
    syn::visit::Visit::visit_type(&mut find, ty);
    find.0
}

/// The type and const parameters, as they stand on an `impl`: without lifetimes, without defaults, and `'static`.
fn generics(of: &Generics) -> Generics {
    let mut generics = of.clone();
    generics.params = generics
        .params
        .into_iter()
        .filter(|param| !matches!(param, GenericParam::Lifetime(_)))
        .collect();
    for param in generics.params.iter_mut() {
        if let GenericParam::Type(ty) = param {
            ty.default = None;
            Outlived.visit_type_param_mut(ty);
            let span = ty.ident.span();
            ty.bounds.push(parse_quote_spanned!(span=> 'static));
        }
    }
    if let Some(clause) = &mut generics.where_clause {
        Outlived.visit_where_clause_mut(clause);
        clause.predicates = std::mem::take(&mut clause.predicates)
            .into_iter()
            .filter(|predicate| !matches!(predicate, syn::WherePredicate::Lifetime(_)))
            .collect();
    }
    generics
}

/// A type parameter must be learnt from the item, the key, the output or the configuration.
fn constrained(operator: &Operator<'_>, errors: &mut Errors) {
    let mut types = TokenStream::new();
    operator.item.to_tokens(&mut types);
    match &operator.output {
        Output::Type(ty) | Output::Of(ty, _) => ty.to_tokens(&mut types),
    }
    operator.config.iter().for_each(|config| config.ty.to_tokens(&mut types));
    if let Some((state, key)) = &operator.keyed {
        types.extend(quote!(#state #key));
    }
    for name in operator.generic_names() {
        if !mentions(&types, std::slice::from_ref(&name)) {
            errors.at(
                &name,
                format!("nothing tells what `{name}` is: it must be part of the item, the output or the configuration"),
            );
        }
    }
}

impl Output {
    /// The type, with the runtime's help where it was not written.
    pub(super) fn tokens(&self, private: &TokenStream) -> TokenStream {
        match self {
            Output::Type(ty) => ty.to_token_stream(),
            Output::Of(ty, "option") => {
                quote_spanned!(ty.span()=> <#ty as #private::Optional>::Some)
            }
            Output::Of(ty, "answer") => {
                quote_spanned!(ty.span()=> <#ty as #private::Answered>::Value)
            }
            Output::Of(ty, _) => {
                quote_spanned!(ty.span()=> <#ty as ::core::iter::IntoIterator>::Item)
            }
        }
    }

    /// As text, for the graph; empty where it was not written.
    pub(super) fn written(&self) -> String {
        match self {
            Output::Type(ty) => written(ty),
            Output::Of(ty, _) => argument_of(ty, "Vec").map_or_else(String::new, |ty| written(&ty)),
        }
    }
}
