//! `for_each`: a sink that calls a function with every item.

use std::fmt;
use std::marker::PhantomData;

use crate::error::Error;
use crate::io::collect::{NoWriter, direct_sink};
use crate::io::{Encoder, Io, PartitionId, Resume, Sink, delivery};
use crate::stream::{Keyed, NoKey, Stream};

/// A sink that calls a function with every item, on the worker that has the item. A keyed stream arrives as `(key, item)`, for
/// which the key is cloned; [`for_each_keyed`] lends it.
///
/// Each worker calls its own clone of the function. It is called at once, not at the end of an epoch: after a crash again for
/// items of the epoch that was not committed. It should not block; a panic ends the run with an error that names the step.
///
/// ```
/// use flow_runtime::io::for_each;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// let total = Arc::new(AtomicU64::new(0));
/// let sink = for_each({
///     let total = Arc::clone(&total);
///     move |n: u64| {
///         total.fetch_add(n, Ordering::Relaxed);
///     }
/// });
/// # let _ = sink;
/// ```
pub fn for_each<T, F: FnMut(T) + Clone + Send + 'static>(f: F) -> ForEach<T, F> {
    ForEach { f, items: PhantomData }
}

/// A sink that calls a function with the key and the item of every item of a keyed stream, on the worker that has it. Else as
/// [`for_each`].
///
/// ```
/// use flow_runtime::io::for_each_keyed;
///
/// let sink = for_each_keyed(|word: &String, count: u64| assert!(count > 0, "{word}"));
/// # let _ = sink;
/// ```
pub fn for_each_keyed<K, T, F>(f: F) -> ForEachKeyed<K, T, F>
where
    F: FnMut(&K, T) + Clone + Send + 'static,
{
    ForEachKeyed { f, items: PhantomData }
}

/// The sink that [`for_each`] makes.
#[must_use = "a sink does nothing until it is wired by `sink(stream, ..)`"]
pub struct ForEach<T, F> {
    f: F,
    items: PhantomData<fn(T)>,
}

/// The sink that [`for_each_keyed`] makes.
#[must_use = "a sink does nothing until it is wired by `sink(stream, ..)`"]
pub struct ForEachKeyed<K, T, F> {
    f: F,
    items: PhantomData<fn(K, T)>,
}

impl<T, F: Clone> Clone for ForEach<T, F> {
    fn clone(&self) -> Self {
        ForEach { f: self.f.clone(), items: PhantomData }
    }
}

impl<K, T, F: Clone> Clone for ForEachKeyed<K, T, F> {
    fn clone(&self) -> Self {
        ForEachKeyed { f: self.f.clone(), items: PhantomData }
    }
}

impl<T, F> fmt::Debug for ForEach<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForEach")
    }
}

impl<K, T, F> fmt::Debug for ForEachKeyed<K, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForEachKeyed")
    }
}

direct_sink!([T: 'static, F: FnMut(T) + Clone + Send + 'static] Stream<T>, ForEach<T, F>);
direct_sink!(
    [K: Clone + 'static, T: 'static, F: FnMut((K, T)) + Clone + Send + 'static]
    Keyed<K, T>, ForEach<(K, T), F>
);
direct_sink!(
    [K: 'static, T: 'static, F: FnMut(&K, T) + Clone + Send + 'static]
    Keyed<K, T>, ForEachKeyed<K, T, F>
);

impl<T: 'static, F: FnMut(T) + 'static> Encoder<Stream<T>> for ForEach<T, F> {
    type Block = ();
    const DIRECT: bool = true;
    #[inline(always)]
    fn encode(&mut self, _: &NoKey, item: T, (): &mut ()) -> Result<usize, Error> {
        (self.f)(item);
        Ok(0)
    }
}

impl<K, T, F> Encoder<Keyed<K, T>> for ForEach<(K, T), F>
where
    K: Clone + 'static,
    T: 'static,
    F: FnMut((K, T)) + 'static,
{
    type Block = ();
    const DIRECT: bool = true;
    #[inline(always)]
    fn encode(&mut self, key: &K, item: T, (): &mut ()) -> Result<usize, Error> {
        (self.f)((key.clone(), item));
        Ok(0)
    }
}

impl<K, T, F> Encoder<Keyed<K, T>> for ForEachKeyed<K, T, F>
where
    K: 'static,
    T: 'static,
    F: FnMut(&K, T) + 'static,
{
    type Block = ();
    const DIRECT: bool = true;
    #[inline(always)]
    fn encode(&mut self, key: &K, item: T, (): &mut ()) -> Result<usize, Error> {
        (self.f)(key, item);
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn every_worker_calls_its_own_clone() {
        let (to, from) = channel();
        let mut calls = 0;
        let sink = for_each(move |n: i32| {
            calls += 1;
            to.send((n, calls)).expect("the test listens");
        });
        let mut workers =
            [Sink::<Stream<i32>>::encoder(&sink), Sink::<Stream<i32>>::encoder(&sink)];
        for (worker, n) in [(0, 10), (0, 11), (1, 12)] {
            let size = Encoder::<Stream<i32>>::encode(&mut workers[worker], &NoKey, n, &mut ());
            assert_eq!(size.ok(), Some(0), "nothing is left to be sent");
        }
        drop((workers, sink));
        assert_eq!(from.iter().collect::<Vec<_>>(), [(10, 1), (11, 2), (12, 1)]);
    }

    #[test]
    fn the_key_is_given_or_lent() {
        let (to, from) = channel();
        let pairs = for_each({
            let to = to.clone();
            move |pair: (String, i32)| to.send(pair).expect("the test listens")
        });
        let mut encoder = Sink::<Keyed<String, i32>>::encoder(&pairs);
        Encoder::<Keyed<String, i32>>::encode(&mut encoder, &"a".to_owned(), 1, &mut ())
            .expect("is called");
        let lent = for_each_keyed(move |key: &String, n: i32| {
            to.send((key.to_uppercase(), n)).expect("the test listens");
        });
        let mut encoder = Sink::<Keyed<String, i32>>::encoder(&lent);
        Encoder::<Keyed<String, i32>>::encode(&mut encoder, &"b".to_owned(), 2, &mut ())
            .expect("is called");
        assert_eq!(from.try_iter().collect::<Vec<_>>(), [("a".to_owned(), 1), ("B".to_owned(), 2)]);
    }
}
