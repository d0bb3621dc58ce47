//! What a host brings for the futures of its asynchronous steps.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use crate::env::Env;
use crate::error::Error;

/// What the futures of a worker's asynchronous steps are polled with.
#[derive(Clone)]
pub struct Polling {
    pub(super) waker: Waker,
    pub(super) env: Option<Arc<dyn Env>>,
    pub(super) reactor: Reactor,
}

impl Polling {
    pub(crate) fn new(waker: Waker, env: Arc<dyn Env>, reactor: &Reactor) -> Polling {
        Polling { waker, env: Some(env), reactor: reactor.clone() }
    }
}

impl Default for Polling {
    fn default() -> Polling {
        Polling { waker: Waker::noop().clone(), env: None, reactor: Reactor::default() }
    }
}

impl fmt::Debug for Polling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polling").finish_non_exhaustive()
    }
}

/// Who tells futures of sockets and timers, beside the engine: tokio, in a build with that feature, or else nobody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reactor {
    #[cfg(feature = "tokio")]
    handle: Option<tokio::runtime::Handle>,
}

#[cfg(not(feature = "tokio"))]
impl Reactor {
    pub(crate) fn of_caller() -> Reactor {
        Reactor {}
    }

    #[allow(clippy::unnecessary_wraps)] // A runtime may not start.
    pub(super) fn start(&mut self) -> Result<(), Error> {
        Ok(())
    }

    pub(super) fn within<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }
}

#[cfg(feature = "tokio")]
impl Reactor {
    /// The runtime of the calling thread, if there is one.
    pub(crate) fn of_caller() -> Reactor {
        Reactor { handle: tokio::runtime::Handle::try_current().ok() }
    }

    /// Where there is none, one is made: with one thread, once for the process, and only if there is an asynchronous step.
    pub(super) fn start(&mut self) -> Result<(), Error> {
        use std::sync::OnceLock;

        use tokio::runtime::{Builder, Runtime};

        use crate::error::ErrorKind;

        static OWN: OnceLock<Result<Runtime, String>> = OnceLock::new();
        if self.handle.is_some() {
            return Ok(());
        }
        let own = OWN.get_or_init(|| {
            let mut builder = Builder::new_multi_thread();
            let built = builder.worker_threads(1).thread_name("flow-tokio").enable_all().build();
            built.map_err(|error| error.to_string())
        });
        match own {
            Ok(runtime) => self.handle = Some(runtime.handle().clone()),
            Err(error) => {
                let message =
                    format!("the tokio runtime of asynchronous steps does not start: {error}");
                return Err(Error::new(ErrorKind::Configuration, message)
                    .help("start the dataflow from within a runtime of your own"));
            }
        }
        Ok(())
    }

    /// Runs what may ask for the runtime.
    pub(super) fn within<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = self.handle.as_ref().map(tokio::runtime::Handle::enter);
        f()
    }
}
