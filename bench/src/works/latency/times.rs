//! Durations, as every worker has a part of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::child::Outcome;

/// Of three digits, from a nanosecond to a minute.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order")
}

/// The times of all workers.
#[derive(Clone, Default)]
pub struct AllTimes(Arc<Mutex<Option<Histogram<u64>>>>);

/// One worker's times. They are added to all when they are dropped.
pub struct Times {
    own: Histogram<u64>,
    all: AllTimes,
}

impl AllTimes {
    /// A part, beginning with nothing.
    pub fn part(&self) -> Times {
        Times { own: histogram(), all: self.clone() }
    }

    /// Tells what they are: `p50_us` and so on, in units of so many nanoseconds.
    pub fn say(&self, outcome: Outcome, unit: &str, nanoseconds: f64) -> Outcome {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(all) = all.as_ref() else { return outcome };
        let at = |quantile| all.value_at_quantile(quantile) as f64 / nanoseconds;
        outcome
            .with(&format!("p50_{unit}"), at(0.5))
            .with(&format!("p99_{unit}"), at(0.99))
            .with(&format!("p999_{unit}"), at(0.999))
            .with(&format!("max_{unit}"), all.max() as f64 / nanoseconds)
    }
}

impl Times {
    /// One more.
    pub fn add(&mut self, time: Duration) {
        self.own.saturating_record(time.as_nanos() as u64);
    }
}

impl Clone for Times {
    fn clone(&self) -> Self {
        self.all.part()
    }
}

impl Drop for Times {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = all.get_or_insert_with(histogram);
        all.add(&self.own).expect("they have the same bounds");
    }
}
