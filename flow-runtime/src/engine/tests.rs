//! Whole runs of hand-wired plans, on the virtual schedule and on threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::consumer::{Consumer, Edge, Head};
use crate::control::Control;
use crate::describe::{Describe, StepId};
use crate::engine::{Settings, launch};
use crate::env::Real;
use crate::error::{Error, ErrorKind};
use crate::graph::Graph;
use crate::host::{Batch, Host, Inlet, Outlet, Spread};
use crate::io::{
    Encoder, Io, PartitionId, Poll, PollContext, Reader, Resume, Sink, SinkWriter, Source,
    delivery, replay,
};
use crate::plan::{FlowPlan, Plan0, Plan1, Plan2};
use crate::steps::{flat_map, key_by, map, merge, sink, source, stateful_map};
use crate::stream::{Keyed, NoKey, Stream, Token};
use crate::time::{Barrier, Epoch, Timestamp};
use crate::{Dataflow, EpochPolicy, Virtual};

/// Numbers `0..count`, split over partitions, with an epoch each `per_epoch` if that is given.
#[derive(Clone)]
struct Numbers {
    count: u64,
    partitions: u64,
}

struct NumbersReader {
    next: u64,
    step: u64,
    end: u64,
}

impl Source for Numbers {
    type Item = u64;
    type Position = u64;
    type Reader = NumbersReader;
    type Replay = replay::Replayable;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok((0..self.partitions).map(|n| PartitionId::new(n.to_string())).collect())
    }
    fn open(
        &self,
        _: &Io,
        partition: &PartitionId,
        _: Resume<u64>,
    ) -> Result<NumbersReader, Error> {
        let first = partition.as_str().parse().expect("named by `partitions`");
        Ok(NumbersReader { next: first, step: self.partitions, end: self.count })
    }
}

impl Reader for NumbersReader {
    type Item = u64;
    type Position = u64;
    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(u64)) -> Result<Poll, Error> {
        for _ in 0..cx.limit() {
            if self.next >= self.end {
                return Ok(Poll::End);
            }
            emit(self.next);
            self.next += self.step;
        }
        Ok(Poll::Ready)
    }
    fn position(&self) -> u64 {
        self.next
    }
}

/// What arrived, each row with the barrier that closed its epoch.
type Arrived<T> = Arc<Mutex<Vec<(u64, T)>>>;

#[derive(Clone)]
struct Gather<T>(Arrived<T>);
struct GatherWriter<T> {
    to: Arrived<T>,
    open: Vec<T>,
}
struct GatherEncoder;

impl<K: Clone + 'static, T: crate::Item> Encoder<Keyed<K, T>> for GatherEncoder
where
    K: crate::Key,
{
    type Block = Vec<(K, T)>;
    fn encode(&mut self, key: &K, item: T, block: &mut Self::Block) -> Result<usize, Error> {
        block.push((key.clone(), item));
        Ok(block.len())
    }
}
impl<K: crate::Key, T: crate::Item> Sink<Keyed<K, T>> for Gather<(K, T)> {
    type Block = Vec<(K, T)>;
    type Position = ();
    type Encoder = GatherEncoder;
    type Writer = GatherWriter<(K, T)>;
    type Delivery = delivery::AppendOnly;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("only")])
    }
    fn encoder(&self) -> GatherEncoder {
        GatherEncoder
    }
    fn open(&self, _: &Io, _: &PartitionId, _: Resume<()>) -> Result<Self::Writer, Error> {
        Ok(GatherWriter { to: Arc::clone(&self.0), open: Vec::new() })
    }
}
impl<T: 'static> SinkWriter for GatherWriter<T> {
    type Block = Vec<T>;
    type Position = ();
    fn write(&mut self, block: Vec<T>) -> Result<(), Error> {
        self.open.extend(block);
        Ok(())
    }
    fn seal(&mut self, barrier: Barrier) -> Result<(), Error> {
        let mut to = self.to.lock().expect("no test panics while it holds this");
        to.extend(self.open.drain(..).map(|row| (barrier.0, row)));
        Ok(())
    }
}

const GRAPH: Graph = Graph { name: "test", inputs: &[], nodes: &[], outputs: &[] };

fn gather<T>() -> (Gather<T>, Arrived<T>) {
    let to = Arrived::default();
    (Gather(Arc::clone(&to)), to)
}

/// source → flat_map → key_by → count → sink
#[derive(Clone)]
struct Counting {
    numbers: Numbers,
    copies: u64,
    keys: u64,
    fail_at: Option<u64>,
    out: Gather<(u64, u64)>,
}

