//! `key_by` and `key_by_ref`: the visible exchange. Every item goes to the worker that owns its key.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use serde::Serialize;

use crate::at_home::AtHome;
use crate::bounds::{CheckItem, CheckKey, Item, Key};
use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::Control;
use crate::describe::{Describe, StepId, StepInfo};
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::{Batch, Host, Inlet, Outlet, Spread, WorkerInfo};
use crate::plan::Plan1;
use crate::state::KeyHasher;
use crate::steps::pass;
use crate::stream::{Keyed, Token};

/// `key_by(stream, |item| key)`: partitions a stream by a key that the closure computes.
///
/// The key is computed and hashed once, by the sender, and travels with the item.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn sums(numbers: Vec<u64>, out: Collect<(bool, u64)>) {
///     let all = source(from_iter(numbers));
///     let by_parity = key_by(all, |n| n % 2 == 0);
///     let sums = stateful_map(by_parity, |sum: &mut u64, _even, n| {
///         *sum += n;
///         *sum
///     });
///     sink(sums, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, sums_of) = collect();
/// sums(vec![1, 2, 3], out).workers(2).spawn()?.wait()?;
/// assert_eq!(sums_of.sorted(), [(false, 1), (false, 4), (true, 2)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum key_by {}

impl key_by {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::KeyBy);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __post<K: CheckKey<Passed = P>, T: CheckItem<P, Passed = Q>, P, Q: Default>(
        _: Keyed<K, T>,
    ) -> Q {
        Q::default()
    }
    #[doc(hidden)]
    pub fn __wire<U: Token, K: 'static, F: Fn(&U::Item) -> K + 'static>(
        _: U,
        f: F,
    ) -> (Keyed<K, U::Item>, KeyByPlan<U, K, F>) {
        (Token::token(), KeyByPlan { key: f, types: PhantomData })
    }
}

/// The plan of [`key_by`].
pub struct KeyByPlan<U, K, F> {
    key: F,
    types: PhantomData<fn(U) -> K>,
}

impl<U, K, F> fmt::Debug for KeyByPlan<U, K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyByPlan")
    }
}

/// The row of a `key_by`: hash, key, item.
type Row<K, T> = (u64, K, T);

impl<H, U, K, F, D> Plan1<H, U, (D,)> for KeyByPlan<U, K, F>
where
    H: Host,
    U: Token,
    U::Item: Item,
    K: Key,
    F: Fn(&U::Item) -> K + 'static,
    D: Consumer<Keyed<K, U::Item>>,
{
    #[allow(refining_impl_trait)] // The refinement is the seal: the type says nothing of what lies downstream.
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (KeyBy<U, F, H::Outlet<Row<K, U::Item>>>,) {
        let inlet = KeyedInlet {
            id: id.clone(),
            worker: H::worker(cx),
            down: AtHome::new(down),
            types: PhantomData,
        };
        let out = H::exchange(cx, id.clone(), Spread::ByHash, inlet);
        (KeyBy {
            id,
            key: self.key,
            hasher: KeyHasher::new(H::worker(cx).hash_seed),
            out,
            types: PhantomData,
        },)
    }
}

/// The sending side of a `key_by`.
pub struct KeyBy<U, F, O> {
    id: StepId,
    key: F,
    hasher: KeyHasher,
    out: O,
    types: PhantomData<fn(U)>,
}

impl<U, F, O> fmt::Debug for KeyBy<U, F, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyBy").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<U, K, F, O> Consumer<U> for KeyBy<U, F, O>
where
    U: Token,
    K: Key,
    F: Fn(&U::Item) -> K + 'static,
    O: Outlet<Row<K, U::Item>>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, U::Key>, item: U::Item) {
        let note = Note::of(&self.id);
        let key = (self.key)(&item);
        let hash = self.hasher.hash(&key);
        note.clear();
        self.out.send(hash, head.time, (hash, key, item));
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.out.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.out.describe(to);
    }
}

struct KeyedInlet<K, T, D> {
    id: StepId,
    worker: WorkerInfo,
    down: AtHome<D>,
    types: PhantomData<fn(K, T)>,
}

impl<K: Key, T: Item, D: Consumer<Keyed<K, T>>> Inlet<Row<K, T>> for KeyedInlet<K, T, D> {
    fn batch(&mut self, _: usize, batch: &mut Batch<Row<K, T>>) {
        debug_assert!(
            batch.rows.iter().all(|row| self.worker.owns(row.0)),
            "keys of another worker"
        );
        pass(
            batch,
            &mut self.down,
            |row| row.0,
            |down, time, (hash, key, item)| {
                down.push(Head { hash, time, key: &key }, item);
            },
        );
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.down.get().control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        to.step(StepInfo::new(&self.id, Kind::KeyBy.name()).takes::<Keyed<K, T>>().emits::<T>());
        self.down.seen().describe(to);
    }
}

/// `key_by_ref(stream, |item| &item.field)`: partitions a stream by a key that lies in the item.
///
/// The key is borrowed where it lies; it is cloned only when a table meets it for the first time.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn lengths(words: Vec<String>, out: Collect<(String, usize)>) {
///     let all = source(from_iter(words));
///     let by_word = key_by_ref(all, |word| word.as_str());
///     let lengths = map(by_word, |word| word.len());
///     sink(lengths, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, found) = collect();
/// lengths(vec!["to".into(), "be".into()], out).workers(2).spawn()?.wait()?;
/// assert_eq!(found.sorted(), [("be".into(), 2), ("to".into(), 2)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum key_by_ref {}

