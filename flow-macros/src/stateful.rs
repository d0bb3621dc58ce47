//! `#[stateful]`: how a struct or an enum is saved, loaded and described.
//!
//! Every field is named once, as an associated type with a bound, and only there: a field that cannot be saved is
//! one error, at the field's type.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Fields, GenericParam, Generics, LitInt, LitStr, Member, Type,
    parse_quote,
};

use crate::diag::{Errors, with_help};
use crate::paths::{Argument, Paths, allows, arguments, cfgs};
use crate::text::mentions;

/// The most variants of a `#[stateful]` enum: the number of the variant is saved in one byte.
const VARIANTS_MAX: usize = 256;

/// Expands `#[stateful]`. The item is always emitted, without the attributes that are ours.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut version = 1;
    let paths =
        arguments(args, "#[stateful]", &["version = N"], &mut errors, |argument, errors| {
            own_argument(argument, &mut version, errors)
        });
    let mut input: DeriveInput = match syn::parse2(item.clone()) {
        Ok(input) => input,
        Err(error) => {
            errors.push(syn::Error::new(
                error.span(),
                format!("`#[stateful]` stands on a struct or an enum: {error}"),
            ));
            let errors = errors.into_tokens();
            return quote!(#item #errors);
        }
    };
    let saved = Saved::parse(&input, version, &paths, &mut errors);
    let emitted = match saved {
        Some(saved) if errors.is_empty() => saved.emit(),
        // So that a mistake here is not also one wherever the state is used.
        _ => stand_in(&input, &paths),
    };
    strip(&mut input);
    let errors = errors.into_tokens();
    quote!(#input #emitted #errors)
}

fn own_argument(argument: &Argument, version: &mut u32, errors: &mut Errors) -> bool {
    if argument.name == "version" {
        if let Some(number) = argument.parse_value::<LitInt>("a number", errors) {
            match number.base10_parse() {
                Ok(0) | Err(_) => errors.at(&number, "versions count from 1"),
                Ok(number) => *version = number,
            }
        }
        return true;
    }
    if argument.name == "from" {
        errors.at(
            &argument.name,
            with_help(
                "`from = ..` is not yet supported",
                "drop the old state with `--drop-state STEP`, or keep the old type's layout",
            ),
        );
        return true;
    }
    false
}

/// Takes our attributes off the fields: rustc knows nothing of them.
fn strip(input: &mut DeriveInput) {
    let each = |fields: &mut Fields| {
        for field in fields.iter_mut() {
            field.attrs.retain(|attr| !attr.path().is_ident("state"));
        }
    };
    match &mut input.data {
        Data::Struct(data) => each(&mut data.fields),
        Data::Enum(data) => data.variants.iter_mut().for_each(|variant| each(&mut variant.fields)),
        Data::Union(_) => {}
    }
}

/// How one field is saved.
enum Way {
    /// By its own `Saved`.
    Own,
    /// By serde, under this name.
    Foreign(LitStr),
    /// Not at all.
    Skipped,
}

struct Field {
    /// The number of the field in the whole type.
    index: usize,
    member: Member,
    ty: Type,
    way: Way,
}

struct Variant {
    name: Ident,
    fields: Vec<Field>,
}

enum Shape {
    Struct(Vec<Field>),
    Enum(Vec<Variant>),
}

/// A `#[stateful]` type, understood.
struct Saved<'a> {
    input: &'a DeriveInput,
    paths: &'a Paths,
    version: u32,
    shape: Shape,
}

impl<'a> Saved<'a> {
    fn parse(
        input: &'a DeriveInput,
        version: u32,
        paths: &'a Paths,
        errors: &mut Errors,
    ) -> Option<Self> {
        serde_attributes(&input.attrs, errors);
        let mut index = 0;
        let shape = match &input.data {
            Data::Struct(data) => Shape::Struct(fields(&data.fields, &mut index, errors)),
            Data::Enum(data) => {
                if data.variants.is_empty() {
                    errors.at(&input.ident, "an enum without variants has no values to save");
                }
                if let Some(variant) = data.variants.iter().nth(VARIANTS_MAX) {
                    errors.at(
                        &variant.ident,
                        format!("a `#[stateful]` enum has at most {VARIANTS_MAX} variants"),
                    );
                }
                let mut variants = Vec::new();
                for variant in &data.variants {
                    serde_attributes(&variant.attrs, errors);
                    let fields = fields(&variant.fields, &mut index, errors);
                    variants.push(Variant { name: variant.ident.clone(), fields });
                }
                Shape::Enum(variants)
            }
            Data::Union(data) => {
                errors.at(&data.union_token, "`#[stateful]` stands on a struct or an enum");
                return None;
            }
        };
        for param in input.generics.lifetimes() {
            errors.at(param, with_help("state holds no borrows", "take owned fields"));
        }
        Some(Saved { input, paths, version, shape })
    }
}

fn fields(fields: &Fields, index: &mut usize, errors: &mut Errors) -> Vec<Field> {
    let mut read = Vec::new();
    for (member, field) in fields.members().zip(fields) {
        serde_attributes(&field.attrs, errors);
        let way = way(&field.attrs, errors);
        read.push(Field { index: *index, member, ty: field.ty.clone(), way });
        *index += 1;
    }
    read
}

