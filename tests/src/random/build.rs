//! A random graph as a plan: the real steps, with a box between every two of them.

use std::time::Duration;

use flow_runtime::consumer::{Consumer, Head, Tee};
use flow_runtime::control::Control;
use flow_runtime::describe::{Describe, StepId};
use flow_runtime::graph::Graph as ConstGraph;
use flow_runtime::host::Host;
use flow_runtime::operator::StatefulPlan;
use flow_runtime::plan::{FlowPlan, Plan0, Plan1, Plan2, Plan3, Plan4, Plan5, Plan6, Plan7, Plan8};
use flow_runtime::steps::{
    Either, Queued, Ttl, branch, broadcast, chunk, connect, dedupe, discard, entries, filter,
    filter_map, flat_map, inspect, into_keyed, key_by, key_by_ref, map, merge, rebalance, sink,
    source, stateful_filter_map, stateful_flat_map, stateful_map, values,
};
use flow_runtime::stream::{Broadcast, Keyed, Slot, Stream, Token};

use crate::random::functions as f;
use crate::random::naive::placed;
use crate::random::rows::Rows;
use crate::random::{Graph, Node, Op, Order, Row, Shape, Traces};
use crate::recovery::Fuse;

type Plain = Stream<Row>;
type ByKey = Keyed<u64, Row>;

/// A stream of rows, keyed or not.
trait Rowed: Queued + Token<Item = Row, With<Row> = Self> {}
impl Rowed for Plain {}
impl Rowed for ByKey {}

/// The plan of a random graph.
#[derive(Clone, Debug)]
pub(super) struct RandomPlan {
    pub(super) graph: Graph,
    pub(super) traces: Traces,
}

