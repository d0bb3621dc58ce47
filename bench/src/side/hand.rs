//! Loops without an engine: one for each thread, and what they hand over to each other.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, select};

use crate::tally::Sum;

/// Items that are handed over together.
const BATCH: usize = 1024;
/// Batches that wait for a thread at most.
const WAITING: usize = 16;

/// Runs a loop on each of several threads; with one, in place.
pub fn parallel(threads: usize, work: impl Fn(usize) -> Sum + Sync) -> Sum {
    let work = &work;
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|n| scope.spawn(move || work(n))).collect();
        let own = work(0);
        others.into_iter().map(|other| other.join().expect("it counts")).fold(own, Sum::plus)
    })
}

/// The same for loops that hand items over to each other.
pub fn exchanging<T: Send>(threads: usize, work: impl Fn(Mesh<T>) -> Sum + Sync) -> Sum {
    let (to, from): (Vec<_>, Vec<_>) = (0..threads).map(|_| bounded(WAITING)).unzip();
    let mesh = |(me, from): (usize, Receiver<Vec<T>>)| Mesh {
        me,
        to: to.clone(),
        from,
        open: to.iter().map(|_| Vec::with_capacity(BATCH)).collect(),
    };
    let meshes: Vec<_> = from.into_iter().enumerate().map(mesh).collect();
    drop(to);
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> =
            meshes.into_iter().map(|mesh| scope.spawn(move || work(mesh))).collect();
        threads
            .into_iter()
            .map(|one| one.join().expect("it counts"))
            .fold(Sum::default(), Sum::plus)
    })
}

/// The thread that a hash belongs to, by bits that a table has no use for: it takes the lowest and the highest seven.
#[inline(always)]
pub fn owner(hash: u64, threads: usize) -> usize {
    let middle = (hash >> 24) & 0xffff_ffff;
    ((middle * threads as u64) >> 32) as usize
}

/// A thread's ways to all of them.
pub struct Mesh<T> {
    me: usize,
    to: Vec<Sender<Vec<T>>>,
    from: Receiver<Vec<T>>,
    /// Batches that are being filled, by thread.
    open: Vec<Vec<T>>,
}

impl<T> Mesh<T> {
    /// This thread's number.
    pub fn me(&self) -> usize {
        self.me
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.to.len()
    }

    /// Hands an item over; what is this thread's own is taken at once. While another thread is behind, what it has sent is taken, so
    /// that two threads cannot wait for each other.
    #[inline(always)]
    pub fn give(&mut self, to: usize, item: T, take: &mut impl FnMut(T)) {
        if to == self.me {
            take(item);
            return;
        }
        self.open[to].push(item);
        if self.open[to].len() == BATCH {
            let batch = std::mem::replace(&mut self.open[to], Vec::with_capacity(BATCH));
            self.send(to, batch, take);
        }
    }

    fn send(&self, to: usize, batch: Vec<T>, take: &mut impl FnMut(T)) {
        self.drain(take);
        let mut batch = Some(batch);
        while batch.is_some() {
            select! {
                send(self.to[to], batch.take().expect("it is sent once")) -> sent => sent.expect("all threads live"),
                recv(self.from) -> come => come.into_iter().flatten().for_each(&mut *take),
            }
        }
    }

    fn drain(&self, take: &mut impl FnMut(T)) {
        while let Ok(batch) = self.from.try_recv() {
            batch.into_iter().for_each(&mut *take);
        }
    }

    /// Hands over what is left, and takes what comes until all others have done the same.
    pub fn finish(mut self, take: &mut impl FnMut(T)) {
        for (to, batch) in std::mem::take(&mut self.open).into_iter().enumerate() {
            if !batch.is_empty() {
                self.send(to, batch, take);
            }
        }
        self.to.clear();
        for batch in &self.from {
            batch.into_iter().for_each(&mut *take);
        }
    }
}
