//! The receiving end of an asynchronous step.
//!
//! 1. A batch is taken while the step is below its limit. Those of its items that find no place wait here, and until they have
//!    one no other batch is taken: what waits is less than a batch.
//! 2. Whenever the stage runs, due timers wake who waits for them, whoever was woken is polled, and what is done goes out, each line in order.
//! 3. A barrier waits until nothing is in flight, so nothing of it is ever saved: the items belong to an epoch that is not
//!    closed, and after a crash the source gives them again.
//! 4. A watermark waits for the items in front of it only; those behind it go on.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::Waker;

use super::flight::{Flight, Going, Run};
use super::flights::Flights;
use super::function::{AsyncFailed, AsyncFn, AsyncStep};
use super::options::Async;
use super::place::Placed;
use super::polling::Polling;
use crate::consumer::Consumer;
use crate::control::{Control, EventTime, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::host::{Batch, Inlet};
use crate::steps::Queued;
use crate::stream::Token;
use crate::time::Timestamp;

/// The items of an asynchronous step on one worker.
pub(crate) struct AsyncInlet<Op, U, A, T, D, E>
where
    Op: AsyncStep<A, T>,
    U: Token<Key: Placed>,
{
    id: StepId,
    worker: usize,
    options: Async,
    function: AsyncFn<A, T>,
    /// Taken, and without a place.
    waiting: VecDeque<(Place<U>, A)>,
    flights: Flights<Place<U>, A, T>,
    /// How many items have been given a place.
    begun: u64,
    /// Watermarks, each with the number of the first item behind it.
    watermarks: VecDeque<(u64, EventTime)>,
    down: D,
    failed: E,
    types: PhantomData<fn(Op, U)>,
}

type Place<U> = <<U as Token>::Key as Placed>::Place;

impl<Op, U, A, T, D, E> AsyncInlet<Op, U, A, T, D, E>
where
    Op: AsyncStep<A, T>,
    U: Token<Key: Placed>,
    A: 'static,
    T: 'static,
    D: Consumer<U::With<Op::Out>>,
    E: Consumer<U::With<AsyncFailed<A>>>,
{
    /// The step `id` on the worker of this number. What is done goes to `down`, what has failed to `failed`.
    pub(crate) fn new(
        id: StepId,
        worker: usize,
        polling: Polling,
        (options, function): (Async, AsyncFn<A, T>),
        (down, failed): (D, E),
    ) -> Self {
        AsyncInlet {
            id,
            worker,
            options,
            function,
            waiting: VecDeque::new(),
            flights: Flights::new(polling),
            begun: 0,
            watermarks: VecDeque::new(),
            down,
            failed,
            types: PhantomData,
        }
    }

    /// Gives items places and has them begin, as long as there are both.
    fn begin(&mut self) -> bool {
        let mut moved = false;
        while self.flights.len() < self.options.limit {
            let Some((place, item)) = self.waiting.pop_front() else { break };
            moved = true;
            let number = self.begun;
            self.begun += 1;
            let line = match U::Key::hash(&place) {
                _ if self.options.ordered => 0,
                Some(hash) => hash,
                // A line of its own.
                None => number,
            };
            let at = self.flights.add(Flight { place, item, number, line, run: Run::new() });
            self.poll(at);
        }
        moved
    }

    /// Has a flight go on, and passes on what can go out then.
    fn poll(&mut self, at: usize) {
        let (clock, reactor) = (Rc::clone(&self.flights.clock), self.flights.reactor.clone());
        let Some((flight, waker)) = self.flights.at(at) else { return };
        let Flight { place, item, number, line, run } = flight;
        if run.is_done() {
            return; // It waits for its turn.
        }
        let seed = *number ^ (self.worker as u64).rotate_left(32);
        let going = Going { options: &self.options, clock: &clock, waker, seed };
        let function = &self.function;
        reactor.within(|| {
            clock.within(|| {
                U::Key::noted(&self.id, place, || run.go_on(&going, || function(item)));
            });
        });
        if run.is_done() {
            let line = *line;
            self.pass_on(line);
        }
    }

    /// Passes on what is done and first in its line.
    fn pass_on(&mut self, line: u64) {
        while let Some(flight) = self.flights.next_done(line) {
            let Flight { place, item, run, .. } = flight;
            let (attempts, Some(outcome)) = (run.attempts(), run.into_outcome()) else { continue };
            let head = U::Key::head(&place);
            self.id.counted().emits();
            match outcome {
                Ok(answer) => self.down.push(head, Op::out(item, answer)),
                Err(reason) => self.failed.push(head, AsyncFailed { item, attempts, reason }),
            }
        }
    }

    /// Passes on the last watermark of which all items in front are out.
    fn pass_watermarks(&mut self, control: &mut Control<'_>) {
        let waits = (!self.waiting.is_empty()).then_some(self.begun);
        let oldest = self.flights.oldest().or(waits).unwrap_or(u64::MAX);
        let mut last = None;
        while let Some((_, time)) = self.watermarks.pop_front_if(|(behind, _)| *behind <= oldest) {
            last = Some(time);
        }
        if let Some(time) = last {
            let mut control = control.beside(Signal::Watermark(time));
            self.down.control(&mut control);
            self.failed.control(&mut control);
        }
    }
}

impl<Op, U, A, T, D, E> Inlet<<U::With<A> as Queued>::Row> for AsyncInlet<Op, U, A, T, D, E>
where
    Op: AsyncStep<A, T>,
    U: Token<Key: Placed>,
    U::With<A>: Queued,
    A: 'static,
    T: 'static,
    D: Consumer<U::With<Op::Out>>,
    E: Consumer<U::With<AsyncFailed<A>>>,
{
    fn batch(&mut self, _: usize, batch: &mut Batch<<U::With<A> as Queued>::Row>) {
        let mut times = batch.times.drain(..);
        for row in batch.rows.drain(..) {
            self.id.counted().takes();
            // Without times there are none from the beginning.
            let time = times.next().unwrap_or(Timestamp::MIN);
            <U::With<A>>::unpack(row, time, |head, item| {
                self.waiting.push_back((U::Key::place(head), item));
            });
        }
    }

    fn ready(&mut self, _: &Waker) -> bool {
        self.waiting.is_empty() && self.flights.len() < self.options.limit
    }

    fn advance(&mut self) -> bool {
        if self.flights.len() == 0 && self.waiting.is_empty() {
            return false;
        }
        self.flights.clock.wake_due();
        let woken = self.flights.woken();
        // Not until none is left: a future that wakes itself would hold up the worker.
        for _ in 0..woken {
            let Some(at) = self.flights.next_woken() else { break };
            self.poll(at);
        }
        self.begin() | (woken > 0)
    }

    fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.flights.len() == 0
    }

    fn control(&mut self, control: &mut Control<'_>) {
        self.flights.clock.tell(control.now());
        match control.signal() {
            Signal::Open { .. } => {
                if let Err(error) = self.flights.reactor.start() {
                    control.fail(error);
                }
                if self.flights.clock.is_told() {
                    control.use_time();
                }
            }
            // What is due goes out before the steps behind are told the time.
            Signal::Tick => {
                self.advance();
            }
            Signal::Watermark(time) => {
                let behind = self.begun + self.waiting.len() as u64;
                self.watermarks.push_back((behind, time));
                return self.pass_watermarks(control);
            }
            Signal::Barrier(_) => debug_assert!(
                self.flights.len() == 0 && self.waiting.is_empty(),
                "a barrier came before the items in front of it were out"
            ),
            _ => {}
        }
        self.pass_watermarks(control);
        if let Some(due) = self.flights.clock.due() {
            control.wake_at(due);
        }
        self.down.control(control);
        self.failed.control(control);
    }

    fn describe(&self, to: &mut dyn Describe) {
        to.step(StepInfo::new(&self.id, Op::KIND).takes::<U::With<A>>().emits::<Op::Out>());
        self.down.describe(to);
        self.failed.describe(to);
    }
}
