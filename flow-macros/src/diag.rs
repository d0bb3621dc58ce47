//! Errors, collected: a user sees all of a body's mistakes at once, each at the smallest token that is wrong.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// The errors of one expansion. Nothing is expanded "as if" there were none: whoever holds errors must emit them
/// with [`Errors::into_tokens`].
#[derive(Default)]
#[must_use = "collected errors must be emitted"]
pub(crate) struct Errors(Vec<syn::Error>);

impl Errors {
    /// An error at these tokens.
    pub(crate) fn at(&mut self, tokens: &dyn ToTokens, message: impl Display) {
        self.0.push(syn::Error::new_spanned(tokens.to_token_stream(), message));
    }

    /// An error at a span.
    pub(crate) fn at_span(&mut self, span: Span, message: impl Display) {
        self.0.push(syn::Error::new(span, message));
    }

    /// Keeps an error of syn's.
    pub(crate) fn push(&mut self, error: syn::Error) {
        self.0.push(error);
    }

    /// Takes over the errors of another collection.
    pub(crate) fn extend(&mut self, other: Errors) {
        self.0.extend(other.0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One `compile_error!{..}` after the other. They stand where the caller puts them: in expression position
    /// they have the error type, so that nothing downstream is reported again, and they do not hide rustc's own
    /// errors about names as they would between items.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.0.into_iter().map(|error| error.into_compile_error()).collect()
    }

    /// The texts, for tests.
    #[cfg(test)]
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

/// A message with what to do about it. On stable a help is part of the text; two newlines print it well.
pub(crate) fn with_help(message: impl Display, help: impl Display) -> String {
    format!("{message}\n\nhelp: {help}")
}
