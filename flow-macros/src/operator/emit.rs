//! From what an operator is to the type beside the function.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{GenericParam, Index, Type};

use super::parse::Operator;
use super::{Kind, Yields};
use crate::paths::{Paths, allows};
use crate::text::written;

/// The parts that several emitted items share.
struct Parts {
    private: TokenStream,
    /// The item type; for a filter by `Borrow`, the type parameter that stands for it.
    item: TokenStream,
    output: TokenStream,
    /// `(__S0, Fixed<u8>,)`: the configuration as the step holds it.
    slots: TokenStream,
    /// `__S0: Slot<C>, ..`
    slot_bounds: Vec<TokenStream>,
    /// `T: .., const N: ..`
    generics: Vec<TokenStream>,
    where_clause: TokenStream,
}

/// Emits an operator. One that `expires` is told for how long it keeps state where it is wired. One that is not `sound` is typed like any
/// other, but never called: there is an error beside it.
pub(super) fn emit(
    operator: &Operator<'_>,
    paths: &Paths,
    expires: bool,
    sound: bool,
) -> TokenStream {
    let parts = Parts::of(operator, paths);
    let Operator { name, vis, docs, cfgs, .. } = operator;
    let allows = allows();
    let graph_operator = graph_operator(operator, &parts);
    let check = check(operator, paths);
    let wired = wire(operator, &parts, paths, expires, &[], sound);
    let harness = harness(operator, &parts, paths);
    let (types, types_fn) = types(operator, &parts, paths, expires, sound);
    // An asynchronous one is called where it is wired.
    let implementation = (operator.kind != Kind::AsyncMap).then(|| {
        let implementation = implementation(operator, &parts, sound);
        quote! {
            #(#cfgs)*
            #allows
            #implementation
        }
    });
    quote! {
        #(#docs)*
        #(#cfgs)*
        #allows
        #vis enum #name {}
        #(#cfgs)*
        #allows
        impl #name {
            #[doc(hidden)]
            #vis const OPERATOR: #graph_operator;
            #check
            #[doc(hidden)]
            #vis fn __post<__U>(_: __U) {}
            #wired
            #harness
            #types_fn
        }
        #types
        #implementation
    }
}

