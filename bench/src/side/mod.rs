//! How each side runs its threads.

pub mod flow;
pub mod hand;
pub mod renoir;
pub mod timely;
