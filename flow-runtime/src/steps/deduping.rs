//! `dedupe`: the first item of each key.

use std::fmt;
use std::marker::PhantomData;

use crate::bounds::Key;
use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::expiry::{Aging, Expiry, Ttl, UNKNOWN, shape_of};
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::operator::{Form, keep_as};
use crate::plan::Plan1;
use crate::recovery::manifest::StepSpec;
use crate::state::{InItem, Lent, LoadError, Lookup, Reader, Saved, Shape, Table};
use crate::steps::by_function::IsKeyed;
use crate::stream::{Keyed, Token};
use crate::time::Timestamp;

/// `dedupe(keyed, ttl)`: lets the first item of each key pass and drops the others, until the key's time to live is over.
/// That time runs from the item that passed, whatever was dropped since.
///
/// With [`Ttl::event_time`] an item passes if its time, or the watermark, is so much later than the time of the item that passed
/// before. One that is earlier is dropped, unless the watermark is that far.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn once(orders: Vec<u64>, out: Collect<u64>) {
///     let all = source(from_iter(orders));
///     let by_id = key_by(all, |id| *id);
///     let first = dedupe(by_id, Ttl::never());
///     let ids = values(first);
///     sink(ids, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, found) = collect();
/// once(vec![3, 1, 3, 3], out).workers(2).spawn()?.wait()?;
/// assert_eq!(found.sorted(), [1, 3]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum dedupe {}

impl dedupe {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Dedupe);
    #[doc(hidden)]
    pub fn __check<U: IsKeyed>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token>(
        _: U,
        ttl: Ttl,
    ) -> (Keyed<U::Key, U::Item>, DedupePlan<U::Key, U::Item>) {
        (Token::token(), DedupePlan { ttl, types: PhantomData })
    }
}

/// The plan of [`dedupe`].
pub struct DedupePlan<K, T> {
    ttl: Ttl,
    types: PhantomData<fn(K, T)>,
}

impl<K, T> fmt::Debug for DedupePlan<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DedupePlan")
    }
}

impl<H: Host, K: Key, T: 'static, D: Consumer<Keyed<K, T>>> Plan1<H, Keyed<K, T>, (D,)>
    for DedupePlan<K, T>
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (impl Consumer<Keyed<K, T>> + use<H, K, T, D>,) {
        (Dedupe { id, expiry: Expiry::new(self.ttl), seen: Table::new(), down },)
    }
}

struct Dedupe<K, D> {
    id: StepId,
    expiry: Expiry,
    /// When the last item of the key passed.
    seen: Table<K, Timestamp>,
    down: D,
}

impl<K: Key, D> Dedupe<K, D> {
    #[inline(always)]
    fn passes(&mut self, at: Place, key: &impl Lookup<K>) -> bool {
        let note = Note::of(&self.id);
        let time = self.expiry.time_of(at.time);
        // What is dropped changes nothing, so it must not be saved again.
        let is_over = |seen: &Timestamp| self.expiry.is_over(*seen, time);
        let passes = self.seen.find(at.hash, key).is_none_or(is_over);
        if passes {
            *self.seen.find_or_insert(at.hash, key, || time).state = time;
            note.emits();
        }
        note.clear();
        passes
    }
}

/// The time at which a key's item passed, and nothing else. Of what does not expire by event time it is saved as the bare time that it is.
struct Passed(Aging);

impl Passed {
    fn shape(&self) -> Shape {
        match self.0 {
            Aging::Never | Aging::ByProcessing => Shape::from(Timestamp::SCHEMA),
            Aging::ByEvent => shape_of::<()>(Aging::ByEvent),
        }
    }

    fn spec<K: Key>(self) -> StepSpec {
        StepSpec::keyed::<K>("dedupe", self.shape())
            .reads(|was| Passed(Aging::Never).older(was).map(drop))
    }
}

impl Form<Timestamp> for Passed {
    type State = ();
    fn is_gone(_: &Timestamp) -> bool {
        false
    }
    fn save(&self, at: &Timestamp, to: &mut Vec<u8>) {
        at.save(to);
    }
    fn load(&self, bytes: &[u8]) -> Result<Timestamp, LoadError> {
        Timestamp::load_all(bytes)
    }
    fn older(&self, was: &Shape) -> Result<Reader<Timestamp>, LoadError> {
        if [Passed(Aging::Never), Passed(Aging::ByEvent)].iter().all(|known| known.shape() != *was)
        {
            return Reader::of(was);
        }
        let known = *was == self.shape();
        Ok(Reader::new(move |from| {
            let at = Timestamp::load(from)?;
            Ok(if known { at } else { UNKNOWN })
        }))
    }
}

impl<K: Key, T: 'static, D: Consumer<Keyed<K, T>>> Consumer<Keyed<K, T>> for Dedupe<K, D> {
    #[inline(always)]
    fn push(&mut self, head: Head<'_, K>, item: T) {
        if self.passes(Place { hash: head.hash, time: head.time }, &Lent(head.key)) {
            self.down.push(head, item);
        }
    }
    #[inline(always)]
    fn push_key_in_item<X: KeyInItem<Keyed<K, T>>>(&mut self, at: Place, item: T, extract: &X) {
        if self.passes(at, &InItem::<Keyed<K, T>, X>(&item, extract)) {
            self.down.push_key_in_item(at, item, extract);
        }
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let note = Note::beside(&self.id);
        self.seen.expect(hashes.clone());
        note.clear();
        self.down.expect(hashes);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        let Dedupe { id, expiry, seen, .. } = self;
        expiry.hear(id, control);
        if let Signal::Barrier(_) = control.signal() {
            expiry.sweep(id, seen, |at| at, control);
        }
        keep_as(id, seen, &Passed(expiry.aging()), control);
        self.down.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, Kind::Dedupe.name()).takes::<Keyed<K, T>>().emits::<T>();
        to.step(info.keeps(Timestamp::SCHEMA).saves(match self.expiry.aging() {
            Aging::ByEvent => || Passed(Aging::ByEvent).spec::<K>(),
            Aging::Never | Aging::ByProcessing => || Passed(Aging::ByProcessing).spec::<K>(),
        }));
        self.down.describe(to);
    }
}
