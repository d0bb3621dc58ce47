//! Where the steps of a stage lie while no item runs through them.
//!
//! While a batch runs through them they lie on the stack. Of a value there the compiler knows all that looks at it: what a step
//! counts stays in a register, and a branch around a count becomes a conditional move. Behind a pointer each item would have to write it
//! to memory. A loop of a few instructions is much faster for it; moving the steps there and back is a copy of some hundred bytes a batch.

/// A value that is moved out for as long as it is used much.
#[derive(Debug)]
pub(crate) struct AtHome<D>(Option<D>);

const AWAY: &str = "the steps of a stage are back when their batch is done";

/// Steps of up to so many bytes are moved. More has who captures arrays by value: it is not copied for each batch, and
/// not put on a stack that is as large as stages need.
const SMALL: usize = 2 << 10;

impl<D> AtHome<D> {
    /// Whether the value is to [`leave`](AtHome::leave) for a batch.
    pub(crate) const LEAVES: bool = size_of::<D>() <= SMALL;

    pub(crate) fn new(value: D) -> Self {
        AtHome(Some(value))
    }

    /// The value where it lies, to be looked at.
    pub(crate) fn seen(&self) -> &D {
        self.0.as_ref().expect(AWAY)
    }

    /// The value where it lies.
    pub(crate) fn get(&mut self) -> &mut D {
        self.0.as_mut().expect(AWAY)
    }

    /// Takes the value out, until what is answered is dropped: also by a panic, so that a stage is always taken apart at the worker's edge,
    /// where a panic of a user's `Drop` is one more error and does not end the process.
    ///
    /// There is no function here that is given a closure, on purpose: a loop in a closure of its own is compiled before it is inlined, and
    /// then sees a pointer once more. What loops over a batch stands where the value lies, or in a function that is `inline(always)`.
    #[inline(always)]
    pub(crate) fn leave(&mut self) -> Away<'_, D> {
        Away { value: self.0.take(), home: &mut self.0 }
    }
}

/// A value that has left its home, and goes back.
#[derive(Debug)]
pub(crate) struct Away<'a, D> {
    value: Option<D>,
    home: &'a mut Option<D>,
}

impl<D> Away<'_, D> {
    #[inline(always)]
    pub(crate) fn value(&mut self) -> &mut D {
        self.value.as_mut().expect(AWAY)
    }
}

impl<D> Drop for Away<'_, D> {
    #[inline(always)]
    fn drop(&mut self) {
        *self.home = self.value.take();
    }
}
