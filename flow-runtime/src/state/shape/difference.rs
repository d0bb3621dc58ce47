//! What has changed between two shapes, in words.

use std::fmt::Display;

use super::{Shape, Words};

type Fields = [(String, Shape)];

/// The first difference between what was and what is; `path` leads to where they are.
pub(super) fn between(was: &Shape, is: &Shape, path: &str) -> Option<String> {
    if was == is {
        return None;
    }
    Some(inside(was, is, path).unwrap_or_else(|| replaced(was, is, path)))
}

/// The first difference within two shapes of one kind; none if they have to be told apart as wholes.
fn inside(was: &Shape, is: &Shape, path: &str) -> Option<String> {
    match (was, is) {
        (Shape::Option(was), Shape::Option(is))
        | (Shape::List(was), Shape::List(is))
        | (Shape::Serde(was), Shape::Serde(is))
        | (Shape::ListState(was), Shape::ListState(is)) => inside(was, is, path),
        (Shape::Array(was, old), Shape::Array(is, new)) if old == new => inside(was, is, path),
        (Shape::Map(old_key, old), Shape::Map(new_key, new))
        | (Shape::MapState(old_key, old), Shape::MapState(new_key, new)) => {
            inside(old_key, new_key, path).or_else(|| inside(old, new, path))
        }
        (Shape::Tuple(was), Shape::Tuple(is)) if was.len() == is.len() => {
            let mut parts = was.iter().zip(is).enumerate();
            parts.find_map(|(n, (was, is))| between(was, is, &join(path, n)))
        }
        (
            Shape::Struct { name: old_name, version: old, fields: was },
            Shape::Struct { name, version: new, fields: is },
        ) if old_name == name => {
            versions(name, *old, *new, path).or_else(|| fields(name, was, is, path))
        }
        (
            Shape::Enum { name: old_name, version: old, variants: was },
            Shape::Enum { name, version: new, variants: is },
        ) if old_name == name => versions(name, *old, *new, path)
            .or_else(|| names("variant", was, is, path))
            .or_else(|| {
                was.iter().zip(is).find_map(|((variant, was), (_, is))| {
                    fields(variant, was, is, &join(path, variant))
                })
            }),
        _ => None,
    }
}

fn versions(name: &str, was: u32, is: u32, path: &str) -> Option<String> {
    let place = if path.is_empty() { String::new() } else { format!(" in field `{path}`") };
    (was != is).then(|| format!("the version of `{name}`{place} was {was} and is {is}"))
}

fn fields(of: &str, was: &Fields, is: &Fields, path: &str) -> Option<String> {
    let within = |(name, was): &(String, Shape)| {
        let (_, is) = is.iter().find(|(other, _)| other == name)?;
        between(was, is, &join(path, name))
    };
    names("field", was, is, path).or_else(|| was.iter().find_map(within)).or_else(|| {
        // Names may come twice in what was decoded; then the pairs by name hide a difference.
        (was != is).then(|| format!("the fields of `{of}` are others"))
    })
}

/// What is gone, what is new, what has moved, among `what`s with names.
fn names<T>(what: &str, was: &[(String, T)], is: &[(String, T)], path: &str) -> Option<String> {
    let lacks = |there: &[(String, T)], name: &str| there.iter().all(|(other, _)| other != name);
    if let Some((gone, _)) = was.iter().find(|(name, _)| lacks(is, name)) {
        return Some(format!("{what} `{}` is gone", join(path, gone)));
    }
    if let Some((new, _)) = is.iter().find(|(name, _)| lacks(was, name)) {
        return Some(format!("{what} `{}` is new", join(path, new)));
    }
    let (_, (name, _)) = was.iter().zip(is).find(|((was, _), (is, _))| was != is)?;
    Some(format!("{what} `{}` stands at another place", join(path, name)))
}

fn replaced(was: &Shape, is: &Shape, path: &str) -> String {
    let what = if path.is_empty() { "the type".to_owned() } else { format!("field `{path}`") };
    let text = |full| [was, is].map(|shape| Words(shape, full).to_string());
    let [was, is] = Some(text(false)).filter(|[was, is]| was != is).unwrap_or_else(|| text(true));
    format!("{what} was `{was}` and is `{is}`")
}

