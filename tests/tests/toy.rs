//! The toy host itself: what it promises, and that it notices when a plan breaks the protocol.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use flow_runtime::consumer::{Consumer, Head};
use flow_runtime::control::{Control, Signal};
use flow_runtime::describe::{Describe, StepId};
use flow_runtime::graph::Graph;
use flow_runtime::host::{Batch, Host, Inlet, Outlet, Spread};
use flow_runtime::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};
use flow_runtime::plan::{FlowPlan, Plan0};
use flow_runtime::prelude::*;
use flow_runtime::stream::NoKey;
use flow_runtime::time::Timestamp;
use flow_runtime::{Error, ErrorKind};
use flow_tests::collect::Collect;
use flow_tests::given::{Given, given};
use flow_tests::toy::Toy;

#[dataflow]
fn copied(input: Given<u64>, out: Collect<u64>) {
    let numbers = source(input);
    let spread = rebalance(numbers);
    sink(spread, out);
}

#[test]
fn a_seed_replays_a_run() {
    let run = |seed| {
        let out = Collect::new(2);
        let flow = copied(given(vec![(0..500).collect(), (500..700).collect()]), out.clone());
        let report = Toy::new(3).seed(seed).batch(8).barrier_every(5).run(&flow).expect("it runs");
        assert_eq!(out.sorted(), (0..700).collect::<Vec<_>>());
        assert_eq!(out.epochs().len(), report.epochs.len());
        assert_eq!(out.committed(), report.epochs.last().expect("there is one").next());
        (report, out.epochs())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert!(run(1).0.epochs.len() > 5, "{:?}", run(1).0);
}

#[test]
fn without_barriers_there_is_the_final_one() {
    let out = Collect::new(1);
    let flow = copied(given(vec![(0..100).collect()]), out.clone());
    let report = Toy::new(2).barrier_every(0).run(&flow).expect("it runs");
    assert_eq!((report.epochs.len(), out.epochs().len()), (1, 1));
}

/// A source that is fed by a thread.
#[derive(Clone)]
struct Ticking(Arc<AtomicU64>);

struct TickingReader {
    ticks: Arc<AtomicU64>,
    read: u64,
    started: bool,
}

impl Source for Ticking {
    type Item = u64;
    type Position = u64;
    type Reader = TickingReader;
    type Replay = replay::NotReplayable;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("ticks")])
    }
    fn open(&self, _: &Io, _: &PartitionId, _: Resume<u64>) -> Result<TickingReader, Error> {
        Ok(TickingReader { ticks: Arc::clone(&self.0), read: 0, started: false })
    }
}

impl Reader for TickingReader {
    type Item = u64;
    type Position = u64;
    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(u64)) -> Result<Poll, Error> {
        if !self.started {
            self.started = true;
            let (ticks, waker) = (Arc::clone(&self.ticks), cx.waker().clone());
            thread::spawn(move || {
                for _ in 0..5 {
                    thread::sleep(Duration::from_millis(2));
                    ticks.fetch_add(1, Ordering::SeqCst);
                    waker.wake_by_ref();
                }
            });
        }
        if self.read < self.ticks.load(Ordering::SeqCst) {
            self.read += 1;
            emit(self.read);
        } else if self.read < 5 {
            return Ok(Poll::Pending);
        }
        Ok(if self.read == 5 { Poll::End } else { Poll::Ready })
    }
    fn position(&self) -> u64 {
        self.read
    }
}

#[dataflow]
fn ticks(input: Ticking, out: Collect<u64>) {
    let all = source(input);
    sink(all, out);
}

#[test]
fn a_source_may_be_fed_from_outside() {
    let out = Collect::new(1);
    Toy::new(2).run(&ticks(Ticking(Arc::default()), out.clone())).expect("it runs");
    assert_eq!(out.items(), [1, 2, 3, 4, 5]);
}

#[dataflow]
fn failing(input: Given<u64>) {
    let numbers = source(input);
    let bad = filter(numbers, |n| *n > 10);
    fail(bad);
}

#[test]
fn a_failure_ends_the_run() {
    let error = Toy::new(2).run(&failing(given(vec![vec![1, 11]]))).expect_err("11 is bad");
    assert_eq!((error.kind(), error.step()), (ErrorKind::Failed, Some("bad.fail")));
    Toy::new(2).run(&failing(given(vec![vec![1]]))).expect("nothing is bad");
}

/// Breaks the protocol in one way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Breach {
    None,
    /// Does not name its sending end.
    Hidden,
    /// Sends an item after the barrier.
    Late,
    /// Keeps the barrier to itself.
    Silent,
}

#[derive(Clone)]
struct Breaking(Breach);

/// A step that sends over an exchange of its own.
struct Breaks<O> {
    out: O,
    breach: Breach,
}

impl<O: Outlet<u64>> Consumer<Stream<u64>> for Breaks<O> {
    fn push(&mut self, _: Head<'_, NoKey>, item: u64) {
        self.out.send(0, Timestamp::MIN, item);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        let barrier = matches!(control.signal(), Signal::Barrier(_));
        if !(barrier && self.breach == Breach::Silent) {
            self.out.control(control);
        }
        if barrier && self.breach == Breach::Late {
            self.out.send(0, Timestamp::MIN, 0);
        }
    }
    fn describe(&self, to: &mut dyn Describe) {
        if self.breach != Breach::Hidden {
            self.out.describe(to);
        }
    }
}

/// Takes what a [`Breaks`] sends.
struct Ends;

impl Inlet<u64> for Ends {
    fn batch(&mut self, _: usize, batch: &mut Batch<u64>) {
        batch.clear();
    }
    fn control(&mut self, _: &mut Control<'_>) {}
    fn describe(&self, _: &mut dyn Describe) {}
}

impl FlowPlan for Breaking {
    const GRAPH: Graph = Graph { name: "breaking", inputs: &[], nodes: &[], outputs: &[] };
    fn assemble<H: Host>(self, cx: &mut H::Cx<'_>) {
        let id = |name: &str| StepId::root().child(name);
        let out = H::exchange(cx, id("out"), Spread::Balanced, Ends);
        let (_, plan) = source::__wire(given(vec![vec![1_u64, 2, 3]]));
        let down = Breaks { out, breach: self.0 };
        Plan0::<H, _>::assemble(plan, cx, id("in"), (down,));
    }
}

#[test]
fn a_plan_that_breaks_the_protocol_is_noticed() {
    let run = |breach| {
        let flow = Dataflow::__new(Breaking(breach));
        catch_unwind(AssertUnwindSafe(|| Toy::new(2).run(&flow).map(drop)))
    };
    assert!(matches!(run(Breach::None), Ok(Ok(()))));
    for breach in [Breach::Hidden, Breach::Late, Breach::Silent] {
        assert!(!matches!(run(breach), Ok(Ok(()))), "{breach:?} was not noticed");
    }
}
