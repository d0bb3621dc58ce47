//! Stream tokens: the zero-size values that the body of a `#[dataflow]` is type-checked on.
//!
//! No item ever travels through a token. They carry types only, so that rustc infers and checks the
//! wiring as the user wrote it; what runs is assembled from [`Consumer`](crate::consumer::Consumer)s.

use std::cell::{Ref, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A stream of `T` that is not partitioned by a key.
pub struct Stream<T>(PhantomData<fn() -> T>);

/// A stream of `T` partitioned by a key of type `K`: all items of one key are on one worker, in order.
pub struct Keyed<K, T>(PhantomData<fn() -> (K, T)>);

impl<T> Clone for Stream<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Stream<T> {}
impl<K, T> Clone for Keyed<K, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, T> Copy for Keyed<K, T> {}

impl<T> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream<{}>", std::any::type_name::<T>())
    }
}
impl<K, T> fmt::Debug for Keyed<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyed<{}, {}>", std::any::type_name::<K>(), std::any::type_name::<T>())
    }
}

/// The key of a stream that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKey;

/// What [`Stream`] and [`Keyed`] have in common: the types of what they carry.
///
/// A consumer is written once for both: an item of a plain stream has the key [`NoKey`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stream",
    label = "expected a stream here",
    note = "only names bound from `source(..)` or from another step can be wired"
)]
pub trait Token: Copy + 'static {
    /// The key, or [`NoKey`].
    type Key: 'static;
    /// The item.
    type Item: 'static;
    /// The same kind of stream, with the same key and other items.
    type With<B: 'static>: Token<Key = Self::Key, Item = B>;
    /// Whether items have a key.
    const KEYED: bool;
    /// Makes the token.
    fn token() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: 'static> Token for Stream<T> {
    type Key = NoKey;
    type Item = T;
    type With<B: 'static> = Stream<B>;
    const KEYED: bool = false;
    fn token() -> Self {
        Stream(PhantomData)
    }
}

#[diagnostic::do_not_recommend]
impl<K: 'static, T: 'static> Token for Keyed<K, T> {
    type Key = K;
    type Item = T;
    type With<B: 'static> = Keyed<K, B>;
    const KEYED: bool = true;
    fn token() -> Self {
        Keyed(PhantomData)
    }
}

/// A value that every worker holds a copy of and that a stream of changes keeps up to date.
///
/// Made by the step `broadcast(changes, fold)`; any step's `&C` parameter accepts a `Broadcast<C>`.
/// Unlike the other tokens it is a handle of the worker's own copy: the body of a dataflow runs once
/// on each worker.
pub struct Broadcast<S> {
    copy: Rc<RefCell<S>>,
}

impl<S> Clone for Broadcast<S> {
    fn clone(&self) -> Self {
        Broadcast { copy: Rc::clone(&self.copy) }
    }
}

impl<S> fmt::Debug for Broadcast<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broadcast<{}>", std::any::type_name::<S>())
    }
}

/// One more handle of a value, as a step is given it.
pub fn handle<S>(value: &Broadcast<S>) -> Broadcast<S> {
    value.clone()
}

impl<S> Broadcast<S> {
    pub(crate) fn new(initial: S) -> Self {
        Broadcast { copy: Rc::new(RefCell::new(initial)) }
    }

    /// Whether no step is reading the copy at this moment.
    pub(crate) fn is_free(&self) -> bool {
        self.copy.try_borrow_mut().is_ok()
    }

    /// Looks at this worker's copy.
    pub(crate) fn look<R>(&self, at: impl FnOnce(&S) -> R) -> R {
        at(&self.copy.borrow())
    }

    /// Changes this worker's copy.
    pub(crate) fn change(&self, with: impl FnOnce(&mut S)) {
        with(&mut self.copy.borrow_mut());
    }
}

/// A value given where a step is wired: a plain value, or a [`Broadcast`] of it.
#[diagnostic::on_unimplemented(
    message = "this step's configuration needs a `{C}`, but `{Self}` is given",
    label = "expected `{C}` or `Broadcast<{C}>`",
    note = "parameters after the item are configuration, given where the step is wired"
)]
pub trait ConfigArg<C: ?Sized> {
    /// How the step holds it.
    type Slot: Slot<C>;
    /// Turns the argument into what the step holds.
    fn slot(self) -> Self::Slot;
}

/// How a step holds one configuration value.
pub trait Slot<C: ?Sized>: 'static {
    /// A borrow of the value.
    type Guard<'a>: Deref<Target = C>
    where
        Self: 'a,
        C: 'a;
    /// Borrows the value for the time of one call.
    fn get(&self) -> Self::Guard<'_>;
}

/// A configuration value that never changes.
#[derive(Debug)]
pub struct Fixed<C>(C);

impl<C: 'static> Slot<C> for Fixed<C> {
    type Guard<'a> = &'a C;
    #[inline(always)]
    fn get(&self) -> &C {
        &self.0
    }
}

