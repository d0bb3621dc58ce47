//! `dedupe`: the first item of each key.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::bounds::Key;
use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::error::{Error, ErrorKind};
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::plan::Plan1;
use crate::recovery::manifest::StepSpec;
use crate::state::{InItem, Lent, LoadError, Lookup, Reader, Saved, Shape, Table};
use crate::steps::by_function::IsKeyed;
use crate::stream::{Keyed, Token};
use crate::time::Timestamp;

/// How long state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    after: Option<Duration>,
}

impl Ttl {
    /// For ever.
    pub const fn never() -> Ttl {
        Ttl { after: None }
    }

    /// For this long by processing time.
    pub const fn processing_time(after: Duration) -> Ttl {
        Ttl { after: Some(after) }
    }
}

/// `dedupe(keyed, ttl)`: lets the first item of each key pass and drops the others, until the key's time to live is over.
/// That time runs from the item that passed.
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
        (Dedupe {
            id,
            ttl: self.ttl,
            now: Timestamp::MIN,
            swept: Timestamp::MIN,
            seen: Table::new(),
            down,
        },)
    }
}

struct Dedupe<K, D> {
    id: StepId,
    ttl: Ttl,
    now: Timestamp,
    swept: Timestamp,
    /// When the last item of the key passed.
    seen: Table<K, Timestamp>,
    down: D,
}

impl<K: Key, D> Dedupe<K, D> {
    #[inline(always)]
    fn passes(&mut self, hash: u64, key: &impl Lookup<K>) -> bool {
        let note = Note::of(&self.id);
        let now = self.now;
        // What is dropped changes nothing, so it must not be saved again.
        let is_over = |seen: &Timestamp| self.ttl.after.is_some_and(|ttl| now.since(*seen) >= ttl);
        let passes = self.seen.find(hash, key).is_none_or(is_over);
        if passes {
            *self.seen.find_or_insert(hash, key, || now).state = now;
            note.emits();
        }
        note.clear();
        passes
    }

    /// Forgets keys whose time is over: all at once, but no more often than the time to live.
    fn sweep(&mut self) -> Result<(), LoadError> {
        let (Some(ttl), now) = (self.ttl.after, self.now) else { return Ok(()) };
        if now.since(self.swept) >= ttl {
            self.swept = now;
            return self.seen.retain(|_, at| now.since(*at) < ttl);
        }
        Ok(())
    }
}

impl<K: Key, T: 'static, D: Consumer<Keyed<K, T>>> Consumer<Keyed<K, T>> for Dedupe<K, D> {
    #[inline(always)]
    fn push(&mut self, head: Head<'_, K>, item: T) {
        if self.passes(head.hash, &Lent(head.key)) {
            self.down.push(head, item);
        }
    }
    #[inline(always)]
    fn push_key_in_item<X: KeyInItem<Keyed<K, T>>>(&mut self, at: Place, item: T, extract: &X) {
        if self.passes(at.hash, &InItem::<Keyed<K, T>, X>(&item, extract)) {
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
        self.now = control.now();
        match control.signal() {
            Signal::Open { .. } if self.ttl.after.is_some() => control.use_time(),
            Signal::Barrier(_) => {
                if let Err(error) = self.sweep() {
                    let error = Error::new(ErrorKind::Encoding, error.to_string());
                    control.fail(error.at_step(&self.id));
                }
                if let Some(changes) = control.changes() {
                    self.seen.gather(&self.id, changes, |_| false, Saved::save);
                }
                self.seen.end_epoch(|_| false);
                control.keeps(&self.id, self.seen.len(), self.seen.bytes());
            }
            Signal::Restore => {
                if let Some(from) = control.restored()
                    && let Err(error) =
                        self.seen.restore_from(&self.id, &from, Timestamp::load_all, Reader::of)
                {
                    control.fail(error);
                }
            }
            _ => {}
        }
        self.down.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, Kind::Dedupe.name()).takes::<Keyed<K, T>>().emits::<T>();
        to.step(
            info.keeps(Timestamp::SCHEMA)
                .saves(|| StepSpec::keyed::<K>("dedupe", Shape::from(Timestamp::SCHEMA))),
        );
        self.down.describe(to);
    }
}
