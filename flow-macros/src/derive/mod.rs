//! The derives: enums that `branch` takes apart, structs of streams that a sub-flow returns.

mod branch;
mod outputs;

pub(crate) use branch::expand as branch;
pub(crate) use outputs::expand as outputs;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;

/// The types by which streams are bound by name: a struct of ways, and the names that are not bound yet.
///
/// A name is a type of that name. Binding a stream puts `Bound` in the place of its name, and in the end no other name may
/// be left: the one that is left out stands in the error.
struct Ways {
    /// The struct of ways. Generic over the streams.
    name: Ident,
    /// All items.
    items: TokenStream,
}

/// Makes the types for the streams of these names, for an item called `of`.
fn ways(of: &Ident, names: &[&Ident], private: &TokenStream) -> Ways {
    let hidden = |suffix: &str| Ident::new(&format!("__{}{suffix}", of.unraw()), Span::call_site());
    let (ways, rest) = (hidden("Ways"), hidden("Names"));
    let streams: Vec<Ident> = (0..names.len()).map(|n| format_ident!("__S{}", n)).collect();
    let binds = (0..names.len()).map(|n| {
        let marker = names[n];
        let others: Vec<&Ident> =
            streams.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, other)| other).collect();
        let with = |here: TokenStream| {
            let all = (0..names.len()).map(|m| {
                if m == n {
                    here.clone()
                } else {
                    let other = &streams[m];
                    quote!(#other)
                }
            });
            quote!(#rest<#(#all),*>)
        };
        let (before, after) = (with(quote!(#marker)), with(quote!(#private::Bound)));
        quote! {
            impl<#(#others),*> #private::Binds<#marker> for #before {
                type Rest = #after;
                fn bind(self) -> Self::Rest {
                    #rest(::core::marker::PhantomData)
                }
            }
        }
    });
    let answers: Vec<Ident> = (0..names.len()).map(|n| format_ident!("__P{}", n)).collect();
    let before = std::iter::once(quote!(()))
        .chain(answers.iter().map(|answer| quote!(#answer)))
        .take(names.len());
    let last = answers.last();
    let items = quote! {
        #(pub enum #names {})*
        pub struct #rest<#(#streams),*>(::core::marker::PhantomData<fn() -> (#(#streams,)*)>);
        #(#binds)*
        impl<#(#streams),*> #rest<#(#streams),*> {
            // An answer that depends on every name: see `Pass` in the runtime.
            pub fn __all_bound<#(#answers: ::core::default::Default),*>(self) -> #last
            where
                #(#streams: #private::IsBound<#before, Passed = #answers>,)*
            {
                ::core::default::Default::default()
            }
        }
        pub struct #ways<#(#streams),*> {
            #(pub #names: #private::Way<#streams, #names>,)*
            pub __rest: #rest<#(#names),*>,
        }
        impl<#(#streams: #private::Token),*> #ways<#(#streams),*> {
            fn __new() -> Self {
                #ways {
                    #(#names: #private::Way::token(),)*
                    __rest: #rest(::core::marker::PhantomData),
                }
            }
        }
    };
    Ways { name: ways, items }
}
