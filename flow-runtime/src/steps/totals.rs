//! `total`: an aggregate of each key, once all items have come.

use std::fmt;
use std::marker::PhantomData;

use crate::aggregate::Aggregate;
use crate::bounds::Key;
use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::operator::keep;
use crate::plan::Plan1;
use crate::recovery::manifest::StepSpec;
use crate::state::{EntryMut, InItem, KeyHasher, Lent, Saved, Shape, Table};
use crate::steps::by_function::IsKeyed;
use crate::stream::{Keyed, Token};
use crate::time::Timestamp;

/// `total(keyed, aggregate)`: what the [`Aggregate`] comes to for each key, once, when all items have come.
///
/// That is when the input has ended for good: in a run with a recovery log when it is told so, by `--finish`, and without a log at the end of the
/// run. Until then what has been gathered is kept in the log and a later run goes on from it, since input may be appended. What comes
/// out has the time that event time has come to, in no particular order of the keys; the state is gone after.
///
/// ```
/// use flow_runtime::aggregate::{count, sum};
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn report(sales: Vec<(u32, u64)>, out: Collect<(u32, (u64, u64))>) {
///     let all = source(from_iter(sales));
///     let by_shop = key_by(all, |(shop, _)| *shop);
///     let totals = total(by_shop, (count(), sum(|(_, cents): &(u32, u64)| *cents)));
///     sink(totals, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, found) = collect();
/// report(vec![(7, 100), (8, 5), (7, 50)], out).workers(2).spawn()?.wait()?;
/// assert_eq!(found.sorted(), [(7, (2, 150)), (8, (1, 5))]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum total {}

impl total {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Total);
    #[doc(hidden)]
    pub fn __check<U: IsKeyed>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token, G: Aggregate<U::Item>>(
        _: U,
        aggregate: G,
    ) -> (Keyed<U::Key, G::Out>, TotalPlan<U::Key, U::Item, G>) {
        (Token::token(), TotalPlan { aggregate, types: PhantomData })
    }
}

/// The plan of [`total`].
pub struct TotalPlan<K, A, G> {
    aggregate: G,
    types: PhantomData<fn(K, A)>,
}

impl<K, A, G> fmt::Debug for TotalPlan<K, A, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotalPlan")
    }
}

impl<H, K, A, G, D> Plan1<H, Keyed<K, A>, (D,)> for TotalPlan<K, A, G>
where
    H: Host,
    K: Key,
    A: 'static,
    G: Aggregate<A>,
    D: Consumer<Keyed<K, G::Out>>,
{
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (impl Consumer<Keyed<K, A>> + use<H, K, A, G, D>,) {
        (Total::<K, A, G, D> {
            id,
            aggregate: self.aggregate,
            hasher: KeyHasher::new(H::worker(cx).hash_seed),
            watermark: Timestamp::MIN,
            table: Table::new(),
            down,
        },)
    }
}

struct Total<K, A, G: Aggregate<A>, D> {
    id: StepId,
    aggregate: G,
    hasher: KeyHasher,
    watermark: Timestamp,
    /// `None` is what a key's first item finds, and what is left when the total is out.
    table: Table<K, Option<G::State>>,
    down: D,
}

impl<K: Key, A: 'static, G: Aggregate<A>, D: Consumer<Keyed<K, G::Out>>> Total<K, A, G, D> {
    /// Adds an item to the entry of its key.
    #[inline(always)]
    fn add(
        id: &StepId,
        aggregate: &G,
        time: Timestamp,
        EntryMut { key, state }: EntryMut<'_, K, Option<G::State>>,
        item: A,
    ) {
        let note = Note::keyed(id, key);
        let state = state.get_or_insert_with(|| aggregate.begin());
        aggregate.add(state, item, time);
        note.clear();
    }

    /// Emits the total of each key and takes its state away.
    fn finish(&mut self) {
        let Total { id, aggregate, hasher, watermark: time, table, down } = self;
        let mut gone = Vec::with_capacity(table.len());
        table.each_changed(|key, state| {
            let Some(state) = state.take() else { return };
            let note = Note::beside_key(id, key);
            let out = aggregate.finish_last(state);
            note.emits();
            let hash = hasher.hash(key);
            note.clear();
            gone.push(hash);
            down.push(Head { hash, time: *time, key }, out);
        });
        gone.into_iter().for_each(|hash| table.forget(hash));
    }
}

impl<K, A, G, D> Consumer<Keyed<K, A>> for Total<K, A, G, D>
where
    K: Key,
    A: 'static,
    G: Aggregate<A>,
    D: Consumer<Keyed<K, G::Out>>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, K>, item: A) {
        let note = Note::beside(&self.id);
        let entry = self.table.find_or_insert(head.hash, &Lent(head.key), || None);
        note.clear();
        Self::add(&self.id, &self.aggregate, head.time, entry, item);
    }
    #[inline(always)]
    fn push_key_in_item<X: KeyInItem<Keyed<K, A>>>(&mut self, at: Place, item: A, extract: &X) {
        let note = Note::beside(&self.id);
        let lookup = InItem::<Keyed<K, A>, X>(&item, extract);
        let entry = self.table.find_or_insert(at.hash, &lookup, || None);
        note.clear();
        Self::add(&self.id, &self.aggregate, at.time, entry, item);
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let note = Note::beside(&self.id);
        self.table.expect(hashes);
        note.clear();
    }
    fn control(&mut self, control: &mut Control<'_>) {
        match control.signal() {
            Signal::Watermark(time) => self.watermark = time.watermark,
            Signal::Finish => self.finish(),
            _ => {}
        }
        keep(&self.id, &mut self.table, control);
        self.down.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, Kind::Total.name()).takes::<Keyed<K, A>>();
        to.step(info.emits::<G::Out>().keeps(G::State::SCHEMA).saves(|| {
            StepSpec::keyed::<K>("total", Shape::from(G::State::SCHEMA)).migrates::<G::State>()
        }));
        self.down.describe(to);
    }
}
