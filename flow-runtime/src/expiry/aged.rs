//! State with the time of its key's last item, and how the two are saved.
//!
//! The shape that is saved says by which clock the time is. Where state never expires it is saved as by a step that knows nothing of
//! expiry. So all of these are versions of one another, and are read as such (`state::older`): what changes between two runs is
//! whether there is a time, never whether the state can be read.

use flow_macros::stateful;

use crate::operator::{Form, Held, load_held, save_held};
use crate::state::parts::Part;
use crate::state::{LoadError, Parted, Reader, Saved, Shape};
use crate::time::Timestamp;

/// By which clock state ages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aging {
    Never,
    ByProcessing,
    ByEvent,
}

/// The time of state that was saved without one, or by another clock.
pub(crate) const UNKNOWN: Timestamp = Timestamp::MIN;

/// What a table holds for a key, and when the key's last item came.
#[derive(Debug)]
pub(crate) struct Aged<V> {
    pub(crate) at: Timestamp,
    pub(crate) held: V,
}

impl<V: Held> Parted for Aged<V> {
    const PARTS: u16 = V::PARTS;
    #[inline]
    fn part(&mut self, n: u16) -> Option<&mut dyn Part> {
        self.held.part(n)
    }
}

/// The shape of state that expires by processing time. Only that is used: nothing is moved in order to be saved.
#[stateful]
struct ExpiresByProcessingTime<S: Saved> {
    last_item: Timestamp,
    state: S,
}

/// The shape of state that expires by event time.
#[stateful]
struct ExpiresByEventTime<S: Saved> {
    last_item: Timestamp,
    state: S,
}

/// The shape under which state `S` is saved that ages like this.
pub(crate) fn shape_of<S: Saved>(aging: Aging) -> Shape {
    Shape::from(match aging {
        Aging::Never => S::SCHEMA,
        Aging::ByProcessing => ExpiresByProcessingTime::<S>::SCHEMA,
        Aging::ByEvent => ExpiresByEventTime::<S>::SCHEMA,
    })
}

/// How what was saved under a shape ages, and the shape of the state itself.
fn taken_apart<S: Saved>(was: &Shape) -> (Aging, &Shape) {
    let Shape::Struct { name, version: 1, fields } = was else { return (Aging::Never, was) };
    // The user's own type goes first, whatever it is called.
    if *was == Shape::from(S::SCHEMA) {
        return (Aging::Never, was);
    }
    let [(at, Shape::Plain(time)), (state, shape)] = &fields[..] else {
        return (Aging::Never, was);
    };
    let is_ours =
        (at.as_str(), time.as_str(), state.as_str()) == ("last_item", "Timestamp", "state");
    match name.as_str() {
        "ExpiresByProcessingTime" if is_ours => (Aging::ByProcessing, shape),
        "ExpiresByEventTime" if is_ours => (Aging::ByEvent, shape),
        _ => (Aging::Never, was),
    }
}

/// A reader of state and its time by this clock: [`UNKNOWN`] where none was saved, or one by another clock.
///
/// # Errors
/// Where neither the state's type nor one of its older versions has the shape.
pub(crate) fn with_time_reader<S: Saved + 'static>(
    was: &Shape,
    by: Aging,
) -> Result<Reader<(Timestamp, S)>, LoadError> {
    let (aging, state) = taken_apart::<S>(was);
    let state = Reader::<S>::of(state)?;
    Ok(Reader::new(move |from| {
        let at = if aging == Aging::Never { UNKNOWN } else { Timestamp::load(from)? };
        let at = if aging == by { at } else { UNKNOWN };
        Ok((at, state.read(from)?))
    }))
}

/// A reader of state without its time, for a step whose state does not expire any more.
///
/// # Errors
/// As [`with_time_reader`].
pub(crate) fn state_reader<S: Saved + 'static>(was: &Shape) -> Result<Reader<S>, LoadError> {
    let reader = with_time_reader::<S>(was, Aging::Never)?;
    Ok(Reader::new(move |from| reader.read(from).map(|(_, state)| state)))
}

