//! Before a run: which partitions there are, and who gets them.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use crate::bounds::Item;
use crate::consumer::Consumer;
use crate::control::Control;
use crate::describe::{Describe, StepId};
use crate::error::{Error, ErrorKind};
use crate::failure::Note;
use crate::host::{Assignment, Host, Inlet, Outlet, Spread, WorkerInfo};
use crate::io::{Io, PartitionId, Source, Told};
use crate::plan::FlowPlan;
use crate::stream::Stream;

/// What a survey found.
#[derive(Debug, Default)]
pub(crate) struct Surveyed {
    pub(crate) assignments: BTreeMap<StepId, Assignment>,
    /// The source that gives epochs, and its number of partitions.
    pub(crate) authority: Option<(StepId, usize)>,
    /// The workers that read.
    pub(crate) reading: BTreeSet<usize>,
    /// Stages of a worker: as many may stand on its stack at once.
    pub(crate) stages: usize,
}

/// Asks every source and sink of a plan for its partitions, and deals them to the workers in turn.
pub(crate) fn survey<P: FlowPlan>(plan: P, io: &Io, workers: usize) -> Result<Surveyed, Error> {
    let mut survey = Survey {
        io: io.clone(),
        workers,
        found: Surveyed::default(),
        dealt: 0,
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

enum Surveying {}

struct Survey<'a> {
    io: Io,
    workers: usize,
    found: Surveyed,
    /// Partitions dealt so far: each step goes on where the last one stopped, so that worker 0 does not get the
    /// first partition of them all.
    dealt: usize,
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

    fn deal(&mut self, id: &StepId, partitions: Result<Vec<PartitionId>, Error>) -> Assignment {
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
                let workers =
                    (0..partitions.len()).map(|n| (self.dealt + n) % self.workers).collect();
                self.dealt += partitions.len();
                let assignment = Assignment { partitions, workers };
                self.found.assignments.insert(id.clone(), assignment.clone());
                assignment
            }
            Err(error) => {
                self.failure.get_or_insert(error.at_step(id));
                Assignment::default()
            }
        }
    }
}

impl Host for Surveying {
    type Cx<'a> = Survey<'a>;
    type Outlet<R: 'static> = Nowhere;

    fn worker(cx: &Survey<'_>) -> WorkerInfo {
        WorkerInfo { index: 0, peers: cx.workers, hash_seed: 0 }
    }

    fn io(cx: &Survey<'_>) -> Io {
        cx.io.clone()
    }

    fn source<S: Source, D: Consumer<Stream<S::Item>>>(
        cx: &mut Survey<'_>,
        id: StepId,
        source: S,
        _: D,
    ) {
        cx.found.stages += 1;
        let note = Note::of(&id);
        let partitions = source.partitions(&cx.io);
        note.clear();
        let dealt = cx.deal(&id, partitions);
        cx.found.reading.extend(&dealt.workers);
        if S::GIVES_EPOCHS {
            let count = dealt.partitions.len();
            if let Some((other, _)) = cx.found.authority.replace((id.clone(), count)) {
                cx.failure.get_or_insert(
                    Error::new(
                        ErrorKind::Configuration,
                        format!("the sources `{other}` and `{id}` both give epochs"),
                    )
                    .help("one source may number the epochs, the others follow it"),
                );
            }
        }
    }

    fn exchange<R: Item, I: Inlet<R>>(cx: &mut Survey<'_>, _: StepId, _: Spread, _: I) -> Nowhere {
        cx.found.stages += 1;
        Nowhere
    }

    fn handoff<R: 'static, I: Inlet<R>, const N: usize>(
        cx: &mut Survey<'_>,
        _: StepId,
        _: I,
    ) -> [Nowhere; N] {
        cx.found.stages += 1;
        [Nowhere; N]
    }

    fn sink_partitions(
        cx: &mut Survey<'_>,
        id: &StepId,
        list: &dyn Fn(&Io) -> Result<Vec<PartitionId>, Error>,
    ) -> Assignment {
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
        cx.deal(id, partitions)
    }
}

/// An outlet that nothing is ever sent to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nowhere;

impl<R: 'static> Outlet<R> for Nowhere {
    fn send(&mut self, _: u64, _: R) {}
    fn control(&mut self, _: &mut Control<'_>) {}
    fn describe(&self, _: &mut dyn Describe) {}
}
