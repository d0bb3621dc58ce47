use flow_runtime::prelude::*;

struct Handle;

#[stateful]
#[derive(Default)]
struct Session {
    started: u64,
    handle: Option<Handle>,
    seen: usize,
}

#[stateful]
#[derive(Default)]
struct Cached {
    #[state(foreign = "Handle v1")]
    handle: Handle,
}

impl Default for Handle {
    fn default() -> Self {
        Handle
    }
}

fn main() {}
