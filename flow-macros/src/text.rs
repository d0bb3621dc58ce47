//! Types as text, and types as they stand outside of a function.

use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{Lifetime, ParenthesizedGenericArguments, Type, TypeFnPtr, TypeReference};

/// A type or path as a person writes it: `Vec<(u32, String)>`.
pub(crate) fn written(tokens: &dyn ToTokens) -> String {
    let mut text = String::new();
    write(tokens.to_token_stream(), &mut text);
    text
}

fn write(tokens: TokenStream, text: &mut String) {
    // Whether the token before was a word, so that a word after it needs a space.
    let mut after_word = false;
    for token in tokens {
        let is_word = matches!(token, TokenTree::Ident(_) | TokenTree::Literal(_));
        if is_word && after_word {
            text.push(' ');
        }
        after_word = is_word;
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                write(group.stream(), text);
                text.push_str(close);
            }
            TokenTree::Punct(punct) => match punct.as_char() {
                '>' if text.ends_with('-') => {
                    text.pop();
                    text.push_str(" -> ");
                }
                '+' | '=' => {
                    text.push(' ');
                    text.push(punct.as_char());
                    text.push(' ');
                }
                ',' | ';' => {
                    text.push(punct.as_char());
                    text.push(' ');
                }
                ':' if punct.spacing() == Spacing::Alone && !text.ends_with(':') => {
                    text.push_str(": ")
                }
                '\'' => {
                    if text.ends_with(char::is_alphanumeric) {
                        text.push(' ');
                    }
                    text.push('\'');
                }
                other => text.push(other),
            },
            word => text.push_str(&word.to_string()),
        }
    }
    if text.ends_with(", ") {
        text.truncate(text.len() - 2);
    }
}

/// A type of a function's signature, as it can stand outside of the function: its lifetimes become `'static`,
/// which is what items, keys and configuration are.
pub(crate) fn outlived(ty: &Type) -> Type {
    let mut ty = ty.clone();
    Outlived.visit_type_mut(&mut ty);
    ty
}

pub(crate) struct Outlived;

impl VisitMut for Outlived {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        *lifetime = Lifetime::new("'static", lifetime.span());
    }
    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        if reference.lifetime.is_none() {
            let span: Span = reference.and_token.span;
            reference.lifetime = Some(Lifetime::new("'static", span));
        }
        visit_mut::visit_type_reference_mut(self, reference);
    }
    // Inside `Fn(&T) -> bool` and `fn(&T)` lifetimes belong to the call.
    fn visit_type_fn_ptr_mut(&mut self, _: &mut TypeFnPtr) {}
    fn visit_parenthesized_generic_arguments_mut(&mut self, _: &mut ParenthesizedGenericArguments) {
    }
    fn visit_bound_lifetimes_mut(&mut self, _: &mut syn::BoundLifetimes) {}
}

/// Whether the tokens mention one of the names.
pub(crate) fn mentions(tokens: &dyn ToTokens, names: &[syn::Ident]) -> bool {
    fn within(tokens: TokenStream, names: &[syn::Ident]) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => names.contains(&ident),
            TokenTree::Group(group) => within(group.stream(), names),
            _ => false,
        })
    }
    !names.is_empty() && within(tokens.to_token_stream(), names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    #[test]
    fn types_read_as_they_were_written() {
        for text in [
            "u64",
            "Vec<(u32, String)>",
            "HashMap<String, Option<[u8; 4]>>",
            "&'static str",
            "&mut Option<Count>",
            "std::sync::Arc<str>",
            "Box<dyn Fn(&str) -> bool + Send>",
        ] {
            let ty: Type = syn::parse_str(text).expect("a type");
            assert_eq!(written(&ty), text);
        }
    }

    #[test]
    fn lifetimes_of_the_signature_are_left_behind() {
        let ty: Type = syn::parse_quote!(Windows<'a, &u8, Box<dyn Fn(&u8) -> &u8>>);
        let expected: Type =
            syn::parse_quote!(Windows<'static, &'static u8, Box<dyn Fn(&u8) -> &u8>>);
        assert_eq!(
            outlived(&ty).to_token_stream().to_string(),
            expected.to_token_stream().to_string()
        );
    }

    #[test]
    fn mentions_are_found_inside_groups() {
        let names = [syn::parse_quote!(T)];
        assert!(mentions(&quote!(Vec<(u8, T)>), &names));
        assert!(!mentions(&quote!(Vec<Type>), &names));
    }
}
