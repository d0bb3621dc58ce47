//! Items as state: they have serde and no `Saved`.

use std::cell::Cell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::describe::StepId;
use crate::error::{Error, ErrorKind};
use crate::state::key_code::Appended;
use crate::state::saved::{load_length, save_length};
use crate::state::{LoadError, OfSerde, Saved, Schema, State};

/// A value that is saved by its serde implementation: an item that a step holds, as it is.
///
/// It is written in postcard's encoding, behind its length. Its shape is the type's, as far as the type's `Deserialize` tells it
/// ([`Shape::of_serde`](crate::state::Shape::of_serde)): so a field that changes is found when a log is read, as in a `#[stateful]` type.
/// There are no versions to migrate from: to have them, hold a `#[stateful]` type.
///
/// ```
/// use flow_runtime::state::{BySerde, Saved};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Sale {
///     cents: u64,
/// }
///
/// assert_eq!(BySerde::<Sale>::SCHEMA.to_string(), "serde(Sale v1 { cents: u64 })");
/// ```
///
/// # Panics
/// [`save`](Saved::save) panics when the value refuses to be serialised. The run then ends with an error that names the step, before
/// anything is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BySerde<T>(pub T);

impl<T: Serialize + DeserializeOwned + 'static> Saved for BySerde<T> {
    const SCHEMA: &'static Schema = &Schema::Serde(OfSerde::of::<T>());

    fn save(&self, to: &mut Vec<u8>) {
        let start = to.len();
        to.push(0);
        if let Err(error) = postcard::serialize_with_flavor(&self.0, Appended(to)) {
            panic!("an item that is held cannot be saved: {error}");
        }
        // Most lengths take the one byte that is there. Where it takes more, they are brought to the front.
        let length = to.len() - start - 1;
        if let Ok(byte @ ..0x80) = u8::try_from(length) {
            to[start] = byte;
        } else {
            let end = to.len();
            save_length(length, to);
            let taken = to.len() - end;
            to[start..].rotate_right(taken);
            to.remove(start + taken);
        }
    }

    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        let length = load_length(from)?;
        let split = from.split_at_checked(length);
        let (bytes, rest) = split.ok_or(LoadError::new("it ends too early"))?;
        *from = rest;
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(BySerde(value)),
            _ => Err(LoadError::new("an item that was held cannot be decoded")),
        }
    }
}
impl<T: Serialize + DeserializeOwned + 'static> State for BySerde<T> {}

/// Sees to it that what is saved can be loaded again. It is the items' type that can or cannot: a few values tell.
#[derive(Debug)]
pub(crate) struct Checked {
    refused: Cell<bool>,
    unchecked: Cell<u8>,
}

impl Checked {
    /// For what is gathered at one barrier.
    pub(crate) fn few() -> Checked {
        Checked { refused: Cell::new(false), unchecked: Cell::new(4) }
    }

    /// A value has been saved as these bytes, or could not be.
    pub(crate) fn saved<T, E>(
        &self,
        saved: Result<(), E>,
        bytes: &[u8],
        load: impl FnOnce(&[u8]) -> Result<T, LoadError>,
    ) {
        let mut failed = saved.is_err();
        if let Some(rest) = self.unchecked.get().checked_sub(1) {
            self.unchecked.set(rest);
            failed |= load(bytes).is_err();
        }
        self.refused.set(self.refused.get() | failed);
    }

    /// Why the step cannot go on, if a value was refused.
    pub(crate) fn failure(&self, step: &StepId) -> Option<Error> {
        self.refused.get().then(|| unsavable().at_step(step))
    }
}