/// [`Consumer`] without what a box cannot have.
trait Erased<S: Token> {
    fn push(&mut self, head: Head<'_, S::Key>, item: S::Item);
    fn control(&mut self, control: &mut Control<'_>);
    fn describe(&self, to: &mut dyn Describe);
}

impl<S: Token, C: Consumer<S>> Erased<S> for C {
    fn push(&mut self, head: Head<'_, S::Key>, item: S::Item) {
        Consumer::push(self, head, item);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        Consumer::control(self, control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        Consumer::describe(self, to);
    }
}

struct Boxed<S: Token>(Box<dyn Erased<S>>);

impl<S: Token> Consumer<S> for Boxed<S> {
    fn push(&mut self, head: Head<'_, S::Key>, item: S::Item) {
        self.0.push(head, item);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.0.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.0.describe(to);
    }
}

fn boxed<S: Token>(consumer: impl Consumer<S>) -> Boxed<S> {
    Boxed(Box::new(consumer))
}

/// What has been built: the consumers of each stream. Assembly goes downstream first.
struct Built {
    plain: Vec<Vec<Boxed<Plain>>>,
    keyed: Vec<Vec<Boxed<ByKey>>>,
}

/// Where the consumers of a kind of stream are kept.
trait Kept: Rowed {
    fn of(built: &mut Built) -> &mut Vec<Vec<Boxed<Self>>>;
}
impl Kept for Plain {
    fn of(built: &mut Built) -> &mut Vec<Vec<Boxed<Plain>>> {
        &mut built.plain
    }
}
impl Kept for ByKey {
    fn of(built: &mut Built) -> &mut Vec<Vec<Boxed<ByKey>>> {
        &mut built.keyed
    }
}

/// Assembles one step with one input: `one!(H, cx, id, wired, (down,))`.
macro_rules! one {
    ($H:ident, $cx:expr, $id:expr, $wired:expr, $down:expr) => {{
        let (_, plan) = $wired;
        Plan1::<$H, _, _>::assemble(plan, $cx, $id, $down).0
    }};
}

/// Assembles a `branch` behind the map that makes a `Result`. Not a function: that a stream of results taken apart is the stream
/// it was made of is known for each kind of stream only.
macro_rules! branches {
    ($H:ident, $step:ident, $cx:ident, $built:ident, $s:ident: $S:ty, $n:expr) => {{
        let good = $step.down::<$H, $S>($cx, $built, 0);
        let bad = $step.down::<$H, $S>($cx, $built, 1);
        let n = $n;
        let judged = map::__wire($s, move |row| f::judge(n, row));
        let (_, plan) = branch::__wire(judged.0);
        // The outputs stand in the order of their names: `err`, `ok`.
        let ways = Plan1::<$H, _, _>::assemble(plan, $cx, $step.id.child("ways"), (bad, good)).0;
        boxed(one!($H, $cx, $step.id.clone(), judged, (ways,)))
    }};
}

/// Assembles a merge: `merges!(H, cx, id, built, inputs, S, down; wire Plan ..)`.
macro_rules! merges {
    ($H:ident, $cx:ident, $id:ident, $down:ident, $inputs:ident, $S:ident, $built:ident;
        $($count:literal => $wire:ident $plan:ident [$($n:tt)*];)*) => {
        match $inputs.len() {
            $($count => {
                let (_, plan) = merge::$wire($(merges!(@token $S $n)),*);
                let ends = $plan::<$H, $(merges!(@type $S $n),)* _>::assemble(plan, $cx, $id, ($down,));
                $($S::of($built)[$inputs[$n]].push(boxed(ends.$n));)*
            })*
            count => panic!("there is no merge of {count} streams"),
        }
    };
    (@token $S:ident $n:tt) => { $S::token() };
    (@type $S:ident $n:tt) => { $S };
}

impl FlowPlan for RandomPlan {
    const GRAPH: ConstGraph = ConstGraph { name: "random", inputs: &[], nodes: &[], outputs: &[] };

    fn assemble<H: Host>(self, cx: &mut H::Cx<'_>) {
        let RandomPlan { graph, traces } = self;
        let streams = graph.streams.len();
        let mut built = Built {
            plain: (0..streams).map(|_| Vec::new()).collect(),
            keyed: (0..streams).map(|_| Vec::new()).collect(),
        };
        for (n, node) in graph.nodes.iter().enumerate().rev() {
            let id = StepId::root().child(&format!("step_{n}"));
            let keyed = |stream: Option<&usize>| stream.is_some_and(|n| graph.streams[*n].keyed);
            let step = Step { n, node, id, graph: &graph, traces: &traces };
            match node.op {
                Op::Broadcast if keyed(node.inputs.get(1)) => {
                    step.broadcast::<H, ByKey>(cx, &mut built)
                }
                Op::Broadcast => step.broadcast::<H, Plain>(cx, &mut built),
                _ if keyed(node.inputs.first()) => {
                    step.any::<H, ByKey>(cx, &mut built, |step, cx, built| {
                        step.keyed::<H>(cx, built)
                    });
                }
                _ => step
                    .any::<H, Plain>(cx, &mut built, |step, cx, built| step.plain::<H>(cx, built)),
            }
        }
    }
}

/// One step of the graph.
struct Step<'a> {
    n: usize,
    node: &'a Node,
    id: StepId,
    graph: &'a Graph,
    traces: &'a Traces,
}

impl Step<'_> {
    /// What consumes the step's output: all that was built for it, behind a look at the epochs.
    fn down<H: Host, S: Kept>(
        &self,
        cx: &mut H::Cx<'_>,
        built: &mut Built,
        output: usize,
    ) -> Boxed<S> {
        let stream = self.node.outputs[output];
        let mut consumers = std::mem::take(&mut S::of(built)[stream]);
        let mut all = consumers.pop().expect("every stream is consumed");
        for consumer in consumers {
            all = boxed(Tee::new(S::token(), consumer, all, Row::clone));
        }
        let id = self.id.child(&format!("seen_{output}"));
        seen::<H, S>(cx, id, self.graph.streams[stream], &self.traces.fuse, all)
    }

    /// Whether the order of a key's items is certain in the step's first input.
    fn ordered(&self) -> bool {
        self.graph.streams[self.node.inputs[0]].order != Order::None
    }

    fn keep<S: Kept>(&self, built: &mut Built, input: usize, consumer: impl Consumer<S>) {
        S::of(built)[self.node.inputs[input]].push(boxed(consumer));
    }

    /// The steps that take any stream.
    fn any<H: Host, S: Kept>(
        self,
        cx: &mut H::Cx<'_>,
        built: &mut Built,
        otherwise: impl FnOnce(Self, &mut H::Cx<'_>, &mut Built),
    ) {
        let (id, s) = (self.id.clone(), S::token());
        let consumer: Boxed<S> = match self.node.op {
            Op::Map(n) => {
                let down = self.down::<H, S>(cx, built, 0);
                boxed(one!(H, cx, id, map::__wire(s, move |row| f::map(n, row)), (down,)))
            }
            Op::Filter(n) => {
                let down = self.down::<H, S>(cx, built, 0);
                boxed(one!(
                    H,
                    cx,
                    id,
                    filter::__wire(s, move |row: &Row| f::filter(n, row)),
                    (down,)
                ))
            }
            Op::FilterMap(n) => {
                let down = self.down::<H, S>(cx, built, 0);
                boxed(one!(
                    H,
                    cx,
                    id,
                    filter_map::__wire(s, move |row| f::filter_map(n, row)),
                    (down,)
                ))
            }
            Op::FlatMap(n) => {
                let down = self.down::<H, S>(cx, built, 0);
                boxed(one!(H, cx, id, flat_map::__wire(s, move |row| f::flat_map(n, row)), (down,)))
            }
            Op::Inspect => {
                let down = self.down::<H, S>(cx, built, 0);
                let shape = self.graph.streams[self.node.outputs[0]];
                seen::<H, S>(cx, id, shape, &self.traces.fuse, down)
            }
            Op::KeyBy(n) => {
                let down = self.down::<H, ByKey>(cx, built, 0);
                boxed(one!(H, cx, id, key_by::__wire(s, move |row: &Row| f::key(n, row)), (down,)))
            }
            Op::KeyByRef => {
                let down = self.down::<H, ByKey>(cx, built, 0);
                boxed(one!(H, cx, id, key_by_ref::__wire(s, |row: &Row| &row.k), (down,)))
            }
            Op::KeyByRefChain(n) => boxed(self.chain::<H, S>(cx, built, n)),
            Op::Discard => boxed(one!(H, cx, id, discard::__wire(s, "not wanted"), ())),
            Op::Merge => {
                let down = self.down::<H, S>(cx, built, 0);
                let inputs = &self.node.inputs;
                merges!(H, cx, id, down, inputs, S, built;
                    2 => __wire2 Plan2 [0 1];
                    3 => __wire3 Plan3 [0 1 2];
                    4 => __wire4 Plan4 [0 1 2 3];
                    5 => __wire5 Plan5 [0 1 2 3 4];
                    6 => __wire6 Plan6 [0 1 2 3 4 5];
                    7 => __wire7 Plan7 [0 1 2 3 4 5 6];
                    8 => __wire8 Plan8 [0 1 2 3 4 5 6 7];
                );
                return;
            }
            _ => return otherwise(self, cx, built),
        };
        self.keep(built, 0, consumer);
    }

    /// The steps that take a stream without keys, and sources.
    fn plain<H: Host>(self, cx: &mut H::Cx<'_>, built: &mut Built) {
        let (id, s) = (self.id.clone(), Plain::token());
        match &self.node.op {
            Op::Source { partitions, gives_epochs } => {
                let down = self.down::<H, Plain>(cx, built, 0);
                let partitions = partitions.clone();
                if *gives_epochs {
                    let (_, plan) = source::__wire(Rows::<true>(partitions));
                    Plan0::<H, _>::assemble(plan, cx, id, (down,));
                } else {
                    let (_, plan) = source::__wire(Rows::<false>(partitions));
                    Plan0::<H, _>::assemble(plan, cx, id, (down,));
                }
            }
            Op::Rebalance => {
                let down = self.down::<H, Plain>(cx, built, 0);
                let consumer = one!(H, cx, id, rebalance::__wire(s), (down,));
                self.keep(built, 0, consumer);
            }
            Op::Chunk(size) => {
                let down = self.down::<H, Plain>(cx, built, 0);
                let size = *size;
                let chunks = chunk::__wire(s, size, HELD);
                let apart = flat_map::__wire(chunks.0, move |chunk: Vec<Row>| {
                    assert!((1..=size).contains(&chunk.len()));
                    chunk
                });
                let apart = one!(H, cx, id.child("apart"), apart, (down,));
                let consumer = one!(H, cx, id, chunks, (apart,));
                self.keep(built, 0, consumer);
            }
            &Op::IntoKeyed(n) => {
                let down = self.down::<H, ByKey>(cx, built, 0);
                let pairs = map::__wire(s, move |row: Row| (f::key(n, &row), row));
                let by_key = one!(H, cx, id.child("keyed"), into_keyed::__wire(pairs.0), (down,));
                let consumer = one!(H, cx, id, pairs, (by_key,));
                self.keep(built, 0, consumer);
            }
            &Op::Branch(n) => {
                let consumer: Boxed<Plain> = branches!(H, self, cx, built, s: Plain, n);
                self.keep(built, 0, consumer);
            }
            Op::Sink(_) => {
                let to = self.traces.plain[self.n].clone();
                let consumer = one!(H, cx, id, sink::__wire(s, to), ());
                self.keep(built, 0, consumer);
            }
            other => panic!("{other:?} has no plain input"),
        }
    }

    /// The steps that take a keyed stream.
    fn keyed<H: Host>(self, cx: &mut H::Cx<'_>, built: &mut Built) {
        let (id, s) = (self.id.clone(), ByKey::token());
        let consumer: Boxed<ByKey> = match self.node.op {
            Op::Chunk(size) => {
                let down = self.down::<H, ByKey>(cx, built, 0);
                let ordered = self.ordered();
                let chunks = chunk::__wire(s, size, HELD);
                let apart = flat_map::__wire(chunks.0, move |chunk| placed(ordered, chunk));
                let apart = one!(H, cx, id.child("apart"), apart, (down,));
                boxed(one!(H, cx, id, chunks, (apart,)))
            }
            Op::ThereAndBack => {
                let down = self.down::<H, ByKey>(cx, built, 0);
                let pairs = entries::__wire(s);
                let back = one!(H, cx, id.child("back"), into_keyed::__wire(pairs.0), (down,));
                boxed(one!(H, cx, id, pairs, (back,)))
            }
            Op::Values => {
                let down = self.down::<H, Plain>(cx, built, 0);
                boxed(one!(H, cx, id, values::__wire(s), (down,)))
            }
            Op::StatefulMap { ordered } => {
                let down = self.down::<H, ByKey>(cx, built, 0);
                boxed(one!(H, cx, id, stateful(s, ordered), (down,)))
            }
            Op::StatefulFilterMap(n) => {
                let down = self.down::<H, ByKey>(cx, built, 0);
                let wired = stateful_filter_map::__wire(
                    s,
                    move |state: &mut Option<u64>, key: &u64, row| f::every(n, state, *key, row),
                );
                boxed(one!(H, cx, id, wired, (down,)))
            }
            Op::StatefulFlatMap(n) => {
                let down = self.down::<H, ByKey>(cx, built, 0);
                let wired = stateful_flat_map::__wire(s, move |state: &mut u64, key: &u64, row| {
                    f::several(n, state, *key, row)
                });
                boxed(one!(H, cx, id, wired, (down,)))
            }
            Op::Dedupe { ordered } => {
                let down = self.down::<H, ByKey>(cx, built, 0);
                firsts::<H>(cx, &id, ordered, down)
            }
            Op::Connect => {
                let down = self.down::<H, ByKey>(cx, built, 0);
                let both = connect::__wire(s, s);
                let counts = stateful_map::__wire(
                    both.0,
                    |state: &mut (u64, u64), key: &u64, row| match row {
                        Either::Left(row) => f::counting(&mut state.0, key + 10, row),
                        Either::Right(row) => f::counting(&mut state.1, key + 20, row),
                    },
                );
                let counts = one!(H, cx, id.child("counts"), counts, (down,));
                let (left, right) =
                    Plan2::<H, ByKey, ByKey, _>::assemble(both.1, cx, id, (counts,));
                self.keep(built, 1, right);
                boxed(left)
            }
            Op::Branch(n) => branches!(H, self, cx, built, s: ByKey, n),
            Op::Sink(_) => {
                let to = self.traces.keyed[self.n].clone();
                boxed(one!(H, cx, id, sink::__wire(s, to), ()))
            }
            ref other => panic!("{other:?} has no keyed input"),
        };
        self.keep(built, 0, consumer);
    }

    /// Several steps nested in one another, without a box: keys stay in their items as far as possible.
    fn chain<H: Host, S: Kept>(
        &self,
        cx: &mut H::Cx<'_>,
        built: &mut Built,
        n: u64,
    ) -> impl Consumer<S> + use<H, S> {
        let id = &self.id;
        let states = self.down::<H, ByKey>(cx, built, 0);
        let plain = self.down::<H, Plain>(cx, built, 1);
        let ordered = self.graph.streams[self.node.outputs[0]].order != Order::None;
        let by_key = key_by_ref::__wire(S::token(), |row: &Row| &row.k);
        let passed = filter::__wire(by_key.0, move |row: &Row| f::filter(n, row));
        let state = one!(H, cx, id.child("state"), stateful(passed.0, ordered), (states,));
        let values = one!(H, cx, id.child("values"), values::__wire(passed.0), (plain,));
        let tee = if ordered {
            let first =
                one!(H, cx, id.child("first"), dedupe::__wire(passed.0, Ttl::never()), (values,));
            boxed(Tee::new(passed.0, state, first, Row::clone))
        } else {
            let first = firsts::<H>(cx, &id.child("first"), false, boxed(values));
            boxed(Tee::new(passed.0, state, first, Row::clone))
        };
        let passed = one!(H, cx, id.child("passed"), passed, (tee,));
        one!(H, cx, id.clone(), by_key, (passed,))
    }

    /// A value that every worker keeps, read by a map that leaves its items alone.
    fn broadcast<H: Host, S: Kept>(self, cx: &mut H::Cx<'_>, built: &mut Built) {
        let down = self.down::<H, S>(cx, built, 0);
        let applied = self.traces.applied[self.n][H::worker(cx).index].clone();
        let (copy, plan) =
            broadcast::__wire(Plain::token(), move |copy: &mut Vec<u64>, row: Row| {
                copy.push(row.v);
                applied.lock().expect("no holder panics").push(row);
            });
        let read = map::__wire(S::token(), move |row: Row| {
            let seen = <Broadcast<Vec<u64>> as Slot<Vec<u64>>>::get(&copy);
            assert!(seen.iter().all(|v| *v < 1_000_000), "a change came in pieces");
            row
        });
        let read = one!(H, cx, self.id.child("read"), read, (down,));
        self.keep::<S>(built, 1, read);
        let changes = Plan1::<H, Plain, _>::assemble(plan, cx, self.id.clone(), ()).0;
        self.keep::<Plain>(built, 0, changes);
    }
}

/// How long a chunk may stay open: longer than any run.
const HELD: Duration = Duration::from_secs(1_000_000);

/// A look at the epochs: an item is in the epoch it was emitted in, or in a later one if a step may have held it back.
fn seen<H: Host, S: Rowed>(
    cx: &mut H::Cx<'_>,
    id: StepId,
    shape: Shape,
    fuse: &Fuse,
    down: Boxed<S>,
) -> Boxed<S> {
    let fuse = fuse.clone();
    let look = inspect::__wire(S::token(), move |row: &Row, seen| {
        fuse.pass();
        let in_time = seen.epoch.0 == row.epoch || shape.late && seen.epoch.0 > row.epoch;
        assert!(in_time, "an item of epoch {} is in epoch {}", row.epoch, seen.epoch);
    });
    boxed(one!(H, cx, id, look, (down,)))
}

/// State per key, whose result depends on the order of the key's items only where that is certain.
#[allow(clippy::type_complexity)] // A wired step is its tokens and its plan.
fn stateful(
    keyed: ByKey,
    ordered: bool,
) -> (
    ByKey,
    StatefulPlan<stateful_map, u64, u64, impl Fn(&mut u64, &u64, Row) -> Row + 'static, Row, Row>,
) {
    stateful_map::__wire(keyed, move |state: &mut u64, key: &u64, row| {
        let step = if ordered { f::running } else { f::counting };
        step(state, *key, row)
    })
}

/// The first item of each key; where it is not certain which one that is, what it was is forgotten.
fn firsts<H: Host>(
    cx: &mut H::Cx<'_>,
    id: &StepId,
    ordered: bool,
    down: Boxed<ByKey>,
) -> Boxed<ByKey> {
    let first = dedupe::__wire(ByKey::token(), Ttl::never());
    if ordered {
        return boxed(one!(H, cx, id.clone(), first, (down,)));
    }
    let forget = one!(H, cx, id.child("forget"), stateful(first.0, false), (down,));
    boxed(one!(H, cx, id.clone(), first, (forget,)))
}
