//! `window_join`: the items of both sides that lie in one window.

use std::fmt;
use std::marker::PhantomData;

use flow_macros::stateful;

use crate::aggregate::Aggregate;
use crate::bounds::{CheckHeld, Item, Key, SameKey};
use crate::consumer::{Consumer, Head};
use crate::control::Control;
use crate::describe::{Describe, StepId};
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::joins::{Join, JoinKind};
use crate::plan::Plan2;
use crate::state::{BySerde, Saved};
use crate::steps::Either;
use crate::steps::by_function::IsKeyed;
use crate::steps::merging::{BothSides, both_sides};
use crate::steps::windowing::{Shown, Windowing};
use crate::stream::{Keyed, Token};
use crate::time::Timestamp;
use crate::windows::{WindowKind, Windowed};

/// `let (matched, unmatched, late) = window_join(left, right, kind, Join::inner())`: each left item of a key with each right item that lies
/// in the same window, in [`Tumbling`], [`Hopping`] or [`Session`] windows. Windows are those of [`window`](enum@crate::steps::window),
/// over the items of both sides.
///
/// [`Join`] says what becomes of an item whose window has nothing of the other side: `Join::inner()` leaves it to `unmatched`,
/// `Join::left()`, `Join::right()` and `Join::full()` count it as matched. What comes too late for its windows is the third stream.
///
/// A window fires all of its results at once, by the times of their items, when event time has come to its end. If it fires again, because
/// early results or allowed lateness were asked for, all of its results in both streams replace all of those of the pane before.
/// Items are held, in memory and in the log, as long as their windows.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// use std::time::Duration;
///
/// /// A user, a second, a page.
/// type Seen = (u32, i64, String);
///
/// /// Which advertisements were shown and clicked in one minute.
/// #[dataflow]
/// fn clicked(shown: Vec<Seen>, clicks: Vec<Seen>, out: Collect<(u32, String)>, ignored: Collect<(u32, String)>) {
///     let all_shown = source(from_iter(shown));
///     let timed_shown = event_time(all_shown, |seen| Timestamp::from_secs(seen.1), Disorder::none());
///     let shown_to = key_by(timed_shown, |seen| seen.0);
///     let all_clicks = source(from_iter(clicks));
///     let timed_clicks = event_time(all_clicks, |seen| Timestamp::from_secs(seen.1), Disorder::none());
///     let clicks_of = key_by(timed_clicks, |seen| seen.0);
///     let minute = Tumbling::of(Duration::from_secs(60));
///     let (matched, unmatched, late) = window_join(shown_to, clicks_of, minute, Join::inner());
///     discard(late, "nothing comes late here");
///     let pairs = map(matched, |pair| format!("{} {}", pair.value.0.2, pair.value.1.2));
///     sink(pairs, out);
///     let alone = map(unmatched, |alone| match alone.value {
///         Either::Left(shown) => format!("not clicked: {}", shown.2),
///         Either::Right(click) => format!("not shown: {}", click.2),
///     });
///     sink(alone, ignored);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let ((out, pairs), (ignored, alone)) = (collect(), collect());
/// let seen = |user, second, page: &str| (user, second, page.to_owned());
/// clicked(vec![seen(1, 5, "shoes"), seen(1, 65, "hats")], vec![seen(1, 20, "shop")], out, ignored).spawn()?.wait()?;
/// assert_eq!(pairs.take(), [(1, "shoes shop".to_owned())]);
/// assert_eq!(alone.take(), [(1, "not clicked: hats".to_owned())]);
/// # Ok(())
/// # }
/// ```
///
/// [`Tumbling`]: crate::windows::Tumbling
/// [`Hopping`]: crate::windows::Hopping
/// [`Session`]: crate::windows::Session
#[derive(Debug)]
pub enum window_join {}

impl window_join {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Join);
    #[doc(hidden)]
    pub fn __check<A, B, P, Q: Default>(_: A, _: B) -> Q
    where
        A: IsKeyed + Token<Item: CheckHeld<(), Passed = P>>,
        B: SameKey<A::Key> + Token<Item: CheckHeld<P, Passed = Q>>,
    {
        Q::default()
    }
    #[doc(hidden)]
    pub fn __wire<A: Token, B: Token, W: WindowKind, J: JoinKind<A::Item, B::Item>>(
        _: A,
        _: B,
        kind: W,
        _: Join<J>,
    ) -> (
        (
            Keyed<A::Key, Windowed<J::Matched>>,
            Keyed<A::Key, Windowed<J::Unmatched>>,
            Keyed<A::Key, Either<A::Item, B::Item>>,
        ),
        WindowJoinPlan<A::Key, A::Item, B::Item, W, J>,
    ) {
        let plan = WindowJoinPlan { kind, types: PhantomData };
        ((Token::token(), Token::token(), Token::token()), plan)
    }
}

/// The plan of [`window_join`].
pub struct WindowJoinPlan<K, A, B, W, J> {
    kind: W,
    types: PhantomData<fn(K, A, B) -> J>,
}

impl<K, A, B, W, J> fmt::Debug for WindowJoinPlan<K, A, B, W, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WindowJoinPlan")
    }
}

