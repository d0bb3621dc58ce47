//! flow side by side with the loop that a good engineer writes without any engine, and with other engines.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -- [--quick] [--work NAME] [--workers N] [--runs N]`
//!
//! Without `--workers` every work is run with one and with two, five times each; `--work` takes several names with commas between them;
//! `--quick` takes a tenth of the input and three runs.
//!
//! # What is timed
//!
//! Every run is a process of its own, so that neither memory nor the state of the allocator passes from one to the next. It makes its
//! input first, in memory where the input is not computed on the fly. **Timed** is then: building the dataflow, starting threads, all
//! items from source to sink, joining the threads. **Not timed**: the start of the process, the making of the input. The sides take
//! turns, so that what else the machine does touches all of them.
//!
//! All sides of a work read the same items, by the same function, in as many parts as there are workers, and count what comes out
//! into a checksum that does not depend on order. The checksums of all runs must be equal, or the program says so and its exit code is 1.
//!
//! * `hand`: a plain loop. With two workers: two such loops that read half of the input each and hand over to each other what is the
//!   other's, in batches of 1024 through bounded channels.
//! * `flow`: what a user of the public interface gets; there is nothing in the library for this program.
//! * `timely`, `renoir`: the same steps in these engines, as their own examples write them.
//!
//! # The works
//!
//! | work | what it does |
//! |---|---|
//! | `stateless`, `fused` | steps without state: map, filter, map; the same with a flat_map and two sinks |
//! | `words`, `words_inline` | word count, every update emitted; each word an owned `String`, or a value of 24 bytes |
//! | `keyed`, `keyed_zipf` | 32 bytes of state for a million uniform keys, for ten thousand of unequal frequency; every update emitted |
//! | `exchange` | the way to the worker of a key, and nothing else |
//! | `nexmark_q1`, `_q2`, `_q3` | queries over ten million events: a map, a filter, a join |
//! | `nexmark_q5`, `_q7`, `_q8` | the same with windows: hopping by key, tumbling over all, a join |
//! | `window_tumbling`, `window_hopping` | counts by key in windows, beside a count without and beside each other |
//! | `watermarks` | a count of items with times, of which event time goes on with each batch, stands still, or which have none |
//! | `timers` | a million keys set a timer each, and all fire |
//! | `durable_second`, `_million`, `_item` | `keyed` with a recovery log and an epoch for so much, beside itself without one |
//! | `restart_1m`, `_4m`, `_16m` | a start that loads the state of so many keys, beside a plain read of the log's files |
//! | `latency`, `latency_durable` | `keyed` at half its throughput: from when an item is due to the sink, and to its commit |
//! | `memory` | a hundred million keys beside a bare hash map: ratios are of bytes, below 1 where flow takes less. Twelve gigabytes, one run |
//! | `compile_time` | `compile-time.sh`; not in a quick run |
//!
//! # What is shown
//!
//! Throughput is the median of the runs, with the least and the most. `cpu_s` is the processor time of the timed part, of all its
//! threads: where other work shares the machine it says more than the clock. `peak_mb` is by how much the resident memory grew at most in
//! the timed part. Ratios are of medians, and above 1 where flow is the faster side.
//!
//! The last lines are for programs. The same is written as a table to `results.md` in the target folder.

mod child;
mod input;
mod machine;
mod measured;
mod options;
mod report;
mod side;
mod spread;
mod tally;
mod text;
mod turns;
mod works;

use std::process::ExitCode;

use options::{Command, Options};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = Command::parse(&args).and_then(|command| match command {
        Command::One(job) => child::run(&job).map(|()| ExitCode::SUCCESS),
        Command::All(options) => all(&options, &args),
    });
    done.unwrap_or_else(|wrong| {
        eprintln!("{wrong}");
        ExitCode::from(2)
    })
}

/// Measures all works that are asked for.
fn all(options: &Options, args: &[String]) -> Result<ExitCode, String> {
    let mut rows = Vec::new();
    for work in works::chosen(options)? {
        rows.extend(turns::measure(work, options));
    }
    println!();
    for row in &rows {
        println!("{}", row.line());
    }
    let path = report::write(&rows, args).map_err(|error| format!("no table: {error}"))?;
    println!("table: {}", path.display());
    if rows.iter().all(|row| row.agrees()) {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("the sides do not agree on the result, or one that must run has failed");
    Ok(ExitCode::FAILURE)
}
