//! Steps with state per key that expires.
//!
//! They stand beside the steps whose state does not (`operator`), which so have nothing to ask per item.

use std::borrow::Borrow;
use std::marker::PhantomData;

use crate::bounds::Key;
use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::expiry::{Aged, AgedForm, Aging, Expiry, Ttl, shape_of};
use crate::failure::Note;
use crate::host::Host;
use crate::operator::{Held, StatefulFn, keep_as};
use crate::plan::Plan1;
use crate::recovery::manifest::StepSpec;
use crate::state::{EntryMut, InItem, Lent, Lookup, Saved, State, Table};
use crate::stream::Keyed;

/// The plan of a [`StatefulFn`] whose state expires.
#[derive(Debug)]
pub struct ExpiringPlan<Op, V, Q: ?Sized, C, A, B> {
    config: C,
    ttl: Ttl,
    types: PhantomData<(fn(Op, V, A) -> B, fn(&Q))>,
}

impl<Op, V, Q: ?Sized, C, A, B> ExpiringPlan<Op, V, Q, C, A, B> {
    /// The step with this configuration, and how long it keeps a key's state.
    pub fn new(config: C, ttl: Ttl) -> Self {
        ExpiringPlan { config, ttl, types: PhantomData }
    }
}

impl<H, Op, V, Q, C, A, B, D> Plan1<H, Keyed<Q::Owned, A>, (D,)> for ExpiringPlan<Op, V, Q, C, A, B>
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
        (Expiring::<Op, V, Q, C, A, B, D> {
            id,
            config: self.config,
            table: Table::new(),
            expiry: Expiry::new(self.ttl),
            down,
            types: PhantomData,
        },)
    }
}

struct Expiring<Op, V, Q, C, A, B, D>
where
    Op: StatefulFn<V, Q, A, C, B>,
    Q: ?Sized + ToOwned,
{
    id: StepId,
    config: C,
    table: Table<Q::Owned, Aged<Op::Held>>,
    expiry: Expiry,
    down: D,
    types: PhantomData<(fn(Op, V, A) -> B, fn(&Q))>,
}

impl<Op, V, Q, C, A, B, D> Expiring<Op, V, Q, C, A, B, D>
where
    Op: StatefulFn<V, Q, A, C, B>,
    V: 'static,
    Q: ?Sized + ToOwned + 'static,
    Q::Owned: Key,
    A: 'static,
    B: 'static,
    D: Consumer<Keyed<Q::Owned, B>>,
{
    /// The entry of an item's key, in which nothing is left that is over.
    #[inline(always)]
    fn entry<'a>(
        id: &StepId,
        table: &'a mut Table<Q::Owned, Aged<Op::Held>>,
        expiry: &mut Expiry,
        at: Place,
        lookup: &impl Lookup<Q::Owned>,
    ) -> EntryMut<'a, Q::Owned, Aged<Op::Held>> {
        let note = Note::beside(id);
        let time = expiry.time_of(at.time);
        let fresh = || Aged { at: time, held: Op::Held::fresh() };
        let EntryMut { key, state } = table.find_or_insert(at.hash, lookup, fresh);
        expiry.touch(state, time, Op::Held::fresh);
        note.clear();
        EntryMut { key, state }
    }

    /// Runs `item` against the entry of its key. Answers whether the state was taken away.
    #[inline(always)]
    fn run(
        id: &StepId,
        config: &C,
        Place { hash, time }: Place,
        EntryMut { key, state }: EntryMut<'_, Q::Owned, Aged<Op::Held>>,
        item: A,
        down: &mut D,
    ) -> bool {
        let note = Note::keyed(id, key);
        let emitted = note.emitted();
        Op::call(config, &mut state.held, key.borrow(), item, &mut move |out| {
            emitted.one();
            down.push(Head { hash, time, key }, out);
        });
        note.clear();
        state.held.is_gone()
    }
}

impl<Op, V, Q, C, A, B, D> Consumer<Keyed<Q::Owned, A>> for Expiring<Op, V, Q, C, A, B, D>
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
        let Expiring { id, config, table, expiry, down, .. } = self;
        let at = Place { hash: head.hash, time: head.time };
        let entry = Self::entry(id, table, expiry, at, &Lent(head.key));
        if Self::run(id, config, at, entry, item, down) {
            table.forget(at.hash);
        }
    }
    #[inline(always)]
    fn push_key_in_item<X: KeyInItem<Keyed<Q::Owned, A>>>(
        &mut self,
        at: Place,
        item: A,
        extract: &X,
    ) {
        let Expiring { id, config, table, expiry, down, .. } = self;
        let lookup = InItem::<Keyed<Q::Owned, A>, X>(&item, extract);
        let entry = Self::entry(id, table, expiry, at, &lookup);
        if Self::run(id, config, at, entry, item, down) {
            table.forget(at.hash);
        }
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let note = Note::beside(&self.id);
        self.table.expect(hashes.clone());
        note.clear();
        self.down.expect(hashes);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        let Expiring { id, table, expiry, .. } = self;
        expiry.hear(id, control);
        if let Signal::Barrier(_) = control.signal() {
            expiry.sweep(id, table, |aged| &mut aged.at, control);
        }
        keep_as(id, table, &AgedForm(expiry.aging()), control);
        self.down.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, Op::KIND).takes::<Keyed<Q::Owned, A>>().emits::<B>();
        let info = info.keeps(<<Op::Held as Held>::State as Saved>::SCHEMA);
        to.step(info.saves(spec_of::<Q::Owned, <Op::Held as Held>::State>(self.expiry.aging())));
        self.down.describe(to);
    }
}

/// What the log knows of a step by whose clock state ages like this.
fn spec_of<K: Key, S: State>(aging: Aging) -> fn() -> StepSpec {
    fn spec<K: Key, S: State>(aging: Aging) -> StepSpec {
        StepSpec::keyed::<K>("keyed state", shape_of::<S>(aging)).migrates_with_time::<S>()
    }
    match aging {
        Aging::Never => || spec::<K, S>(Aging::Never),
        Aging::ByProcessing => || spec::<K, S>(Aging::ByProcessing),
        Aging::ByEvent => || spec::<K, S>(Aging::ByEvent),
    }
}