impl<H, K, A, B, W, J, D, U, L> Plan2<H, Keyed<K, A>, Keyed<K, B>, (D, U, L)>
    for WindowJoinPlan<K, A, B, W, J>
where
    H: Host,
    K: Key,
    A: Item,
    B: Item,
    W: WindowKind,
    J: JoinKind<A, B>,
    D: Consumer<Keyed<K, Windowed<J::Matched>>>,
    U: Consumer<Keyed<K, Windowed<J::Unmatched>>>,
    L: Consumer<Keyed<K, Either<A, B>>>,
{
    #[allow(refining_impl_trait)] // The refinement is the seal.
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        (matched, unmatched, late): (D, U, L),
    ) -> BothSides<H, K, A, B> {
        let shown = Shown::step::<J::Matched>(Kind::Join);
        let pairing = Pairing::<J, D, U> { id: id.clone(), matched, unmatched, kind: PhantomData };
        let windows = Windowing::<K, _, W::Windows, Sides, _, L>::new(
            id.clone(),
            shown,
            &self.kind,
            Sides,
            pairing,
            late,
        );
        both_sides::<H, K, A, B>(cx, id, windows)
    }
}

/// Gathers the items of both sides, by their time; those of one time as they came.
struct Sides;

/// What was gathered, with the items' times.
#[stateful]
struct Gathered<A: Saved, B: Saved> {
    left: Vec<(Timestamp, A)>,
    right: Vec<(Timestamp, B)>,
}

/// What was gathered, as items are held.
type Both<A, B> = Gathered<BySerde<A>, BySerde<B>>;

/// An item with its time.
type Timed<T> = (Timestamp, BySerde<T>);

fn insert<T>(items: &mut Vec<Timed<T>>, at: Timestamp, item: T) {
    let place = match items.last() {
        Some(last) if last.0 > at => items.partition_point(|other| other.0 <= at),
        _ => items.len(),
    };
    items.insert(place, (at, BySerde(item)));
}

fn append<T: Clone>(items: &mut Vec<Timed<T>>, others: &[Timed<T>]) {
    items.extend_from_slice(others);
    // Stable, and quick where two lists that are in order follow one another.
    items.sort_by_key(|item| item.0);
}

impl<A: Item, B: Item> Aggregate<Either<A, B>> for Sides {
    type State = Both<A, B>;
    type Out = (Vec<A>, Vec<B>);
    fn begin(&self) -> Both<A, B> {
        Gathered { left: Vec::new(), right: Vec::new() }
    }
    #[inline]
    fn add(&self, gathered: &mut Both<A, B>, item: Either<A, B>, at: Timestamp) {
        match item {
            Either::Left(item) => insert(&mut gathered.left, at, item),
            Either::Right(item) => insert(&mut gathered.right, at, item),
        }
    }
    fn merge(&self, gathered: &mut Both<A, B>, other: &Both<A, B>) {
        append(&mut gathered.left, &other.left);
        append(&mut gathered.right, &other.right);
    }
    fn finish(&self, gathered: &Both<A, B>) -> (Vec<A>, Vec<B>) {
        let left = gathered.left.iter().map(|(_, BySerde(item))| item.clone()).collect();
        let right = gathered.right.iter().map(|(_, BySerde(item))| item.clone()).collect();
        (left, right)
    }
    fn finish_last(&self, Gathered { left, right }: Both<A, B>) -> (Vec<A>, Vec<B>) {
        let left = left.into_iter().map(|(_, BySerde(item))| item).collect();
        let right = right.into_iter().map(|(_, BySerde(item))| item).collect();
        (left, right)
    }
}

/// Makes pairs of what a window has gathered.
struct Pairing<J, D, U> {
    id: StepId,
    matched: D,
    unmatched: U,
    kind: PhantomData<fn() -> J>,
}

impl<K, A, B, J, D, U> Consumer<Keyed<K, Windowed<(Vec<A>, Vec<B>)>>> for Pairing<J, D, U>
where
    K: Key,
    A: Item,
    B: Item,
    J: JoinKind<A, B>,
    D: Consumer<Keyed<K, Windowed<J::Matched>>>,
    U: Consumer<Keyed<K, Windowed<J::Unmatched>>>,
{
    fn push(&mut self, head: Head<'_, K>, result: Windowed<(Vec<A>, Vec<B>)>) {
        let Pairing { id, matched, unmatched, .. } = self;
        let (window, (left, right)) = result.apart();
        // The window has counted one.
        let mut others = false;
        let mut count = || {
            if std::mem::replace(&mut others, true) {
                id.counted().emits();
            }
        };
        for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (a, b))) {
            count();
            matched.push(head, window.clone().with(|()| J::pair(a.clone(), b.clone())));
        }
        if !left.is_empty() && !right.is_empty() {
            return;
        }
        let left = left.into_iter().map(J::left_alone);
        for alone in left.chain(right.into_iter().map(J::right_alone)) {
            count();
            match alone {
                Ok(item) => matched.push(head, window.clone().with(|()| item)),
                Err(item) => unmatched.push(head, window.clone().with(|()| item)),
            }
        }
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.matched.control(control);
        self.unmatched.control(control);
    }
    /// The windows have described the step.
    fn describe(&self, to: &mut dyn Describe) {
        self.matched.describe(to);
        self.unmatched.describe(to);
    }
}