impl Parts {
    fn of(operator: &Operator<'_>, paths: &Paths) -> Parts {
        let private = paths.private();
        let item = match by_borrow(operator) {
            true => quote!(__A),
            false => operator.item.to_token_stream(),
        };
        let mut slots = Vec::new();
        let mut slot_bounds = Vec::new();
        for (n, config) in operator.config.iter().enumerate() {
            let ty = &config.ty;
            if config.by_ref {
                let slot = slot_name(n);
                let held = held(operator);
                slot_bounds.push(quote!(#slot: #private::#held<#ty>));
                slots.push(slot.to_token_stream());
            } else {
                slots.push(quote!(#private::Fixed<#ty>));
            }
        }
        Parts {
            item,
            output: operator.output.tokens(&private),
            slots: tuple(&slots),
            slot_bounds,
            generics: operator.generics.params.iter().map(ToTokens::to_token_stream).collect(),
            where_clause: operator.generics.where_clause.to_token_stream(),
            private,
        }
    }
}

/// Whether the function sees the item as something that the item borrows as. A filter does: `&str` for `String`.
/// A generic one must see the item itself, or there would be nothing to learn its parameters from.
fn by_borrow(operator: &Operator<'_>) -> bool {
    operator.kind == Kind::Filter && !operator.is_generic(&operator.item)
}

/// The trait by which the step holds a configuration value that is borrowed.
fn held(operator: &Operator<'_>) -> Ident {
    let name = if operator.kind == Kind::AsyncMap { "TakenSlot" } else { "Slot" };
    Ident::new(name, proc_macro2::Span::call_site())
}

fn slot_name(n: usize) -> Ident {
    format_ident!("__S{}", n)
}

/// `()`, `(a,)`, `(a, b,)`.
fn tuple(parts: &[TokenStream]) -> TokenStream {
    quote!((#(#parts,)*))
}

/// `Operator = Operator { kind, types as written }`.
fn graph_operator(operator: &Operator<'_>, parts: &Parts) -> TokenStream {
    let private = &parts.private;
    let variant = Ident::new(operator.kind.variant(), proc_macro2::Span::call_site());
    let (state, key) = match &operator.keyed {
        Some((state, key)) => (written(state), written(key)),
        None => (String::new(), String::new()),
    };
    let (input, output) = (written(&operator.item), operator.output.written());
    quote! {
        #private::Operator = #private::Operator {
            kind: #private::Kind::#variant,
            key: #key,
            input: #input,
            output: #output,
            state: #state,
        }
    }
}

/// What the input must be. A generic operator learns its parameters from the stream, so there the check is part of
/// `__wire`.
enum InputCheck {
    Apart(TokenStream),
    /// With an answer, on which the plan depends: see `Pass` in the runtime.
    Answered(TokenStream),
    InWire(TokenStream),
}

fn input_check(operator: &Operator<'_>, paths: &Paths) -> InputCheck {
    let item = &operator.item;
    let private = paths.private_at(item.span());
    match &operator.keyed {
        None if by_borrow(operator) => {
            let owned = owned(item);
            let bound =
                quote_spanned!(item.span()=> #private::FeedsRef<#item, #owned, Passed = __P>);
            InputCheck::Answered(bound)
        }
        None if operator.is_generic(item) => {
            InputCheck::InWire(quote_spanned!(item.span()=> #private::Feeds<#item>))
        }
        None => InputCheck::Apart(quote_spanned!(item.span()=> #private::Feeds<#item>)),
        Some((_, key)) if operator.is_generic(key) => InputCheck::InWire(
            quote_spanned!(item.span()=> #private::FeedsKeyedExactly<#key, #item>),
        ),
        Some((_, key)) => {
            let owned = quote_spanned!(item.span()=> <#key as ::std::borrow::ToOwned>::Owned);
            let bound = quote_spanned!(item.span()=> #private::FeedsKeyed<#key, #item, #owned>);
            match operator.is_generic(item) {
                true => InputCheck::InWire(bound),
                false => InputCheck::Apart(bound),
            }
        }
    }
}

/// What a borrowed type is called when it is owned, for the text of an error.
fn owned(ty: &Type) -> TokenStream {
    match ty {
        Type::Slice(slice) => {
            let element = &slice.elem;
            quote!(::std::vec::Vec<#element>)
        }
        Type::Path(path) if path.path.is_ident("str") => quote!(::std::string::String),
        Type::Path(path) if path.path.is_ident("Path") => quote!(::std::path::PathBuf),
        other => other.to_token_stream(),
    }
}

fn check(operator: &Operator<'_>, paths: &Paths) -> TokenStream {
    let vis = operator.vis;
    let check = Ident::new("__check", operator.name.span());
    let rest = match input_check(operator, paths) {
        InputCheck::Apart(bound) => quote!(<__U: #bound>(_: __U) {}),
        InputCheck::InWire(_) => quote!(<__U>(_: __U) {}),
        InputCheck::Answered(bound) => quote! {
            <__U: #bound, __P: ::core::default::Default>(_: __U) -> __P {
                ::core::default::Default::default()
            }
        },
    };
    quote! {
        #[doc(hidden)]
        #vis fn #check #rest
    }
}

/// `parse::<u32>(lines)`: the type parameters are given first, then the call is wired. Only generic operators have it.
fn types(
    operator: &Operator<'_>,
    parts: &Parts,
    paths: &Paths,
    expires: bool,
    sound: bool,
) -> (TokenStream, TokenStream) {
    let names = operator.generic_names();
    if names.is_empty() {
        return (TokenStream::new(), TokenStream::new());
    }
    let Parts { generics, where_clause, .. } = parts;
    let Operator { name, vis, cfgs, .. } = operator;
    let given = format_ident!("__{}_types", name.unraw(), span = proc_macro2::Span::call_site());
    let declared = operator.generics.params.iter().map(|param| match param {
        GenericParam::Type(ty) => ty.ident.to_token_stream(),
        other => other.to_token_stream(),
    });
    let types = operator.generics.type_params().map(|param| &param.ident);
    let wired = wire(operator, parts, paths, expires, &[quote!(self)], sound);
    let allows = allows();
    let item = quote! {
        #(#cfgs)*
        #allows
        #[doc(hidden)]
        #vis struct #given<#(#declared),*>(::core::marker::PhantomData<fn() -> (#(#types,)*)>);
        #(#cfgs)*
        #allows
        impl<#(#generics),*> #given<#(#names),*> #where_clause {
            #wired
        }
    };
    let function = quote! {
        #[doc(hidden)]
        #vis fn __types<#(#generics),*>() -> #given<#(#names),*> #where_clause {
            #given(::core::marker::PhantomData)
        }
    };
    (item, function)
}

/// `__wire`, the call as the dataflow makes it. With `self`, the type parameters are known already.
fn wire(
    operator: &Operator<'_>,
    parts: &Parts,
    paths: &Paths,
    expires: bool,
    receiver: &[TokenStream],
    sound: bool,
) -> TokenStream {
    let Operator { name, vis, item, .. } = operator;
    let Parts { private, output, generics, where_clause, .. } = parts;
    let wire = Ident::new("__wire", name.span());

    let input_bound = match input_check(operator, paths) {
        InputCheck::Apart(_) | InputCheck::Answered(_) => quote!(#private::Token),
        InputCheck::InWire(bound) => quote!(#private::Token + #bound),
    };
    let (mut bounds, where_clause) = match receiver.is_empty() {
        true => (generics.clone(), where_clause.clone()),
        false => (Vec::new(), TokenStream::new()),
    };
    bounds.push(quote!(__U: #input_bound));
    let mut params = receiver.to_vec();
    params.push(quote!(_: __U));
    if operator.kind == Kind::AsyncMap {
        params.push(quote!(__options: #private::Async));
    }
    let Config { bounds: config_bounds, params: config_params, slots, slot_types } =
        Config::of(operator, paths);
    bounds.extend(config_bounds);
    params.extend(config_params);
    // No name that the user could have given to a parameter.
    let ttl = Vec::from_iter(
        expires.then(|| format_ident!("__ttl", span = proc_macro2::Span::mixed_site())),
    );
    params.extend(ttl.iter().map(|ttl| quote!(#ttl: #private::Ttl)));
    let stateful = Ident::new(
        if expires { "ExpiringPlan" } else { "StatefulPlan" },
        proc_macro2::Span::call_site(),
    );

    if operator.kind == Kind::AsyncMap {
        let plan = quote!(#private::AsyncPlan<#private::async_map, __U, #item, #output>);
        let done = quote!(<__U as #private::Token>::With<#output>);
        let failed = quote!(<__U as #private::Token>::With<#private::AsyncFailed<#item>>);
        let attempt = attempt(operator, parts, paths);
        let body = match sound {
            true => quote! {
                let __config: ::std::rc::Rc<#slot_types> = ::std::rc::Rc::new(#slots);
                let __plan = <#plan>::new(__options, #attempt);
                ((#private::Token::token(), #private::Token::token()), __plan)
            },
            false => quote!(::core::unreachable!("an operator with an error does not compile")),
        };
        return quote! {
            #[doc(hidden)]
            #vis fn #wire<#(#bounds),*>(#(#params),*) -> ((#done, #failed), #plan) #where_clause {
                #body
            }
        };
    }
    let (out, plan) = match &operator.keyed {
        Some((state, key)) => {
            let owned = if operator.is_generic(key) {
                key.to_token_stream()
            } else {
                quote_spanned!(key.span()=> <#key as ::std::borrow::ToOwned>::Owned)
            };
            (
                quote!(#private::Keyed<#owned, #output>),
                quote!(#private::#stateful<#name, #state, #key, #slot_types, #item, #output>),
            )
        }
        None if by_borrow(operator) => {
            let found = quote!(<__U as #private::Token>::Item);
            (quote!(__U), quote!(#private::FilterPlan<#name, #slot_types, __U, #found>))
        }
        None if operator.kind == Kind::Filter => {
            (quote!(__U), quote!(#private::FilterPlan<#name, #slot_types, __U, #item>))
        }
        None => (
            quote!(<__U as #private::Token>::With<#output>),
            quote!(#private::StepPlan<#name, #slot_types, __U, #item, #output>),
        ),
    };
    quote! {
        #[doc(hidden)]
        #vis fn #wire<#(#bounds),*>(#(#params),*) -> (#out, #plan) #where_clause {
            (#private::Token::token(), <#plan>::new(#slots #(, #ttl)*))
        }
    }
}

/// The configuration as parameters of a function that makes a step.
struct Config {
    bounds: Vec<TokenStream>,
    params: Vec<TokenStream>,
    /// The values, as the step holds them, and their types.
    slots: TokenStream,
    slot_types: TokenStream,
}

impl Config {
    fn of(operator: &Operator<'_>, paths: &Paths) -> Config {
        let private = paths.private();
        let (mut bounds, mut params) = (Vec::new(), Vec::new());
        let (mut slots, mut slot_types) = (Vec::new(), Vec::new());
        for (n, config) in operator.config.iter().enumerate() {
            let (name, ty) = (&config.name, &config.ty);
            slots.push(quote!(#private::ConfigArg::<#ty>::slot(#name)));
            if config.by_ref {
                // The slot is a parameter of its own, and no projection: one wrong argument is then one error.
                let (given, slot) = (format_ident!("__X{}", n), slot_name(n));
                let private = paths.private_at(ty.span());
                bounds.push(
                    quote_spanned!(ty.span()=> #given: #private::ConfigArg<#ty, Slot = #slot>),
                );
                let held = held(operator);
                bounds.push(quote_spanned!(ty.span()=> #slot: #private::#held<#ty>));
                params.push(quote!(#name: #given));
                slot_types.push(slot.to_token_stream());
            } else {
                params.push(quote!(#name: #ty));
                slot_types.push(quote!(#private::Fixed<#ty>));
            }
        }
        Config { bounds, params, slots: tuple(&slots), slot_types: tuple(&slot_types) }
    }
}

/// `count::harness(..)`: the step by itself, for a test. Only stateful ones have it: the others are their functions.
///
/// What it needs of key and state is asked for where it is called: at the function it would be said twice what is wrong with them. That is
/// why the key is a parameter, though there is only one that it can be.
fn harness(operator: &Operator<'_>, parts: &Parts, paths: &Paths) -> TokenStream {
    let Some((state, key)) = &operator.keyed else { return TokenStream::new() };
    let Operator { name, vis, item, .. } = operator;
    let Parts { private, output, generics, .. } = parts;
    let Config { bounds, params, slots, slot_types } = Config::of(operator, paths);
    let (key, declared) = match operator.is_generic(key) {
        true => (key.to_token_stream(), None),
        false => (
            quote!(__Q),
            Some(quote! {
                __Q: ?::core::marker::Sized + ::std::borrow::ToOwned<Owned: #private::Key> + 'static
            }),
        ),
    };
    let harness = quote!(#private::StepHarness<#name, #state, #key, #slot_types, #item, #output>);
    let runs = quote!(#name: #private::StatefulFn<#state, #key, #item, #slot_types, #output>);
    let given = operator.generics.where_clause.iter().flat_map(|clause| &clause.predicates);
    quote! {
        /// The step by itself, for a test.
        #vis fn harness<#(#generics,)* #(#bounds,)* #declared>(#(#params),*) -> #harness
        where
            #(#given,)*
            #runs
        {
            <#harness>::__new(#slots)
        }
    }
}

/// The call, as the trait that the step runs.
fn implementation(operator: &Operator<'_>, parts: &Parts, sound: bool) -> TokenStream {
    let Operator { name, item: viewed, .. } = operator;
    let Parts { private, item, output, slots, slot_bounds, generics, where_clause } = parts;
    let (guards, config_args) = call_config(operator, private);
    let turbofish = match operator.generic_names() {
        names if names.is_empty() => quote!(),
        names => quote!(::<#(#names),*>),
    };
    let variant = Ident::new(operator.kind.variant(), proc_macro2::Span::call_site());
    let kind = quote!(const KIND: &'static str = #private::Kind::#variant.name(););
    let emitted = |call: TokenStream| match operator.kind.yields() {
        Yields::One => quote!(__emit(#call)),
        Yields::Option => {
            quote!(if let ::core::option::Option::Some(__out) = #call { __emit(__out) })
        }
        _ => {
            quote!(::core::iter::Iterator::for_each(::core::iter::IntoIterator::into_iter(#call), __emit))
        }
    };
    let body = |call: TokenStream| match sound {
        true => quote!(#guards #call),
        false => quote!(::core::unreachable!("an operator with an error does not compile")),
    };
    match &operator.keyed {
        Some((state, key)) => {
            let call =
                body(emitted(quote!(#name #turbofish(__state, __key, __item #(, #config_args)*))));
            // The one place that demands a state: reported here, and not again in every dataflow.
            let held = quote_spanned!(state.span()=> type Held = #state;);
            quote! {
                impl<#(#generics,)* #(#slot_bounds),*>
                    #private::StatefulFn<#state, #key, #item, #slots, #output> for #name
                #where_clause
                {
                    #held
                    #kind
                    #[inline(always)]
                    fn call(
                        __config: &#slots,
                        __state: &mut #state,
                        __key: &#key,
                        __item: #item,
                        __emit: &mut impl ::core::ops::FnMut(#output),
                    ) {
                        #call
                    }
                }
            }
        }
        None if operator.kind == Kind::Filter => {
            let (borrowing, seen) = match by_borrow(operator) {
                true => (
                    Some(quote!(__A: 'static + ::core::borrow::Borrow<#viewed>)),
                    quote!(<__A as ::core::borrow::Borrow<#viewed>>::borrow(__item)),
                ),
                false => (None, quote!(__item)),
            };
            let bounds = generics.iter().chain(&borrowing).chain(slot_bounds);
            let call = body(quote!(#name #turbofish(#seen #(, #config_args)*)));
            quote! {
                impl<#(#bounds),*> #private::FilterFn<#item, #slots> for #name
                #where_clause
                {
                    #[inline(always)]
                    fn call(__config: &#slots, __item: &#item) -> bool {
                        #call
                    }
                }
            }
        }
        None => {
            let call = body(emitted(quote!(#name #turbofish(__item #(, #config_args)*))));
            quote! {
                impl<#(#generics,)* #(#slot_bounds),*> #private::StepFn<#item, #slots, #output> for #name
                #where_clause
                {
                    #kind
                    #[inline(always)]
                    fn call(__config: &#slots, __item: #item, __emit: &mut impl ::core::ops::FnMut(#output)) {
                        #call
                    }
                }
            }
        }
    }
}

/// `|item| attempt(async move { f(item, ..).await })`: what an asynchronous step calls for an item. The future owns what it works with: a copy of the
/// item, and the configuration.
fn attempt(operator: &Operator<'_>, parts: &Parts, paths: &Paths) -> TokenStream {
    let Operator { name, item, .. } = operator;
    let private = &parts.private;
    let turbofish = match operator.generic_names() {
        names if names.is_empty() => quote!(),
        names => quote!(::<#(#names),*>),
    };
    let mut taken = TokenStream::new();
    let mut arguments = Vec::new();
    for (n, config) in operator.config.iter().enumerate() {
        let (guard, at, ty) = (format_ident!("__g{}", n), Index::from(n), &config.ty);
        taken.extend(quote!(let #guard = #private::TakenSlot::<#ty>::take(&__config.#at);));
        let seen = quote!(#private::TakenSlot::<#ty>::seen(&__config.#at, &#guard));
        arguments.push(match config.by_ref {
            true => seen,
            false => quote_spanned!(ty.span()=> ::core::clone::Clone::clone(#seen)),
        });
    }
    let call = quote!(#name #turbofish(__item #(, #arguments)*).await);
    // What is wrong with item or error is said at its type.
    let answer = match operator.refuses {
        None => quote!(::core::result::Result::Ok(#call)),
        Some(at) => {
            let private = paths.private_at(at);
            let reason = quote_spanned!(at=> |__error| #private::reason(__error));
            quote!(::core::result::Result::map_err(#call, #reason))
        }
    };
    let copy = {
        let private = paths.private_at(item.span());
        quote_spanned!(item.span()=> #private::again::<#item>()(__item))
    };
    quote! {
        move |__item: &#item| {
            let __item = #copy;
            let __config = ::std::rc::Rc::clone(&__config);
            #taken
            #private::attempt(async move { #answer })
        }
    }
}

/// Borrows the configuration for one call, and the arguments that come of it.
fn call_config(operator: &Operator<'_>, private: &TokenStream) -> (TokenStream, Vec<TokenStream>) {
    let mut guards = TokenStream::new();
    let mut arguments = Vec::new();
    for (n, config) in operator.config.iter().enumerate() {
        let (guard, at, ty) = (format_ident!("__g{}", n), Index::from(n), &config.ty);
        guards.extend(quote!(let #guard = #private::Slot::<#ty>::get(&__config.#at);));
        arguments.push(if config.by_ref {
            quote!(&*#guard)
        } else {
            quote_spanned!(ty.span()=> ::core::clone::Clone::clone(&*#guard))
        });
    }
    (guards, arguments)
}
