//! `running`: an aggregate of each key, after every item.

use std::fmt;
use std::marker::PhantomData;

use crate::aggregate::Aggregate;
use crate::bounds::Key;
use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::Control;
use crate::describe::{Describe, StepId, StepInfo};
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::operator::keep;
use crate::plan::Plan1;
use crate::recovery::manifest::StepSpec;
use crate::state::{EntryMut, InItem, Lent, Saved, Shape, Table};
use crate::steps::by_function::IsKeyed;
use crate::stream::{Keyed, Token};

/// `running(keyed, aggregate)`: what the [`Aggregate`] comes to for a key, after every item of that key. What comes out has the event time
/// of the item.
///
/// ```
/// use flow_runtime::aggregate::sum;
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn balances(bookings: Vec<(u32, i64)>, out: Collect<(u32, i64)>) {
///     let all = source(from_iter(bookings));
///     let by_account = key_by(all, |(account, _)| *account);
///     let balances = running(by_account, sum(|(_, cents): &(u32, i64)| *cents));
///     sink(balances, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, found) = collect();
/// balances(vec![(7, 100), (8, 5), (7, -30)], out).workers(2).spawn()?.wait()?;
/// assert_eq!(found.sorted(), [(7, 70), (7, 100), (8, 5)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum running {}

impl running {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Running);
    #[doc(hidden)]
    pub fn __check<U: IsKeyed>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token, G: Aggregate<U::Item>>(
        _: U,
        aggregate: G,
    ) -> (Keyed<U::Key, G::Out>, RunningPlan<U::Key, U::Item, G>) {
        (Token::token(), RunningPlan { aggregate, types: PhantomData })
    }
}

/// The plan of [`running`].
pub struct RunningPlan<K, A, G> {
    aggregate: G,
    types: PhantomData<fn(K, A)>,
}

impl<K, A, G> fmt::Debug for RunningPlan<K, A, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunningPlan")
    }
}

impl<H, K, A, G, D> Plan1<H, Keyed<K, A>, (D,)> for RunningPlan<K, A, G>
where
    H: Host,
    K: Key,
    A: 'static,
    G: Aggregate<A>,
    D: Consumer<Keyed<K, G::Out>>,
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (impl Consumer<Keyed<K, A>> + use<H, K, A, G, D>,) {
        (Running::<K, A, G, D> { id, aggregate: self.aggregate, table: Table::new(), down },)
    }
}

struct Running<K, A, G: Aggregate<A>, D> {
    id: StepId,
    aggregate: G,
    /// There is always something: `None` is what a key's first item finds.
    table: Table<K, Option<G::State>>,
    down: D,
}

impl<K: Key, A: 'static, G: Aggregate<A>, D: Consumer<Keyed<K, G::Out>>> Running<K, A, G, D> {
    /// Adds an item to the entry of its key.
    #[inline(always)]
    fn add(
        id: &StepId,
        aggregate: &G,
        Place { hash, time }: Place,
        EntryMut { key, state }: EntryMut<'_, K, Option<G::State>>,
        item: A,
        down: &mut D,
    ) {
        let note = Note::keyed(id, key);
        let state = state.get_or_insert_with(|| aggregate.begin());
        aggregate.add(state, item, time);
        let out = aggregate.finish(state);
        note.emits();
        note.clear();
        down.push(Head { hash, time, key }, out);
    }
}

impl<K, A, G, D> Consumer<Keyed<K, A>> for Running<K, A, G, D>
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
        let at = Place { hash: head.hash, time: head.time };
        Self::add(&self.id, &self.aggregate, at, entry, item, &mut self.down);
    }
    #[inline(always)]
    fn push_key_in_item<X: KeyInItem<Keyed<K, A>>>(&mut self, at: Place, item: A, extract: &X) {
        let note = Note::beside(&self.id);
        let lookup = InItem::<Keyed<K, A>, X>(&item, extract);
        let entry = self.table.find_or_insert(at.hash, &lookup, || None);
        note.clear();
        Self::add(&self.id, &self.aggregate, at, entry, item, &mut self.down);
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let note = Note::beside(&self.id);
        self.table.expect(hashes.clone());
        note.clear();
        self.down.expect(hashes);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        keep(&self.id, &mut self.table, control);
        self.down.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, Kind::Running.name()).takes::<Keyed<K, A>>();
        to.step(info.emits::<G::Out>().keeps(G::State::SCHEMA).saves(|| {
            StepSpec::keyed::<K>("running", Shape::from(G::State::SCHEMA)).migrates::<G::State>()
        }));
        self.down.describe(to);
    }
}
