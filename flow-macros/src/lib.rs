//! The attribute macros of flow.

mod dataflow;
mod derive;
mod diag;
mod operator;
mod paths;
mod stateful;
mod text;

use proc_macro::TokenStream;

macro_rules! operators {
    ($($(#[$doc:meta])* $name:ident, $kind:ident;)*) => {$(
        $(#[$doc])*
        #[proc_macro_attribute]
        pub fn $name(args: TokenStream, item: TokenStream) -> TokenStream {
            operator::expand(operator::Kind::$kind, args.into(), item.into()).into()
        }
    )*};
}

operators! {
    /// One out for one in.
    map, Map;
    /// Lets items pass.
    filter, Filter;
    /// One or none.
    filter_map, FilterMap;
    /// Any number.
    flat_map, FlatMap;
    /// One out, with state.
    stateful_map, StatefulMap;
    /// One or none, with state.
    stateful_filter_map, StatefulFilterMap;
    /// Any number, with state.
    stateful_flat_map, StatefulFlatMap;
}

/// A dataflow.
#[proc_macro_attribute]
pub fn dataflow(args: TokenStream, item: TokenStream) -> TokenStream {
    dataflow::expand(args.into(), item.into()).into()
}

/// State.
#[proc_macro_attribute]
pub fn stateful(args: TokenStream, item: TokenStream) -> TokenStream {
    stateful::expand(args.into(), item.into()).into()
}

/// Branch.
#[proc_macro_derive(Branch, attributes(flow))]
pub fn branch(item: TokenStream) -> TokenStream {
    derive::branch(item.into()).into()
}

/// Outputs.
#[proc_macro_derive(Outputs, attributes(flow))]
pub fn outputs(item: TokenStream) -> TokenStream {
    derive::outputs(item.into()).into()
}
