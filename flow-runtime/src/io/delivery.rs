//! What a sink promises about items that are sent again after a crash, as types: the choices for [`Sink::Delivery`].
//!
//! A run that goes on from a recovery log reads again what came in after the last committed epoch, and so sends again what the
//! open epoch had already sent. What becomes of those items is up to the sink:
//!
//! | kind | promise | by what |
//! |---|---|---|
//! | [`Rewindable`] | exactly once | the target is truncated to the position of the resume epoch (files) |
//! | [`Transactional`] | exactly once | prepared at the barrier, which survives a crash; committed after the commit point |
//! | [`Outbox`] | exactly once | the rows are stored in the epoch before its commit, and applied after it together with the epoch's number, in one transaction of the target |
//! | [`Upsert`] | effectively once | written again under the same business key with the same value: if the dataflow sees to that |
//! | [`AppendOnly`] | at least once | |
//!
//! `#[dataflow(delivery = exactly_once)]` compiles only where every sink is [`ExactlyOnce`] and every source is
//! [`Replayable`](crate::io::replay::Replayable). An upsert is not, until the one who wires it declares by
//! [`deterministic`] that it will be given the same value again.

use crate::error::Error;
use crate::io::{Apply, Delivery, Io, PartitionId, Resume, Sink};
use crate::stream::Token;

mod sealed {
    /// The kinds are these. One of a user's own would promise what no sink is asked to keep.
    pub trait Sealed {}
}

/// A kind of delivery: one of the types of [this module](self).
pub trait DeliveryKind: sealed::Sealed + 'static {
    /// The kind as a value.
    const KIND: Delivery;
    /// The kind once [`deterministic`] declares what an upsert depends on.
    #[doc(hidden)]
    type Declared: DeliveryKind;
}

/// The kinds of delivery that `delivery = exactly_once` accepts.
///
/// A dataflow that is generic over its sink asks for it: `out: impl Sink<Stream<u64>, Delivery: ExactlyOnce>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not promise exactly-once delivery",
    label = "rows may be written again after a crash",
    note = "files, transactional sinks and outboxes do, and an upsert that is declared: `deterministic(sink)`"
)]
pub trait ExactlyOnce: DeliveryKind + Settled {}

/// The kinds that leave a target as if everything had been sent once, if what is sent again is the same: all but
/// [`AppendOnly`].
#[doc(hidden)]
pub trait Settled {}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident: $kind:ident, $declared:ident, $($promise:ident)*;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
        impl DeliveryKind for $name {
            const KIND: Delivery = Delivery::$kind;
            type Declared = $declared;
        }
        $(impl $promise for $name {})*
    )*};
}

kinds! {
    /// Exactly once: what was written after the resume epoch began is cut off, and written again.
    ///
    /// The position that the writer gives when it seals is enough to cut the target back to, and the target never loses what
    /// lies before a position that was committed.
    Rewindable: Rewindable, Rewindable, Settled ExactlyOnce;
    /// Exactly once: an epoch is prepared in the target at the barrier, and committed there after it is committed in the log.
    ///
    /// What is prepared survives a crash of either side, a commit may be repeated, and what was prepared for an epoch that was
    /// not committed is rolled back when the partition is opened.
    Transactional: Transactional, Transactional, Settled ExactlyOnce;
    /// Exactly once: an epoch's rows are stored in the log before the epoch is committed, and applied after that.
    ///
    /// The target takes the rows together with the epoch's number in one transaction, so it knows the last epoch that it has.
    /// A restart applies the *stored* rows: those that are computed again may be others.
    Outbox: Outbox, Outbox, Settled ExactlyOnce;
    /// Effectively once, under a condition that no sink can know to hold: an item's key is the user's own business key, and
    /// what is written under it again is the same value.
    ///
    /// Whoever wires the sink declares that the condition holds: [`deterministic`]. While a run catches up after a crash, the
    /// target may for a moment hold an older value than it did before.
    Upsert: Upsert, DeterministicUpsert, Settled;
    /// An [`Upsert`] of which is declared that keys and values are deterministic: the sinks that [`deterministic`] makes.
    DeterministicUpsert: Upsert, DeterministicUpsert, Settled ExactlyOnce;
    /// At least once: what is sent again is written again.
    AppendOnly: AppendOnly, AppendOnly,;
}

