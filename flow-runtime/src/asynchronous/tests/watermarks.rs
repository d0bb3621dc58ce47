//! Watermarks wait for the items in front of them, and for no others.

use std::cell::RefCell;
use std::rc::Rc;

use super::Gate;
use crate::asynchronous::{Async, AsyncFailed, AsyncFn, AsyncInlet, Polling, attempt};
use crate::consumer::{Consumer, Head};
use crate::control::{Answer, Control, EventTime, Signal, Standing};
use crate::describe::{Describe, StepId};
use crate::host::{Batch, Inlet};
use crate::steps::async_map;
use crate::stream::{NoKey, Stream};
use crate::time::{Barrier, Timestamp};

/// What has come out.
type Out = Rc<RefCell<Vec<String>>>;

struct Record(Out);

impl Consumer<Stream<u64>> for Record {
    fn push(&mut self, _: Head<'_, NoKey>, item: u64) {
        self.0.borrow_mut().push(item.to_string());
    }
    fn control(&mut self, control: &mut Control<'_>) {
        match control.signal() {
            Signal::Watermark(time) => {
                self.0.borrow_mut().push(format!("watermark {}", time.watermark.0))
            }
            Signal::Barrier(_) => self.0.borrow_mut().push("barrier".to_owned()),
            _ => {}
        }
    }
    fn describe(&self, _: &mut dyn Describe) {}
}

struct Nothing;

impl Consumer<Stream<AsyncFailed<u64>>> for Nothing {
    fn push(&mut self, _: Head<'_, NoKey>, _: AsyncFailed<u64>) {}
    fn control(&mut self, _: &mut Control<'_>) {}
    fn describe(&self, _: &mut dyn Describe) {}
}

fn watermark(at: i64) -> Signal {
    Signal::Watermark(EventTime { watermark: Timestamp(at), standing: Standing::Active })
}

fn batch(rows: &[u64]) -> Batch<u64> {
    Batch { rows: rows.to_vec(), times: Vec::new() }
}

fn tell(inlet: &mut impl Inlet<u64>, signal: Signal) {
    inlet.control(&mut Control::new(signal, Timestamp(0), &mut Answer::default()));
}

#[test]
fn a_watermark_passes_when_the_items_in_front_of_it_are_out() {
    let (out, gates) = (Out::default(), [(); 4].map(|()| Gate::default()));
    let function: AsyncFn<u64, u64> = {
        let gates = gates.clone();
        Box::new(move |n| {
            let (n, gate) = (*n, gates[*n as usize].clone());
            attempt(async move {
                gate.pass().await;
                Ok(n)
            })
        })
    };
    // Two in flight, the others wait for a place.
    let wired = (Async::in_flight(2).unordered(), function);
    let downs = (Record(Rc::clone(&out)), Nothing);
    let mut inlet = AsyncInlet::<async_map, Stream<u64>, u64, u64, _, _>::new(
        StepId::of("step"),
        0,
        Polling::default(),
        wired,
        downs,
    );
    let open = |inlet: &mut dyn FnMut() -> bool, gate: usize| {
        gates[gate].open();
        assert!(inlet());
    };
    let came = |expected: &[&str]| assert_eq!(std::mem::take(&mut *out.borrow_mut()), expected);

    tell(&mut inlet, watermark(1));
    came(&["watermark 1"]);
    inlet.batch(0, &mut batch(&[0, 1, 2]));
    tell(&mut inlet, watermark(2));
    inlet.batch(0, &mut batch(&[3]));
    tell(&mut inlet, watermark(3));
    tell(&mut inlet, watermark(4));
    assert!(inlet.advance() && !inlet.is_drained());
    came(&[]);
    open(&mut || inlet.advance(), 1);
    open(&mut || inlet.advance(), 2);
    tell(&mut inlet, Signal::Flush);
    came(&["1", "2"]);
    // 3 lies behind the first watermark.
    open(&mut || inlet.advance(), 3);
    tell(&mut inlet, Signal::Flush);
    came(&["3"]);
    open(&mut || inlet.advance(), 0);
    assert!(inlet.is_drained() && !inlet.advance());
    tell(&mut inlet, Signal::Barrier(Barrier(0)));
    came(&["0", "watermark 4", "barrier"]);
}
