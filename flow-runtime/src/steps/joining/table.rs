//! `table_join` and `changelog_join`: the latest row by arrival.

use std::fmt;
use std::marker::PhantomData;

use flow_macros::stateful;

use crate::bounds::{CheckHeld, Item, Key, SameKey};
use crate::consumer::{Consumer, Head};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::plan::Plan2;
use crate::recovery::manifest::StepSpec;
use crate::state::{BySerde, Lent, Parted, Reader, Saved, Shape, Table};
use crate::steps::Either;
use crate::steps::by_function::IsKeyed;
use crate::steps::keeping::end_epoch;
use crate::steps::merging::{BothSides, both_sides};
use crate::stream::{Keyed, Token};

/// `let (matched, unmatched) = table_join(stream, rows)`: each item with the row of its key that has come last; items of keys without a row are
/// unmatched.
///
/// A row replaces the one before it. There is no event time in it: which row an item gets depends on what arrives first, so the result of a
/// run on the same input may differ. [`as_of_join`](enum@crate::steps::as_of_join) is the join that does not; `table_join` is for what
/// changes rarely, or where what is known at the moment counts. Items keep their event time, if they have one.
///
/// Rows are kept, in memory and in the log, for ever. Where they are taken away, [`changelog_join`] is the step.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn named(logins: Vec<(u32, String)>, names: Vec<(u32, String)>, out: Collect<(u32, (String, String))>) {
///     let all_names = source(from_iter(names));
///     let name_of = into_keyed(all_names);
///     let all_logins = source(from_iter(logins));
///     let logins_of = into_keyed(all_logins);
///     let (matched, unmatched) = table_join(logins_of, name_of);
///     discard(unmatched, "nobody knows who that is");
///     sink(matched, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, rows) = collect();
/// named(vec![(1, "shop".into())], vec![(1, "Ann".into())], out).spawn()?.wait()?;
/// // The login may have come first.
/// assert!(rows.sorted().iter().all(|(user, row)| (*user, row.1.as_str()) == (1, "Ann")));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum table_join {}

/// `let (matched, unmatched) = changelog_join(stream, changes)`: as [`table_join`], of a table whose rows can be taken away. A change is an
/// `Option`: `Some(row)` sets the row of the key, `None` takes it away, and the key is then forgotten.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// /// Whether a login is allowed: the last that is known of a user is a role, or that there is none any more.
/// #[dataflow]
/// fn checked(logins: Vec<(u32, String)>, roles: Vec<(u32, Option<String>)>, out: Collect<(u32, String)>) {
///     let all_roles = source(from_iter(roles));
///     let role_of = into_keyed(all_roles);
///     let all_logins = source(from_iter(logins));
///     let logins_of = into_keyed(all_logins);
///     let (matched, unmatched) = changelog_join(logins_of, role_of);
///     let pages = map(matched, |(page, role)| format!("{role} {page}"));
///     sink(pages, out);
///     discard(unmatched, "has no role");
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, pages) = collect();
/// checked(vec![(1, "shop".into())], vec![(1, None)], out).spawn()?.wait()?;
/// assert_eq!(pages.take(), []);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum changelog_join {}

impl table_join {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::TableJoin);
    #[doc(hidden)]
    pub fn __check<A, B, P: Default>(_: A, _: B) -> P
    where
        A: IsKeyed + Token,
        B: SameKey<A::Key> + Token<Item: CheckHeld<(), Passed = P>>,
    {
        P::default()
    }
    #[doc(hidden)]
    pub fn __wire<A: Token, B: Token>(
        _: A,
        _: B,
    ) -> (
        (Keyed<A::Key, (A::Item, B::Item)>, Keyed<A::Key, A::Item>),
        TableJoinPlan<A::Key, A::Item, B::Item, Replaced>,
    ) {
        ((Token::token(), Token::token()), TableJoinPlan(PhantomData))
    }
}

impl changelog_join {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::TableJoin);
    #[doc(hidden)]
    pub fn __check<A, B, P: Default>(_: A, _: B) -> P
    where
        A: IsKeyed + Token,
        B: SameKey<A::Key> + Token<Item: CheckHeld<(), Passed = P>>,
    {
        P::default()
    }
    #[doc(hidden)]
    pub fn __wire<A: Token, K: 'static, B: 'static>(
        _: A,
        _: Keyed<K, Option<B>>,
    ) -> (
        (Keyed<A::Key, (A::Item, B)>, Keyed<A::Key, A::Item>),
        TableJoinPlan<A::Key, A::Item, Option<B>, Changed>,
    ) {
        ((Token::token(), Token::token()), TableJoinPlan(PhantomData))
    }
}

/// What the table's side does to a row. Both have the same plan.
pub trait TableOf<C>: 'static {
    /// The row.
    type Row: 'static;
    /// The row that counts from now on.
    fn row(change: C) -> Option<Self::Row>;
}

