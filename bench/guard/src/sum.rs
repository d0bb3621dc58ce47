//! The sum of what comes out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The whole of the parts that have been dropped.
#[derive(Debug, Default)]
pub struct Sum(Arc<AtomicU64>);

/// One worker's part. It adds itself to the whole at its end, so counting touches nothing that is shared.
#[derive(Debug)]
pub struct Part {
    sum: u64,
    whole: Arc<AtomicU64>,
}

impl Sum {
    /// A part, beginning with nothing.
    pub fn part(&self) -> Part {
        Part { sum: 0, whole: Arc::clone(&self.0) }
    }

    /// The sum, when the run is over.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Part {
    /// One more item.
    #[inline(always)]
    pub fn add(&mut self, item: u64) {
        self.sum = self.sum.wrapping_add(item);
    }
}

impl Clone for Part {
    fn clone(&self) -> Self {
        Part { sum: 0, whole: Arc::clone(&self.whole) }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.whole.fetch_add(self.sum, Ordering::Relaxed);
    }
}
