//! The derives: enums that `branch` takes apart, structs of streams that a sub-flow returns.

mod branch;
mod outputs;

pub(crate) use branch::expand as branch;
pub(crate) use outputs::expand as outputs;
