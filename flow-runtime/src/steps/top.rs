//! `top_k`: the items of each key with the largest scores.

use std::fmt;
use std::marker::PhantomData;

use crate::aggregate::{self, Timed, TopK};
use crate::bounds::{Item, Key};
use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::operator::keep;
use crate::plan::Plan1;
use crate::recovery::manifest::StepSpec;
use crate::state::{BySerde, EntryMut, InItem, Lent, Lookup, Saved, Shape, Table};
use crate::steps::by_function::IsKeyed;
use crate::stream::{Keyed, Token};

/// `top_k(keyed, k, |item| score)`: the `k` items of each key with the largest scores, the largest first, whenever an item gets in. An item
/// that does not get in changes nothing, and nothing comes out.
///
/// Of equal scores the earlier item by event time goes first, and of those the one that came first. For scores that are floats see
/// [`Float`](crate::aggregate::Float). The list has the event time of the item that got in. For the list of a window, or at the end of the
/// input, see [`aggregate::top_k`].
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn best(scores: Vec<(u32, u64)>, out: Collect<(u32, Vec<u64>)>) {
///     let all = source(from_iter(scores));
///     let by_player = into_keyed(all);
///     let best = top_k(by_player, 2, |points| *points);
///     sink(best, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, found) = collect();
/// best(vec![(7, 30), (7, 10), (7, 20), (7, 5)], out).workers(2).spawn()?.wait()?;
/// assert_eq!(found.sorted(), [(7, vec![30]), (7, vec![30, 10]), (7, vec![30, 20])]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum top_k {}

impl top_k {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::TopK);
    #[doc(hidden)]
    pub fn __check<U: IsKeyed>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token<Item: Item>, S: Ord + 'static, F: Fn(&U::Item) -> S + 'static>(
        _: U,
        k: usize,
        score: F,
    ) -> (Keyed<U::Key, Vec<U::Item>>, TopKPlan<U::Key, U::Item, S, F>) {
        (Token::token(), TopKPlan { top: aggregate::top_k(k, score), types: PhantomData })
    }
}

/// The plan of [`top_k`].
pub struct TopKPlan<K, A, S, F> {
    top: TopK<A, S, F>,
    types: PhantomData<fn(K)>,
}

impl<K, A, S, F> fmt::Debug for TopKPlan<K, A, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TopKPlan")
    }
}

impl<H, K, A, S, F, D> Plan1<H, Keyed<K, A>, (D,)> for TopKPlan<K, A, S, F>
where
    H: Host,
    K: Key,
    A: Item,
    S: Ord + 'static,
    F: Fn(&A) -> S + 'static,
    D: Consumer<Keyed<K, Vec<A>>>,
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (impl Consumer<Keyed<K, A>> + use<H, K, A, S, F, D>,) {
        (Top { id, top: self.top, table: Table::new(), down },)
    }
}

/// The items of a key that are in the list, in order.
type List<A> = Vec<Timed<A>>;

struct Top<K, A, S, F, D> {
    id: StepId,
    top: TopK<A, S, F>,
    /// There is always a list.
    table: Table<K, Option<List<A>>>,
    down: D,
}

impl<K, A, S, F, D> Top<K, A, S, F, D>
where
    K: Key,
    A: Item,
    S: Ord + 'static,
    F: Fn(&A) -> S + 'static,
    D: Consumer<Keyed<K, Vec<A>>>,
{
    /// Where an item gets in. The list is only looked at: most items change nothing, so nothing has to be saved again.
    #[inline(always)]
    fn place(&self, at: Place, item: &A, lookup: &impl Lookup<K>) -> Option<usize> {
        let note = Note::of(&self.id);
        let found = self.table.find_entry(at.hash, lookup);
        note.clear();
        let (key, list) = match found {
            Some((key, Some(list))) => (key, list),
            _ => return self.top.place(&[], item, at.time),
        };
        let note = Note::beside_key(&self.id, key);
        let place = self.top.place(list, item, at.time);
        note.clear();
        place
    }

    /// Puts an item into its place, and emits the list.
    fn insert(
        id: &StepId,
        top: &TopK<A, S, F>,
        Place { hash, time }: Place,
        place: usize,
        EntryMut { key, state }: EntryMut<'_, K, Option<List<A>>>,
        item: A,
        down: &mut D,
    ) {
        let list = state.get_or_insert_default();
        let note = Note::beside_key(id, key);
        top.insert(list, place, (time, BySerde(item)));
        let items = top.items(list);
        note.emits();
        note.clear();
        down.push(Head { hash, time, key }, items);
    }
}

impl<K, A, S, F, D> Consumer<Keyed<K, A>> for Top<K, A, S, F, D>
where
    K: Key,
    A: Item,
    S: Ord + 'static,
    F: Fn(&A) -> S + 'static,
    D: Consumer<Keyed<K, Vec<A>>>,
{
    #[inline]
    fn push(&mut self, head: Head<'_, K>, item: A) {
        let (at, lookup) = (Place { hash: head.hash, time: head.time }, Lent(head.key));
        let Some(place) = self.place(at, &item, &lookup) else { return };
        let entry = self.table.find_or_insert(at.hash, &lookup, || None);
        Self::insert(&self.id, &self.top, at, place, entry, item, &mut self.down);
    }
    #[inline]
    fn push_key_in_item<X: KeyInItem<Keyed<K, A>>>(&mut self, at: Place, item: A, extract: &X) {
        let lookup = InItem::<Keyed<K, A>, X>(&item, extract);
        let Some(place) = self.place(at, &item, &lookup) else { return };
        let entry = self.table.find_or_insert(at.hash, &lookup, || None);
        Self::insert(&self.id, &self.top, at, place, entry, item, &mut self.down);
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let note = Note::beside(&self.id);
        self.table.expect(hashes);
        note.clear();
    }
    fn control(&mut self, control: &mut Control<'_>) {
        keep(&self.id, &mut self.table, control);
        if control.signal() == Signal::Restore {
            let note = Note::beside(&self.id);
            self.table.each_mut(|_, list| {
                if let Some(list) = list {
                    self.top.adopt(list);
                }
            });
            note.clear();
        }
        self.down.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, Kind::TopK.name()).takes::<Keyed<K, A>>();
        to.step(info.emits::<Vec<A>>().keeps(<List<A>>::SCHEMA).saves(|| {
            StepSpec::keyed::<K>("top_k", Shape::from(<List<A>>::SCHEMA)).migrates::<List<A>>()
        }));
        self.down.describe(to);
    }
}
