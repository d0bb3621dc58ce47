//! Entries of maps and lists that are saved one by one.

use std::collections::BTreeMap;

use crate::prelude::*;
use crate::state::parts::whole::{PartEntry, put_together};
use crate::state::{Saved, Shape};

#[stateful]
#[derive(Debug, Default, PartialEq)]
struct Basket {
    owner: u16,
    items: MapState<String, u32>,
    inner: Inner,
    history: ListState<Option<u8>>,
}

#[stateful]
#[derive(Debug, Default, PartialEq)]
struct Inner {
    numbers: MapState<u16, Vec<bool>>,
}

/// Entries, each behind four bytes: its slot, whether it is gone, the lengths of its sub-key and of its value.
pub fn parts(mut bytes: &[u8]) {
    let mut basket = Basket::default();
    let mut own = Vec::new();
    basket.save_own(&mut own);
    let (mut entries, mut taken) = (BTreeMap::new(), true);
    while let Some(([slot, gone, sub, value], rest)) = bytes.split_first_chunk() {
        let slot = u16::from(slot % 6);
        let (sub, rest) = rest.split_at(rest.len().min((*sub).into()));
        let (value, rest) = rest.split_at(rest.len().min((*value).into()));
        bytes = rest;
        let value = Some(value).filter(|_| gone % 4 > 0);
        match value {
            Some(value) => drop(entries.insert((slot, sub), value)),
            None => drop(entries.remove(&(slot, sub))),
        }
        let part = slot.checked_sub(1).and_then(|slot| basket.part(slot));
        taken &= part.is_some_and(|part| part.restore(sub, value).is_ok());
    }
    for n in 0..Basket::PARTS {
        taken &= basket.part(n).is_some_and(|part| part.restored().is_ok());
    }
    let entries = entries.iter().map(|((slot, sub), value)| PartEntry { slot: *slot, sub, value });
    let whole = put_together(&Shape::from(Basket::SCHEMA), &own, &entries.collect::<Vec<_>>());
    let whole = whole.and_then(|whole| Basket::load_all(&whole));
    if taken {
        assert_eq!(whole.as_ref(), Ok(&basket));
    }
    if let Ok(basket) = whole {
        let mut again = Vec::new();
        basket.save(&mut again);
        assert_eq!(Basket::load_all(&again), Ok(basket));
    }
}