impl key_by_ref {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::KeyBy);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __post<K: CheckKey<Passed = P>, T: CheckItem<P, Passed = Q>, P, Q: Default>(
        _: Keyed<K, T>,
    ) -> Q {
        Q::default()
    }
    #[doc(hidden)]
    pub fn __wire<U, Q, F>(_: U, f: F) -> (Keyed<Q::Owned, U::Item>, KeyByRefPlan<U, Q, F>)
    where
        U: Token,
        Q: ?Sized + ToOwned + 'static,
        F: Fn(&U::Item) -> &Q + 'static,
    {
        (Token::token(), KeyByRefPlan { key: f, types: PhantomData })
    }
}

/// The plan of [`key_by_ref`].
pub struct KeyByRefPlan<U, Q: ?Sized, F> {
    key: F,
    types: PhantomData<(fn(U), fn(&Q))>,
}

impl<U, Q: ?Sized, F> fmt::Debug for KeyByRefPlan<U, Q, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyByRefPlan")
    }
}

/// The row of a `key_by_ref`: hash and item; the key lies in the item.
type RefRow<T> = (u64, T);

impl<H, U, Q, F, D> Plan1<H, U, (D,)> for KeyByRefPlan<U, Q, F>
where
    H: Host,
    U: Token,
    U::Item: Item,
    Q: ?Sized + ToOwned + Serialize + Eq + 'static,
    Q::Owned: Key,
    F: Fn(&U::Item) -> &Q + 'static,
    D: Consumer<Keyed<Q::Owned, U::Item>>,
{
    #[allow(refining_impl_trait)] // The refinement is the seal: the type says nothing of what lies downstream.
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (KeyByRef<U, Q, F, H::Outlet<RefRow<U::Item>>>,) {
        let key = Rc::new(self.key);
        let extract = Extract { key: Rc::clone(&key), types: PhantomData };
        let inlet = RefInlet::<U::Item, Q, F, D> {
            id: id.clone(),
            worker: H::worker(cx),
            extract,
            down: AtHome::new(down),
        };
        let out = H::exchange(cx, id.clone(), Spread::ByHash, inlet);
        (KeyByRef {
            id,
            key,
            hasher: KeyHasher::new(H::worker(cx).hash_seed),
            out,
            types: PhantomData,
        },)
    }
}

/// The sending side of a `key_by_ref`.
pub struct KeyByRef<U, Q: ?Sized, F, O> {
    id: StepId,
    key: Rc<F>,
    hasher: KeyHasher,
    out: O,
    types: PhantomData<(fn(U), fn(&Q))>,
}

impl<U, Q: ?Sized, F, O> fmt::Debug for KeyByRef<U, Q, F, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyByRef").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<U, Q, F, O> Consumer<U> for KeyByRef<U, Q, F, O>
where
    U: Token,
    Q: ?Sized + Serialize + 'static,
    F: Fn(&U::Item) -> &Q + 'static,
    O: Outlet<RefRow<U::Item>>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, U::Key>, item: U::Item) {
        let note = Note::of(&self.id);
        let hash = self.hasher.hash((self.key)(&item));
        note.clear();
        self.out.send(hash, head.time, (hash, item));
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.out.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.out.describe(to);
    }
}

struct Extract<T, Q: ?Sized, F> {
    key: Rc<F>,
    types: PhantomData<(fn(T), fn(&Q))>,
}

impl<T, Q, F> KeyInItem<Keyed<Q::Owned, T>> for Extract<T, Q, F>
where
    T: Item,
    Q: ?Sized + ToOwned + Eq + 'static,
    Q::Owned: 'static,
    F: Fn(&T) -> &Q,
{
    #[inline(always)]
    fn is(&self, key: &Q::Owned, item: &T) -> bool {
        key.borrow() == (self.key)(item)
    }
    #[inline(always)]
    fn to_key(&self, item: &T) -> Q::Owned {
        (self.key)(item).to_owned()
    }
}

struct RefInlet<T, Q: ?Sized, F, D> {
    id: StepId,
    worker: WorkerInfo,
    extract: Extract<T, Q, F>,
    down: AtHome<D>,
}

impl<T, Q, F, D> Inlet<RefRow<T>> for RefInlet<T, Q, F, D>
where
    T: Item,
    Q: ?Sized + ToOwned + Eq + 'static,
    Q::Owned: Key,
    F: Fn(&T) -> &Q + 'static,
    D: Consumer<Keyed<Q::Owned, T>>,
{
    fn batch(&mut self, _: usize, batch: &mut Batch<RefRow<T>>) {
        debug_assert!(
            batch.rows.iter().all(|row| self.worker.owns(row.0)),
            "keys of another worker"
        );
        let extract = &self.extract;
        pass(
            batch,
            &mut self.down,
            |row| row.0,
            |down, time, (hash, item)| {
                down.push_key_in_item(Place { hash, time }, item, extract);
            },
        );
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.down.get().control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        to.step(
            StepInfo::new(&self.id, Kind::KeyBy.name()).takes::<Keyed<Q::Owned, T>>().emits::<T>(),
        );
        self.down.seen().describe(to);
    }
}
