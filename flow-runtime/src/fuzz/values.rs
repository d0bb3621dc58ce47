//! What steps keep: keys and state, and the shapes that say what these are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::CompactString;
use crate::prelude::*;
use crate::state::key_code::{load_key, save_key};
use crate::state::{Saved, Shape};
use crate::time::{Epoch, Timestamp};

/// A shape.
pub fn shape(bytes: &[u8]) {
    let Ok(shape) = Shape::decode(bytes) else { return };
    let again = Shape::decode(&shape.encode());
    assert_eq!(again.as_ref(), Ok(&shape));
    assert_eq!(again.map(|again| again.digest()), Ok(shape.digest()));
    assert_eq!(shape.differences(&shape), None);
    let other = Shape::of_serde::<Place>();
    assert_eq!(shape.differences(&other).is_none(), shape == other);
    assert!(format!("{shape:?}").len() < 1000 * (bytes.len() + 1));
    assert!(shape.to_string().len() < 1000 * (bytes.len() + 1));
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Place {
    row: u16,
    shelf: String,
    side: Option<Side>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Side {
    Left,
    Right(i8),
    Both { of: Vec<u32> },
}

/// Keys of several types.
pub fn keys(bytes: &[u8]) {
    key::<u64>(bytes);
    key::<i128>(bytes);
    key::<bool>(bytes);
    key::<char>(bytes);
    key::<String>(bytes);
    key::<CompactString>(bytes);
    key::<(u32, String)>(bytes);
    key::<Option<Vec<u8>>>(bytes);
    key::<Place>(bytes);
}

fn key<K: Key + Debug>(bytes: &[u8]) {
    let Ok(key) = load_key::<K>(bytes) else { return };
    let mut again = Vec::new();
    save_key(&key, &mut again).expect("keys of these types can be saved");
    assert_eq!(load_key::<K>(&again).as_ref(), Ok(&key));
}

/// A state with everything in it.
#[stateful(version = 3)]
struct All {
    numbers: (u8, i64, f64, u128),
    flag: bool,
    letter: char,
    text: Option<String>,
    lists: Vec<Vec<u16>>,
    fixed: [i32; 3],
    map: BTreeMap<String, BTreeSet<i8>>,
    kind: Mood,
    times: (Duration, Timestamp, Epoch),
    boxed: Box<Option<()>>,
    #[state(foreign = "Place v1")]
    place: Option<Place>,
}

#[stateful]
enum Mood {
    Calm,
    Loud(u8),
    Mixed { of: Vec<bool> },
}

/// States of several types.
pub fn states(bytes: &[u8]) {
    state::<All>(bytes);
    state::<Mood>(bytes);
    state::<Vec<String>>(bytes);
    state::<BTreeMap<u64, Option<Duration>>>(bytes);
}

fn state<V: Saved>(bytes: &[u8]) {
    let Ok(value) = V::load_all(bytes) else { return };
    // Bytes are compared, since not every float is equal to itself. A map may have had a key twice, so the first bytes may be others.
    let (mut first, mut second) = (Vec::new(), Vec::new());
    value.save(&mut first);
    let again = V::load_all(&first);
    again.expect("what was saved can be loaded").save(&mut second);
    assert_eq!(first, second);
}
