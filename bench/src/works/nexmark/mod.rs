//! Queries of the Nexmark benchmark over ten million events: auctions, bids on them, and the people who do both.

mod events;
mod q1;
mod q2;
mod q3;

pub use q1::Q1;
pub use q2::Q2;
pub use q3::Q3;