/// `#[state(..)]` of a field.
fn way(attrs: &[Attribute], errors: &mut Errors) -> Way {
    let mut way = Way::Own;
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("state")) {
        let parsed = attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("skip") {
                way = Way::Skipped;
                Ok(())
            } else if meta.path.is_ident("foreign") {
                let name: LitStr = meta.value()?.parse()?;
                if name.value().trim().is_empty() {
                    return Err(syn::Error::new(
                        name.span(),
                        "name the type and the version of its encoding: `foreign = \"jiff::Timestamp v1\"`",
                    ));
                }
                way = Way::Foreign(name);
                Ok(())
            } else {
                Err(meta.error("`#[state(..)]` has no such argument; it accepts `skip`, `foreign = \"name v1\"`"))
            }
        });
        if let Err(error) = parsed {
            errors.push(error);
        }
    }
    way
}

/// Serde attributes that an encoding without field names cannot hold.
fn serde_attributes(attrs: &[Attribute], errors: &mut Errors) {
    const REFUSED: [&str; 6] =
        ["flatten", "tag", "content", "untagged", "skip_serializing_if", "deserialize_any"];
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
        // Whatever else stands there is serde's to judge.
        let _ = attr.parse_nested_meta(|meta| {
            if let Some(name) = REFUSED.iter().find(|name| meta.path.is_ident(name)) {
                errors.at(
                    &meta.path,
                    with_help(
                        format_args!("`#[serde({name})]` cannot be held by the encoding of the recovery log, which has no field names"),
                        "write the type out without it, and convert where it is read or written as JSON",
                    ),
                );
            }
            if meta.input.peek(syn::Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            } else if meta.input.peek(syn::token::Paren) {
                meta.input.parse::<proc_macro2::Group>()?;
            }
            Ok(())
        });
    }
}

/// Implementations without contents, for a type that has an error.
fn stand_in(input: &DeriveInput, paths: &Paths) -> TokenStream {
    let (private, name, allows) = (paths.private(), &input.ident, allows());
    let (generics, args, clause) = input.generics.split_for_impl();
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

    fn emit(&self) -> TokenStream {
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
        let (schema, plain, save, load) = (self.schema(), self.plain(), self.save(), self.load());
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
                    fn load(__from: &mut &[u8]) -> ::core::result::Result<Self, #private::LoadError> {
                        #load
                    }
                }
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

    fn schema(&self) -> TokenStream {
        let private = self.paths.private();
        let (name, version) = (self.input.ident.to_string(), self.version);
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

    fn field_schemas(&self, fields: &[Field]) -> TokenStream {
        let private = self.paths.private();
        let fields = fields.iter().filter_map(|field| {
            let name = match &field.member {
                Member::Named(name) => syn::ext::IdentExt::unraw(name).to_string(),
                Member::Unnamed(index) => index.index.to_string(),
            };
            let schema = match &field.way {
                Way::Own => {
                    let helper = self.helper(field);
                    quote!(#helper::SCHEMA)
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

    fn load(&self) -> TokenStream {
        let private = self.paths.private();
        let value = |fields: &[Field]| {
            let fields = fields.iter().map(|field| {
                let (member, helper) = (&field.member, self.helper(field));
                quote!(#member: #helper::load(__from)?)
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn expanded(args: &str, item: &str) -> String {
        let tokens = |text| TokenStream::from_str(text).expect("tokens");
        expand(tokens(args), tokens(item)).to_string()
    }

    #[test]
    fn our_attributes_are_taken_off() {
        let text = expanded("", "struct S { #[state(skip)] #[doc = \"x\"] cache: Vec<u8> }");
        assert!(text.starts_with("struct S { # [doc = \"x\"] cache : Vec < u8 > }"), "{text}");
        assert!(!text.contains("compile_error"), "{text}");
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (args, item, said) in [
            ("from = CartV1", "struct S;", "not yet supported"),
            ("version = 0", "struct S;", "versions count from 1"),
            ("wrong", "struct S;", "it accepts `version = N`, `crate = path`"),
            ("", "union U { a: u8 }", "struct or an enum"),
            ("", "fn f() {}", "struct or an enum"),
            ("", "enum E {}", "no values"),
            ("", "struct S<'a> { a: &'a str }", "no borrows"),
            ("", "struct S { #[serde(flatten)] a: A }", "cannot be held"),
            (
                "",
                "struct S { #[serde(default, skip_serializing_if = \"f\")] a: A }",
                "cannot be held",
            ),
            ("", "#[serde(tag = \"t\", content = \"c\")] enum E { A }", "cannot be held"),
            ("", "struct S { #[state(foreign = \"\")] a: A }", "name the type"),
            ("", "struct S { #[state(skipped)] a: A }", "it accepts `skip`"),
        ] {
            assert!(expanded(args, item).contains(said), "{item}: {}", expanded(args, item));
        }
    }

    #[test]
    fn serde_attributes_that_can_be_held_are_serdes_affair() {
        let text = expanded(
            "",
            "#[serde(rename_all = \"x\", bound(serialize = \"T\"))] struct S { #[serde(default)] a: A }",
        );
        assert!(!text.contains("compile_error"), "{text}");
    }
}
