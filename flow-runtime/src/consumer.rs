//! Consumers: where items go.
//!
//! A stage is one value: consumers nested in one another, each owning what lies downstream of it, its state
//! and its timers. An item runs through it as nested, inlined calls; nothing is boxed and nothing is queued.
//!
//! Three things travel through a stage, all from upstream to downstream:
//!
//! * an item, by [`Consumer::push`], with its [`Head`]: the key and the hash that was computed once;
//! * a signal, by [`Consumer::control`]: each consumer acts on it first, may push, and then forwards it;
//! * a description, by [`Consumer::describe`].

use std::any::Any;
use std::marker::PhantomData;

use crate::control::Control;
use crate::describe::Describe;
use crate::stream::{NoKey, Token};
use crate::time::Timestamp;

/// What an item of a keyed stream carries beside itself. It is `Copy` and lives in registers.
#[derive(Debug)]
pub struct Head<'a, K> {
    /// The hash of the key's serialised form; 0 without a key. It decides the worker, the key group and
    /// the place in the table, and is never computed again.
    pub hash: u64,
    /// When the item happened, as `event_time` has told; [`Timestamp::MIN`] where nobody has.
    pub time: Timestamp,
    /// The key, lent: by the batch that it arrived in, or by the table that owns it.
    pub key: &'a K,
}

impl<K> Clone for Head<'_, K> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Head<'_, K> {}

impl Head<'static, NoKey> {
    /// The head of an item without a key and without a time.
    pub const NONE: Head<'static, NoKey> = Head::at(Timestamp::MIN);

    /// The head of an item without a key.
    #[inline(always)]
    pub const fn at(time: Timestamp) -> Head<'static, NoKey> {
        Head { hash: 0, time, key: &NoKey }
    }
}

/// A [`Head`] without the key.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The hash of the key.
    pub hash: u64,
    /// When the item happened.
    pub time: Timestamp,
}

/// Reads the key of an item out of the item itself, so that it need not be stored twice or cloned to be
/// looked up. This is how `key_by_ref` hands its items on.
pub trait KeyInItem<S: Token> {
    /// Whether the item's key is `key`.
    fn is(&self, key: &S::Key, item: &S::Item) -> bool;
    /// The key, owned.
    fn to_key(&self, item: &S::Item) -> S::Key;
}

/// A step, or a sending end: takes the items of one stream.
pub trait Consumer<S: Token>: 'static {
    /// Takes one item.
    fn push(&mut self, head: Head<'_, S::Key>, item: S::Item);

    /// Takes one item whose key still lies in the item.
    ///
    /// A consumer that does not look a key up itself need not care: the key is cloned and lent.
    #[inline]
    fn push_key_in_item<X: KeyInItem<S>>(&mut self, at: Place, item: S::Item, extract: &X) {
        let key = extract.to_key(&item);
        self.push(Head { hash: at.hash, time: at.time, key: &key }, item);
    }

    /// Items with keys of these hashes come next, unless a step drops them on the way. A consumer that looks keys up brings
    /// their entries into the cache, all at once: what is waited for one by one is most of what a large table costs. Only for
    /// speed.
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let _ = hashes;
    }

    /// Acts on a signal, then forwards it downstream.
    fn control(&mut self, control: &mut Control<'_>);

    /// Names this step and what follows it in the same stage.
    fn describe(&self, to: &mut dyn Describe);
}

/// Joins a producer's stream type to its consumer's.
///
/// The wiring has been checked on tokens before; here a mismatch must not be reported a second time. The types
/// are therefore compared when the program is compiled to machine code, where equal ones fold away.
#[derive(Debug)]
pub struct Edge<A, B, C> {
    to: C,
    types: PhantomData<fn(A) -> B>,
}

impl<A: Token, B: Token, C: Consumer<B>> Edge<A, B, C> {
    /// Lets `to` consume a stream of type `A`.
    pub fn new(_: A, to: C) -> Self {
        Edge { to, types: PhantomData }
    }
}

/// Moves a value between two types that are the same type.
#[inline(always)]
fn same<A: 'static, B: 'static>(value: A) -> B {
    let mut slot = Some(value);
    (&mut slot as &mut dyn Any)
        .downcast_mut::<Option<B>>()
        .and_then(Option::take)
        .expect("both ends of an edge were checked to have one type")
}

/// The same for a borrow.
#[inline(always)]
fn same_ref<A: 'static, B: 'static>(value: &A) -> &B {
    (value as &dyn Any)
        .downcast_ref::<B>()
        .expect("both ends of an edge were checked to have one type")
}

struct EdgeKey<'a, A, X>(&'a X, PhantomData<fn(A)>);

impl<A: Token, B: Token, X: KeyInItem<A>> KeyInItem<B> for EdgeKey<'_, A, X> {
    #[inline(always)]
    fn is(&self, key: &B::Key, item: &B::Item) -> bool {
        self.0.is(same_ref(key), same_ref(item))
    }
    #[inline(always)]
    fn to_key(&self, item: &B::Item) -> B::Key {
        same::<A::Key, B::Key>(self.0.to_key(same_ref(item)))
    }
}

impl<A: Token, B: Token, C: Consumer<B>> Consumer<A> for Edge<A, B, C> {
    #[inline(always)]
    fn push(&mut self, head: Head<'_, A::Key>, item: A::Item) {
        let Head { hash, time, key } = head;
        self.to.push(Head { hash, time, key: same_ref(key) }, same(item));
    }
    #[inline(always)]
    fn push_key_in_item<X: KeyInItem<A>>(&mut self, at: Place, item: A::Item, extract: &X) {
        self.to.push_key_in_item(at, same(item), &EdgeKey::<A, X>(extract, PhantomData));
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        self.to.expect(hashes);
    }
    #[inline]
    fn control(&mut self, control: &mut Control<'_>) {
        self.to.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.to.describe(to);
    }
}

/// Fan-out: one stream used by two steps.
///
/// The copy is made by a closure that the macro writes: `Clone` is then an obligation of that closure alone,
/// reported once and at the second use.
#[derive(Debug)]
pub struct Tee<S, A, B, F> {
    first: A,
    second: B,
    duplicate: F,
    stream: PhantomData<fn(S)>,
}

impl<S: Token, A: Consumer<S>, B: Consumer<S>, F: Fn(&S::Item) -> S::Item + 'static>
    Tee<S, A, B, F>
{
    /// Sends a copy to `first`, then the item to `second`.
    pub fn new(_: S, first: A, second: B, duplicate: F) -> Self {
        Tee { first, second, duplicate, stream: PhantomData }
    }
}

impl<S, A, B, F> Consumer<S> for Tee<S, A, B, F>
where
    S: Token,
    A: Consumer<S>,
    B: Consumer<S>,
    F: Fn(&S::Item) -> S::Item + 'static,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, S::Key>, item: S::Item) {
        self.first.push(head, (self.duplicate)(&item));
        self.second.push(head, item);
    }
    #[inline(always)]
    fn push_key_in_item<X: KeyInItem<S>>(&mut self, at: Place, item: S::Item, extract: &X) {
        self.first.push_key_in_item(at, (self.duplicate)(&item), extract);
        self.second.push_key_in_item(at, item, extract);
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        self.first.expect(hashes.clone());
        self.second.expect(hashes);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.first.control(control);
        self.second.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.first.describe(to);
        self.second.describe(to);
    }
}
