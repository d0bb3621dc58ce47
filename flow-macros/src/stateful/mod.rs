//! `#[stateful]`: how a struct or an enum is saved, loaded and described.
//!
//! Every field is named once, as an associated type with a bound, and only there: a field that cannot be saved is
//! one error, at the field's type.

mod emit;
mod version;

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Fields, LitStr, Member, Type};

use self::emit::stand_in;
use self::version::{ACCEPTED, Version};
use crate::diag::{Errors, with_help};
use crate::paths::{Paths, arguments};

/// The most variants of a `#[stateful]` enum: the number of the variant is saved in one byte.
const VARIANTS_MAX: usize = 256;

/// Expands `#[stateful]`. The item is always emitted, without the attributes that are ours.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut version = Version::default();
    let paths = arguments(args, "#[stateful]", &ACCEPTED, &mut errors, |argument, errors| {
        version.take(argument, errors)
    });
    version.check(&mut errors);
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
    version: Version,
    shape: Shape,
}

impl<'a> Saved<'a> {
    fn parse(
        input: &'a DeriveInput,
        version: Version,
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
            ("from = CartV1", "struct S;", "needs the version that this type is"),
            ("version = 1, from = CartV1", "struct S;", "version 1 is the first"),
            ("version = 2, from", "struct S;", "needs a value: the older version's type"),
            ("version = 2, from = A, try_from = B", "struct S;", "one older version"),
            ("version = 0", "struct S;", "versions count from 1"),
            ("name = \"a::Cart\"", "struct S;", "not the name of a type"),
            (
                "wrong",
                "struct S;",
                "it accepts `version = N`, `from = OldType`, `try_from = OldType`, ",
            ),
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
