//! The attribute macros of flow.
