//! What is said of a partition that holds event time back. Apart, since who listens does so for the whole program.

use std::fmt::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flow_runtime::Virtual;
use flow_runtime::io::Source;
use flow_runtime::prelude::*;
use flow_tests::scripted::scripted;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// What was said.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Listener;

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{field}={value:?} ").expect("text takes everything");
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        SAID.lock().unwrap_or_else(PoisonError::into_inner).push(text.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[dataflow]
fn timed<S: Source<Item = i64>>(items: S) {
    let all = source(items);
    let timed = event_time(all, |at| Timestamp::from_secs(*at), Disorder::none());
    discard(timed, "only its time is looked at");
}

#[test]
fn the_partition_that_holds_time_back_is_named_also_where_its_worker_has_nothing_else_to_do() {
    tracing::subscriber::set_global_default(Listener).expect("nobody else listens");
    let second = Duration::from_secs(1);
    let busy = (1..60).map(|at| (second, at)).collect();
    let silent = vec![(second, 1), (100 * second, 101)];
    for workers in 1..=2 {
        SAID.lock().unwrap_or_else(PoisonError::into_inner).clear();
        timed(scripted(vec![("busy", Vec::clone(&busy)), ("silent", silent.clone())]))
            .workers(workers)
            // Ends of epochs would have it look.
            .epochs(EpochPolicy::every(3600 * second))
            .simulate(Virtual::new(1))
            .expect("it runs");
        let said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
        let waits: Vec<_> = said.iter().filter(|text| text.contains("event time waits")).collect();
        assert!(!waits.is_empty(), "{workers} workers: {said:?}");
        // After half a minute, and not only when it has its next item.
        assert!(waits[0].contains("stands_for=3"), "{workers} workers: {waits:?}");
        assert!(
            waits
                .iter()
                .all(|text| text.contains("partition=silent") && text.contains("step=timed")),
            "{waits:?}"
        );
    }
}