fn join(path: &str, name: impl Display) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(name: &str) -> Shape {
        Shape::Plain(name.to_owned())
    }

    fn fields(fields: &[(&str, Shape)]) -> Vec<(String, Shape)> {
        fields.iter().map(|(name, shape)| ((*name).to_owned(), shape.clone())).collect()
    }

    fn record(name: &str, version: u32, parts: &[(&str, Shape)]) -> Shape {
        Shape::Struct { name: name.to_owned(), version, fields: fields(parts) }
    }

    fn choice(variants: &[(&str, &[(&str, Shape)])]) -> Shape {
        let variants = variants.iter().map(|(name, parts)| ((*name).to_owned(), fields(parts)));
        Shape::Enum { name: "State".to_owned(), version: 1, variants: variants.collect() }
    }

    fn list(of: Shape) -> Shape {
        Shape::List(Box::new(of))
    }

    fn change(was: Shape, is: Shape) -> String {
        was.differences(&is).expect("they differ")
    }

    #[test]
    fn fields_change() {
        let total = |shape: Shape| record("Cart", 1, &[("total", shape)]);
        let paid = record("Cart", 1, &[("total", plain("u32")), ("paid", plain("bool"))]);
        let moved = record("Cart", 1, &[("paid", plain("bool")), ("total", plain("u32"))]);
        let was = total(plain("u32"));
        assert_eq!(was.differences(&was), None);
        assert_eq!(
            change(was.clone(), total(plain("u64"))),
            "field `total` was `u32` and is `u64`"
        );
        assert_eq!(change(was.clone(), paid.clone()), "field `paid` is new");
        assert_eq!(change(paid.clone(), was.clone()), "field `paid` is gone");
        assert_eq!(change(paid, moved), "field `paid` stands at another place");
        assert_eq!(
            change(was.clone(), record("Basket", 1, &[("total", plain("u32"))])),
            "the type was `Cart` and is `Basket`"
        );
        assert_eq!(
            change(was.clone(), record("Cart", 2, &[])),
            "the version of `Cart` was 1 and is 2"
        );
        assert_eq!(
            change(was, Shape::Foreign("Cart".into())),
            "the type was `Cart v1 { total: u32 }` and is ``Cart``"
        );
    }

    #[test]
    fn changes_are_found_inside() {
        let order = |shape: Shape| {
            let item = record("Item", 1, &[("price", shape)]);
            record("Order", 1, &[("cart", record("Cart", 1, &[("items", list(item))]))])
        };
        let numbers =
            |name| record("Order", 1, &[("rows", Shape::Option(list(plain(name)).into()))]);
        assert_eq!(
            change(order(plain("f32")), order(plain("f64"))),
            "field `cart.items.price` was `f32` and is `f64`"
        );
        assert_eq!(
            change(numbers("u8"), numbers("u16")),
            "field `rows` was `Option<[u8]>` and is `Option<[u16]>`"
        );
        assert_eq!(
            change(
                Shape::Tuple(vec![plain("u8"), plain("u8")]),
                Shape::Tuple(vec![plain("u8"), plain("i8")])
            ),
            "field `1` was `u8` and is `i8`"
        );
        let map = |key, value| Shape::Map(plain(key).into(), record("V", value, &[]).into());
        assert_eq!(change(map("u8", 1), map("u8", 2)), "the version of `V` was 1 and is 2");
        assert_eq!(change(map("u8", 1), map("u16", 1)), "the type was `{u8: V}` and is `{u16: V}`");
    }

    #[test]
    fn maps_and_lists_by_entry_are_others() {
        let boxed = |name| Box::new(plain(name));
        let of = |shape| record("Basket", 1, &[("items", shape)]);
        let map = Shape::Map(boxed("String"), boxed("u32"));
        let by_entry = |value| of(Shape::MapState(boxed("String"), boxed(value)));
        assert_eq!(
            change(of(map), by_entry("u32")),
            "field `items` was `{String: u32}` and is `MapState<String, u32>`"
        );
        assert_eq!(
            change(by_entry("u32"), by_entry("u64")),
            "field `items` was `MapState<String, u32>` and is `MapState<String, u64>`"
        );
        let lists = [list(plain("u8")), Shape::ListState(boxed("u8"))];
        let [was, is] = lists;
        assert_eq!(change(of(was), of(is)), "field `items` was `[u8]` and is `ListState<u8>`");
    }

    #[test]
    fn variants_change() {
        let paid = |name| choice(&[("Open", &[]), ("Paid", &[("by", plain(name))])]);
        let held = |shape| record("Order", 1, &[("state", shape)]);
        let open = choice(&[("Open", &[])]);
        assert_eq!(change(open.clone(), paid("u8")), "variant `Paid` is new");
        assert_eq!(change(held(paid("u8")), held(open)), "variant `state.Paid` is gone");
        assert_eq!(
            change(held(paid("u8")), held(paid("u16"))),
            "field `state.Paid.by` was `u8` and is `u16`"
        );
    }

    #[test]
    fn names_that_come_twice_hide_nothing() {
        let twice = |name| record("A", 1, &[("a", plain("u8")), ("a", plain(name))]);
        assert!(twice("u8").differences(&twice("u16")).is_some());
    }
}
