//! renoir: runs what is built in its environment. It has a thread for each block and worker, so with one worker and one exchange two.

use renoir::prelude::*;

/// Runs a graph to the end of its input.
pub fn run(workers: usize, build: impl FnOnce(&StreamContext)) {
    let config = RuntimeConfig::local(workers as u64).expect("a number of threads is all it needs");
    let env = StreamContext::new(config);
    build(&env);
    env.execute_blocking();
}
