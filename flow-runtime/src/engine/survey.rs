//! Before a run: which partitions there are, who gets them, and what steps keep.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use crate::bounds::Item;
use crate::consumer::Consumer;
use crate::control::Control;
use crate::describe::{Describe, OutletId, StepId, StepInfo};
use crate::error::{Error, ErrorKind};
use crate::failure::Note;
use crate::host::{Assignment, Host, Inlet, Outlet, Spread, WorkerInfo};
use crate::io::replay::ReplayKind;
use crate::io::{Apply, Delivery, Io, PartitionId, Replay, Source, Told};
use crate::plan::FlowPlan;
use crate::recovery::RecoveryLog;
use crate::recovery::manifest::StepSpec;
use crate::recovery::recovered::Recovered;
use crate::state::GROUPS;
use crate::stream::Stream;
use crate::time::Timestamp;

/// What a survey found.
#[derive(Default)]
pub(crate) struct Surveyed {
    /// Sources and sinks, in the order in which they were met.
    pub(crate) ends: Vec<End>,
    /// The source that gives epochs.
    pub(crate) authority: Option<StepId>,
    /// The steps that keep something.
    pub(crate) steps: Vec<(StepId, StepSpec)>,
    /// Stages of a worker: as many may stand on its stack at once.
    pub(crate) stages: usize,
}

/// A source or a sink.
pub(crate) struct End {
    pub(crate) id: StepId,
    /// Sorted.
    pub(crate) partitions: Vec<PartitionId>,
    pub(crate) role: Role,
}

/// What an end is.
pub(crate) enum Role {
    Source(Replay),
    /// With what it promises, and what makes its appliers.
    Sink(Option<(Delivery, Box<MakeApplier>)>),
}

/// Makes what applies what a partition stores.
pub(crate) type MakeApplier =
    dyn Fn(&Io, &PartitionId, &str) -> Result<Option<Box<dyn Apply>>, Error>;

/// Asks every source and sink of a plan for its partitions, and every step for what it keeps.
pub(crate) fn survey<P: FlowPlan>(plan: P, io: &Io, workers: usize) -> Result<Surveyed, Error> {
    let mut survey = Survey {
        io: io.clone(),
        lists: true,
        workers,
        found: Surveyed::default(),
        failure: None,
        told: Vec::new(),
        lifetime: PhantomData,
    };
    plan.assemble::<Surveying>(&mut survey);
    match survey.failure {
        Some(failure) => Err(failure),
        None => Ok(survey.found),
    }
}

/// Asks every step for what it keeps. Sources and sinks are not asked for anything.
pub(crate) fn survey_steps<P: FlowPlan>(plan: P) -> Vec<(StepId, StepSpec)> {
    let mut survey = Survey {
        io: Io::real(),
        lists: false,
        workers: 1,
        found: Surveyed::default(),
        failure: None,
        told: Vec::new(),
        lifetime: PhantomData,
    };
    plan.assemble::<Surveying>(&mut survey);
    survey.found.steps
}

/// Who has which partition.
#[derive(Debug, Default)]
pub(crate) struct Dealt {
    pub(crate) assignments: BTreeMap<StepId, Assignment>,
    /// The number of partitions of the source that gives epochs.
    pub(crate) authority: Option<usize>,
    /// The workers that read.
    pub(crate) reading: BTreeSet<usize>,
}

impl Surveyed {
    /// Deals the partitions to the workers in turn. A partition of a source that was read before and is not listed any more is dealt
    /// as well: whether it may be gone is the source's to say.
    pub(crate) fn deal(
        &self,
        workers: usize,
        recovered: Option<&Recovered>,
    ) -> Result<Dealt, Error> {
        let mut dealt = Dealt::default();
        // Each step goes on where the last one stopped, so that worker 0 does not get the first partition of them all.
        let mut next = 0;
        for End { id, partitions, role } in &self.ends {
            let saved = recovered.and_then(|recovered| recovered.positions(id));
            let mut partitions = partitions.clone();
            match (role, saved) {
                (Role::Source(_), Some(saved)) => {
                    partitions.extend(saved.keys().cloned());
                    partitions.sort();
                    partitions.dedup();
                }
                (Role::Sink(_), Some(saved)) if !saved.keys().eq(&partitions) => {
                    return Err(other_partitions(saved.keys(), &partitions).at_step(id));
                }
                _ => {}
            }
            let owners: Vec<_> = (0..partitions.len()).map(|n| (next + n) % workers).collect();
            next += partitions.len();
            if let Role::Source(_) = role {
                dealt.reading.extend(&owners);
            }
            if self.authority.as_ref() == Some(id) {
                dealt.authority = Some(partitions.len());
            }
            dealt.assignments.insert(id.clone(), Assignment { partitions, workers: owners });
        }
        Ok(dealt)
    }

