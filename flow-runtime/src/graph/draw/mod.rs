//! Pictures of a graph: Mermaid, DOT, JSON, plain text.
//!
//! The three pictures show the steps themselves: a sub-flow is a frame around its steps, and a stream that goes
//! into it or comes out of it is drawn between the steps at its two ends ([`picture`]). What each kind of step
//! looks like is told in one place ([`look`]). JSON keeps the nesting as it was written.

mod dot;
mod json;
mod look;
mod mermaid;
mod picture;
#[cfg(test)]
mod tests;
mod text;

use crate::graph::Graph;
use picture::Picture;

impl Graph {
    /// The graph as a [Mermaid](https://mermaid.js.org) flowchart.
    ///
    /// A thick arrow crosses a stage boundary: items queue up there. A dotted one stands for a broadcast value that a
    /// step reads.
    pub fn to_mermaid(&self) -> String {
        mermaid::draw(&Picture::of(self))
    }

    /// The graph in the DOT language of Graphviz, with the same signs as [`Graph::to_mermaid`].
    pub fn to_dot(&self) -> String {
        dot::draw(&Picture::of(self))
    }

    /// The graph as text for a terminal.
    ///
    /// A chain of steps runs down the page, and what a fan-out leads to is indented below it. `⇒` crosses a stage
    /// boundary and `⇢` is a broadcast value that a step reads. A step with several inputs is drawn at its last one; at the
    /// others stands its name with `↓`.
    pub fn to_text(&self) -> String {
        text::draw(&Picture::of(self))
    }

    /// The graph as JSON.
    ///
    /// ```json
    /// {
    ///   "format": 1,
    ///   "name": "word_count",
    ///   "inputs": [{ "name": "lines", "type": "Stream<String>" }],
    ///   "nodes": [{
    ///     "id": "words",
    ///     "kind": "flat_map",
    ///     "operator": "ops::split",
    ///     "starts_stage": false,
    ///     "key": null,
    ///     "input": "String",
    ///     "output": "String",
    ///     "state": null,
    ///     "inputs": [{ "step": "lines", "stream": "lines" }],
    ///     "outputs": ["words"],
    ///     "flow": null
    ///   }],
    ///   "outputs": [{ "step": "words", "stream": "words" }]
    /// }
    /// ```
    ///
    /// * `format` is 1; it changes when a field is taken away or gets another meaning. Fields may be added.
    /// * `id` is the step's full id: `clean/words` for the step `words` of the sub-flow call `clean`.
    /// * Types are as written, and `null` where nothing was written.
    /// * An input is `{ "step", "stream" }`, a stream of an earlier step of the same flow, or `{ "input" }`, an input of
    ///   the flow by its name.
    /// * `flow` is the graph of a sub-flow (without `format`), otherwise `null`.
    /// * `inputs` and `outputs` of the whole are empty where the graph is not a sub-flow.
    pub fn to_json(&self) -> String {
        json::draw(self)
    }
}
