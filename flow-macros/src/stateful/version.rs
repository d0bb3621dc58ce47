//! The versions of a type: `#[stateful(version = 2, from = CartV1)]`.
//!
//! A type names the one right before it, and so on: a chain. That the older type is of the version before is a bound, so a gap
//! is rustc's error at the user's token, which says also what version it is.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{LitInt, LitStr, Type};

use crate::diag::{Errors, with_help};
use crate::paths::{Argument, Paths};

/// What `#[stateful(..)]` accepts.
pub(super) const ACCEPTED: [&str; 4] =
    ["version = N", "from = OldType", "try_from = OldType", "name = \"Name\""];

/// Which version of what a type is.
#[derive(Default)]
pub(super) struct Version {
    /// As it is written.
    number: Option<LitInt>,
    /// What the log calls the type, where that is not its Rust name.
    name: Option<Ident>,
    older: Option<Older>,
}

/// The version before, and how values get here from it.
struct Older {
    /// `from` or `try_from`.
    argument: Ident,
    ty: Type,
    can_fail: bool,
}

impl Version {
    /// Takes an argument of the attribute. Answers whether it is one of these.
    pub(super) fn take(&mut self, argument: &Argument, errors: &mut Errors) -> bool {
        let name = &argument.name;
        if name == "version" {
            if let Some(number) = argument.parse_value::<LitInt>("a number", errors) {
                match number.base10_parse::<u32>() {
                    Ok(0) | Err(_) => errors.at(&number, "versions count from 1"),
                    Ok(_) => self.number = Some(number),
                }
            }
        } else if name == "name" {
            if let Some(text) = argument.parse_value::<LitStr>("a name, `name = \"Cart\"`", errors)
            {
                match text.parse() {
                    Ok(name) => self.name = Some(name),
                    Err(_) => errors.at(
                        &text,
                        with_help(
                            "this is not the name of a type",
                            "`name` is what the type was called when its state was saved, without path: `name = \"Cart\"`",
                        ),
                    ),
                }
            }
        } else if name == "from" || name == "try_from" {
            if let Some(ty) = argument.parse_value("the older version's type", errors) {
                let older = Older { argument: name.clone(), ty, can_fail: name == "try_from" };
                if self.older.replace(older).is_some() {
                    errors.at(
                        name,
                        with_help(
                            "a version is made from one older version",
                            "name the one right before; that one names its own",
                        ),
                    );
                }
            }
        } else {
            return false;
        }
        true
    }

    /// Refuses what the arguments do not say together.
    pub(super) fn check(&self, errors: &mut Errors) {
        let Some(Older { argument, .. }) = &self.older else { return };
        match &self.number {
            None => errors.at(
                argument,
                with_help(
                    format_args!("`{argument} = ..` needs the version that this type is"),
                    format_args!("`#[stateful(version = 2, {argument} = ..)]`"),
                ),
            ),
            Some(number) if self.number() == 1 => errors.at(
                number,
                with_help(
                    "version 1 is the first: there is none before it to be made from",
                    "count on: the type that has changed is `version = 2`",
                ),
            ),
            Some(_) => {}
        }
    }

    /// The number; 1 unless it is given.
    pub(super) fn number(&self) -> u32 {
        self.number.as_ref().and_then(|number| number.base10_parse().ok()).unwrap_or(1)
    }

    /// What the log calls this type.
    pub(super) fn name_of(&self, ident: &Ident) -> String {
        self.name.as_ref().unwrap_or(ident).to_string()
    }

    /// The beginning of `older`: what an older version has saved is read by that one.
    pub(super) fn read_older(&self, paths: &Paths) -> TokenStream {
        let Some(Older { ty, can_fail, .. }) = &self.older else { return TokenStream::new() };
        let private = paths.private();
        // All of it at the user's token: that is where its bounds are reported.
        let (span, at) = (ty.span(), paths.private_at(ty.span()));
        let read = Ident::new(if *can_fail { "try_from_older" } else { "from_older" }, span);
        let before = self.before(ty);
        let read = quote_spanned!(span=> #at::#read::<#ty, Self, #before>(__was));
        quote! {
            if #private::is_older::<Self>(__was) {
                return #read;
            }
        }
    }

    /// That the older version has the same name for the log.
    pub(super) fn check_name(&self, ident: &Ident, paths: &Paths) -> TokenStream {
        let Some(Older { ty, .. }) = &self.older else { return TokenStream::new() };
        let (private, before, name) =
            (paths.private_at(ty.span()), self.before(ty), self.name_of(ident));
        let text = with_help(
            format_args!("the older version of `{name}` has another name"),
            format_args!(
                "the log knows a type by one name in all its versions: `#[stateful(name = \"{name}\", version = {})]` on this older one",
                self.number() - 1
            ),
        );
        quote_spanned! {ty.span()=>
            const _: () = {
                #[allow(unused_imports)] // It is used where there is no name.
                use #private::NoName as _;
                ::core::assert!(
                    #private::is_named(#private::NameOf::<#ty, #before>::NAME, #name),
                    #text
                );
            };
        }
    }

    fn before(&self, ty: &Type) -> Literal {
        let mut before = Literal::u32_unsuffixed(self.number() - 1);
        before.set_span(ty.span());
        before
    }
}