/// Declares that an upsert will be given the same again: `sink(totals, deterministic(table))`. It then counts as exactly once.
///
/// An upsert that is repeated does no harm only if key and value depend on nothing but what the sources replay: not on the
/// clock, random numbers, the number of the epoch, or the order in which several inputs happen to arrive. The sink cannot know that, and
/// neither can the compiler; the dataflow's author can. That is why it is declared where the sink is wired, for each sink
/// on its own, and not by the sink's author or once for the whole dataflow, where the next upsert would be covered unseen.
/// Of a sink that is no upsert it changes nothing.
///
/// ```
/// use flow_runtime::io::{Latest, deterministic, from_iter, latest};
/// use flow_runtime::prelude::*;
///
/// /// The total of a customer is the sum of the same sales, however often it is computed.
/// #[dataflow(delivery = exactly_once)]
/// fn totals(sales: Vec<(u32, u64)>, table: Latest<u32, u64>) {
///     let all = source(from_iter(sales));
///     let by_customer = into_keyed(all);
///     let totals = stateful_map(by_customer, |sum: &mut u64, _customer, cents| {
///         *sum += cents;
///         *sum
///     });
///     sink(totals, deterministic(table));
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (table, found) = latest();
/// totals(vec![(7, 100), (7, 50)], table).spawn()?.wait()?;
/// assert_eq!(found.take(), [(7, 150)]);
/// # Ok(())
/// # }
/// ```
pub fn deterministic<S>(sink: S) -> Deterministic<S> {
    Deterministic(sink)
}

/// The sink that [`deterministic`] makes.
#[derive(Clone, Debug)]
#[must_use = "a sink does nothing until it is wired by `sink(stream, ..)`"]
pub struct Deterministic<S>(S);

impl<U: Token, S: Sink<U>> Sink<U> for Deterministic<S> {
    type Block = S::Block;
    type Position = S::Position;
    type Encoder = S::Encoder;
    type Writer = S::Writer;
    type Delivery = <S::Delivery as DeliveryKind>::Declared;

    fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        self.0.partitions(io)
    }
    fn encoder(&self) -> S::Encoder {
        self.0.encoder()
    }
    fn open(
        &self,
        io: &Io,
        partition: &PartitionId,
        resume: Resume<S::Position>,
    ) -> Result<S::Writer, Error> {
        self.0.open(io, partition, resume)
    }
    fn applier(
        &self,
        io: &Io,
        partition: &PartitionId,
        owner: &str,
    ) -> Result<Option<Box<dyn Apply>>, Error> {
        self.0.applier(io, partition, owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{CsvFile, Latest, Outbox, OutboxConnection, Stdout, latest, outbox};
    use crate::stream::{Keyed, Stream};
    use crate::time::Epoch;

    fn kind<U: Token, S: Sink<U>>(_: &S) -> Delivery {
        S::Delivery::KIND
    }

    #[test]
    fn a_declaration_leaves_what_a_sink_does_as_it_is() {
        let (table, _) = latest::<u32, u64>();
        assert_eq!(kind::<Keyed<u32, u64>, _>(&table), Delivery::Upsert);
        assert_eq!(kind::<Keyed<u32, u64>, _>(&deterministic(table)), Delivery::Upsert);
        let (printed, file) = (deterministic(Stdout::csv()), deterministic(CsvFile::at("a.csv")));
        assert_eq!(kind::<Stream<u64>, _>(&printed), Delivery::AppendOnly);
        assert_eq!(kind::<Stream<u64>, _>(&file), Delivery::Rewindable);
    }

    #[test]
    fn a_declared_outbox_is_applied_as_before() {
        #[derive(Clone)]
        struct Nowhere;
        impl Outbox for Nowhere {
            type Row = u64;
            type Connection = Nowhere;
            fn connect(&self, _: &PartitionId, _: &str) -> Result<Nowhere, Error> {
                Ok(Nowhere)
            }
        }
        impl OutboxConnection for Nowhere {
            type Row = u64;
            fn last_applied(&mut self) -> Result<Option<Epoch>, Error> {
                Ok(None)
            }
            fn apply(&mut self, _: Epoch, _: Vec<u64>) -> Result<(), Error> {
                Ok(())
            }
        }
        let sink = deterministic(outbox(Nowhere));
        let partition = PartitionId::new("rows");
        let applier = Sink::<Stream<u64>>::applier(&sink, &Io::real(), &partition, "log");
        assert!(applier.expect("connects").is_some());
    }

    #[test]
    fn a_declared_upsert_counts_as_exactly_once() {
        fn accepted<U: Token, S: Sink<U, Delivery: ExactlyOnce>>() {}
        accepted::<Keyed<u32, u64>, Deterministic<Latest<u32, u64>>>();
        accepted::<Stream<u64>, CsvFile>();
    }
}
