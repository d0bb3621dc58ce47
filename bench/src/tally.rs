//! The checksum of what comes out.

use std::sync::{Arc, Mutex, PoisonError};

/// How many items came out, and a sum over them that does not depend on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub items: u64,
    /// Their sum, wrapping.
    pub sum: u64,
}

impl Sum {
    /// One more item.
    #[inline(always)]
    pub fn add(&mut self, item: u64) {
        self.items += 1;
        self.sum = self.sum.wrapping_add(item);
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Sum) -> Sum {
        Sum { items: self.items + other.items, sum: self.sum.wrapping_add(other.sum) }
    }
}

/// A sum that every worker has a part of. A part adds itself to the whole when it is dropped, so counting touches
/// nothing that is shared.
#[derive(Debug)]
pub struct Part {
    sum: Sum,
    whole: Arc<Mutex<Sum>>,
}

/// The whole of the parts.
#[derive(Clone, Debug, Default)]
pub struct Whole(Arc<Mutex<Sum>>);

impl Whole {
    /// A part, beginning with nothing.
    pub fn part(&self) -> Part {
        Part { sum: Sum::default(), whole: Arc::clone(&self.0) }
    }

    /// The sum of all parts that have been dropped.
    pub fn sum(&self) -> Sum {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// This worker's part. A method, so that a closure that counts holds the part and no copy of its sum.
    #[inline(always)]
    pub fn sum(&mut self) -> &mut Sum {
        &mut self.sum
    }
}

impl Clone for Part {
    fn clone(&self) -> Self {
        Part { sum: Sum::default(), whole: Arc::clone(&self.whole) }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        *whole = whole.plus(self.sum);
    }
}
