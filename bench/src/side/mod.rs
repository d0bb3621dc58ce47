//! How each side runs its threads.

pub mod flow;
pub mod hand;
