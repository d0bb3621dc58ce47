//! A plan assembled by hand, and what is said about it.

use super::*;
use crate::bounds::Item;
use crate::error::Error;
use crate::graph::Graph;
use crate::host::Host;
use crate::io::{
    Encoder, Io, PartitionId, Poll, PollContext, Reader, Resume, Sink, SinkWriter, Source,
    delivery, replay,
};
use crate::plan::{Plan0, Plan1, Plan2};
use crate::steps::{key_by, map, merge, sink, source, stateful_map};
use crate::stream::Token;
use crate::time::Barrier;

/// A source and sink that may not be touched.
#[derive(Clone)]
struct Untouched;

impl Source for Untouched {
    type Item = String;
    type Position = ();
    type Reader = Untouched;
    type Replay = replay::NotReplayable;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        panic!("partitions are not listed")
    }
    fn open(&self, _: &Io, _: &PartitionId, _: Resume<()>) -> Result<Self, Error> {
        panic!("nothing is opened")
    }
}

impl Reader for Untouched {
    type Item = String;
    type Position = ();
    fn poll(&mut self, _: &PollContext<'_>, _: &mut impl FnMut(String)) -> Result<Poll, Error> {
        panic!("nothing is read")
    }
    fn position(&self) {}
}

impl<S: Token<Item: Item>> Sink<S> for Untouched {
    type Block = Vec<S::Item>;
    type Position = ();
    type Encoder = Writes<S::Item>;
    type Writer = Writes<S::Item>;
    type Delivery = delivery::AppendOnly;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        panic!("partitions are not listed")
    }
    fn encoder(&self) -> Writes<S::Item> {
        Writes(std::marker::PhantomData)
    }
    fn open(&self, _: &Io, _: &PartitionId, _: Resume<()>) -> Result<Writes<S::Item>, Error> {
        panic!("nothing is opened")
    }
}

struct Writes<T>(std::marker::PhantomData<fn(T)>);

impl<S: Token> Encoder<S> for Writes<S::Item> {
    type Block = Vec<S::Item>;
    fn encode(&mut self, _: &S::Key, _: S::Item, _: &mut Vec<S::Item>) -> Result<usize, Error> {
        panic!("nothing is written")
    }
}

impl<T: 'static> SinkWriter for Writes<T> {
    type Block = Vec<T>;
    type Position = ();
    fn write(&mut self, _: Vec<T>) -> Result<(), Error> {
        panic!("nothing is written")
    }
    fn seal(&mut self, _: Barrier) -> Result<(), Error> {
        panic!("nothing is written")
    }
}

/// Two sources merged, keyed, counted, written.
#[derive(Clone)]
struct Counting;

impl FlowPlan for Counting {
    const GRAPH: Graph = Graph { name: "counting", inputs: &[], nodes: &[], outputs: &[] };

    fn assemble<H: Host>(self, cx: &mut H::Cx<'_>) {
        let (a, a_plan) = source::__wire(Untouched);
        let (b, b_plan) = source::__wire(Untouched);
        let (all, all_plan) = merge::__wire2(a, b);
        let (lengths, lengths_plan) = map::__wire(all, |word: String| word.len());
        let (by_length, by_length_plan) = key_by::__wire(lengths, |length: &usize| *length as u64);
        let (counts, counts_plan) = stateful_map::__wire(
            by_length,
            |count: &mut Option<u64>, _: &u64, length: usize| -> Option<usize> {
                *count = Some(count.unwrap_or(0) + 1);
                Some(length)
            },
        );
        let ((), out_plan) = sink::__wire(counts, Untouched);

        let id = |name: &str| StepId::root().child(name);
        let (out,) = Plan1::<H, _, _>::assemble(out_plan, cx, id("counts.sink"), ());
        let (counts,) = Plan1::<H, _, _>::assemble(counts_plan, cx, id("counts"), (out,));
        let (by_length,) =
            Plan1::<H, _, _>::assemble(by_length_plan, cx, id("by_length"), (counts,));
        let (lengths,) = Plan1::<H, _, _>::assemble(lengths_plan, cx, id("lengths"), (by_length,));
        let (left, right) = Plan2::<H, _, _, _>::assemble(all_plan, cx, id("all"), (lengths,));
        Plan0::<H, _>::assemble(b_plan, cx, id("b"), (right,));
        Plan0::<H, _>::assemble(a_plan, cx, id("a"), (left,));
    }
}

#[test]
fn stages_come_upstream_first_with_their_types() {
    let description = Dataflow::__new(Counting).describe();
    assert_eq!(
        format!("\n{description}"),
        "
  step         kind             key  input          output         state
stage 0
  a            source                               String
stage 1
  b            source                               String
stage 2 ⇐ stage 0, stage 1
  all          merge                 String         String
  lengths      map                   String         usize
stage 3 ⇐ stage 2 by key
  by_length    key_by           u64  usize          usize
  counts       stateful_map     u64  usize          Option<usize>  u64
  counts.sink  sink             u64  Option<usize>
stage 4 ⇐ stage 3 to its owner
  counts.sink  sink partitions
"
    );
}

#[test]
fn sources_and_sinks_are_known_without_being_touched() {
    let description = Dataflow::__new(Counting).describe();
    let sources: Vec<_> =
        description.sources.iter().map(|source| (source.id.as_str(), source.replay)).collect();
    assert_eq!(sources, [("a", Replay::None), ("b", Replay::None)]);
    let sinks: Vec<_> =
        description.sinks.iter().map(|sink| (sink.id.as_str(), sink.key, sink.delivery)).collect();
    assert_eq!(sinks, [("counts.sink", Some("u64"), Delivery::AppendOnly)]);
    assert_eq!(description.steps().count(), 8);
}

#[test]
fn json_says_the_same() {
    let text = Dataflow::__new(Counting).describe().to_json();
    let json: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(
        json["stages"][3],
        serde_json::json!({
            "steps": [
                { "id": "by_length", "kind": "key_by", "key": "u64", "input": "usize", "output": "usize", "state": null },
                { "id": "counts", "kind": "stateful_map", "key": "u64", "input": "usize", "output": "Option<usize>", "state": "u64" },
                { "id": "counts.sink", "kind": "sink", "key": "u64", "input": "Option<usize>", "output": null, "state": null },
            ],
            "reads": [{ "stage": 2, "step": "by_length", "spread": "by_hash" }],
        })
    );
    assert_eq!(
        json["stages"][2]["reads"][1],
        serde_json::json!({ "stage": 1, "step": "all", "spread": null })
    );
    assert_eq!(
        json["sources"][0],
        serde_json::json!({ "id": "a", "item": "String", "replay": "none", "gives_epochs": false })
    );
    assert_eq!(
        json["sinks"][0],
        serde_json::json!({
            "id": "counts.sink", "key": "u64", "item": "Option<usize>", "delivery": "append_only"
        })
    );
}
