//! `count_window`: the items of a key, gathered by their number.

use std::fmt;
use std::marker::PhantomData;

use crate::aggregate::Aggregate;
use crate::bounds::Key;
use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::error::Error;
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::operator::{Form, keep_as};
use crate::plan::Plan1;
use crate::recovery::manifest::StepSpec;
use crate::state::{
    EntryMut, InItem, KeyHasher, Lent, LoadError, Lookup, Reader, Saved, Shape, State, Table,
};
use crate::steps::by_function::IsKeyed;
use crate::stream::{Keyed, Token};
use crate::time::Timestamp;
use crate::windows::{Counted, Counting, Counts, Windowed};

/// `count_window(keyed, Counting::of(n), aggregate)`: what an [`Aggregate`] makes of every `n` items of a key; with
/// [`every`](Counting::every), of the last `n` items after every so many.
///
/// Items count in the order in which they come. They need no time; where they have one, a window goes from the earliest of its items to just behind
/// the latest, and its result has the time of the latest. Without times start and end are [`Timestamp::MIN`].
///
/// A window that is not full is kept, and saved. When the input has ended for good one of `Counting::of(n)` is emitted as it is, at the time that
/// event time has come to; with `every` nothing is, since its items are wanted together with those to come.
///
/// The numbers may be changed from run to run. Windows that have items from before are then made of the parts that were kept: they may be shorter, and the
/// first may be longer.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn in_threes(sales: Vec<(String, u64)>, out: Collect<(String, u64)>) {
///     let all = source(from_iter(sales));
///     let by_shop = into_keyed(all);
///     let windows = count_window(by_shop, Counting::of(3), aggregate::sum(|cents: &u64| *cents));
///     let sums = map(windows, |window| window.value);
///     sink(sums, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, sums) = collect();
/// let sales = (1..=7).map(|cents| ("corner".to_owned(), cents)).collect();
/// in_threes(sales, out).workers(2).spawn()?.wait()?;
/// let corner = |cents| ("corner".to_owned(), cents);
/// assert_eq!(sums.sorted(), [corner(1 + 2 + 3), corner(7), corner(4 + 5 + 6)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum count_window {}

impl count_window {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::CountWindow);
    #[doc(hidden)]
    pub fn __check<U: IsKeyed>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token, G: Aggregate<U::Item>>(
        _: U,
        counting: Counting,
        aggregate: G,
    ) -> (Keyed<U::Key, Windowed<G::Out>>, CountWindowPlan<U::Key, U::Item, G>) {
        (Token::token(), CountWindowPlan { counting, aggregate, types: PhantomData })
    }
}

/// The plan of [`count_window`].
pub struct CountWindowPlan<K, A, G> {
    counting: Counting,
    aggregate: G,
    types: PhantomData<fn(K, A)>,
}

impl<K, A, G> fmt::Debug for CountWindowPlan<K, A, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CountWindowPlan")
    }
}

impl<H, K, A, G, D> Plan1<H, Keyed<K, A>, (D,)> for CountWindowPlan<K, A, G>
where
    H: Host,
    K: Key,
    A: 'static,
    G: Aggregate<A>,
    D: Consumer<Keyed<K, Windowed<G::Out>>>,
{
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (impl Consumer<Keyed<K, A>> + use<H, K, A, G, D>,) {
        let (counts, senseless) = match self.counting.slicing() {
            Ok(counts) => (Some(counts), None),
            Err(error) => (None, Some(error.at_step(&id))),
        };
        (CountWindow::<K, A, G, D> {
            id,
            counts,
            senseless,
            aggregate: self.aggregate,
            hasher: KeyHasher::new(H::worker(cx).hash_seed),
            watermark: Timestamp::MIN,
            table: Table::new(),
            down,
        },)
    }
}

struct CountWindow<K, A, G: Aggregate<A>, D> {
    id: StepId,
    counts: Option<Counts>,
    /// Why there are none.
    senseless: Option<Error>,
    aggregate: G,
    hasher: KeyHasher,
    watermark: Timestamp,
    table: Table<K, Counted<G::State>>,
    down: D,
}

