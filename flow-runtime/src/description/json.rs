//! A description as JSON.

use serde::Serialize;

use crate::describe::StepInfo;
use crate::description::{Description, short_type_name};
use crate::host::Spread;
use crate::io::{Delivery, Replay};

/// The number of the format.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Whole<'a> {
    format: u32,
    stages: Vec<Stage<'a>>,
    sources: Vec<Source<'a>>,
    sinks: Vec<Sink<'a>>,
}

#[derive(Serialize)]
struct Stage<'a> {
    steps: Vec<Step<'a>>,
    reads: Vec<Read<'a>>,
}

#[derive(Serialize)]
struct Step<'a> {
    id: &'a str,
    kind: &'a str,
    key: Option<String>,
    input: Option<String>,
    output: Option<String>,
    state: Option<String>,
}

#[derive(Serialize)]
struct Read<'a> {
    stage: Option<usize>,
    step: &'a str,
    spread: Option<&'a str>,
}

#[derive(Serialize)]
struct Source<'a> {
    id: &'a str,
    item: String,
    replay: &'a str,
    gives_epochs: bool,
}

#[derive(Serialize)]
struct Sink<'a> {
    id: &'a str,
    key: Option<String>,
    item: String,
    delivery: &'static str,
}

impl Description {
    /// The description as JSON.
    ///
    /// ```json
    /// {
    ///   "format": 1,
    ///   "stages": [{
    ///     "steps": [{
    ///       "id": "counts", "kind": "stateful_map", "key": "String", "input": "String", "output": "u64",
    ///       "state": "Count v1 { total: u64 }"
    ///     }],
    ///     "reads": [{ "stage": 0, "step": "by_word", "spread": "by_hash" }]
    ///   }],
    ///   "sources": [{ "id": "lines", "item": "String", "replay": "replayable", "gives_epochs": false }],
    ///   "sinks": [{ "id": "counts.sink", "key": "String", "item": "u64", "delivery": "rewindable" }]
    /// }
    /// ```
    ///
    /// Types are named without their module paths. `stage` is an index in `stages`, which stand upstream first. `spread` is
    /// `by_hash`, `balanced`, `to_worker` or `to_all`, or `null` where items stay on their worker; `replay` is `replayable`,
    /// `acknowledged_only` or `none`; `delivery` is `rewindable`, `transactional`, `outbox`, `upsert` or `append_only`. `format` changes when a field is taken away or gets another meaning.
    pub fn to_json(&self) -> String {
        let whole = Whole {
            format: FORMAT,
            stages: self.stages.iter().map(|stage| self.stage(stage)).collect(),
            sources: self
                .sources
                .iter()
                .map(|source| Source {
                    id: source.id.as_str(),
                    item: short_type_name(source.item),
                    replay: match source.replay {
                        Replay::Replayable => "replayable",
                        Replay::AcknowledgedOnly => "acknowledged_only",
                        Replay::None => "none",
                    },
                    gives_epochs: source.gives_epochs,
                })
                .collect(),
            sinks: self
                .sinks
                .iter()
                .map(|sink| Sink {
                    id: sink.id.as_str(),
                    key: sink.key.map(short_type_name),
                    item: short_type_name(sink.item),
                    delivery: match sink.delivery {
                        Delivery::Rewindable => "rewindable",
                        Delivery::Transactional => "transactional",
                        Delivery::Outbox => "outbox",
                        Delivery::Upsert => "upsert",
                        Delivery::AppendOnly => "append_only",
                    },
                })
                .collect(),
        };
        serde_json::to_string_pretty(&whole).expect("text and lists always have a JSON form")
    }

    fn stage<'a>(&'a self, stage: &'a super::StageInfo) -> Stage<'a> {
        let reads = stage.reads.iter().map(|read| Read {
            stage: self.sender(read.outlet),
            step: read.step.as_str(),
            spread: read.spread.map(|spread| match spread {
                Spread::ByHash => "by_hash",
                Spread::Balanced => "balanced",
                Spread::ToWorker => "to_worker",
                Spread::ToAll => "to_all",
            }),
        });
        Stage { steps: stage.steps.iter().map(step).collect(), reads: reads.collect() }
    }
}

fn step(step: &StepInfo) -> Step<'_> {
    Step {
        id: step.id.as_str(),
        kind: step.kind,
        key: step.key.map(short_type_name),
        input: step.input.map(short_type_name),
        output: step.output.map(short_type_name),
        state: step.state.map(ToString::to_string),
    }
}
