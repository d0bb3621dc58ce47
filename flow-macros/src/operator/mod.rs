//! The operator attributes: `#[map]`, `#[filter]`, .. and their stateful twins.
//!
//! The function stays as it is. Beside it stands a type of its name, which `#[dataflow]` wires: functions and types
//! live in different namespaces, so `use ops::split` imports both.

mod emit;
mod parse;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Signature, Visibility};

use crate::diag::{Errors, with_help};
use crate::paths::{Paths, allows, arguments};

/// Which operator attribute it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Map,
    Filter,
    FilterMap,
    FlatMap,
    StatefulMap,
    StatefulFilterMap,
    StatefulFlatMap,
    AsyncMap,
}

/// What becomes of the value that the function returns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Yields {
    One,
    Whether,
    Option,
    Each,
    /// What its future answers.
    Awaited,
}

impl Kind {
    /// The attribute as written.
    fn attribute(self) -> &'static str {
        match self {
            Kind::Map => "#[map]",
            Kind::Filter => "#[filter]",
            Kind::FilterMap => "#[filter_map]",
            Kind::FlatMap => "#[flat_map]",
            Kind::StatefulMap => "#[stateful_map]",
            Kind::StatefulFilterMap => "#[stateful_filter_map]",
            Kind::StatefulFlatMap => "#[stateful_flat_map]",
            Kind::AsyncMap => "#[async_map]",
        }
    }

    /// The attribute behind its article.
    fn one(self) -> String {
        let article = if self == Kind::AsyncMap { "an" } else { "a" };
        format!("{article} `{}`", self.attribute())
    }

    /// The variant of the runtime's `graph::Kind`.
    fn variant(self) -> &'static str {
        match self {
            Kind::Map => "Map",
            Kind::Filter => "Filter",
            Kind::FilterMap => "FilterMap",
            Kind::FlatMap => "FlatMap",
            Kind::StatefulMap => "StatefulMap",
            Kind::StatefulFilterMap => "StatefulFilterMap",
            Kind::StatefulFlatMap => "StatefulFlatMap",
            Kind::AsyncMap => "AsyncMap",
        }
    }

    /// The signature that the attribute expects, for errors.
    fn signature(self) -> &'static str {
        match self {
            Kind::Map => "fn(item: A, ..) -> B",
            Kind::Filter => "fn(item: &A, ..) -> bool",
            Kind::FilterMap => "fn(item: A, ..) -> Option<B>",
            Kind::FlatMap => "fn(item: A, ..) -> impl IntoIterator<Item = B>",
            Kind::StatefulMap => "fn(state: &mut S, key: &K, item: A, ..) -> B",
            Kind::StatefulFilterMap => "fn(state: &mut S, key: &K, item: A, ..) -> Option<B>",
            Kind::StatefulFlatMap => {
                "fn(state: &mut S, key: &K, item: A, ..) -> impl IntoIterator<Item = B>"
            }
            Kind::AsyncMap => {
                "async fn(item: A, ..) -> B` or `async fn(item: A, ..) -> Result<B, E>"
            }
        }
    }

    fn is_stateful(self) -> bool {
        matches!(self, Kind::StatefulMap | Kind::StatefulFilterMap | Kind::StatefulFlatMap)
    }

    fn yields(self) -> Yields {
        match self {
            Kind::Map | Kind::StatefulMap => Yields::One,
            Kind::Filter => Yields::Whether,
            Kind::FilterMap | Kind::StatefulFilterMap => Yields::Option,
            Kind::FlatMap | Kind::StatefulFlatMap => Yields::Each,
            Kind::AsyncMap => Yields::Awaited,
        }
    }
}

/// A function of which only the head is parsed. The body stays tokens: that is cheaper, and a body that is half
/// typed still has a head.
struct Head {
    attrs: Vec<Attribute>,
    vis: Visibility,
    sig: Signature,
}

impl Parse for Head {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let sig = input.parse()?;
        input.parse::<TokenStream>()?;
        Ok(Head { attrs, vis, sig })
    }
}