impl FlowPlan for Counting {
    const GRAPH: Graph = GRAPH;
    fn assemble<H: Host>(self, cx: &mut H::Cx<'_>) {
        let (copies, keys, fail_at) = (self.copies, self.keys, self.fail_at);
        let (numbers, p0) = source::__wire(self.numbers);
        let (copied, p1) = flat_map::__wire(numbers, move |n| (0..copies).map(move |_| n));
        let (keyed, p2) = key_by::__wire(copied, move |n: &u64| n % keys);
        let (counts, p3) =
            stateful_map::__wire(keyed, move |count: &mut u64, key: &u64, _: u64| {
                *count += 1;
                assert!(Some(*count) != fail_at, "the count of {key} is unlucky");
                *count
            });
        let ((), p4) = sink::__wire(counts, self.out);
        let id = StepId::root();
        let (c4,) = Plan1::<H, _, _>::assemble(p4, cx, id.child("counts.sink"), ());
        let (c3,) =
            Plan1::<H, _, _>::assemble(p3, cx, id.child("counts"), (Edge::new(counts, c4),));
        let (c2,) = Plan1::<H, _, _>::assemble(p2, cx, id.child("keyed"), (Edge::new(keyed, c3),));
        let (c1,) =
            Plan1::<H, _, _>::assemble(p1, cx, id.child("copied"), (Edge::new(copied, c2),));
        Plan0::<H, _>::assemble(p0, cx, id.child("numbers"), (Edge::new(numbers, c1),));
    }
}

fn counting(count: u64, partitions: u64) -> (Counting, Arrived<(u64, u64)>) {
    let (out, arrived) = gather();
    (
        Counting { numbers: Numbers { count, partitions }, copies: 3, keys: 7, fail_at: None, out },
        arrived,
    )
}

/// Each key's counts must be 1..n, each once, in order, and the epochs must not go back.
fn check_counts(arrived: &Arrived<(u64, u64)>, expected: &BTreeMap<u64, u64>) {
    let arrived = arrived.lock().expect("no test panics while it holds this");
    let mut seen = BTreeMap::new();
    for (_, (key, count)) in arrived.iter() {
        let last = seen.insert(*key, *count).unwrap_or(0);
        assert_eq!(*count, last + 1, "counts of key {key}");
    }
    assert_eq!(seen, *expected);
    assert!(arrived.is_sorted_by_key(|(barrier, _)| *barrier));
}

fn expected(count: u64, copies: u64, keys: u64) -> BTreeMap<u64, u64> {
    let mut expected = BTreeMap::new();
    (0..count).for_each(|n| *expected.entry(n % keys).or_insert(0) += copies);
    expected
}

#[test]
fn counts_are_the_same_under_any_schedule_and_number_of_workers() {
    for workers in [1, 2, 3, 8] {
        for seed in 0..20 {
            let (plan, arrived) = counting(200, 3);
            let flow =
                Dataflow::__new(plan).workers(workers).epochs(EpochPolicy::items(1 + seed * 7));
            flow.simulate(Virtual::new(seed)).expect("the run succeeds");
            check_counts(&arrived, &expected(200, 3, 7));
        }
    }
}

#[test]
fn counts_are_the_same_on_threads() {
    for workers in [1, 2, 4] {
        let (plan, arrived) = counting(100_000, 3);
        let summary = Dataflow::__new(plan)
            .workers(workers)
            .epochs(EpochPolicy::every(Duration::from_millis(1)))
            .spawn()
            .and_then(|running| running.wait())
            .expect("the run succeeds");
        assert_eq!((summary.items_in, summary.items_out), (100_000, 300_000));
        check_counts(&arrived, &expected(100_000, 3, 7));
    }
}

#[test]
fn items_of_an_epoch_arrive_in_that_epoch() {
    let (plan, arrived) = counting(100, 1);
    let flow = Dataflow::__new(plan).workers(2).epochs(EpochPolicy::items(10));
    flow.simulate(Virtual::new(3)).expect("the run succeeds");
    let barriers: std::collections::BTreeSet<u64> = arrived
        .lock()
        .expect("no test panics while it holds this")
        .iter()
        .map(|row| row.0)
        .collect();
    assert!(barriers.len() >= 2, "{barriers:?}");
}

#[test]
fn a_panic_names_step_key_and_place_and_ends_the_run() {
    for workers in [1, 3] {
        let (mut plan, _) = counting(10_000, 3);
        plan.fail_at = Some(100);
        let error = Dataflow::__new(plan)
            .workers(workers)
            .simulate(Virtual::new(9))
            .expect_err("it panics");
        assert_eq!((error.kind(), error.step()), (ErrorKind::Panic, Some("counts")));
        assert!(error.message().contains("is unlucky (while at key "), "{error}");
        assert!(error.message().contains("src/engine/tests.rs:"), "{error}");
    }
}