    /// Refuses what cannot be saved, or cannot be without being saved.
    pub(crate) fn check_ends(&self, log: Option<&RecoveryLog>) -> Result<(), Error> {
        for End { id, role, .. } in &self.ends {
            let error = match (role, log) {
                (Role::Source(Replay::None), Some(log)) if !log.accepts_loss => Error::new(
                    ErrorKind::Configuration,
                    "the source cannot replay: what it had given in an epoch that is not committed would be lost in a crash",
                )
                .help("read from something that keeps its input; or accept the loss: `--accept-loss`"),
                (Role::Sink(Some((Delivery::Outbox | Delivery::Transactional, _))), None) => {
                    Error::new(
                        ErrorKind::Configuration,
                        "the sink writes with the commits of a recovery log, and there is none",
                    )
                    .help("give the run a folder for its log: `--recovery DIR`, or `.recovery(dir)`")
                }
                _ => continue,
            };
            return Err(error.at_step(id));
        }
        Ok(())
    }
}

fn other_partitions<'a>(
    saved: impl Iterator<Item = &'a PartitionId>,
    now: &[PartitionId],
) -> Error {
    let names = |partitions: Vec<&PartitionId>| {
        let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    Error::new(
        ErrorKind::Recovery,
        format!(
            "the sink has written the partitions {} and has now {}",
            names(saved.collect()),
            names(now.iter().collect())
        ),
    )
    .help("the partitions of a sink are fixed for the life of a recovery log: give it the output that it had")
}

enum Surveying {}

struct Survey<'a> {
    io: Io,
    /// Whether sources and sinks are asked for their partitions.
    lists: bool,
    workers: usize,
    found: Surveyed,
    failure: Option<Error>,
    /// The files that steps have said they read or write.
    told: Vec<(StepId, Told)>,
    lifetime: PhantomData<&'a ()>,
}

impl Survey<'_> {
    /// Refuses to read a file that is written, and to write one twice: the first writer would empty it.
    fn check_files(&mut self, id: &StepId) -> Result<(), Error> {
        for told in self.io.take_told() {
            let clash = self
                .told
                .iter()
                .find(|(_, other)| other.path == told.path && (other.written || told.written));
            if let Some((step, other)) = clash {
                let how = if other.written && told.written {
                    "writes it, too"
                } else {
                    "reads what the other writes"
                };
                return Err(Error::new(
                    ErrorKind::Configuration,
                    format!(
                        "`{}` is used by step `{step}` already, and one {how}",
                        told.path.display()
                    ),
                )
                .help("give every output a path of its own"));
            }
            self.told.push((id.clone(), told));
        }
        Ok(())
    }

    fn add(
        &mut self,
        id: &StepId,
        partitions: Result<Vec<PartitionId>, Error>,
        role: Role,
    ) -> Assignment {
        let partitions = partitions.and_then(|mut partitions| {
            self.check_files(id)?;
            partitions.sort();
            match partitions.windows(2).find(|pair| pair[0] == pair[1]) {
                Some(pair) => Err(Error::new(
                    ErrorKind::Configuration,
                    format!("there are two partitions called {}", pair[0]),
                )
                .help(
                    "a partition's name is what its position is saved under: give each file once",
                )),
                None => Ok(partitions),
            }
        });
        match partitions {
            Ok(partitions) => {
                // Who really has them is dealt later; nothing of this assembly ever runs.
                let assignment = Assignment {
                    workers: vec![0; partitions.len()],
                    partitions: partitions.clone(),
                };
                self.found.ends.push(End { id: id.clone(), partitions, role });
                assignment
            }
            Err(error) => {
                self.failure.get_or_insert(error.at_step(id));
                Assignment::default()
            }
        }
    }
}

