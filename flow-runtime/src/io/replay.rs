//! Whether a source can read its input again, as types: the choices for [`Source::Replay`](crate::io::Source::Replay).

use crate::io::Replay;

mod sealed {
    /// The kinds are these.
    pub trait Sealed {}
}

/// Whether input can be read again: one of the types of [this module](self).
pub trait ReplayKind: sealed::Sealed + 'static {
    /// The kind as a value.
    const KIND: Replay;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident: $kind:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
        impl ReplayKind for $name {
            const KIND: Replay = Replay::$kind;
        }
    )*};
}

kinds! {
    /// From any position that it has given, the same items in the same order.
    ///
    /// The only kind that `#[dataflow(delivery = exactly_once)]` accepts. A dataflow that is generic over its source asks for it:
    /// `items: impl Source<Item = u64, Replay = Replayable>`.
    Replayable: Replayable;
    /// What has not been acknowledged comes again, in any order. Acknowledged is what is committed; after a crash between
    /// the two, what is committed comes again, too.
    AcknowledgedOnly: AcknowledgedOnly;
    /// What was read is gone.
    NotReplayable: None;
}