/// Two branches of one source, merged again: one side multiplies, the other goes through an exchange. Under
/// alignment the merge waits for the marker of one side while the other side is full.
#[derive(Clone)]
struct Diamond {
    numbers: Numbers,
    copies: u64,
    out: Gather<(u64, u64)>,
}

impl FlowPlan for Diamond {
    const GRAPH: Graph = GRAPH;
    fn assemble<H: Host>(self, cx: &mut H::Cx<'_>) {
        let copies = self.copies;
        let (left, p0) = source::__wire(self.numbers.clone());
        let (right, p1) = source::__wire(self.numbers);
        let (slow, p2) = key_by::__wire(left, |n: &u64| n % 5);
        let (slow_values, p3) = crate::steps::values::__wire(slow);
        let (many, p4) = flat_map::__wire(right, move |n| (0..copies).map(move |_| n));
        let (spread, p5) = key_by::__wire(many, |n: &u64| n % 3);
        let (fast_values, p6) = crate::steps::values::__wire(spread);
        let (both, p7) = merge::__wire2(slow_values, fast_values);
        let (by_one, p8) = key_by::__wire(both, |_: &u64| 0_u64);
        let (counts, p9) = stateful_map::__wire(by_one, |count: &mut u64, _: &u64, _: u64| {
            *count += 1;
            *count
        });
        let ((), p10) = sink::__wire(counts, self.out);
        let id = StepId::root();
        let (c,) = Plan1::<H, _, _>::assemble(p10, cx, id.child("counts.sink"), ());
        let (c,) = Plan1::<H, _, _>::assemble(p9, cx, id.child("counts"), (Edge::new(counts, c),));
        let (c,) = Plan1::<H, _, _>::assemble(p8, cx, id.child("by_one"), (Edge::new(by_one, c),));
        let (a, b) = Plan2::<H, _, _, _>::assemble(p7, cx, id.child("both"), (Edge::new(both, c),));
        let (c,) = Plan1::<H, _, _>::assemble(
            p6,
            cx,
            id.child("fast_values"),
            (Edge::new(fast_values, b),),
        );
        let (c,) = Plan1::<H, _, _>::assemble(p5, cx, id.child("spread"), (Edge::new(spread, c),));
        let (right_in,) =
            Plan1::<H, _, _>::assemble(p4, cx, id.child("many"), (Edge::new(many, c),));
        let (c,) = Plan1::<H, _, _>::assemble(
            p3,
            cx,
            id.child("slow_values"),
            (Edge::new(slow_values, a),),
        );
        let (left_in,) =
            Plan1::<H, _, _>::assemble(p2, cx, id.child("slow"), (Edge::new(slow, c),));
        Plan0::<H, _>::assemble(p1, cx, id.child("right"), (Edge::new(right, right_in),));
        Plan0::<H, _>::assemble(p0, cx, id.child("left"), (Edge::new(left, left_in),));
    }
}

#[test]
fn a_merge_that_waits_for_one_side_while_the_other_is_full_goes_on() {
    // Queues hold 16 batches of 1024 rows: 40,000 copies of one item fill them from inside one push.
    for workers in [1, 2, 4] {
        for seed in 0..6 {
            let (out, arrived) = gather();
            let plan =
                Diamond { numbers: Numbers { count: 12, partitions: 2 }, copies: 40_000, out };
            let flow = Dataflow::__new(plan).workers(workers).epochs(EpochPolicy::items(1));
            flow.simulate(Virtual::new(seed)).expect("the run does not get stuck");
            check_counts(&arrived, &BTreeMap::from([(0, 12 + 12 * 40_000)]));
        }
    }
}

#[test]
fn a_map_keeps_the_key() {
    #[derive(Clone)]
    struct Plan(Gather<(u64, String)>);
    impl FlowPlan for Plan {
        const GRAPH: Graph = GRAPH;
        fn assemble<H: Host>(self, cx: &mut H::Cx<'_>) {
            let (numbers, p0) = source::__wire(Numbers { count: 10, partitions: 1 });
            let (keyed, p1) = key_by::__wire(numbers, |n: &u64| n / 5);
            let (texts, p2) = map::__wire(keyed, |n: u64| n.to_string());
            let ((), p3) = sink::__wire(texts, self.0);
            let id = StepId::root();
            let (c,) = Plan1::<H, _, _>::assemble(p3, cx, id.child("texts.sink"), ());
            let (c,) =
                Plan1::<H, _, _>::assemble(p2, cx, id.child("texts"), (Edge::new(texts, c),));
            let (c,) =
                Plan1::<H, _, _>::assemble(p1, cx, id.child("keyed"), (Edge::new(keyed, c),));
            Plan0::<H, _>::assemble(p0, cx, id.child("numbers"), (Edge::new(numbers, c),));
            let _ = <Stream<u64> as Token>::KEYED;
        }
    }
    let (out, arrived) = gather();
    Dataflow::__new(Plan(out)).workers(1).simulate(Virtual::new(1)).expect("the run succeeds");
    let arrived = arrived.lock().expect("no test panics while it holds this");
    assert_eq!(arrived[7].1, (1, "7".to_owned()));
    assert_eq!(Epoch(0).next(), Epoch(1));
}

