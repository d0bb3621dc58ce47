//! Running as a program: signals, progress on a terminal, a summary.

#![allow(clippy::disallowed_types)] // A terminal is the outside world.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;
use std::{process, thread};

use crossbeam_utils::sync::Parker;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::engine::{Planned, Verdict};
use crate::error::{Error, ErrorKind};
use crate::plan::FlowPlan;
use crate::run::dataflow::Dataflow;
use crate::run::handle::{Running, Stopper, Summary, Watch};
use crate::run::options::{GraphFormat, Progress};

/// What `--plan` ends with where a start would change what is saved. 1 is an error's, 2 that of a mistake in the flags.
const PLAN_CHANGES: i32 = 3;

pub(crate) fn run<P: FlowPlan>(dataflow: Dataflow<P>) -> Result<(), Error> {
    if let Some(format) = dataflow.options().graph {
        return print_graph(&dataflow, format);
    }
    if dataflow.options().plan {
        // Without a log the flag has been refused.
        let Some(Planned { text, verdict }) = dataflow.plan_of_start()? else { return Ok(()) };
        print(&text)?;
        return match verdict {
            Verdict::Fits => Ok(()),
            Verdict::Changes => process::exit(PLAN_CHANGES),
            Verdict::Refused => Err(unfit()),
        };
    }
    let name = dataflow.graph().name;
    let show = dataflow.options().progress;
    let signals = Signals::expect();
    // Nobody may be there to read it.
    let tells: fn(&str) = |text| drop(writeln!(io::stderr(), "{}: {text}", P::GRAPH.name));
    let running = dataflow.spawn_telling((show != Progress::Never).then_some(tells))?;
    signals.lead_to(running.stopper());
    let watched = running.watch();
    let outcome =
        if show == Progress::Always || show == Progress::Auto && io::stderr().is_terminal() {
            wait_with_progress(running)
        } else {
            running.wait()
        };
    let outcome = say_outcome(outcome, name, show, &watched);
    // Also of a run that was stopped, or has failed.
    if let Some(profile) = watched.progress().profile {
        let _ = write!(io::stderr(), "{profile}");
    }
    outcome
}

/// Says how a run has ended, and answers what the program ends with.
fn say_outcome(
    outcome: Result<Summary, Error>,
    name: &str,
    show: Progress,
    watched: &Watch,
) -> Result<(), Error> {
    match outcome {
        Ok(summary) => {
            if show != Progress::Never {
                // Nobody may be there to read it.
                let _ = writeln!(io::stderr(), "{}", line(name, &summary));
            }
            Ok(())
        }
        // Whoever read our output has seen enough: `| head` is no failure.
        Err(error) if error.kind() == ErrorKind::OutputClosed => Ok(()),
        Err(error) => {
            let epoch = watched.progress().resume_epoch;
            if show != Progress::Never && watched.recovered().is_some() && epoch.0 > 0 {
                let _ = writeln!(
                    io::stderr(),
                    "{name}: failed; everything before epoch {epoch} is committed: start again to go on there"
                );
            }
            Err(error)
        }
    }
}

/// What `--plan` ends with where a start would be refused.
fn unfit() -> Error {
    Error::new(ErrorKind::Recovery, "a start would be refused: what is saved does not fit")
        .help("each step that does not fit is shown with the ways out; put a flag beside `--plan` to see what it does")
}

fn print_graph<P: FlowPlan>(dataflow: &Dataflow<P>, format: GraphFormat) -> Result<(), Error> {
    let graph = dataflow.graph();
    let text = match format {
        GraphFormat::Mermaid => graph.to_mermaid(),
        GraphFormat::Dot => graph.to_dot(),
        GraphFormat::Json => graph.to_json(),
        GraphFormat::Text => graph.to_text(),
    };
    print(&text)
}

fn print(text: &str) -> Result<(), Error> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Sink, format!("cannot write to standard output: {error}"))
                .caused_by(error))
        }
        _ => Ok(()),
    }
}

fn line(name: &str, summary: &Summary) -> String {
    let written = match summary.items_out {
        0 => String::new(),
        items => format!(", {} written", HumanCount(items)),
    };
    // The rate of a run that is over at once says nothing.
    let took = match summary.elapsed.as_secs_f64() {
        short if short < 0.1 => format!("{} ms", summary.elapsed.as_millis()),
        seconds => {
            let rate = (summary.items_in as f64 / seconds) as u64;
            format!("{seconds:.2} s ({} a second)", HumanCount(rate))
        }
    };
    let epochs = match summary.epochs {
        1 => "1 epoch".to_owned(),
        several => format!("{} epochs", HumanCount(several)),
    };
    format!("{name}: {} items read{written}, {took}, {epochs}", HumanCount(summary.items_in))
}

/// Waits, and redraws a line five times a second meanwhile.
fn wait_with_progress(running: Running) -> Result<Summary, Error> {
    let parker = Parker::new();
    let over = parker.unparker().clone();
    thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::channel();
        let watched = running.watch();
        scope.spawn(move || {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(
                ProgressStyle::with_template("{spinner} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            let mut before = (0_u64, 0.0_f64);
            while receive.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                parker.park_timeout(Duration::from_millis(200));
                let now = watched.progress();
                let at = now.elapsed.as_secs_f64();
                let rate = (now.items_in - before.0) as f64 / (at - before.1).max(1e-3);
                before = (now.items_in, at);
                bar.set_message(format!(
                    "{} items read ({}/s), {} written, epoch {}",
                    HumanCount(now.items_in),
                    HumanCount(rate as u64),
                    HumanCount(now.items_out),
                    now.resume_epoch,
                ));
                bar.tick();
            }
            bar.finish_and_clear();
        });
        let outcome = running.wait();
        drop::<std::sync::mpsc::Sender<()>>(send);
        over.unpark();
        outcome
    })
}

/// SIGINT and SIGTERM lead to a stop of the run; a second one ends the process at once.
struct Signals;

static TARGET: Mutex<Option<Target>> = Mutex::new(None);

/// The run that signals lead to.
struct Target {
    /// There once the run has been started.
    stopper: Option<Stopper>,
    told: bool,
}

fn target() -> MutexGuard<'static, Option<Target>> {
    TARGET.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Signals {
    /// From now on signals do not end the process by themselves: a run is about to start.
    fn expect() -> Signals {
        static HANDLER: Once = Once::new();
        *target() = Some(Target { stopper: None, told: false });
        HANDLER.call_once(|| {
            if let Err(error) = ctrlc::set_handler(on_signal) {
                // The program has handlers of its own.
                tracing::warn!(%error, "signals will not stop the dataflow");
            }
        });
        Signals
    }

    /// The run has been started; one that was told to stop before stops now.
    fn lead_to(&self, stopper: Stopper) {
        if let Some(target) = target().as_mut() {
            if target.told {
                stopper.stop();
            }
            target.stopper = Some(stopper);
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        *target() = None;
    }
}

fn on_signal() {
    match target().as_mut() {
        Some(target) if !target.told => {
            target.told = true;
            // Said before it is done: the summary comes after.
            let _ = writeln!(
                io::stderr(),
                "stopping: the open epoch is being closed; once more to end at once"
            );
            if let Some(stopper) = &target.stopper {
                stopper.stop();
            }
        }
        Some(target) => {
            let epoch = target.stopper.as_ref().map(Stopper::resume_epoch).unwrap_or_default();
            let _ = writeln!(
                io::stderr(),
                "ended at once: the first epoch that is not committed is {epoch}"
            );
            process::exit(1);
        }
        // No run: what a signal would do without us.
        None => process::exit(130),
    }
}
