//! A dataflow without input uses no processor time. In a test program of its own: it looks at the whole process.

use std::time::Duration;

use flow_runtime::io::{ChannelSource, Collect, channel, collect};
use flow_runtime::prelude::*;

#[dataflow]
fn waiting(numbers: ChannelSource<u64>, out: Collect<(u64, u64)>) {
    let all = source(numbers);
    let by_key = key_by(all, |n| n % 7);
    let counts = stateful_map(by_key, |count: &mut u64, _key, _n: u64| {
        *count += 1;
        *count
    });
    sink(counts, out);
}

/// The processor time of this process in ticks of 10 ms; `None` where the system does not tell.
fn ticks() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The fields behind the name, which stands in brackets: 12 and 13 are user and system time.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

#[test]
fn an_idle_dataflow_uses_no_processor_time() {
    let (sender, numbers) = channel(10);
    let (out, collected) = collect();
    let running = waiting(numbers, out)
        .workers(4)
        .epochs(EpochPolicy::every(Duration::from_millis(10)))
        .spawn()
        .expect("it starts");
    sender.send(1).expect("it runs");
    while collected.is_empty() {
        std::thread::yield_now();
    }
    let Some(before) = ticks() else {
        println!("skipped: this system does not tell how much time a process has used");
        return;
    };
    // What is measured is the processor time of this span, not the span.
    std::thread::sleep(Duration::from_secs(3));
    let used = ticks().map_or(0, |after| after - before);
    assert!(used <= 3, "{used} ticks of 10 ms were used in 3 s without input");
    sender.send(2).expect("it still runs");
    drop(sender);
    running.wait().expect("it succeeds");
    assert_eq!(collected.len(), 2);
}
