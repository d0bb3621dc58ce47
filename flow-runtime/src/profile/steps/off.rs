//! Steps are neither counted nor timed.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::engine::meter::Account;
use crate::env::Env;
use crate::profile::steps::Steps;

/// A step's counters: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Counted;

/// What the worker was at before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outer;

impl Counted {
    pub(crate) fn new(_: &Arc<str>) -> Self {
        Counted
    }
    pub(crate) fn apart(&self) -> Self {
        Counted
    }
    #[inline(always)]
    pub(crate) fn takes(&self) {}
    #[inline(always)]
    pub(crate) fn emits(&self) {}
    #[inline(always)]
    pub(crate) fn emitted(&self) -> Emitted<'_> {
        Emitted(PhantomData)
    }
    #[inline(always)]
    pub(crate) fn enter(&self) -> Outer {
        Outer
    }
    #[inline(always)]
    pub(crate) fn leave(&self, _: Outer) {}
}

/// A step's counter of what it emits: none. It takes no room in a closure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Emitted<'a>(PhantomData<&'a Counted>);

impl Emitted<'_> {
    #[inline(always)]
    pub(crate) fn one(self) {}
}

/// A worker that is not looked at.
#[derive(Debug)]
pub(crate) struct Watched;

impl Watched {
    pub(crate) fn begin(&self) {}
    pub(crate) fn set(&self, _: Account) -> Outer {
        Outer
    }
    pub(crate) fn set_back(&self, _: Outer) {}
    pub(crate) fn end(&self) -> Steps {
        Steps::default()
    }
}

/// Nobody looks.
#[derive(Debug, Default)]
pub(crate) struct Watching(());

impl Watching {
    pub(crate) fn watch(&self) -> Watched {
        Watched
    }
    /// Answers whether it looks at all.
    pub(crate) fn look(&self, _: &dyn Env) -> bool {
        false
    }
    pub(crate) fn stop(&self) {}
}
