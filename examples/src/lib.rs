//! Complete programs that use flow; see `examples/README.md`.

/// The code of the project's README, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// The code of the guide to recovery.
#[cfg(doctest)]
#[doc = include_str!("../../docs/recovery.md")]
pub struct Recovery;

/// The code of the page on time.
#[cfg(doctest)]
#[doc = include_str!("../../docs/time.md")]
pub struct Time;

/// The code of the page on windows.
#[cfg(doctest)]
#[doc = include_str!("../../docs/windows.md")]
pub struct Windows;

/// The code of the page on joins.
#[cfg(doctest)]
#[doc = include_str!("../../docs/joins.md")]
pub struct Joins;
