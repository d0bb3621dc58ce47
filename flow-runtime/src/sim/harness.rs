//! [`StepHarness`]: one stateful step by itself, with its state saved and restored as in a run.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;

use crate::bounds::Key;
use crate::operator::{Held, StatefulFn, load_held, save_held};
use crate::sim::one_step::OneStep;
use crate::state::{EntryMut, Lent, Table};

/// Drives one annotated stateful function in a test, without a dataflow around it: `count::harness()`, with the values of its
/// configuration if it has some. Every `#[stateful_map]`, `#[stateful_filter_map]` and `#[stateful_flat_map]` function has one.
///
/// The function itself can be called in a test like any other. The harness keeps its state by key, as the engine does, saves what has
/// changed at the end of an epoch, and restores it from these bytes after a crash, on any number of workers. So it finds what a state does
/// not save, and what a function keeps elsewhere.
///
/// ```
/// use flow_runtime::prelude::*;
///
/// #[stateful]
/// #[derive(Debug, Default, PartialEq)]
/// struct Count {
///     total: u64,
/// }
///
/// /// Every `nth` of a word.
/// #[stateful_filter_map]
/// fn every(count: &mut Count, word: &str, _item: String, nth: u64) -> Option<String> {
///     count.total += 1;
///     (count.total % nth == 0).then(|| format!("{word} {}", count.total))
/// }
///
/// let mut step = every::harness(2);
/// step.item("to", "to".to_owned());
/// step.item("be", "be".to_owned());
/// step.epoch(); // Committed.
/// step.item("to", "to".to_owned());
/// assert_eq!(step.emitted(), ["to 2"]);
///
/// step.crash_and_restore();
/// assert_eq!(step.state("to"), Some(&Count { total: 1 }), "as it was at the end of the epoch");
/// step.restore_on(3); // Workers.
/// step.item("to", "to".to_owned());
/// assert_eq!(step.emitted(), ["to 2"]);
/// ```
#[must_use = "a harness does nothing until it is given items"]
pub struct StepHarness<Op, V, Q, C, A, B>
where
    Op: StatefulFn<V, Q, A, C, B>,
    Q: ?Sized + ToOwned,
{
    /// What the log has of the step.
    step: OneStep,
    config: C,
    /// One for each worker.
    tables: Vec<Table<Q::Owned, Op::Held>>,
    emitted: Vec<B>,
    /// So many of these were emitted before the last epoch ended.
    committed: usize,
    types: PhantomData<(fn(Op, V, A) -> B, fn(&Q))>,
}

impl<Op, V, Q, C, A, B> fmt::Debug for StepHarness<Op, V, Q, C, A, B>
where
    Op: StatefulFn<V, Q, A, C, B>,
    Q: ?Sized + ToOwned,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepHarness").field("kind", &Op::KIND).finish_non_exhaustive()
    }
}

type StateOf<Op, V, Q, A, C, B> = <<Op as StatefulFn<V, Q, A, C, B>>::Held as Held>::State;

impl<Op, V, Q, C, A, B> StepHarness<Op, V, Q, C, A, B>
where
    Op: StatefulFn<V, Q, A, C, B>,
    Q: ?Sized + ToOwned + 'static,
    Q::Owned: Key,
{
    /// Called by what `#[stateful_map]` and its sisters write.
    #[doc(hidden)]
    pub fn __new(config: C) -> Self {
        let mut harness = StepHarness {
            step: OneStep::new(),
            config,
            tables: Vec::new(),
            emitted: Vec::new(),
            committed: 0,
            types: PhantomData,
        };
        harness.restore_on(1);
        harness
    }

    fn worker(&self, hash: u64) -> usize {
        self.step.worker(hash, self.tables.len())
    }

    /// Gives the step an item of this key.
    ///
    /// # Panics
    /// When the function does.
    pub fn item(&mut self, key: &Q, item: A) {
        let key = key.to_owned();
        let hash = self.step.hasher.hash(&key);
        let worker = self.worker(hash);
        let table = &mut self.tables[worker];
        let EntryMut { key, state } = table.find_or_insert(hash, &Lent(&key), Op::Held::fresh);
        let emitted = &mut self.emitted;
        Op::call(&self.config, state, key.borrow(), item, &mut |out| emitted.push(out));
        if state.is_gone() {
            table.forget(hash);
        }
    }

    /// Takes out what the step has emitted since this was last called.
    pub fn emitted(&mut self) -> Vec<B> {
        self.committed = 0;
        std::mem::take(&mut self.emitted)
    }

    /// The state of a key; `None` where there is none: no item has come, or the step has taken it away.
    pub fn state(&self, key: &Q) -> Option<&StateOf<Op, V, Q, A, C, B>> {
        let key = key.to_owned();
        let hash = self.step.hasher.hash(&key);
        self.tables[self.worker(hash)].find(hash, &Lent(&key))?.state()
    }

    /// The number of keys that have state.
    pub fn keys(&self) -> usize {
        let held = self.tables.iter().flat_map(Table::iter);
        held.filter(|(_, held)| !held.is_gone()).count()
    }

    /// Ends the epoch: what has changed is saved, and a crash leads back here. Answers how many entries were saved or taken away: one for each key that has
    /// changed, and one for each entry of its [maps](crate::state::MapState) and [lists](crate::state::ListState) that has.
    ///
    /// # Panics
    /// When a key cannot be encoded so that it can be decoded again; the run of a dataflow would end.
    pub fn epoch(&mut self) -> usize {
        let mut entries = 0;
        for table in &mut self.tables {
            let mut changes = self.step.changes();
            table.gather(&self.step.id, &mut changes, Op::Held::is_gone, save_held::<Op::Held>);
            table.end_epoch(Op::Held::is_gone);
            entries += self.step.save(changes);
        }
        self.committed = self.emitted.len();
        entries
    }

    /// Loses what was not saved, and restores what was, on the same number of workers. What was emitted since the end of the last epoch
    /// and not taken out is gone as well.
    ///
    /// # Panics
    /// When what was saved cannot be loaded; a start would be refused.
    pub fn crash_and_restore(&mut self) {
        self.restore_on(self.tables.len());
    }

    /// The same, on another number of workers, to each of which its keys go.
    ///
    /// # Panics
    /// As [`crash_and_restore`](StepHarness::crash_and_restore), and when there are to be no workers.
    pub fn restore_on(&mut self, workers: usize) {
        assert!(workers > 0, "a step cannot run on 0 workers");
        self.tables = (0..workers).map(|_| Table::new()).collect();
        self.tables.iter_mut().for_each(Table::saves);
        self.emitted.truncate(self.committed);
        let mut tables = Vec::from_iter(&mut self.tables);
        self.step.restore(&mut tables, load_held::<Op::Held>);
    }
}
