//! Progress of a start that takes long: whoever waits is told how far it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::env::Env;
use crate::time::Timestamp;

/// After so long, and then after as long again, it is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much of a log has been read. A start reads it twice: to check it, and to load it.
pub(crate) struct Reading {
    env: Arc<dyn Env>,
    tells: Option<fn(&str)>,
    total: AtomicU64,
    done: AtomicU64,
    /// When it was told last, in microseconds.
    told: AtomicI64,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("done", &self.done).finish_non_exhaustive()
    }
}

impl Reading {
    pub(crate) fn new(env: Arc<dyn Env>, tells: Option<fn(&str)>) -> Arc<Reading> {
        let now = env.now().0;
        Arc::new(Reading {
            env,
            tells,
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            told: AtomicI64::new(now),
        })
    }

    /// So many bytes are to be read.
    pub(crate) fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes more have been read.
    pub(crate) fn read(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let Some(tells) = self.tells else { return };
        let (now, told) = (self.env.now(), self.told.load(Ordering::Relaxed));
        if now.since(Timestamp(told)) < PATIENCE {
            return;
        }
        let first = self.told.compare_exchange(told, now.0, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_ok() {
            let total = self.total.load(Ordering::Relaxed).max(1);
            let percent = (u128::from(done) * 100 / u128::from(total)).min(100);
            let megabytes = total / 2_000_000;
            tells(&format!("reading the recovery log, {megabytes} MB: {percent} %"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::Virtual;

    static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

    fn tells(text: &str) {
        TOLD.lock().expect("nobody panics").push(text.to_owned());
    }

    #[test]
    fn whoever_waits_for_long_is_told_once_a_second() {
        let env = Arc::new(Virtual::new(1));
        let reading = Reading::new(Arc::clone(&env) as Arc<dyn Env>, Some(tells));
        reading.expect(200_000_000);
        for step in 1..=10 {
            env.not_before(Timestamp(step * 300_000));
            reading.read(20_000_000);
        }
        let told = TOLD.lock().expect("nobody panics").clone();
        let line = |percent| format!("reading the recovery log, 100 MB: {percent} %");
        assert_eq!(told, [line(40), line(80)]);
    }
}