/// Expands an operator attribute. The item is always emitted as it is.
pub(crate) fn expand(kind: Kind, args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let (mut expires, accepted) = (false, if kind.is_stateful() { &["ttl"][..] } else { &[] });
    let paths = arguments(args, kind.attribute(), accepted, &mut errors, |argument, errors| {
        let is_ttl = kind.is_stateful() && argument.name == "ttl";
        if is_ttl && let Some(value) = &argument.value {
            let help = "write `ttl` alone, and give the `Ttl` last where the step is wired";
            errors.at(value, with_help("how long state is kept is said where it is wired", help));
        }
        expires |= is_ttl;
        is_ttl
    });
    let head: Head = match syn::parse2(item.clone()) {
        Ok(head) => head,
        Err(error) => {
            let expected = format!("`{}` stands on a function: {error}", kind.attribute());
            errors.push(syn::Error::new(error.span(), expected));
            let errors = errors.into_tokens();
            return quote!(#item #errors);
        }
    };
    let mut wrong = Errors::default();
    let operator = parse::parse(kind, &head, &mut wrong);
    let wired = match operator {
        // Within an `impl` block there can be no type.
        _ if head.sig.receiver().is_some() => TokenStream::new(),
        Some(operator) => emit::emit(&operator, &paths, expires, wrong.is_empty()),
        None => erroneous(kind, &head, &paths, expires),
    };
    errors.extend(wrong);
    let errors = errors.into_tokens();
    quote!(#item #wired #errors)
}

/// A type that can be wired: a wrong signature is then one error, and not also one in every dataflow that wires it.
fn erroneous(kind: Kind, head: &Head, paths: &Paths, expires: bool) -> TokenStream {
    let (vis, name, allows, private) = (&head.vis, &head.sig.ident, allows(), paths.private());
    let before = if kind.is_stateful() { 2 } else { 0 };
    // An asynchronous step is wired with options, too, and has two outputs.
    let is_async = kind == Kind::AsyncMap;
    let told = usize::from(is_async) + usize::from(expires);
    let config = head.sig.inputs.len().saturating_sub(before + 1) + told;
    let out = if is_async { quote!((__U, __U)) } else { quote!(__U) };
    let config: Vec<Ident> = (0..config).map(|n| format_ident!("__A{}", n)).collect();
    let variant = Ident::new(kind.variant(), Span::call_site());
    quote! {
        #allows
        #vis enum #name {}
        #allows
        impl #name {
            #[doc(hidden)]
            #vis const OPERATOR: #private::Operator = #private::Operator::of(#private::Kind::#variant);
            #[doc(hidden)]
            #vis fn __check<__U>(_: __U) {}
            #[doc(hidden)]
            #vis fn __post<__U>(_: __U) {}
            #[doc(hidden)]
            #vis fn __wire<__U, #(#config),*>(_: __U, #(_: #config),*) -> (#out, #private::UnwiredPlan) {
                ::core::unreachable!("an operator with an error does not compile")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn expanded(kind: Kind, args: &str, item: &str) -> String {
        let tokens = |text| TokenStream::from_str(text).expect("tokens");
        expand(kind, tokens(args), tokens(item)).to_string()
    }

    fn error_of(kind: Kind, item: &str) -> String {
        let text = expanded(kind, "", item);
        let from =
            text.find("compile_error ! { \"").unwrap_or_else(|| panic!("no error in {text}"));
        let text = &text[from + "compile_error ! { \"".len()..];
        text[..text.find("\" }").expect("the end of the message")].replace("\\n", "\n")
    }

    #[test]
    fn the_item_is_always_emitted() {
        for item in
            ["fn f (a : u8) -> u8 { a + }", "async fn f (a : u8) { }", "fn f () { }", "struct S ;"]
        {
            assert!(expanded(Kind::Map, "", item).starts_with(item), "{item}");
        }
    }

    #[test]
    fn one_type_stands_beside_the_function() {
        let text = expanded(
            Kind::FlatMap,
            "",
            "pub fn split(line: String) -> impl Iterator<Item = Word> { body }",
        );
        assert!(text.contains("pub enum split { }"), "{text}");
        assert!(text.contains(":: flow_runtime :: __private :: Feeds < String >"), "{text}");
        assert!(
            text.contains(":: flow_runtime :: __private :: StepFn < String , () , Word >"),
            "{text}"
        );
        assert!(!text.contains("compile_error"), "{text}");
    }

    #[test]
    fn what_a_future_refuses_is_no_part_of_the_output() {
        let text = expanded(Kind::AsyncMap, "", "async fn f(a: u8) -> io::Result<Word> { body }");
        assert!(text.contains("async_map , __U , u8 , Word >"), "{text}");
        assert!(!text.contains("compile_error"), "{text}");
        let text = expanded(Kind::AsyncMap, "", "async fn f(a: u8) -> Option<Word> { body }");
        assert!(text.contains("async_map , __U , u8 , Option < Word > >"), "{text}");
    }

    #[test]
    fn state_that_expires_is_told_for_how_long_where_it_is_wired() {
        let item = "fn f(state: &mut u64, key: &u8, item: u8, more: u8) -> u64 { 0 }";
        let text = expanded(Kind::StatefulMap, "ttl, crate = rills", item);
        assert!(text.contains("more : u8 , __ttl : rills :: __private :: Ttl"), "{text}");
        assert!(text.contains("rills :: __private :: ExpiringPlan < f"), "{text}");
        assert!(!text.contains("compile_error"), "{text}");
        let text = expanded(Kind::StatefulMap, "", item);
        assert!(!text.contains("Ttl") && !text.contains("ExpiringPlan"), "{text}");
        let text = expanded(Kind::StatefulMap, "ttl = 3", item);
        assert!(text.contains("give the `Ttl` last where the step is wired"), "{text}");
        let text = expanded(Kind::Map, "ttl", "fn f(a: u8) -> u8 { a }");
        assert!(text.contains("`#[map]` has no argument `ttl`"), "{text}");
    }

    #[test]
    fn the_runtime_may_have_another_name() {
        let text = expanded(Kind::Map, "crate = rills", "fn f(a: u8) -> u8 { a }");
        assert!(
            text.contains("rills :: __private :: StepFn") && !text.contains("flow_runtime"),
            "{text}"
        );
    }

    #[test]
    fn wrong_signatures_say_what_to_write() {
        assert_eq!(
            error_of(Kind::StatefulMap, "fn f(word: String) -> u64 { 0 }"),
            "a `#[stateful_map]` function takes the state and the key before the item\n\nhelp: write `fn(state: &mut S, key: &K, item: A, ..) -> B`"
        );
        assert_eq!(
            error_of(Kind::Filter, "fn f(n: u32) -> bool { true }"),
            "a `#[filter]` looks at its item: take `&u32`"
        );
        assert!(error_of(Kind::Map, "async fn f(n: u32) -> u32 { n }").contains("#[async_map]"));
        assert!(error_of(Kind::AsyncMap, "fn f(n: u32) -> u32 { n }").contains("is `async`"));
        assert!(error_of(Kind::AsyncMap, "async fn f(n: u32) { }").contains("Result<B, E>"));
        assert!(error_of(Kind::AsyncMap, "async fn f() -> u32 { 0 }").contains("takes the item"));
        assert!(error_of(Kind::Map, "fn f(&self, n: u32) -> u32 { n }").contains("free functions"));
        assert!(error_of(Kind::Map, "fn f(n: &str) -> u32 { 0 }").contains("take `String`"));
        assert!(error_of(Kind::FilterMap, "fn f(n: u8) -> impl Sized { n }").contains("Option"));
        assert!(error_of(Kind::FlatMap, "fn f(n: u8) { }").contains("IntoIterator"));
        assert!(error_of(Kind::Map, "fn f<T: Default>(n: u8) -> u8 { n }").contains("`T`"));
    }
}
