//! The arguments of our attributes, and the path of the runtime crate.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Token};

use crate::diag::Errors;

/// Where the runtime is: `::flow_runtime`, or what `crate = ..` says.
#[derive(Clone)]
pub(crate) struct Paths {
    krate: TokenStream,
}

impl Default for Paths {
    fn default() -> Self {
        Paths { krate: quote!(::flow_runtime) }
    }
}

impl Paths {
    /// `flow_runtime::__private`, which holds everything that expansions name.
    pub(crate) fn private(&self) -> TokenStream {
        let krate = &self.krate;
        quote!(#krate::__private)
    }

    /// The same with another span, for paths whose errors must land on a user's token.
    pub(crate) fn private_at(&self, span: Span) -> TokenStream {
        let krate: TokenStream = respan(self.krate.clone(), span);
        quote_spanned!(span=> #krate::__private)
    }
}

fn respan(tokens: TokenStream, span: Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|mut token| {
            // `$crate` says by its span which crate it is.
            if token.to_string() != "$crate" {
                token.set_span(span);
            }
            token
        })
        .collect()
}

/// One argument of an attribute: `name` or `name = value`.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) value: Option<TokenStream>,
}

impl Parse for Argument {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let name = Ident::parse_any(input)?;
        let mut value = None;
        if input.parse::<Option<Token![=]>>()?.is_some() {
            let mut tokens = TokenStream::new();
            // The parameters of a type have commas of their own.
            let mut angles = 0_usize;
            while !input.is_empty() && (angles > 0 || !input.peek(Token![,])) {
                let token = input.parse::<TokenTree>()?;
                match &token {
                    TokenTree::Punct(punct) if punct.as_char() == '<' => angles += 1,
                    TokenTree::Punct(punct) if punct.as_char() == '>' => {
                        angles = angles.saturating_sub(1);
                    }
                    _ => {}
                }
                tokens.extend([token]);
            }
            if tokens.is_empty() {
                return Err(input.error("expected a value"));
            }
            value = Some(tokens);
        }
        Ok(Argument { name, value })
    }
}

impl Argument {
    /// The value, parsed.
    pub(crate) fn parse_value<T: Parse>(&self, expected: &str, errors: &mut Errors) -> Option<T> {
        let Some(value) = &self.value else {
            errors.at(&self.name, format!("`{}` needs a value: {expected}", self.name));
            return None;
        };
        match syn::parse2(value.clone()) {
            Ok(value) => Some(value),
            Err(_) => {
                errors.at(value, format!("expected {expected}"));
                None
            }
        }
    }
}

/// Reads the arguments of an attribute, takes `crate = path` out and leaves the others to `other`, which says
/// whether it knows the argument. `accepted` names those for the error.
pub(crate) fn arguments(
    tokens: TokenStream,
    attribute: &str,
    accepted: &[&str],
    errors: &mut Errors,
    mut other: impl FnMut(&Argument, &mut Errors) -> bool,
) -> Paths {
    let mut paths = Paths::default();
    let parsed = match Punctuated::<Argument, Token![,]>::parse_terminated.parse2(tokens) {
        Ok(parsed) => parsed,
        Err(error) => {
            errors.push(error);
            return paths;
        }
    };
    for argument in parsed {
        if argument.name == "crate" {
            paths.take(&argument, errors);
        } else if !other(&argument, errors) {
            errors.at(&argument.name, not_accepted(&argument.name, attribute, accepted));
        }
    }
    paths
}

impl Paths {
    fn take(&mut self, argument: &Argument, errors: &mut Errors) {
        let Some(value) = &argument.value else {
            errors.at(&argument.name, "`crate` needs a value: `crate = path`");
            return;
        };
        match syn::Path::parse_mod_style.parse2(value.clone()) {
            Ok(path) => self.krate = path.to_token_stream(),
            Err(_) => errors.at_span(
                value.span(),
                "expected the path of the runtime crate, as in `crate = my_flow`",
            ),
        }
    }
}

fn not_accepted(name: &Ident, attribute: &str, accepted: &[&str]) -> String {
    let mut listed: Vec<String> = accepted.iter().map(|name| format!("`{name}`")).collect();
    listed.push("`crate = path`".to_owned());
    format!("`{attribute}` has no argument `{name}`; it accepts {}", listed.join(", "))
}

/// `#[flow(crate = path)]` on the input of a derive.
pub(crate) fn derive_paths(attrs: &[Attribute], errors: &mut Errors) -> Paths {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("flow")) {
        match attr.meta.require_list() {
            Ok(list) => {
                return arguments(list.tokens.clone(), "#[flow(..)]", &[], errors, |_, _| false);
            }
            Err(error) => errors.push(error),
        }
    }
    Paths::default()
}

/// The attributes of an item that generated code must repeat: under `cfg`, generated code stands and falls with
/// the item.
pub(crate) fn cfgs(attrs: &[Attribute]) -> Vec<&Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg")).collect()
}

/// The documentation of an item, repeated on the type beside a function so that both show it.
pub(crate) fn docs(attrs: &[Attribute]) -> Vec<&Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("doc")).collect()
}

/// What generated items are allowed: they are named after the user's functions and are not the user's to document.
pub(crate) fn allows() -> TokenStream {
    quote! {
        #[allow(
            non_camel_case_types,
            dead_code,
            missing_docs,
            missing_debug_implementations,
            private_interfaces,
            private_bounds,
            unreachable_pub,
            unused_qualifications,
            unexpected_cfgs,
            clippy::all,
            clippy::pedantic,
            clippy::nursery
        )]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(tokens: TokenStream) -> (String, Vec<String>) {
        let mut errors = Errors::default();
        let paths = arguments(tokens, "#[dataflow]", &["delivery"], &mut errors, |argument, _| {
            argument.name == "delivery"
        });
        (paths.private().to_string(), errors.texts())
    }

    #[test]
    fn the_crate_is_ours_unless_said_otherwise() {
        assert_eq!(parsed(quote!()).0, ":: flow_runtime :: __private");
        assert_eq!(parsed(quote!(crate = my::flow)).0, "my :: flow :: __private");
        assert_eq!(parsed(quote!(crate = crate)).0, "crate :: __private");
    }

    #[test]
    fn what_is_not_accepted_is_named_with_what_is() {
        assert_eq!(
            parsed(quote!(wrong = 3, delivery = x)).1,
            ["`#[dataflow]` has no argument `wrong`; it accepts `delivery`, `crate = path`"]
        );
        assert_eq!(
            parsed(quote!(crate = "x")).1,
            ["expected the path of the runtime crate, as in `crate = my_flow`"]
        );
        assert_eq!(parsed(quote!(crate)).1, ["`crate` needs a value: `crate = path`"]);
        assert_eq!(parsed(quote!(crate =)).1.len(), 1);
    }
}
