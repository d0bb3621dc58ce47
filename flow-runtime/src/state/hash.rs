//! The hash of a key: pinned, seeded, fed by the key's serde implementation.
//!
//! The hash decides which worker owns a key and under which key group it is saved, so it may never change for a
//! log that exists. It is computed once, where the key is, and travels with the item.
//!
//! Which bits serve what (the table must be free to use its own):
//!
//! | bits | for |
//! |---|---|
//! | 40..56 | the key group: the top bits of these 16 |
//! | 0..24 | the place in the table, among the keys of the group |
//! | 24..40, 56..64 | nothing yet |

use serde::ser::{self, Serialize};
use std::fmt;

/// The largest number of key groups, and the number used where nothing is saved.
pub const GROUPS: u32 = 1 << 15;

/// The key group of a hash, among `groups` (a power of two up to [`GROUPS`]).
#[inline]
pub fn group_of(hash: u64, groups: u32) -> u32 {
    debug_assert!(groups.is_power_of_two() && groups <= GROUPS);
    ((hash >> 40) as u32 & 0xffff) >> (16 - groups.trailing_zeros())
}

/// The worker that owns a key group: every worker owns a contiguous range.
#[inline]
pub fn worker_of(group: u32, groups: u32, workers: usize) -> usize {
    (group as usize * workers) >> groups.trailing_zeros()
}

/// Hashes keys.
#[derive(Clone, Copy, Debug)]
pub struct KeyHasher {
    seed: u64,
}

const ODD_1: u64 = 0x9e37_79b9_7f4a_7c15;
const ODD_2: u64 = 0xd6e8_feb8_6659_fd93;

/// The high and the low half of the product, folded: every input bit reaches every output bit.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

impl KeyHasher {
    /// A hasher with this seed.
    pub fn new(seed: u64) -> Self {
        KeyHasher { seed: fold(seed ^ ODD_1, ODD_2) }
    }

    /// The hash of a key's serialised form.
    #[inline(always)]
    pub fn hash<K: Serialize + ?Sized>(&self, key: &K) -> u64 {
        let mut state = Hashing { state: self.seed };
        // Serializing into a hash cannot fail by itself; an implementation that refuses its value hashes what
        // it gave up to then, and is refused where the key is stored.
        let _ = key.serialize(&mut state);
        fold(state.state ^ ODD_1, ODD_2)
    }
}

struct Hashing {
    state: u64,
}

/// Less than eight bytes as a little-endian number: read from both ends, which overlap, instead of being copied one by one.
#[inline(always)]
fn padded(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(low), Some(high)) => {
            let (low, high) = (u32::from_le_bytes(*low), u32::from_le_bytes(*high));
            u64::from(low) | u64::from(high) << (8 * (length - 4))
        }
        _ => match bytes {
            [] => 0,
            [first, .., last] => {
                let middle = bytes[length / 2];
                u64::from(*first)
                    | u64::from(middle) << (8 * (length / 2))
                    | u64::from(*last) << (8 * (length - 1))
            }
            [only] => u64::from(*only),
        },
    }
}

impl Hashing {
    #[inline(always)]
    fn word(&mut self, word: u64) {
        self.state = fold(self.state ^ word, ODD_1).wrapping_add(ODD_2);
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        // The tail and the length: `ab` + `c` differs from `a` + `bc`.
        self.word(padded(rest));
        self.word(bytes.len() as u64);
    }
}

/// A key whose serde implementation refused to serialize it.
#[derive(Debug)]
pub struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key cannot be serialized")
    }
}
impl std::error::Error for Refused {}
impl ser::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Refused
    }
}

macro_rules! words {
    ($($name:ident($number:ty);)*) => {$(
        #[inline(always)]
        fn $name(self, v: $number) -> Result<(), Refused> {
            self.word(v as u64);
            Ok(())
        }
    )*};
}