/// How [`Aged`] is saved and read.
pub(crate) struct AgedForm(pub(crate) Aging);

impl<V: Held> Form<Aged<V>> for AgedForm {
    type State = V::State;
    fn is_gone(aged: &Aged<V>) -> bool {
        aged.held.is_gone()
    }
    fn save(&self, aged: &Aged<V>, to: &mut Vec<u8>) {
        if self.0 != Aging::Never {
            aged.at.save(to);
        }
        save_held(&aged.held, to);
    }
    fn load(&self, mut bytes: &[u8]) -> Result<Aged<V>, LoadError> {
        let at = match self.0 {
            Aging::Never => UNKNOWN,
            _ => Timestamp::load(&mut bytes)?,
        };
        load_held(bytes).map(|held| Aged { at, held })
    }
    fn older(&self, was: &Shape) -> Result<Reader<Aged<V>>, LoadError> {
        let reader = with_time_reader::<V::State>(was, self.0)?;
        Ok(Reader::new(move |from| {
            reader.read(from).map(|(at, state)| Aged { at, held: V::of_state(state) })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[stateful(name = "Cart")]
    #[derive(Default)]
    struct CartV1 {
        orders: u32,
    }

    #[stateful(version = 2, from = CartV1)]
    #[derive(Debug, Default, PartialEq)]
    struct Cart {
        orders: u64,
    }

    impl From<CartV1> for Cart {
        fn from(old: CartV1) -> Self {
            Cart { orders: old.orders.into() }
        }
    }

    const AGINGS: [Aging; 3] = [Aging::Never, Aging::ByProcessing, Aging::ByEvent];

    fn saved<V: Held>(aging: Aging, at: i64, held: V) -> Vec<u8> {
        let mut bytes = Vec::new();
        AgedForm(aging).save(&Aged { at: Timestamp(at), held }, &mut bytes);
        bytes
    }

    #[test]
    fn it_is_saved_as_its_shape_says() {
        for aging in AGINGS {
            let bytes = saved(aging, 7, Cart { orders: 3 });
            let json =
                shape_of::<Cart>(aging).json_of_saved(&bytes).expect("it is one").to_string();
            let expected = match aging {
                Aging::Never => r#"{"orders":3}"#,
                _ => r#"{"last_item":7,"state":{"orders":3}}"#,
            };
            assert_eq!(json, expected);
            let loaded: Aged<Cart> = AgedForm(aging).load(&bytes).expect("it is one");
            let at = if aging == Aging::Never { UNKNOWN } else { Timestamp(7) };
            assert_eq!((loaded.at, loaded.held), (at, Cart { orders: 3 }));
        }
    }

    #[test]
    fn every_way_to_expire_reads_what_every_other_has_saved_also_of_an_older_version() {
        for was in AGINGS {
            for is in AGINGS {
                let (shape, bytes) = (shape_of::<CartV1>(was), saved(was, 7, CartV1 { orders: 3 }));
                let reader = Form::<Aged<Cart>>::older(&AgedForm(is), &shape).expect("it can");
                let loaded = reader.read_all(&bytes).expect("it is one");
                let known = was == is && is != Aging::Never;
                assert_eq!(loaded.at, if known { Timestamp(7) } else { UNKNOWN });
                assert_eq!(loaded.held, Cart { orders: 3 });
                let plain = state_reader::<Cart>(&shape).expect("it can").read_all(&bytes);
                assert_eq!(plain, Ok(Cart { orders: 3 }));
            }
        }
    }

    #[test]
    fn what_is_no_version_of_the_state_is_refused_by_the_difference_inside() {
        let was = shape_of::<u32>(Aging::ByEvent);
        let error = state_reader::<u64>(&was).expect_err("it is another type");
        assert!(error.what().contains("`u32`"), "{error}");
    }
}
