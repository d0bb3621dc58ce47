//! What states of aggregates are made of.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::state::{LoadError, Reader, Saved, Schema, Shape, State};

/// A state that is empty until something has been added. It is saved as the `Option` in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maybe<T>(pub Option<T>);

impl<T: Saved> Saved for Maybe<T> {
    const SCHEMA: &'static Schema = <Option<T>>::SCHEMA;
    const PLAIN: bool = T::PLAIN;
    fn save(&self, to: &mut Vec<u8>) {
        self.0.save(to);
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        Option::load(from).map(Maybe)
    }
    fn older(was: &Shape) -> Result<Reader<Self>, LoadError>
    where
        Self: 'static,
    {
        let inner = <Option<T>>::older(was)?;
        Ok(Reader::new(move |from| inner.read(from).map(Maybe)))
    }
}
impl<T: Saved + 'static> State for Maybe<T> {}

/// A float with an order, for [`max`](super::max), [`top_k`](super::top_k) and the like, which compare.
///
/// The order is that of [`f64::total_cmp`]: NaNs stand at the ends, and -0.0 before 0.0.
///
/// ```
/// use flow_runtime::aggregate::{Aggregate, Float, map, max};
/// use flow_runtime::time::Timestamp;
///
/// let warmest = map(max(|celsius: &f64| Float(*celsius)), |warmest| warmest.0);
/// let mut state = warmest.begin();
/// for celsius in [20.5, -3.0] {
///     warmest.add(&mut state, celsius, Timestamp::MIN);
/// }
/// assert_eq!(warmest.finish(&state), 20.5);
/// ```
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Float(pub f64);

impl Ord for Float {
    fn cmp(&self, other: &Float) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
impl PartialOrd for Float {
    fn partial_cmp(&self, other: &Float) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Float {
    fn eq(&self, other: &Float) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Float {}

/// Saved as an `f64` is.
impl Saved for Float {
    const SCHEMA: &'static Schema = f64::SCHEMA;
    const PLAIN: bool = true;
    fn save(&self, to: &mut Vec<u8>) {
        self.0.save(to);
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        f64::load(from).map(Float)
    }
}
impl State for Float {}