/// Collects what steps keep.
struct Keeping<'a>(&'a mut Vec<(StepId, StepSpec)>);

impl Describe for Keeping<'_> {
    fn step(&mut self, step: StepInfo) {
        if let Some(spec) = step.saves {
            self.0.push((step.id, spec()));
        }
    }
    fn outlet(&mut self, _: OutletId) {}
}

impl Host for Surveying {
    type Cx<'a> = Survey<'a>;
    type Outlet<R: 'static> = Nowhere;

    fn worker(cx: &Survey<'_>) -> WorkerInfo {
        WorkerInfo { index: 0, peers: cx.workers, hash_seed: 0, groups: GROUPS }
    }

    fn io(cx: &Survey<'_>) -> Io {
        cx.io.clone()
    }

    fn source<S: Source, D: Consumer<Stream<S::Item>>>(
        cx: &mut Survey<'_>,
        id: StepId,
        source: S,
        down: D,
    ) {
        cx.found.stages += 1;
        cx.found.steps.push((id.clone(), StepSpec::positions::<S::Position>("source")));
        down.describe(&mut Keeping(&mut cx.found.steps));
        if !cx.lists {
            return;
        }
        let note = Note::of(&id);
        let partitions = source.partitions(&cx.io);
        note.clear();
        cx.add(&id, partitions, Role::Source(S::Replay::KIND));
        if S::GIVES_EPOCHS
            && let Some(other) = cx.found.authority.replace(id.clone())
        {
            cx.failure.get_or_insert(
                Error::new(
                    ErrorKind::Configuration,
                    format!("the sources `{other}` and `{id}` both give epochs"),
                )
                .help("one source may number the epochs, the others follow it"),
            );
        }
    }

    fn exchange<R: Item, I: Inlet<R>>(
        cx: &mut Survey<'_>,
        _: StepId,
        _: Spread,
        inlet: I,
    ) -> Nowhere {
        cx.found.stages += 1;
        inlet.describe(&mut Keeping(&mut cx.found.steps));
        Nowhere
    }

    fn handoff<R: 'static, I: Inlet<R>, const N: usize>(
        cx: &mut Survey<'_>,
        _: StepId,
        inlet: I,
    ) -> [Nowhere; N] {
        cx.found.stages += 1;
        inlet.describe(&mut Keeping(&mut cx.found.steps));
        [Nowhere; N]
    }

    fn sink_partitions(
        cx: &mut Survey<'_>,
        id: &StepId,
        list: &dyn Fn(&Io) -> Result<Vec<PartitionId>, Error>,
    ) -> Assignment {
        if !cx.lists {
            return Assignment::default();
        }
        let note = Note::of(id);
        let partitions = list(&cx.io);
        note.clear();
        let partitions = partitions.and_then(|partitions| {
            if partitions.is_empty() {
                let message = "the sink has no partitions, so there is nowhere to write to";
                return Err(Error::new(ErrorKind::Configuration, message));
            }
            Ok(partitions)
        });
        cx.add(id, partitions, Role::Sink(None))
    }

    fn sink_applier(
        cx: &mut Survey<'_>,
        id: &StepId,
        delivery: Delivery,
        make: impl Fn(&Io, &PartitionId, &str) -> Result<Option<Box<dyn Apply>>, Error> + 'static,
    ) {
        let end = cx.found.ends.iter_mut().find(|end| end.id == *id);
        if let Some(End { role: Role::Sink(applier), .. }) = end {
            *applier = Some((delivery, Box::new(make)));
        }
    }
}

/// An outlet that nothing is ever sent to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nowhere;

impl<R: 'static> Outlet<R> for Nowhere {
    fn send(&mut self, _: u64, _: Timestamp, _: R) {}
    fn control(&mut self, _: &mut Control<'_>) {}
    fn describe(&self, _: &mut dyn Describe) {}
}
