//! timely: starts its workers and waits for the end of their dataflows. A worker that has nothing to do parks.

use timely::Config;
use timely::worker::Worker;

/// Runs what each worker builds to the end of its input.
pub fn run(workers: usize, build: impl Fn(&mut Worker) + Send + Sync + 'static) {
    let config = match workers {
        1 => Config::thread(),
        several => Config::process(several),
    };
    let guards = timely::execute(config, build).expect("the workers start");
    guards.join().into_iter().for_each(|worker| worker.expect("the worker ends well"));
}