impl ser::Serializer for &mut Hashing {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    words! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_char(char);
    }
    fn serialize_i128(self, v: i128) -> Result<(), Refused> {
        self.serialize_u128(v as u128)
    }
    fn serialize_u128(self, v: u128) -> Result<(), Refused> {
        self.word(v as u64);
        self.word((v >> 64) as u64);
        Ok(())
    }
    fn serialize_f32(self, v: f32) -> Result<(), Refused> {
        self.word(u64::from(v.to_bits()));
        Ok(())
    }
    fn serialize_f64(self, v: f64) -> Result<(), Refused> {
        self.word(v.to_bits());
        Ok(())
    }
    #[inline(always)]
    fn serialize_str(self, v: &str) -> Result<(), Refused> {
        self.bytes(v.as_bytes());
        Ok(())
    }
    fn serialize_bytes(self, v: &[u8]) -> Result<(), Refused> {
        self.bytes(v);
        Ok(())
    }
    fn serialize_none(self) -> Result<(), Refused> {
        self.word(0);
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Refused> {
        self.word(1);
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), Refused> {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Refused> {
        Ok(())
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
    ) -> Result<(), Refused> {
        self.word(u64::from(index));
        Ok(())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        self.word(u64::from(index));
        value.serialize(self)
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<Self, Refused> {
        self.word(length.ok_or(Refused)? as u64);
        Ok(self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Refused> {
        self.word(u64::from(index));
        Ok(self)
    }
    fn serialize_map(self, length: Option<usize>) -> Result<Self, Refused> {
        self.serialize_seq(length)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Refused> {
        self.word(u64::from(index));
        Ok(self)
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! parts {
    ($($part:ident :: $method:ident;)*) => {$(
        impl ser::$part for &mut Hashing {
            type Ok = ();
            type Error = Refused;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
                value.serialize(&mut **self)
            }
            fn end(self) -> Result<(), Refused> {
                Ok(())
            }
        }
    )*};
}
parts! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! named_parts {
    ($($part:ident)*) => {$(
        impl ser::$part for &mut Hashing {
            type Ok = ();
            type Error = Refused;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), Refused> {
                value.serialize(&mut **self)
            }
            fn end(self) -> Result<(), Refused> {
                Ok(())
            }
        }
    )*};
}
named_parts!(SerializeStruct SerializeStructVariant);

impl ser::SerializeMap for &mut Hashing {
    type Ok = ();
    type Error = Refused;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        key.serialize(&mut **self)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        value.serialize(&mut **self)
    }
    fn end(self) -> Result<(), Refused> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_pinned() {
        let hasher = KeyHasher::new(0);
        let hashes = [
            hasher.hash(&0_u64),
            hasher.hash(&1_u64),
            hasher.hash("flow"),
            hasher.hash("a longer key than eight bytes"),
            hasher.hash(&("AAPL", 7_u32, Some(-1_i16))),
        ];
        let pinned = [
            0xbc5f_1c84_366a_d9bc,
            0xe8e9_6c3d_1370_59c5,
            0x9ef4_5a47_b80c_ab1f,
            0x4a45_7fad_c84a_8ee3,
            0x6273_eea7_0b71_8159,
        ];
        assert_eq!(hashes, pinned, "a changed hash moves every key of every log: {hashes:#x?}");
    }

    #[test]
    fn a_tail_is_padded_with_zeros() {
        let bytes = [0xf1, 0x82, 0x93, 0xa4, 0xb5, 0xc6, 0xd7];
        for length in 0..bytes.len() {
            let mut whole = [0; 8];
            whole[..length].copy_from_slice(&bytes[..length]);
            assert_eq!(padded(&bytes[..length]), u64::from_le_bytes(whole), "{length} bytes");
        }
    }

    #[test]
    fn borrowed_keys_hash_like_owned_ones() {
        let hasher = KeyHasher::new(7);
        assert_eq!(hasher.hash("word"), hasher.hash(&String::from("word")));
        assert_eq!(hasher.hash(&[1_u8, 2][..]), hasher.hash(&vec![1_u8, 2]));
        assert_ne!(hasher.hash(&("ab", "c")), hasher.hash(&("a", "bc")));
        assert_ne!(hasher.hash("word"), KeyHasher::new(8).hash("word"));
    }

    #[test]
    fn keys_spread_evenly_over_groups_workers_and_table_bits() {
        let hasher = KeyHasher::new(42);
        let mut by_group = vec![0_u32; 256];
        let mut by_worker = [0_u32; 3];
        let mut by_bucket = vec![0_u32; 256];
        for n in 0..256_000_u64 {
            let hash = hasher.hash(&(n * 8));
            let group = group_of(hash, 256);
            by_group[group as usize] += 1;
            by_worker[worker_of(group, 256, 3)] += 1;
            by_bucket[(hash & 255) as usize] += 1;
        }
        assert!(by_group.iter().all(|n| (800..1200).contains(n)), "{by_group:?}");
        assert!(by_bucket.iter().all(|n| (800..1200).contains(n)), "{by_bucket:?}");
        assert!(by_worker.iter().all(|n| (80_000..91_000).contains(n)), "{by_worker:?}");
    }

    #[test]
    fn every_group_has_one_worker_in_a_contiguous_range() {
        for workers in [1, 2, 3, 5, 8, 255, 256] {
            let owners: Vec<_> = (0..256).map(|group| worker_of(group, 256, workers)).collect();
            assert!(owners.is_sorted());
            assert_eq!((owners[0], owners[255]), (0, workers - 1));
        }
    }
}
