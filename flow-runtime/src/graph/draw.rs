//! Pictures of a graph: Mermaid, DOT, JSON.
