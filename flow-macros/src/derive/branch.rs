//! `#[derive(Branch)]`: an enum that `branch` takes apart into one stream per variant.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::{Data, DataEnum, DeriveInput, Fields, GenericParam, Variant, parse_quote};

use crate::diag::{Errors, with_help};
use crate::paths::{Paths, allows, cfgs, derive_paths};

/// A variant as a stream.
struct Way<'a> {
    variant: &'a Variant,
    /// The variant's name in snake case.
    name: Ident,
    /// What the stream carries.
    item: TokenStream,
}

/// Expands the derive.
pub(crate) fn expand(item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let input: DeriveInput = match syn::parse2(item) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let paths = derive_paths(&input.attrs, &mut errors);
    let ways = match &input.data {
        Data::Enum(data) => ways(data, &input.ident, &mut errors),
        _ => {
            errors.at(&input.ident, "`#[derive(Branch)]` stands on an enum");
            Vec::new()
        }
    };
    for lifetime in input.generics.lifetimes() {
        errors.at(lifetime, "items of a stream hold no borrows");
    }
    match errors.is_empty() {
        true => emit(&input, &ways, &paths),
        false => errors.into_tokens(),
    }
}

/// The variants, in the alphabetical order of their streams.
fn ways<'a>(data: &'a DataEnum, name: &Ident, errors: &mut Errors) -> Vec<Way<'a>> {
    if data.variants.is_empty() {
        errors.at(name, "an enum without variants has nothing to take apart");
    }
    let mut ways: Vec<Way<'a>> = Vec::new();
    for variant in &data.variants {
        let item = match &variant.fields {
            Fields::Unit => quote!(()),
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                fields.unnamed[0].ty.to_token_stream()
            }
            Fields::Unnamed(fields) => {
                let types = fields.unnamed.iter().map(|field| &field.ty);
                quote!((#(#types,)*))
            }
            Fields::Named(_) => {
                let name = &variant.ident;
                errors.at(
                    variant,
                    with_help(
                        "a stream carries one item, and this variant has named fields",
                        format_args!("give the fields a struct: `{name}({name})`"),
                    ),
                );
                continue;
            }
        };
        let name = snake_case(&variant.ident);
        if let Some(other) = ways.iter().find(|way| way.name == name) {
            errors.at(
                &variant.ident,
                format!(
                    "the streams of `{}` and `{}` would both be called `{name}`",
                    other.variant.ident, variant.ident
                ),
            );
        }
        ways.push(Way { variant, name, item });
    }
    ways.sort_by_key(|way| way.name.unraw().to_string());
    ways
}