#[cold]
fn unsavable() -> Error {
    let message = "an item cannot be saved and loaded again, so it cannot be held back";
    Error::new(ErrorKind::Encoding, message).help("serde attributes such as `untagged` and `flatten`, and types such as `serde_json::Value`, need a format that describes itself, which the log's is not")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::state::{Reader, Shape};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Sale {
        id: u32,
        lines: Vec<Option<String>>,
    }

    proptest! {
        #[test]
        fn items_come_back_and_nothing_else_does(id: u32, lines: Vec<Option<String>>, before: Vec<u8>) {
            let sale = BySerde(Sale { id, lines });
            let mut bytes = before.clone();
            sale.save(&mut bytes);
            prop_assert_eq!(&bytes[..before.len()], &before);
            let mut bytes = bytes.split_off(before.len());
            prop_assert_eq!(BySerde::load_all(&bytes), Ok(sale));
            for short in (0..bytes.len()).step_by(1 + bytes.len() / 40) {
                prop_assert!(BySerde::<Sale>::load_all(&bytes[..short]).is_err());
            }
            bytes.push(0);
            prop_assert!(BySerde::<Sale>::load_all(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_refused_or_read_without_a_panic(bytes: Vec<u8>) {
            let _ = BySerde::<Sale>::load_all(&bytes);
            let _ = Shape::from(BySerde::<Sale>::SCHEMA).json_of_saved(&bytes);
        }
    }

    #[test]
    fn lengths_around_those_that_take_more_bytes_are_right() {
        for length in [0, 1, 126, 127, 128, 129, 16_382, 16_383, 16_384, 16_390] {
            let text = BySerde("x".repeat(length));
            let mut bytes = vec![7];
            text.save(&mut bytes);
            assert_eq!(BySerde::load_all(&bytes[1..]), Ok(text));
        }
    }

    #[test]
    fn the_shape_is_the_types_and_tells_what_has_changed() {
        mod then {
            #[derive(serde::Serialize, serde::Deserialize)]
            pub(super) struct Sale {
                id: u64,
                lines: Vec<Option<String>>,
            }
        }
        type Now = Vec<(u8, BySerde<Sale>)>;
        type Then = Vec<(u8, BySerde<then::Sale>)>;
        let (now, then) = (Shape::from(Now::SCHEMA), Shape::from(Then::SCHEMA));
        assert_eq!(now.to_string(), "[(u8, serde(Sale v1 { id: u32, lines: [Option<String>] }))]");
        let says = Reader::<Now>::of(&then).expect_err("it has changed");
        assert!(says.what().contains("field `id` was `u64` and is `u32`"), "{says}");
        assert!(Reader::<Now>::of(&now).is_ok());
        // What serde writes is not what is saved of the type itself.
        let of = |schema| Shape::from(schema);
        let difference = of(u64::SCHEMA).differences(&of(BySerde::<u64>::SCHEMA));
        assert_eq!(difference.as_deref(), Some("the type was `u64` and is `serde(u64)`"));
    }

    #[test]
    fn a_log_can_be_looked_into_without_the_type() {
        let sale = Sale { id: 300, lines: vec![None, Some("x".into())] };
        let mut bytes = Vec::new();
        (7_u64, BySerde(sale)).save(&mut bytes);
        let shape = Shape::from(<(u64, BySerde<Sale>)>::SCHEMA);
        let json = shape.json_of_saved(&bytes).expect("it is one");
        assert_eq!(json.to_string(), r#"[7,{"id":300,"lines":[null,"x"]}]"#);
    }

    #[test]
    fn a_type_that_nests_deeper_than_can_be_decoded_goes_on_in_words() {
        type Deep<T> = Option<Vec<Option<Vec<Option<Vec<Option<Vec<T>>>>>>>>;
        let mut schema = *BySerde::<Deep<Deep<u8>>>::SCHEMA;
        for _ in 0..120 {
            schema = Schema::Option(Box::leak(Box::new(schema)));
        }
        let shape = Shape::from(&schema);
        assert_eq!(Shape::decode(&shape.encode()), Ok(shape.clone()));
        assert!(shape.to_string().contains("`serde(Option<"), "{shape}");
    }
}
