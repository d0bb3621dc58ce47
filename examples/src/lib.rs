//! Complete programs that use flow; see `examples/README.md`.
