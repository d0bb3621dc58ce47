//! Steps that run a user's function: annotated ones, and the same by function or closure.
//!
//! Every annotated function is a type of its own name that implements one of the traits here; the built-in steps
//! `map`, `filter`, .. implement them for any function. There is no function pointer and no box in between: the
//! call is known to the compiler and inlined.
//!
//! | file | what it owns |
//! |---|---|
//! | `keeping` | how a table of states is saved and restored |
//! | `expiring` | steps whose state expires |

mod expiring;
mod keeping;

use std::borrow::Borrow;
use std::marker::PhantomData;

use crate::bounds::Key;
use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::Control;
use crate::describe::{Describe, StepId, StepInfo};
use crate::failure::Note;
use crate::host::Host;
use crate::plan::Plan1;
use crate::recovery::manifest::StepSpec;
use crate::state::parts::Part;
use crate::state::{EntryMut, InItem, Lent, Parted, Saved, Shape, State, Table};
use crate::stream::{Keyed, Token};

pub use expiring::ExpiringPlan;
pub(crate) use keeping::{Form, keep, keep_as, load_held, save_held};

/// A stateless step: takes an `A`, emits any number of `B`. `C` is its configuration.
pub trait StepFn<A, C, B>: 'static {
    /// The kind, as in the graph.
    const KIND: &'static str;
    /// Calls the function for one item.
    fn call(config: &C, item: A, emit: &mut impl FnMut(B));
}

/// A step that lets items pass or not.
pub trait FilterFn<A, C>: 'static {
    /// Whether the item passes.
    fn call(config: &C, item: &A) -> bool;
}

/// A step with state per key. `V` is what the table holds for a key: the state, or an `Option` of it. `Q` is the
/// key, or the form of it that the function borrows (`str` for `String`).
pub trait StatefulFn<V, Q: ?Sized, A, C, B>: 'static {
    /// `V` once more. The bound stands here, and not where a plan is assembled, so that a type which cannot be
    /// kept as state is reported at the function that takes it and nowhere else.
    type Held: Held;
    /// The kind, as in the graph.
    const KIND: &'static str;
    /// Calls the function for one item of `key`.
    fn call(config: &C, state: &mut Self::Held, key: &Q, item: A, emit: &mut impl FnMut(B));
}

/// An `Option`, for annotated functions that name theirs by an alias.
#[diagnostic::on_unimplemented(
    message = "a `#[filter_map]` function returns an `Option`, and `{Self}` is none",
    label = "not an `Option`"
)]
pub trait Optional {
    /// What may be in it.
    type Some;
}
impl<T> Optional for Option<T> {
    type Some = T;
}

/// The plan of a [`StepFn`].
#[derive(Debug)]
pub struct StepPlan<Op, C, U, A, B> {
    config: C,
    types: PhantomData<fn(Op, U, A) -> B>,
}

impl<Op, C, U, A, B> StepPlan<Op, C, U, A, B> {
    /// The step with this configuration.
    pub fn new(config: C) -> Self {
        StepPlan { config, types: PhantomData }
    }
}

impl<H, Op, C, U, A, B, D> Plan1<H, U::With<A>, (D,)> for StepPlan<Op, C, U, A, B>
where
    H: Host,
    Op: StepFn<A, C, B>,
    C: 'static,
    U: Token,
    A: 'static,
    B: 'static,
    D: Consumer<U::With<B>>,
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (impl Consumer<U::With<A>> + use<H, Op, C, U, A, B, D>,) {
        (Step::<Op, C, U, A, B, D> { id, config: self.config, down, types: PhantomData },)
    }
}

struct Step<Op, C, U, A, B, D> {
    id: StepId,
    config: C,
    down: D,
    types: PhantomData<fn(Op, U, A) -> B>,
}

impl<Op, C, U, A, B, D> Consumer<U::With<A>> for Step<Op, C, U, A, B, D>
where
    Op: StepFn<A, C, B>,
    C: 'static,
    U: Token,
    A: 'static,
    B: 'static,
    D: Consumer<U::With<B>>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, U::Key>, item: A) {
        let down = &mut self.down;
        let note = Note::of(&self.id);
        let emitted = note.emitted();
        Op::call(&self.config, item, &mut move |out| {
            emitted.one();
            down.push(head, out);
        });
        note.clear();
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        self.down.expect(hashes);
    }
    #[inline]
    fn control(&mut self, control: &mut Control<'_>) {
        self.down.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        to.step(StepInfo::new(&self.id, Op::KIND).takes::<U::With<A>>().emits::<B>());
        self.down.describe(to);
    }
}

/// The plan of a [`FilterFn`]. `Q` is the form in which the function borrows the item.
#[derive(Debug)]
pub struct FilterPlan<Op, C, U, A> {
    config: C,
    types: PhantomData<fn(Op, U, A)>,
}

