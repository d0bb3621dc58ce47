//! What `#[stateful]` writes: one `Saved`, and beside it the fields' types, each named once.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, GenericParam, Generics, Member, parse_quote};

use super::{Field, Saved, Shape, Way};
use crate::paths::{Paths, allows, cfgs};
use crate::text::mentions;

/// Implementations without contents, for a type that has an error.
pub(super) fn stand_in(input: &DeriveInput, paths: &Paths) -> TokenStream {
    let (private, name, allows) = (paths.private(), &input.ident, allows());
    let (generics, args, clause) = input.generics.split_for_impl();
    let mut with_version = input.generics.clone();
    with_version.params.push(parse_quote!(const __VERSION: u32));
    let (with_version, ..) = with_version.split_for_impl();
    let text = name.to_string();
    let never = quote!(::core::unreachable!("a state with an error does not compile"));
    quote! {
        #allows
        const _: () = {
            impl #generics #private::Saved for #name #args #clause {
                const SCHEMA: &'static #private::Schema = &#private::Schema::Plain("");
                fn save(&self, _: &mut ::std::vec::Vec<u8>) {
                    #never
                }
                fn load(_: &mut &[u8]) -> ::core::result::Result<Self, #private::LoadError> {
                    #never
                }
            }
            impl #generics #private::State for #name #args #clause {}
            impl #with_version #private::Version<__VERSION> for #name #args #clause {
                const NAME: &'static str = #text;
            }
        };
    }
}

