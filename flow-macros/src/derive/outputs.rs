//! `#[derive(Outputs)]`: a struct of streams that a sub-flow returns.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;
use syn::{Data, DeriveInput, Fields, Type, parse_quote};

use crate::dataflow::is_stream;
use crate::diag::{Errors, with_help};
use crate::paths::{allows, cfgs, derive_paths};
use crate::text::written;

/// Expands the derive.
pub(crate) fn expand(item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let input: DeriveInput = match syn::parse2(item) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let paths = derive_paths(&input.attrs, &mut errors);
    let private = paths.private();
    let mut fields = Vec::new();
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(named) if !named.named.is_empty() => fields.extend(&named.named),
            other => errors.at(
                if other.is_empty() { &input.ident } else { other },
                "`#[derive(Outputs)]` stands on a struct with named fields, one per stream",
            ),
        },
        _ => errors.at(
            &input.ident,
            "`#[derive(Outputs)]` stands on a struct with named fields, one per stream",
        ),
    }
    for field in &fields {
        if !is_stream(&field.ty) {
            errors.at(
                &field.ty,
                with_help(
                    format_args!(
                        "a sub-flow returns streams, and `{}` is none",
                        written(&field.ty)
                    ),
                    "the fields of a `#[derive(Outputs)]` struct are `Stream<..>` or `Keyed<..>`",
                ),
            );
        }
    }
    if !errors.is_empty() {
        return errors.into_tokens();
    }
    // The order of the outputs is that of the names: it does not change when fields are moved about.
    fields.sort_by_key(|field| field.ident.as_ref().map(ToString::to_string));

    let mut generics = input.generics.clone();
    for param in generics.type_params_mut() {
        param.bounds.push(parse_quote!('static));
    }
    let (impl_generics, args, clause) = generics.split_for_impl();
    let (name, allows, cfgs) = (&input.ident, allows(), cfgs(&input.attrs));
    let names: Vec<&Ident> = fields.iter().filter_map(|field| field.ident.as_ref()).collect();
    let types: Vec<&Type> = fields.iter().map(|field| &field.ty).collect();
    let super::Ways { name: way_name, items: way_items } = super::ways(name, &names, &private);
    let indices = (0..fields.len()).map(Literal::usize_unsuffixed);
    let repeated =
        fields.iter().map(|_| quote!(#(#cfgs)* #[automatically_derived] impl #impl_generics));
    quote! {
        #(#cfgs)*
        #allows
        const _: () = {
            #way_items
            #[automatically_derived]
            impl #impl_generics #private::Outputs for #name #args #clause {
                type Ways = #way_name<#(#types),*>;
                fn streams() -> Self {
                    #name { #(#names: #private::Token::token()),* }
                }
                fn ways() -> Self::Ways {
                    #way_name::__new()
                }
            }
            // The fields are read where a sub-flow is wired, which rustc does not see.
            fn __read #impl_generics(all: #name #args) #clause {
                let _ = (#(all.#names,)*);
            }
            #(#repeated #private::OutputAt<#indices> for #name #args #clause {
                type Token = #types;
            })*
        };
    }
}