impl<Op, C, U, A> FilterPlan<Op, C, U, A> {
    /// The step with this configuration.
    pub fn new(config: C) -> Self {
        FilterPlan { config, types: PhantomData }
    }
}

impl<H, Op, C, U, A, D> Plan1<H, U::With<A>, (D,)> for FilterPlan<Op, C, U, A>
where
    H: Host,
    Op: FilterFn<A, C>,
    C: 'static,
    U: Token,
    A: 'static,
    D: Consumer<U::With<A>>,
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (impl Consumer<U::With<A>> + use<H, Op, C, U, A, D>,) {
        (Filter::<Op, C, U, A, D> { id, config: self.config, down, types: PhantomData },)
    }
}

struct Filter<Op, C, U, A, D> {
    id: StepId,
    config: C,
    down: D,
    types: PhantomData<fn(Op, U, A)>,
}

impl<Op, C, U, A, D> Filter<Op, C, U, A, D>
where
    Op: FilterFn<A, C>,
{
    #[inline(always)]
    fn passes(&self, item: &A) -> bool {
        let note = Note::of(&self.id);
        let passes = Op::call(&self.config, item);
        if passes {
            note.emits();
        }
        note.clear();
        passes
    }
}

impl<Op, C, U, A, D> Consumer<U::With<A>> for Filter<Op, C, U, A, D>
where
    Op: FilterFn<A, C>,
    C: 'static,
    U: Token,
    A: 'static,
    D: Consumer<U::With<A>>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, U::Key>, item: A) {
        if self.passes(&item) {
            self.down.push(head, item);
        }
    }
    #[inline(always)]
    fn push_key_in_item<X: KeyInItem<U::With<A>>>(&mut self, at: Place, item: A, extract: &X) {
        if self.passes(&item) {
            self.down.push_key_in_item(at, item, extract);
        }
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        self.down.expect(hashes);
    }
    #[inline]
    fn control(&mut self, control: &mut Control<'_>) {
        self.down.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        to.step(StepInfo::new(&self.id, "filter").takes::<U::With<A>>().emits::<A>());
        self.down.describe(to);
    }
}

/// What a table holds for a key, as the function takes it.
///
/// `&mut S` is there from a key's first item on, beginning as the default. `&mut Option<S>` is `None` before the
/// first item, and where it is left `None` the key is forgotten.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept as a step's state",
    label = "not a `#[stateful]` type with a `Default`",
    note = "put `#[stateful]` and `#[derive(Default)]` on the definition of `{Self}`, or take `&mut Option<{Self}>`, which needs no `Default`"
)]
pub trait Held: Parted + 'static {
    /// The state.
    type State: State;
    /// What a key's first item finds.
    fn fresh() -> Self;
    /// What is held where this state was saved.
    fn of_state(state: Self::State) -> Self;
    /// The state, unless the function has taken it away.
    fn state(&self) -> Option<&Self::State>;
    /// Whether the function has taken the state away.
    fn is_gone(&self) -> bool;
}

#[diagnostic::do_not_recommend]
impl<S: State + Default> Parted for S {
    const PARTS: u16 = S::PARTS;
    #[inline]
    fn part(&mut self, n: u16) -> Option<&mut dyn Part> {
        Saved::part(self, n)
    }
}

#[diagnostic::do_not_recommend]
impl<S: State> Parted for Option<S> {
    const PARTS: u16 = S::PARTS;
    #[inline]
    fn part(&mut self, n: u16) -> Option<&mut dyn Part> {
        self.as_mut().and_then(|state| state.part(n))
    }
}

#[diagnostic::do_not_recommend]
impl<S: State + Default> Held for S {
    type State = S;
    #[inline(always)]
    fn fresh() -> S {
        S::default()
    }
    fn of_state(state: S) -> S {
        state
    }
    fn state(&self) -> Option<&S> {
        Some(self)
    }
    #[inline(always)]
    fn is_gone(&self) -> bool {
        false
    }
}

#[diagnostic::do_not_recommend]
impl<S: State> Held for Option<S> {
    type State = S;
    #[inline(always)]
    fn fresh() -> Option<S> {
        None
    }
    fn of_state(state: S) -> Option<S> {
        Some(state)
    }
    fn state(&self) -> Option<&S> {
        self.as_ref()
    }
    #[inline(always)]
    fn is_gone(&self) -> bool {
        self.is_none()
    }
}

/// The plan of a [`StatefulFn`].
#[derive(Debug)]
pub struct StatefulPlan<Op, V, Q: ?Sized, C, A, B> {
    config: C,
    types: PhantomData<(fn(Op, V, A) -> B, fn(&Q))>,
}