impl Saved<'_> {
    fn all_fields(&self) -> Vec<&Field> {
        match &self.shape {
            Shape::Struct(fields) => fields.iter().collect(),
            Shape::Enum(variants) => variants.iter().flat_map(|variant| &variant.fields).collect(),
        }
    }

    /// The generics, with `Saved` for what is saved by its own implementation.
    fn generics(&self, also_static: bool) -> Generics {
        let private = self.paths.private();
        let mut generics = self.input.generics.clone();
        let fields = self.all_fields();
        for param in generics.params.iter_mut() {
            let GenericParam::Type(param) = param else { continue };
            param.default = None;
            let names = [param.ident.clone()];
            if fields
                .iter()
                .any(|field| matches!(field.way, Way::Own) && mentions(&field.ty, &names))
            {
                param.bounds.push(parse_quote!(#private::Saved));
            }
            if fields
                .iter()
                .any(|field| matches!(field.way, Way::Foreign(_)) && mentions(&field.ty, &names))
            {
                param.bounds.push(parse_quote!(#private::Foreign));
            }
            if fields
                .iter()
                .any(|field| matches!(field.way, Way::Skipped) && mentions(&field.ty, &names))
            {
                param.bounds.push(parse_quote!(::core::default::Default));
            }
            if also_static {
                param.bounds.push(parse_quote!('static));
            }
        }
        generics
    }

    pub(super) fn emit(&self) -> TokenStream {
        let private = self.paths.private();
        let name = &self.input.ident;
        let (generics, with_static) = (self.generics(false), self.generics(true));
        let (impl_generics, args, clause) = generics.split_for_impl();
        let (static_generics, ..) = with_static.split_for_impl();
        let declared = self.input.generics.params.iter().map(|param| match param {
            GenericParam::Type(ty) => ty.ident.to_token_stream(),
            other => other.to_token_stream(),
        });
        let types = self.input.generics.type_params().map(|param| &param.ident);
        let fields = self.all_fields().into_iter().map(|field| self.field_type(field));
        let (schema, plain, save, older) = (self.schema(), self.plain(), self.save(), self.older());
        let parts = self.parts();
        let load = self.load(|field| {
            let helper = self.helper(field);
            quote!(#helper::load(__from)?)
        });
        let (version, log_name) = (self.version.number(), self.version.name_of(name));
        // A constant of a generic type would be looked at only where it is used.
        let is_generic = self.input.generics.type_params().next().is_some();
        let name_check = (!is_generic).then(|| self.version.check_name(name, self.paths));
        // Else what is wrong with a field would only be said where the state is used.
        let own = self.all_fields().into_iter().filter(|field| matches!(field.way, Way::Own));
        let field_checks = own.filter(|_| !is_generic).map(|field| {
            let (helper, schema) = (self.helper(field), self.schema_constant());
            // All of it at the field's type: the compiler shows where the constant is named.
            let named = quote!(#helper::#schema).into_iter().map(|mut token| {
                token.set_span(field.ty.span());
                token
            });
            quote_spanned!(field.ty.span()=> const _: () = { let _ = #(#named)*; };)
        });
        let (allows, cfgs) = (allows(), cfgs(&self.input.attrs));
        quote! {
            #(#cfgs)*
            #allows
            const _: () = {
                /// Stands for the fields, so that their types need not be as public as the state.
                struct __Fields<#(#declared),*>(::core::marker::PhantomData<fn() -> (#(#types,)*)>);
                #(#fields)*
                #[automatically_derived]
                impl #impl_generics #private::Saved for #name #args #clause {
                    const SCHEMA: &'static #private::Schema = &#schema;
                    const PLAIN: bool = #plain;
                    fn save(&self, __to: &mut ::std::vec::Vec<u8>) {
                        #save
                    }
                    #parts
                    fn load(__from: &mut &[u8]) -> ::core::result::Result<Self, #private::LoadError> {
                        #load
                    }
                    fn older(__was: &#private::Shape) -> ::core::result::Result<#private::Reader<Self>, #private::LoadError>
                    where
                        Self: 'static,
                    {
                        #older
                    }
                }
                #[automatically_derived]
                impl #impl_generics #private::Version<#version> for #name #args #clause {
                    const NAME: &'static str = #log_name;
                }
                #name_check
                #(#field_checks)*
                #[automatically_derived]
                impl #static_generics #private::State for #name #args #clause {}
            };
        }
    }

    /// The one place where a field's type must be something.
    fn field_type(&self, field: &Field) -> TokenStream {
        let (ty, index) = (&field.ty, Literal::usize_unsuffixed(field.index));
        let private = self.paths.private_at(ty.span());
        let generics = self.generics(false);
        let (impl_generics, args, clause) = generics.split_for_impl();
        let as_what = Ident::new(
            match field.way {
                Way::Own => "SavedField",
                Way::Foreign(_) => "ForeignField",
                Way::Skipped => "SkippedField",
            },
            ty.span(),
        );
        let assoc = quote_spanned!(ty.span()=> type Type = #ty;);
        quote! {
            impl #impl_generics #private::#as_what<#index> for __Fields #args #clause {
                #assoc
            }
        }
    }

    /// The runtime's helper for a field.
    fn helper(&self, field: &Field) -> TokenStream {
        let private = self.paths.private();
        let (_, args, _) = self.input.generics.split_for_impl();
        let index = Literal::usize_unsuffixed(field.index);
        let helper = Ident::new(
            match field.way {
                Way::Own => "SavedAt",
                Way::Foreign(_) => "ForeignAt",
                Way::Skipped => "SkippedAt",
            },
            Span::call_site(),
        );
        quote!(#private::#helper::<__Fields #args, #index>)
    }

    /// The parts of a struct that are saved entry by entry: those of its fields, one field's behind the other's. Variants have none.
    fn parts(&self) -> TokenStream {
        let private = self.paths.private();
        let Shape::Struct(fields) = &self.shape else { return TokenStream::new() };
        let own = || fields.iter().filter(|field| matches!(field.way, Way::Own));
        if own().next().is_none() {
            return TokenStream::new();
        }
        let counts = own().map(|field| {
            let helper = self.helper(field);
            quote!(+ #helper::PARTS)
        });
        let saves = fields.iter().map(|field| {
            let (helper, member) = (self.helper(field), &field.member);
            match field.way {
                Way::Own => quote!(#helper::save_own(&self.#member, __to);),
                Way::Foreign(_) => quote!(#helper::save(&self.#member, __to);),
                Way::Skipped => TokenStream::new(),
            }
        });
        let finds = own().map(|field| {
            let (helper, member) = (self.helper(field), &field.member);
            quote! {
                if __n < #helper::PARTS {
                    return #helper::part(&mut self.#member, __n);
                }
                let __n = __n - #helper::PARTS;
            }
        });
        quote! {
            const PARTS: u16 = 0 #(#counts)*;
            #[inline]
            fn save_own(&self, __to: &mut ::std::vec::Vec<u8>) {
                #(#saves)*
            }
            fn part(&mut self, __n: u16) -> ::core::option::Option<&mut dyn #private::Part>
            where
                Self: 'static,
            {
                #(#finds)*
                let _ = __n;
                ::core::option::Option::None
            }
        }
    }

    fn schema(&self) -> TokenStream {
        let private = self.paths.private();
        let (name, version) = (self.version.name_of(&self.input.ident), self.version.number());
        match &self.shape {
            Shape::Struct(fields) => {
                let fields = self.field_schemas(fields);
                quote!(#private::Schema::Struct(#name, #version, #fields))
            }
            Shape::Enum(variants) => {
                let variants = variants.iter().map(|variant| {
                    let (name, fields) =
                        (variant.name.to_string(), self.field_schemas(&variant.fields));
                    quote!(#private::Variant { name: #name, fields: #fields })
                });
                quote!(#private::Schema::Enum(#name, #version, &[#(#variants),*]))
            }
        }
    }

    /// The helper's constant with the schema of a field. In a variant a field has no parts that are saved by themselves.
    fn schema_constant(&self) -> Ident {
        let name = match self.shape {
            Shape::Struct(_) => "SCHEMA",
            Shape::Enum(_) => "WHOLE",
        };
        Ident::new(name, Span::call_site())
    }

    fn field_schemas(&self, fields: &[Field]) -> TokenStream {
        let (private, constant) = (self.paths.private(), self.schema_constant());
        let fields = fields.iter().filter_map(|field| {
            let name = field.name();
            let schema = match &field.way {
                Way::Own => {
                    let helper = self.helper(field);
                    quote!(#helper::#constant)
                }
                Way::Foreign(name) => quote!(&#private::Schema::Foreign(#name)),
                Way::Skipped => return None,
            };
            Some(quote!(#private::Field { name: #name, schema: #schema }))
        });
        quote!(&[#(#fields),*])
    }

    /// All fields are, and there is none whose memory we know nothing of.
    fn plain(&self) -> TokenStream {
        let mut plain = quote!(true);
        for field in self.all_fields() {
            match field.way {
                Way::Own => {
                    let helper = self.helper(field);
                    plain.extend(quote!(&& #helper::PLAIN));
                }
                Way::Foreign(_) | Way::Skipped => return quote!(false),
            }
        }
        plain
    }

    fn save(&self) -> TokenStream {
        let save = |field: &Field, value: TokenStream| {
            let helper = self.helper(field);
            match field.way {
                Way::Skipped => TokenStream::new(),
                _ => quote!(#helper::save(#value, __to);),
            }
        };
        match &self.shape {
            Shape::Struct(fields) => {
                let fields = fields.iter().map(|field| {
                    let member = &field.member;
                    save(field, quote!(&self.#member))
                });
                quote!(#(#fields)*)
            }
            Shape::Enum(variants) => {
                let arms = variants.iter().enumerate().map(|(n, variant)| {
                    let (name, tag) = (&variant.name, Literal::u8_suffixed(n as u8));
                    let members = variant.fields.iter().map(|field| &field.member);
                    let values: Vec<Ident> = variant
                        .fields
                        .iter()
                        .map(|field| format_ident!("__f{}", field.index))
                        .collect();
                    let fields = variant
                        .fields
                        .iter()
                        .zip(&values)
                        .map(|(field, value)| save(field, quote!(#value)));
                    quote! {
                        #[allow(unused_variables)]
                        Self::#name { #(#members: #values),* } => {
                            __to.push(#tag);
                            #(#fields)*
                        }
                    }
                });
                quote!(match self { #(#arms)* })
            }
        }
    }

    /// A value, made of its fields: `each` says how one is had from `__from`.
    fn load(&self, each: impl Fn(&Field) -> TokenStream) -> TokenStream {
        let private = self.paths.private();
        let value = |fields: &[Field]| {
            let fields = fields.iter().map(|field| {
                let (member, value) = (&field.member, each(field));
                quote!(#member: #value)
            });
            quote!({ #(#fields),* })
        };
        match &self.shape {
            Shape::Struct(fields) => {
                let fields = value(fields);
                quote!(::core::result::Result::Ok(Self #fields))
            }
            Shape::Enum(variants) => {
                let arms = variants.iter().enumerate().map(|(n, variant)| {
                    let (name, tag, fields) =
                        (&variant.name, Literal::u8_suffixed(n as u8), value(&variant.fields));
                    quote!(#tag => ::core::result::Result::Ok(Self::#name #fields),)
                });
                let unknown = format!("a variant of `{}` is not known", self.input.ident);
                quote! {
                    match <u8 as #private::Saved>::load(__from)? {
                        #(#arms)*
                        _ => ::core::result::Result::Err(#private::LoadError::new(#unknown)),
                    }
                }
            }
        }
    }

    /// The same from what was saved under another shape: a reader for every field, and then a value made by them.
    fn older(&self) -> TokenStream {
        let private = self.paths.private();
        let reader = |field: &Field| format_ident!("__r{}", field.index);
        let saved: Vec<&Field> = self.all_fields();
        let saved: Vec<&Field> =
            saved.into_iter().filter(|field| !matches!(field.way, Way::Skipped)).collect();
        let shapes: Vec<Ident> =
            saved.iter().map(|field| format_ident!("__w{}", field.index)).collect();
        let count = Literal::usize_unsuffixed(saved.len());
        let readers = saved.iter().zip(&shapes).map(|(field, was)| {
            let (reader, helper, name) = (reader(field), self.helper(field), field.name());
            let foreign = match &field.way {
                Way::Foreign(name) => quote!(, #name),
                Way::Own | Way::Skipped => TokenStream::new(),
            };
            quote!(let #reader = #helper::reader(#was, #name #foreign)?;)
        });
        let value = self.load(|field| match field.way {
            Way::Skipped => {
                let helper = self.helper(field);
                quote!(#helper::load(__from)?)
            }
            Way::Own | Way::Foreign(_) => {
                let reader = reader(field);
                quote!(#reader.read(__from)?)
            }
        });
        let read_older = self.version.read_older(self.paths);
        quote! {
            #read_older
            let [#(#shapes),*] = #private::parts_of::<Self, #count>(__was)?;
            #(#readers)*
            ::core::result::Result::Ok(#private::Reader::new(move |__from: &mut &[u8]| { #value }))
        }
    }
}

impl Field {
    /// Its name in the schema.
    fn name(&self) -> String {
        match &self.member {
            Member::Named(name) => syn::ext::IdentExt::unraw(name).to_string(),
            Member::Unnamed(index) => index.index.to_string(),
        }
    }
}
