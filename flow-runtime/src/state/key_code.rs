//! How keys are encoded in the recovery log.
//!
//! Numbers take their full width and strings their own bytes: these are most keys, and postcard's varints cost ten times as
//! much. All other keys are encoded by postcard. Which form it is follows from the key's type alone.

use std::any::Any;

use compact_str::CompactString;
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::state::{LoadError, Saved};

/// The forms, as the log names them.
const POSTCARD: u8 = 0;
pub(crate) const NUMBER: u8 = 1;
pub(crate) const TEXT: u8 = 2;

macro_rules! numbers {
    ($with:ident) => {
        $with!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128)
    };
}

/// The form in which keys of this type are encoded.
pub(crate) fn form_of<K: 'static>() -> u8 {
    let key = std::any::TypeId::of::<K>();
    macro_rules! is_number {
        ($($number:ty)*) => { false $(|| key == std::any::TypeId::of::<$number>())* };
    }
    let is_text =
        key == std::any::TypeId::of::<String>() || key == std::any::TypeId::of::<CompactString>();
    if is_text {
        TEXT
    } else if numbers!(is_number) {
        NUMBER
    } else {
        POSTCARD
    }
}

/// Appends a key.
///
/// # Errors
/// When the key's serde implementation refuses it.
#[inline]
pub(crate) fn save_key<K: Serialize + 'static>(key: &K, to: &mut Vec<u8>) -> Result<(), LoadError> {
    // Which of these it is is known when the program is compiled.
    let any = key as &dyn Any;
    macro_rules! save_number {
        ($($number:ty)*) => {$(
            if let Some(number) = any.downcast_ref::<$number>() {
                number.save(to);
                return Ok(());
            }
        )*};
    }
    numbers!(save_number);
    if let Some(text) = any.downcast_ref::<String>() {
        to.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    if let Some(text) = any.downcast_ref::<CompactString>() {
        to.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    postcard::serialize_with_flavor(key, Appended(to))
        .map_err(|_| LoadError::new("the key refuses to be serialised"))
}

/// Lets postcard write where the key belongs.
pub(crate) struct Appended<'a>(pub(crate) &'a mut Vec<u8>);

impl Flavor for Appended<'_> {
    type Output = ();
    #[inline(always)]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }
    #[inline(always)]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Checks that a key which was saved as `bytes` can be loaded, and is then the same. Not so where its serde attributes ask for a format that
/// describes itself, as `untagged` and `flatten` do, or leave out what makes it another key.
///
/// # Errors
/// When it is not so.
pub(crate) fn check_key<K: Eq + DeserializeOwned + 'static>(
    key: &K,
    bytes: &[u8],
) -> Result<(), LoadError> {
    match load_key::<K>(bytes) {
        Ok(loaded) if loaded == *key => Ok(()),
        _ => Err(LoadError::new(
            "a key does not come back as it was saved: the serde attributes `untagged`, `flatten`, `skip` and the like cannot be used in keys",
        )),
    }
}

/// Reads a key that fills `bytes`.
///
/// # Errors
/// When the bytes are no such key.
#[inline]
pub(crate) fn load_key<K: DeserializeOwned + 'static>(bytes: &[u8]) -> Result<K, LoadError> {
    let mut key = None::<K>;
    let any = &mut key as &mut dyn Any;
    macro_rules! load_number {
        ($($number:ty)*) => {$(
            if let Some(key) = any.downcast_mut::<Option<$number>>() {
                *key = Some(<$number>::load_all(bytes)?);
            }
        )*};
    }
    numbers!(load_number);
    if let Some(key) = any.downcast_mut::<Option<String>>() {
        let text = std::str::from_utf8(bytes).map_err(|_| LoadError::new("a key is not UTF-8"))?;
        *key = Some(text.to_owned());
    }
    if let Some(key) = any.downcast_mut::<Option<CompactString>>() {
        let text = std::str::from_utf8(bytes).map_err(|_| LoadError::new("a key is not UTF-8"))?;
        *key = Some(text.into());
    }
    match key {
        Some(key) => Ok(key),
        None => match postcard::take_from_bytes(bytes) {
            Ok((key, [])) => Ok(key),
            _ => Err(LoadError::new("a key cannot be decoded")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    fn round<K: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(
        key: K,
        form: u8,
        encoded: &[u8],
    ) {
        let mut bytes = Vec::new();
        save_key(&key, &mut bytes).expect("saves");
        assert_eq!((form_of::<K>(), bytes.as_slice()), (form, encoded));
        assert_eq!(load_key::<K>(&bytes), Ok(key));
        if form != TEXT {
            bytes.push(b'!');
            assert!(load_key::<K>(&bytes).is_err(), "a byte too many was accepted");
        }
    }

    #[test]
    fn short_text_takes_the_place_of_a_string_in_a_log() {
        use crate::state::Shape;
        assert_eq!(Shape::of_serde::<CompactString>(), Shape::of_serde::<String>());
        assert_eq!(CompactString::SCHEMA, String::SCHEMA);
        let (mut compact, mut owned) = (Vec::new(), Vec::new());
        CompactString::from("a longer text than would fit inline").save(&mut compact);
        "a longer text than would fit inline".to_owned().save(&mut owned);
        assert_eq!(compact, owned);
        let loaded = CompactString::load_all(&owned);
        assert_eq!(loaded.as_deref(), Ok("a longer text than would fit inline"));
    }

    #[test]
    fn a_key_that_does_not_come_back_is_refused() {
        #[derive(PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(untagged)]
        enum Untagged {
            Number(u64),
        }
        #[derive(PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        struct Skips {
            #[serde(skip)]
            left_out: u8,
        }
        fn check<K: Eq + Serialize + DeserializeOwned + 'static>(key: K) -> bool {
            let mut bytes = Vec::new();
            save_key(&key, &mut bytes).expect("saves");
            check_key(&key, &bytes).is_ok()
        }
        assert!(check((7_u8, "x".to_owned())) && check(7_u64));
        assert!(!check(Untagged::Number(7)));
        assert!(check(Skips { left_out: 0 }) && !check(Skips { left_out: 7 }));
    }

    #[test]
    fn keys_have_pinned_encodings() {
        round(258_u64, NUMBER, &[2, 1, 0, 0, 0, 0, 0, 0]);
        round(-2_i16, NUMBER, &[0xfe, 0xff]);
        round("añ".to_owned(), TEXT, "añ".as_bytes());
        round(CompactString::from("añ"), TEXT, "añ".as_bytes());
        round((300_u32, "x".to_owned()), POSTCARD, &[0xac, 2, 1, b'x']);
        round('x', POSTCARD, &[1, b'x']);
        round((), POSTCARD, &[]);
        assert!(load_key::<String>(&[0xff]).is_err());
        assert!(load_key::<u32>(&[1, 2, 3]).is_err());
    }
}