/// Each row replaces the one before.
#[derive(Debug)]
pub enum Replaced {}

impl<B: 'static> TableOf<B> for Replaced {
    type Row = B;
    fn row(row: B) -> Option<B> {
        Some(row)
    }
}

/// Rows are set and taken away.
#[derive(Debug)]
pub enum Changed {}

impl<B: 'static> TableOf<Option<B>> for Changed {
    type Row = B;
    fn row(change: Option<B>) -> Option<B> {
        change
    }
}

/// The plan of [`table_join`] and of [`changelog_join`].
pub struct TableJoinPlan<K, A, C, T>(PhantomData<fn(K, A, C) -> T>);

impl<K, A, C, T> fmt::Debug for TableJoinPlan<K, A, C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TableJoinPlan")
    }
}

impl<H, K, A, C, T, D, U> Plan2<H, Keyed<K, A>, Keyed<K, C>, (D, U)> for TableJoinPlan<K, A, C, T>
where
    H: Host,
    K: Key,
    A: 'static,
    C: 'static,
    T: TableOf<C, Row: Item>,
    D: Consumer<Keyed<K, (A, T::Row)>>,
    U: Consumer<Keyed<K, A>>,
{
    #[allow(refining_impl_trait)] // The refinement is the seal.
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        (matched, unmatched): (D, U),
    ) -> BothSides<H, K, A, C> {
        let rows = Table::new();
        let joining = TableJoin::<K, T, T::Row, D, U> {
            id: id.clone(),
            rows,
            matched,
            unmatched,
            table: PhantomData,
        };
        both_sides::<H, K, A, C>(cx, id, joining)
    }
}

/// The row of a key.
#[stateful]
struct Row<B: Saved> {
    row: Option<B>,
}

impl<B: Saved> Parted for Row<B> {}

impl<B: Saved> Row<B> {
    fn is_gone(&self) -> bool {
        self.row.is_none()
    }
}

/// A join with a table, when it runs.
struct TableJoin<K, T, B: Item, D, U> {
    id: StepId,
    rows: Table<K, Row<BySerde<B>>>,
    matched: D,
    unmatched: U,
    table: PhantomData<fn() -> T>,
}

impl<K, A, C, T, B, D, U> Consumer<Keyed<K, Either<A, C>>> for TableJoin<K, T, B, D, U>
where
    K: Key,
    A: 'static,
    C: 'static,
    T: TableOf<C, Row = B>,
    B: Item,
    D: Consumer<Keyed<K, (A, B)>>,
    U: Consumer<Keyed<K, A>>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, K>, item: Either<A, C>) {
        let TableJoin { id, rows, matched, unmatched, .. } = self;
        let (hash, key) = (head.hash, head.key);
        let note = Note::keyed(id, key);
        match item {
            Either::Left(item) => {
                let row = rows.find(hash, &Lent(key)).and_then(|row| row.row.clone());
                note.emits();
                note.clear();
                match row {
                    Some(BySerde(row)) => matched.push(head, (item, row)),
                    None => unmatched.push(head, item),
                }
            }
            Either::Right(change) => {
                match T::row(change) {
                    Some(row) => {
                        let entry = rows.find_or_insert(hash, &Lent(key), || Row { row: None });
                        entry.state.row = Some(BySerde(row));
                    }
                    None => {
                        if let Some(entry) = rows.find_mut(hash, key) {
                            entry.row = None;
                            rows.forget(hash);
                        }
                    }
                }
                note.clear();
            }
        }
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let note = Note::beside(&self.id);
        self.rows.expect(hashes.clone());
        note.clear();
        self.matched.expect(hashes.clone());
        self.unmatched.expect(hashes);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        match control.signal() {
            Signal::Barrier(_) => {
                type Held<B> = Row<BySerde<B>>;
                let (schema, load) = (Held::<B>::SCHEMA, Held::<B>::load_all);
                end_epoch(
                    &self.id,
                    &mut self.rows,
                    control,
                    Row::is_gone,
                    schema,
                    Saved::save,
                    load,
                );
            }
            Signal::Restore => {
                type Held<B> = Row<BySerde<B>>;
                let load = <Held<B> as Saved>::load_all;
                if let Some(from) = control.restored()
                    && let Err(error) =
                        self.rows.restore_from(&self.id, &from, load, Reader::<Held<B>>::of)
                {
                    control.fail(error);
                }
            }
            _ => {}
        }
        self.matched.control(control);
        self.unmatched.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, Kind::TableJoin.name());
        let info = info.takes::<Keyed<K, Either<A, C>>>().emits::<(A, B)>();
        to.step(info.keeps(<BySerde<B> as Saved>::SCHEMA).saves(|| {
            let shape = Shape::from(Row::<BySerde<B>>::SCHEMA);
            StepSpec::keyed::<K>("table join", shape).migrates::<Row<BySerde<B>>>()
        }));
        self.matched.describe(to);
        self.unmatched.describe(to);
    }
}
