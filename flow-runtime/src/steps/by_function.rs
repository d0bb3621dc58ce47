//! `map`, `filter`, .. by any function or closure: the function is the step's configuration.

use crate::expiry::Ttl;
use crate::graph::{Kind, Operator};
use crate::operator::{
    ExpiringPlan, FilterFn, FilterPlan, Held, StatefulFn, StatefulPlan, StepFn, StepPlan,
};
use crate::stream::{Keyed, Token};

macro_rules! stateless {
    ($(
        $(#[$doc:meta])*
        $name:ident, $kind:ident, |$f:ident: $bound:ident -> $ret:ty, $item:ident, $emit:ident| $body:expr,
        $($extra:ident: $extra_bound:path)?;
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl $name {
            #[doc(hidden)]
            pub const OPERATOR: Operator = Operator::of(Kind::$kind);
            #[doc(hidden)]
            pub fn __check<U>(_: U) {}
            #[doc(hidden)]
            pub fn __post<U>(_: U) {}
            #[doc(hidden)]
            pub fn __wire<U, F, B $(, $extra)?>(_: U, f: F) -> (U::With<B>, StepPlan<$name, F, U, U::Item, B>)
            where
                U: Token,
                F: Fn(U::Item) -> $ret + 'static,
                B: 'static,
                $($extra: $extra_bound,)?
            {
                (Token::token(), StepPlan::new(f))
            }
        }

        impl<A, F, B $(, $extra)?> StepFn<A, F, B> for $name
        where
            F: Fn(A) -> $ret + 'static,
            $($extra: $extra_bound,)?
        {
            const KIND: &'static str = Kind::$kind.name();
            #[inline(always)]
            fn call($f: &F, $item: A, $emit: &mut impl FnMut(B)) {
                $body
            }
        }
    )*};
}

stateless! {
    /// `map(stream, f)`: `f` turns every item into one other.
    map, Map, |f: Fn -> B, item, emit| emit(f(item)), ;
    /// `filter_map(stream, f)`: `f` turns every item into one other or drops it.
    filter_map, FilterMap, |f: Fn -> Option<B>, item, emit| if let Some(out) = f(item) { emit(out) }, ;
    /// `flat_map(stream, f)`: `f` turns every item into any number of others.
    flat_map, FlatMap, |f: Fn -> I, item, emit| f(item).into_iter().for_each(emit), I: IntoIterator<Item = B>;
}

/// `filter(stream, f)`: lets the items pass for which `f` says true.
#[derive(Debug)]
pub enum filter {}

impl filter {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Filter);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token, F: Fn(&U::Item) -> bool + 'static>(
        _: U,
        f: F,
    ) -> (U::With<U::Item>, FilterPlan<filter, F, U, U::Item>) {
        (Token::token(), FilterPlan::new(f))
    }
}

impl<A, F: Fn(&A) -> bool + 'static> FilterFn<A, F> for filter {
    #[inline(always)]
    fn call(f: &F, item: &A) -> bool {
        f(item)
    }
}

macro_rules! stateful {
    ($(
        $(#[$doc:meta])*
        $name:ident, $kind:ident, -> $ret:ty, |$called:ident, $emit:ident| $body:expr,
        $($extra:ident: $extra_bound:path)?;
        $(#[$expiring_doc:meta])*
        $expiring:ident
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl $name {
            #[doc(hidden)]
            pub const OPERATOR: Operator = Operator::of(Kind::$kind);
            #[doc(hidden)]
            pub fn __check<U: IsKeyed>(_: U) {}
            #[doc(hidden)]
            pub fn __post<U>(_: U) {}
            #[doc(hidden)]
            pub fn __wire<U, V, F, B $(, $extra)?>(
                _: U,
                f: F,
            ) -> (Keyed<U::Key, B>, StatefulPlan<$name, V, U::Key, F, U::Item, B>)
            where
                U: Token,
                F: Fn(&mut V, &U::Key, U::Item) -> $ret + 'static,
                B: 'static,
                $($extra: $extra_bound,)?
            {
                (Token::token(), StatefulPlan::new(f))
            }
        }

        $(#[$expiring_doc])*
        #[derive(Debug)]
        pub enum $expiring {}

        impl $expiring {
            #[doc(hidden)]
            pub const OPERATOR: Operator = $name::OPERATOR;
            #[doc(hidden)]
            pub fn __check<U: IsKeyed>(_: U) {}
            #[doc(hidden)]
            pub fn __post<U>(_: U) {}
            #[doc(hidden)]
            pub fn __wire<U, V, F, B $(, $extra)?>(
                _: U,
                f: F,
                ttl: Ttl,
            ) -> (Keyed<U::Key, B>, ExpiringPlan<$name, V, U::Key, F, U::Item, B>)
            where
                U: Token,
                F: Fn(&mut V, &U::Key, U::Item) -> $ret + 'static,
                B: 'static,
                $($extra: $extra_bound,)?
            {
                (Token::token(), ExpiringPlan::new(f, ttl))
            }
        }

        impl<V, K, A, F, B $(, $extra)?> StatefulFn<V, K, A, F, B> for $name
        where
            V: Held,
            F: Fn(&mut V, &K, A) -> $ret + 'static,
            $($extra: $extra_bound,)?
        {
            type Held = V;
            const KIND: &'static str = Kind::$kind.name();
            #[inline(always)]
            fn call(f: &F, state: &mut V, key: &K, item: A, $emit: &mut impl FnMut(B)) {
                let $called = f(state, key, item);
                $body
            }
        }
    )*};
}

stateful! {
    /// `stateful_map(keyed, |state: &mut S, key, item| ..)`: one out for one in, with state per key.
    stateful_map, StatefulMap, -> B, |out, emit| emit(out), ;
    /// `expiring_map(keyed, |state: &mut S, key, item| .., ttl)`: [`stateful_map`] whose state is kept for the time of a [`Ttl`] after a key's last item.
    expiring_map
    /// `stateful_filter_map(keyed, |state: &mut S, key, item| ..)`: one or none out for one in, with state per key.
    stateful_filter_map, StatefulFilterMap, -> Option<B>, |out, emit| if let Some(out) = out { emit(out) }, ;
    /// `expiring_filter_map(keyed, |state: &mut S, key, item| .., ttl)`: [`stateful_filter_map`] whose state is kept for the time of a [`Ttl`] after a key's last item.
    expiring_filter_map
    /// `stateful_flat_map(keyed, |state: &mut S, key, item| ..)`: any number out for one in, with state per key.
    stateful_flat_map, StatefulFlatMap, -> I, |out, emit| out.into_iter().for_each(emit), I: IntoIterator<Item = B>;
    /// `expiring_flat_map(keyed, |state: &mut S, key, item| .., ttl)`: [`stateful_flat_map`] whose state is kept for the time of a [`Ttl`] after a key's last item.
    expiring_flat_map
}

/// A stream with a key, whatever it is.
#[diagnostic::on_unimplemented(
    message = "this step needs a keyed stream, but `{Self}` is given",
    label = "is `{Self}`",
    note = "put `let keyed = key_by(stream, |item| ..);` in front and pass `keyed`"
)]
pub trait IsKeyed {}
#[diagnostic::do_not_recommend]
impl<K, T> IsKeyed for Keyed<K, T> {}