/// A chain of stages, each behind an exchange: source → hop → .. → hop → end.
#[derive(Clone)]
struct Chain {
    numbers: Numbers,
    length: usize,
    arrived: Arc<AtomicU64>,
}

struct Hop<O>(O);
struct End(Arc<AtomicU64>);

impl<O: Outlet<u64>> Inlet<u64> for Hop<O> {
    fn batch(&mut self, _: usize, batch: &mut Batch<u64>) {
        batch.rows.drain(..).for_each(|row| self.0.send(row << 32, Timestamp::MIN, row));
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.0.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.0.describe(to);
    }
}

impl<O: Outlet<u64>> Consumer<Stream<u64>> for Hop<O> {
    fn push(&mut self, _: Head<'_, NoKey>, item: u64) {
        self.0.send(item << 32, Timestamp::MIN, item);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.0.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.0.describe(to);
    }
}

impl Inlet<u64> for End {
    fn batch(&mut self, _: usize, batch: &mut Batch<u64>) {
        self.0.fetch_add(batch.rows.drain(..).len() as u64, Ordering::Relaxed);
    }
    fn control(&mut self, _: &mut Control<'_>) {}
    fn describe(&self, _: &mut dyn Describe) {}
}

impl FlowPlan for Chain {
    const GRAPH: Graph = GRAPH;
    fn assemble<H: Host>(self, cx: &mut H::Cx<'_>) {
        let id = StepId::root();
        let mut out = H::exchange(cx, id.child("end"), Spread::ByHash, End(self.arrived));
        for _ in 0..self.length {
            out = H::exchange(cx, id.child("hop"), Spread::ByHash, Hop(out));
        }
        H::source(cx, id.child("numbers"), self.numbers, Hop(out));
    }
}

#[test]
fn a_long_chain_of_stages_fits_the_stack() {
    for (workers, length) in [(1, 3000), (2, 200)] {
        let arrived = Arc::default();
        let numbers = Numbers { count: 5000, partitions: 1 };
        let plan = Chain { numbers, length, arrived: Arc::clone(&arrived) };
        let flow = Dataflow::__new(plan).workers(workers);
        flow.simulate(Virtual::new(1).whole_batches()).expect("the run succeeds");
        assert_eq!(arrived.load(Ordering::Relaxed), 5000);
    }
}

#[test]
fn a_worker_that_does_not_come_back_is_left_behind() {
    #[derive(Clone)]
    struct Plan(Arc<Mutex<Option<mpsc::Receiver<()>>>>);
    impl FlowPlan for Plan {
        const GRAPH: Graph = GRAPH;
        fn assemble<H: Host>(self, cx: &mut H::Cx<'_>) {
            let (numbers, p0) = source::__wire(Numbers { count: 2, partitions: 2 });
            let (hung, p1) = map::__wire(numbers, move |n: u64| {
                let release = self.0.lock().ok().and_then(|mut release| release.take());
                match release {
                    // The sending end is never used, only dropped.
                    Some(release) => release.recv().is_err(),
                    None => panic!("the other one panics at {n}"),
                }
            });
            let ((), p2) = crate::steps::discard::__wire(hung, "only that it comes matters");
            let id = StepId::root();
            let (c,) = Plan1::<H, _, _>::assemble(p2, cx, id.child("hung.discard"), ());
            let (c,) = Plan1::<H, _, _>::assemble(p1, cx, id.child("hung"), (Edge::new(hung, c),));
            Plan0::<H, _>::assemble(p0, cx, id.child("numbers"), (Edge::new(numbers, c),));
        }
    }
    let (hold, release) = mpsc::channel();
    let settings = Settings {
        profiles: false,
        env: Arc::new(Real::new()),
        workers: 2,
        policy: EpochPolicy::default(),
        finish: true,
        rate: None,
        recovery: None,
        tells: None,
        patience: Duration::from_millis(50),
    };
    let launched = launch(Plan(Arc::new(Mutex::new(Some(release)))), settings, || ());
    let thread = launched.expect("it starts").thread;
    let error = thread.join().expect("the coordinator does not panic").expect_err("it fails");
    assert_eq!(error.kind(), ErrorKind::Panic, "{error}");
    drop(hold);
}