impl<K, A, G, D> CountWindow<K, A, G, D>
where
    K: Key,
    A: 'static,
    G: Aggregate<A>,
    D: Consumer<Keyed<K, Windowed<G::Out>>>,
{
    /// Adds an item to what is kept of its key. Answers whether nothing is any more.
    #[inline(always)]
    fn add(
        id: &StepId,
        counts: &Counts,
        aggregate: &G,
        at: Place,
        EntryMut { key, state }: EntryMut<'_, K, Counted<G::State>>,
        item: A,
        down: &mut D,
    ) -> bool {
        let note = Note::keyed(id, key);
        let result = state.add(counts, aggregate, at.time, item);
        if result.is_some() {
            note.emits();
        }
        note.clear();
        if let Some(result) = result {
            down.push(Head { hash: at.hash, time: last_of(&result), key }, result);
        }
        state.is_gone()
    }

    /// The entry of an item's key.
    #[inline(always)]
    fn entry<'a>(
        id: &StepId,
        table: &'a mut Table<K, Counted<G::State>>,
        hash: u64,
        lookup: &impl Lookup<K>,
    ) -> EntryMut<'a, K, Counted<G::State>> {
        let note = Note::beside(id);
        let entry = table.find_or_insert(hash, lookup, Counted::begin);
        note.clear();
        entry
    }

    /// Emits the windows that are not full, and takes their keys away.
    fn finish(&mut self) {
        let CountWindow { id, counts, aggregate, hasher, watermark, table, down, .. } = self;
        let Some(counts) = counts else { return };
        let mut gone = Vec::with_capacity(table.len());
        table.each_changed(|key, counted| {
            let note = Note::beside_key(id, key);
            let result = counted.finish(counts, aggregate);
            let hash = hasher.hash(key);
            if result.is_some() {
                note.emits();
            }
            note.clear();
            let Some(result) = result else { return };
            gone.push(hash);
            let time = last_of(&result).max(*watermark);
            down.push(Head { hash, time, key }, result);
        });
        gone.into_iter().for_each(|hash| table.forget(hash));
    }
}

/// The time of the latest item of a window.
fn last_of<B>(result: &Windowed<B>) -> Timestamp {
    Timestamp(result.end.0.saturating_sub(1))
}

impl<K, A, G, D> Consumer<Keyed<K, A>> for CountWindow<K, A, G, D>
where
    K: Key,
    A: 'static,
    G: Aggregate<A>,
    D: Consumer<Keyed<K, Windowed<G::Out>>>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, K>, item: A) {
        let CountWindow { id, counts: Some(counts), aggregate, table, down, .. } = self else {
            return;
        };
        let at = Place { hash: head.hash, time: head.time };
        let entry = Self::entry(id, table, at.hash, &Lent(head.key));
        if Self::add(id, counts, aggregate, at, entry, item, down) {
            table.forget(at.hash);
        }
    }
    #[inline(always)]
    fn push_key_in_item<X: KeyInItem<Keyed<K, A>>>(&mut self, at: Place, item: A, extract: &X) {
        let CountWindow { id, counts: Some(counts), aggregate, table, down, .. } = self else {
            return;
        };
        let entry = Self::entry(id, table, at.hash, &InItem::<Keyed<K, A>, X>(&item, extract));
        if Self::add(id, counts, aggregate, at, entry, item, down) {
            table.forget(at.hash);
        }
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let note = Note::beside(&self.id);
        self.table.expect(hashes);
        note.clear();
    }
    fn control(&mut self, control: &mut Control<'_>) {
        match control.signal() {
            Signal::Open { .. } => {
                if let Some(error) = self.senseless.take() {
                    control.fail(error);
                }
            }
            Signal::Watermark(time) => self.watermark = time.watermark,
            Signal::Finish => self.finish(),
            _ => {}
        }
        keep_as(&self.id, &mut self.table, &AsItIs, control);
        self.down.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, Kind::CountWindow.name());
        let info = info.takes::<Keyed<K, A>>().emits::<Windowed<G::Out>>();
        to.step(info.keeps(<G::State as Saved>::SCHEMA).saves(|| {
            let shape = Shape::from(Counted::<G::State>::SCHEMA);
            StepSpec::keyed::<K>("count_window", shape).migrates::<Counted<G::State>>()
        }));
        self.down.describe(to);
    }
}

/// What is kept of a key is saved as it is.
struct AsItIs;

impl<S: State> Form<Counted<S>> for AsItIs {
    type State = S;
    fn is_gone(counted: &Counted<S>) -> bool {
        counted.is_gone()
    }
    fn save(&self, counted: &Counted<S>, to: &mut Vec<u8>) {
        counted.save(to);
    }
    fn load(&self, bytes: &[u8]) -> Result<Counted<S>, LoadError> {
        Counted::load_all(bytes)
    }
    fn older(&self, was: &Shape) -> Result<Reader<Counted<S>>, LoadError> {
        Reader::of(was)
    }
}