#[diagnostic::do_not_recommend]
impl<C: 'static> ConfigArg<C> for C {
    type Slot = Fixed<C>;
    fn slot(self) -> Fixed<C> {
        Fixed(self)
    }
}

impl<C: 'static> Slot<C> for Broadcast<C> {
    type Guard<'a> = Ref<'a, C>;
    #[inline(always)]
    fn get(&self) -> Ref<'_, C> {
        self.copy.borrow()
    }
}

#[diagnostic::do_not_recommend]
impl<C: 'static> ConfigArg<C> for Broadcast<C> {
    type Slot = Broadcast<C>;
    fn slot(self) -> Broadcast<C> {
        self
    }
}

/// How an asynchronous step holds one configuration value: its futures outlive a call, so what may change meanwhile is copied when an attempt
/// begins.
pub trait TakenSlot<C: ?Sized>: Slot<C> {
    /// What an attempt takes along.
    type Taken: 'static;
    /// Takes it.
    fn take(&self) -> Self::Taken;
    /// The value, as the attempt sees it.
    fn seen<'a>(&'a self, taken: &'a Self::Taken) -> &'a C;
}

impl<C: 'static> TakenSlot<C> for Fixed<C> {
    type Taken = ();
    fn take(&self) {}
    fn seen<'a>(&'a self, (): &'a ()) -> &'a C {
        &self.0
    }
}

impl<C: Snapshot> TakenSlot<C> for Broadcast<C> {
    type Taken = C;
    fn take(&self) -> C {
        self.look(C::snapshot)
    }
    fn seen<'a>(&'a self, taken: &'a C) -> &'a C {
        taken
    }
}

/// What an attempt of an asynchronous step takes along of a [`Broadcast`].
#[diagnostic::on_unimplemented(
    message = "an asynchronous step works with a copy of a broadcast value as it is when an attempt begins, so it must be `Clone`; `{Self}` is not",
    label = "not `Clone`",
    note = "derive `Clone` for `{Self}`, or keep what is large in it behind an `Arc`"
)]
pub trait Snapshot: 'static {
    /// The copy.
    fn snapshot(&self) -> Self;
}
#[diagnostic::do_not_recommend]
impl<T: Clone + 'static> Snapshot for T {
    fn snapshot(&self) -> T {
        self.clone()
    }
}

/// A parameter `&str` is given a `String`, a `&'static str` or a `Broadcast<String>`; the same for slices and paths.
macro_rules! borrowed {
    ($($view:ty: $owned:ty $(, [$($generic:tt)*])?;)*) => {$(
        impl$(<$($generic)*>)? Slot<$view> for Fixed<$owned> {
            type Guard<'a> = &'a $view;
            #[inline(always)]
            fn get(&self) -> &$view {
                &self.0
            }
        }
        #[diagnostic::do_not_recommend]
        impl$(<$($generic)*>)? ConfigArg<$view> for $owned {
            type Slot = Fixed<$owned>;
            fn slot(self) -> Fixed<$owned> {
                Fixed(self)
            }
        }
        impl$(<$($generic)*>)? Slot<$view> for Fixed<&'static $view> {
            type Guard<'a> = &'a $view;
            #[inline(always)]
            fn get(&self) -> &$view {
                self.0
            }
        }
        #[diagnostic::do_not_recommend]
        impl$(<$($generic)*>)? ConfigArg<$view> for &'static $view {
            type Slot = Fixed<&'static $view>;
            fn slot(self) -> Fixed<&'static $view> {
                Fixed(self)
            }
        }
        impl$(<$($generic)*>)? Slot<$view> for Broadcast<$owned> {
            type Guard<'a> = Ref<'a, $view>;
            #[inline(always)]
            fn get(&self) -> Ref<'_, $view> {
                Ref::map(self.copy.borrow(), |owned| &**owned)
            }
        }
        impl$(<$($generic)*>)? TakenSlot<$view> for Fixed<$owned> {
            type Taken = ();
            fn take(&self) {}
            fn seen<'a>(&'a self, (): &'a ()) -> &'a $view {
                &self.0
            }
        }
        impl$(<$($generic)*>)? TakenSlot<$view> for Fixed<&'static $view> {
            type Taken = ();
            fn take(&self) {}
            fn seen<'a>(&'a self, (): &'a ()) -> &'a $view {
                self.0
            }
        }
        impl$(<$($generic)*>)? TakenSlot<$view> for Broadcast<$owned>
        where
            $owned: Snapshot,
        {
            type Taken = $owned;
            fn take(&self) -> $owned {
                self.look(Snapshot::snapshot)
            }
            fn seen<'a>(&'a self, taken: &'a $owned) -> &'a $view {
                taken
            }
        }
        #[diagnostic::do_not_recommend]
        impl$(<$($generic)*>)? ConfigArg<$view> for Broadcast<$owned> {
            type Slot = Broadcast<$owned>;
            fn slot(self) -> Broadcast<$owned> {
                self
            }
        }
    )*};
}
borrowed! {
    str: String;
    Path: PathBuf;
    [T]: Vec<T>, [T: 'static];
}
