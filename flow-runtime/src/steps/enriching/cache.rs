//! What an `enrich` has found, and what it is looking up.
//!
//! A key is known, being looked up, or neither. Who finds it being looked up joins: it is woken when the look-up has answered, or has been
//! given up by a timeout, and sees which.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::asynchronous::now;
use crate::time::Timestamp;

/// How much an [`enrich`](crate::steps::enrich) keeps, and for how long.
///
/// ```
/// use flow_runtime::prelude::*;
/// use std::time::Duration;
///
/// let cache = Cache::of(10_000).ttl(Duration::from_secs(300)).failures(Duration::from_secs(5));
/// # let _ = cache;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "this says what is kept: pass it where `enrich` is wired"]
pub struct Cache {
    most: usize,
    ttl: Option<Duration>,
    failures: Option<Duration>,
}

impl Cache {
    /// Keeps what was found for up to `most` keys on each worker: whichever has not been asked for longest goes first. With 0 nothing is kept, and
    /// only look-ups at the same time are joined.
    pub const fn of(most: usize) -> Cache {
        Cache { most, ttl: None, failures: None }
    }

    /// What was found is good for this long, by processing time; then it is looked up again. Without this for as long as it is kept.
    pub const fn ttl(mut self, ttl: Duration) -> Cache {
        self.ttl = Some(ttl);
        self
    }

    /// A look-up that answered an error is not repeated for this long: items with its key fail with the same error, and so does a retry.
    /// Without this an error is not kept.
    pub const fn failures(mut self, ttl: Duration) -> Cache {
        self.failures = Some(ttl);
        self
    }
}

type Answer<V> = Result<V, String>;

/// What is known of each key.
pub(super) struct Cached<K, V> {
    cache: Cache,
    known: BTreeMap<K, Known<V>>,
    /// The keys by when they were last asked for.
    asked: BTreeMap<u64, K>,
    /// How often was asked.
    turn: u64,
    pending: BTreeMap<K, Rc<RefCell<Pending<V>>>>,
}

struct Known<V> {
    answer: Answer<V>,
    /// When it was last asked for.
    turn: u64,
    until: Timestamp,
}

/// A look-up that is under way.
struct Pending<V> {
    outcome: Outcome<V>,
    waiting: Vec<Waker>,
}

enum Outcome<V> {
    Open,
    Answered(Answer<V>),
    GivenUp,
}

impl<K: Ord + Clone, V: Clone> Cached<K, V> {
    pub(super) fn new(cache: Cache) -> Self {
        let (known, asked, pending) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Cached { cache, known, asked, turn: 0, pending }
    }

    fn find(&mut self, key: &K, now: Timestamp) -> Option<Answer<V>> {
        let known = self.known.get_mut(key)?;
        let key = self.asked.remove(&known.turn)?;
        if known.until <= now {
            self.known.remove(&key);
            return None;
        }
        self.turn += 1;
        known.turn = self.turn;
        self.asked.insert(self.turn, key);
        Some(known.answer.clone())
    }

    fn keep(&mut self, key: K, answer: Answer<V>, now: Timestamp) {
        let until = match (&answer, self.cache.ttl, self.cache.failures) {
            (Ok(_), None, _) => Timestamp::MAX,
            (Ok(_), Some(ttl), _) | (Err(_), _, Some(ttl)) => now.after(ttl),
            (Err(_), _, None) => return,
        };
        if self.cache.most == 0 {
            return;
        }
        self.turn += 1;
        let known = Known { answer, turn: self.turn, until };
        if let Some(before) = self.known.insert(key.clone(), known) {
            self.asked.remove(&before.turn);
        }
        self.asked.insert(self.turn, key);
        while self.known.len() > self.cache.most {
            let Some((_, oldest)) = self.asked.pop_first() else { return };
            self.known.remove(&oldest);
        }
    }
}

/// What there is of a key.
pub(super) enum Asked<K: Ord + Clone, V: Clone> {
    Known(Answer<V>),
    Joined(Joined<V>),
    /// Whoever asks is to look it up.
    Nobody(Leading<K, V>),
}

/// Asks for a key.
pub(super) fn ask<K: Ord + Clone, V: Clone>(
    cached: &Rc<RefCell<Cached<K, V>>>,
    key: &K,
) -> Asked<K, V> {
    let mut inner = cached.borrow_mut();
    if let Some(answer) = inner.find(key, now()) {
        return Asked::Known(answer);
    }
    if let Some(pending) = inner.pending.get(key) {
        return Asked::Joined(Joined(Rc::clone(pending)));
    }
    let pending = Rc::new(RefCell::new(Pending { outcome: Outcome::Open, waiting: Vec::new() }));
    inner.pending.insert(key.clone(), Rc::clone(&pending));
    Asked::Nobody(Leading { cached: Rc::clone(cached), key: key.clone(), pending })
}

/// A look-up that another item has begun.
pub(super) struct Joined<V>(Rc<RefCell<Pending<V>>>);

impl<V: Clone> Joined<V> {
    /// Waits for its answer; `None` where it is given up.
    pub(super) async fn wait(&mut self) -> Option<Answer<V>> {
        poll_fn(|cx| {
            let mut pending = self.0.borrow_mut();
            match &pending.outcome {
                Outcome::Answered(answer) => Poll::Ready(Some(answer.clone())),
                Outcome::GivenUp => Poll::Ready(None),
                Outcome::Open => {
                    if !pending.waiting.iter().any(|other| other.will_wake(cx.waker())) {
                        pending.waiting.push(cx.waker().clone());
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// A look-up that this item has begun. Dropped without an answer it is given up.
pub(super) struct Leading<K: Ord + Clone, V: Clone> {
    cached: Rc<RefCell<Cached<K, V>>>,
    key: K,
    pending: Rc<RefCell<Pending<V>>>,
}

impl<K: Ord + Clone, V: Clone> Leading<K, V> {
    pub(super) fn answer(self, answer: Answer<V>) {
        self.cached.borrow_mut().keep(self.key.clone(), answer.clone(), now());
        self.pending.borrow_mut().outcome = Outcome::Answered(answer);
    }
}

impl<K: Ord + Clone, V: Clone> Drop for Leading<K, V> {
    fn drop(&mut self) {
        self.cached.borrow_mut().pending.remove(&self.key);
        let mut pending = self.pending.borrow_mut();
        if let Outcome::Open = pending.outcome {
            pending.outcome = Outcome::GivenUp;
        }
        pending.waiting.drain(..).for_each(Waker::wake);
    }
}