impl<Op, V, Q: ?Sized, C, A, B> StatefulPlan<Op, V, Q, C, A, B> {
    /// The step with this configuration.
    pub fn new(config: C) -> Self {
        StatefulPlan { config, types: PhantomData }
    }
}

impl<H, Op, V, Q, C, A, B, D> Plan1<H, Keyed<Q::Owned, A>, (D,)> for StatefulPlan<Op, V, Q, C, A, B>
where
    H: Host,
    Op: StatefulFn<V, Q, A, C, B>,
    V: 'static,
    Q: ?Sized + ToOwned + 'static,
    Q::Owned: Key,
    C: 'static,
    A: 'static,
    B: 'static,
    D: Consumer<Keyed<Q::Owned, B>>,
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (impl Consumer<Keyed<Q::Owned, A>> + use<H, Op, V, Q, C, A, B, D>,) {
        (Stateful::<Op, V, Q, C, A, B, D> {
            id,
            config: self.config,
            table: Table::new(),
            down,
            types: PhantomData,
        },)
    }
}

struct Stateful<Op, V, Q, C, A, B, D>
where
    Op: StatefulFn<V, Q, A, C, B>,
    Q: ?Sized + ToOwned,
{
    id: StepId,
    config: C,
    table: Table<Q::Owned, Op::Held>,
    down: D,
    types: PhantomData<(fn(Op, V, A) -> B, fn(&Q))>,
}

impl<Op, V, Q, C, A, B, D> Stateful<Op, V, Q, C, A, B, D>
where
    Op: StatefulFn<V, Q, A, C, B>,
    V: 'static,
    Q: ?Sized + ToOwned + 'static,
    Q::Owned: Key,
    A: 'static,
    B: 'static,
    D: Consumer<Keyed<Q::Owned, B>>,
{
    /// Runs `item` against the entry of its key.
    #[inline(always)]
    fn run(
        id: &StepId,
        config: &C,
        Place { hash, time }: Place,
        entry: EntryMut<'_, Q::Owned, Op::Held>,
        item: A,
        down: &mut D,
    ) -> Kept {
        let EntryMut { key, state } = entry;
        let note = Note::keyed(id, key);
        let emitted = note.emitted();
        Op::call(config, state, key.borrow(), item, &mut move |out| {
            emitted.one();
            down.push(Head { hash, time, key }, out);
        });
        note.clear();
        if state.is_gone() { Kept::No } else { Kept::Yes }
    }

    #[inline(always)]
    fn after(&mut self, hash: u64, kept: Kept) {
        if let Kept::No = kept {
            self.table.forget(hash);
        }
    }
}

/// Whether the key has state after a call.
#[derive(Clone, Copy)]
enum Kept {
    Yes,
    No,
}

impl<Op, V, Q, C, A, B, D> Consumer<Keyed<Q::Owned, A>> for Stateful<Op, V, Q, C, A, B, D>
where
    Op: StatefulFn<V, Q, A, C, B>,
    V: 'static,
    Q: ?Sized + ToOwned + 'static,
    Q::Owned: Key,
    C: 'static,
    A: 'static,
    B: 'static,
    D: Consumer<Keyed<Q::Owned, B>>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, Q::Owned>, item: A) {
        let note = Note::beside(&self.id);
        let entry = self.table.find_or_insert(head.hash, &Lent(head.key), Op::Held::fresh);
        note.clear();
        let at = Place { hash: head.hash, time: head.time };
        let kept = Self::run(&self.id, &self.config, at, entry, item, &mut self.down);
        self.after(head.hash, kept);
    }
    #[inline(always)]
    fn push_key_in_item<X: KeyInItem<Keyed<Q::Owned, A>>>(
        &mut self,
        at: Place,
        item: A,
        extract: &X,
    ) {
        let lookup = InItem::<Keyed<Q::Owned, A>, X>(&item, extract);
        let note = Note::beside(&self.id);
        let entry = self.table.find_or_insert(at.hash, &lookup, Op::Held::fresh);
        note.clear();
        let kept = Self::run(&self.id, &self.config, at, entry, item, &mut self.down);
        self.after(at.hash, kept);
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
        let info = StepInfo::new(&self.id, Op::KIND).takes::<Keyed<Q::Owned, A>>().emits::<B>();
        let info = info.keeps(<<Op::Held as Held>::State as Saved>::SCHEMA);
        to.step(info.saves(|| {
            let schema = <<Op::Held as Held>::State as Saved>::SCHEMA;
            StepSpec::keyed::<Q::Owned>("keyed state", Shape::from(schema))
                .migrates_with_time::<<Op::Held as Held>::State>()
        }));
        self.down.describe(to);
    }
}
