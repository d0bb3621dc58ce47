//! Within a tokio runtime: the caller's, or one of the process.

use std::time::Duration;

use crate::io::{Collect, collect, from_iter};
use crate::prelude::*;

#[async_map]
async fn waits_with_tokio(n: u64) -> (u64, String) {
    ::tokio::time::sleep(Duration::from_millis(1)).await;
    let name = || std::thread::current().name().unwrap_or_default().to_owned();
    let spawned = ::tokio::spawn(async move { name() });
    (n, spawned.await.expect("it does not panic"))
}

#[dataflow]
fn waited(out: Collect<(u64, String)>) {
    let all = source(from_iter(0..20));
    let options = Async::in_flight(8).timeout(Duration::from_secs(60));
    let (done, failed) = waits_with_tokio(all, options);
    sink(done, out);
    let none = map(failed, |failed| -> u64 { panic!("it failed: {failed}") });
    discard(none, "nothing fails");
}

fn run(workers: usize) -> String {
    let (out, found) = collect();
    waited(out).workers(workers).spawn().expect("it starts").wait().expect("it runs");
    let found = found.take();
    assert!(found.iter().map(|(n, _)| *n).eq(0..20));
    found[0].1.clone()
}

#[test]
fn tokio_is_there_whether_the_caller_has_one_or_not() {
    for workers in [1, 3] {
        assert_eq!(run(workers), "flow-tokio");
    }
    let mut builder = ::tokio::runtime::Builder::new_multi_thread();
    let own = builder.worker_threads(1).thread_name("of-the-caller").enable_all().build();
    let own = own.expect("a runtime");
    let _entered = own.enter();
    assert_eq!(run(2), "of-the-caller");
}