/// `HttpError` to `http_error`.
fn snake_case(name: &Ident) -> Ident {
    let text = name.unraw().to_string();
    let letters: Vec<char> = text.chars().collect();
    let mut snake = String::new();
    for (n, letter) in letters.iter().enumerate() {
        let after_lower = n > 0 && (letters[n - 1].is_lowercase() || letters[n - 1].is_numeric());
        let before_lower = letters.get(n + 1).is_some_and(|next| next.is_lowercase());
        if n > 0 && letter.is_uppercase() && letters[n - 1] != '_' && (after_lower || before_lower)
        {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    match syn::parse_str::<Ident>(&snake) {
        Ok(_) => Ident::new(&snake, name.span()),
        Err(_) => Ident::new_raw(&snake, name.span()),
    }
}

fn emit(input: &DeriveInput, ways: &[Way<'_>], paths: &Paths) -> TokenStream {
    let (private, name) = (paths.private(), &input.ident);
    let call_site = |text: String| Ident::new(&text, Span::call_site());
    let plan = call_site(format!("__{}Plan", name.unraw()));

    let mut generics = input.generics.clone();
    for param in generics.params.iter_mut() {
        if let GenericParam::Type(ty) = param {
            ty.default = None;
            ty.bounds.push(parse_quote!('static));
        }
    }
    let own = &generics.params;
    let (impl_generics, args, clause) = generics.split_for_impl();
    let own_args: Vec<Ident> = generics
        .params
        .iter()
        .filter_map(|param| match param {
            GenericParam::Type(ty) => Some(ty.ident.clone()),
            GenericParam::Const(constant) => Some(constant.ident.clone()),
            GenericParam::Lifetime(_) => None,
        })
        .collect();

    let names: Vec<&Ident> = ways.iter().map(|way| &way.name).collect();
    let super::Ways { name: way_name, items: way_items } = super::ways(name, &names, &private);
    let items: Vec<&TokenStream> = ways.iter().map(|way| &way.item).collect();
    let count = ways.len();
    let types: Vec<Ident> = (0..count).map(|n| format_ident!("__D{}", n)).collect();
    let downs: Vec<Ident> = (0..count).map(|n| format_ident!("__d{}", n)).collect();
    let bounds = quote! {
        #(#types: #private::Consumer<<__U as #private::Token>::With<#items>>,)*
    };
    let token = quote!(__U: #private::Token<Item = #name #args>);
    let arms = ways.iter().zip(&downs).map(|(way, down)| {
        let variant = &way.variant.ident;
        match &way.variant.fields {
            Fields::Unit => quote!(#name::#variant => self.#down.push(__head, ()),),
            fields if fields.len() == 1 => {
                quote!(#name::#variant(__item) => self.#down.push(__head, __item),)
            }
            fields => {
                let parts: Vec<Ident> =
                    (0..fields.len()).map(|n| format_ident!("__f{}", n)).collect();
                quote!(#name::#variant(#(#parts),*) => self.#down.push(__head, (#(#parts,)*)),)
            }
        }
    });
    let (allows, cfgs) = (allows(), cfgs(&input.attrs));
    quote! {
        #(#cfgs)*
        #allows
        const _: () = {
            #way_items
            pub struct #plan<__U>(::core::marker::PhantomData<fn(__U)>);
            #[automatically_derived]
            impl #impl_generics #private::Branch for #name #args #clause {
                type Ways<#token> = #way_name<#(<__U as #private::Token>::With<#items>),*>;
                type Plan<#token> = #plan<__U>;
                fn ways<#token>() -> Self::Ways<__U> {
                    #way_name::__new()
                }
                fn plan<#token>() -> #plan<__U> {
                    #plan(::core::marker::PhantomData)
                }
            }
            struct __Ways<#(#types),*> {
                __id: #private::StepId,
                #(#downs: #types,)*
            }
            impl<__H: #private::Host, #token, #bounds #own> #private::Plan1<__H, __U, (#(#types,)*)> for #plan<__U>
            #clause
            {
                fn assemble(
                    self,
                    _: &mut __H::Cx<'_>,
                    __id: #private::StepId,
                    (#(#downs,)*): (#(#types,)*),
                ) -> (impl #private::Consumer<__U> + use<__H, __U, #(#types,)* #(#own_args),*>,) {
                    (__Ways { __id, #(#downs,)* },)
                }
            }
            impl<#token, #bounds #own> #private::Consumer<__U> for __Ways<#(#types),*>
            #clause
            {
                #[inline(always)]
                fn push(
                    &mut self,
                    __head: #private::Head<'_, <__U as #private::Token>::Key>,
                    __item: #name #args,
                ) {
                    match __item {
                        #(#arms)*
                    }
                }
                fn control(&mut self, __control: &mut #private::Control<'_>) {
                    #(self.#downs.control(__control);)*
                }
                fn describe(&self, __to: &mut dyn #private::Describe) {
                    __to.step(#private::StepInfo::new(&self.__id, #private::Kind::Branch.name()).takes::<__U>());
                    #(self.#downs.describe(__to);)*
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_become_streams_in_snake_case() {
        for (variant, stream) in [
            ("Allow", "allow"),
            ("HttpError", "http_error"),
            ("HTTPError", "http_error"),
            ("V2Late", "v2_late"),
            ("Type", "r#type"),
        ] {
            assert_eq!(snake_case(&Ident::new(variant, Span::call_site())).to_string(), stream);
        }
    }

    #[test]
    fn what_cannot_be_taken_apart_is_said() {
        for (item, said) in [
            (
                quote!(
                    struct S;
                ),
                "stands on an enum",
            ),
            (
                quote!(
                    enum E {}
                ),
                "nothing to take apart",
            ),
            (
                quote!(
                    enum E {
                        A { x: u8 },
                    }
                ),
                "`A(A)`",
            ),
            (
                quote!(
                    enum E {
                        AB,
                        Ab,
                        A_b,
                    }
                ),
                "would both be called",
            ),
        ] {
            assert!(expand(item.clone()).to_string().contains(said), "{item}");
        }
    }
}
