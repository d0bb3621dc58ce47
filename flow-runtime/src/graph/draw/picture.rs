//! A graph laid flat: all steps of all sub-flows with their full ids, and lines between the steps.

use crate::graph::draw::look::{Look, PORT, look};
use crate::graph::{Edge, Graph, Kind, Node};

/// What is drawn.
#[derive(Debug)]
pub(super) struct Picture {
    /// The dataflow itself, then its sub-flow calls. A frame stands behind the one that it lies in.
    pub(super) frames: Vec<Frame>,
    pub(super) steps: Vec<Step>,
    pub(super) lines: Vec<Line>,
}

/// A dataflow, or one call of a sub-flow.
#[derive(Debug)]
pub(super) struct Frame {
    /// The name of the dataflow, or id and operator of the call.
    pub(super) title: Title,
    /// The frame that it lies in.
    pub(super) parent: Option<usize>,
}

/// What is written on a step or frame.
#[derive(Debug)]
pub(super) struct Title {
    /// The full id.
    pub(super) id: String,
    /// Kind and operator.
    pub(super) what: String,
    /// The type of its state, or nothing.
    pub(super) state: &'static str,
}

/// A step, or an input or output of the whole graph.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) title: Title,
    pub(super) look: Look,
    pub(super) frame: usize,
}

/// A stream from one step to another.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) from: usize,
    pub(super) to: usize,
    /// The type of its items, behind the stream's name where the step has several outputs.
    pub(super) label: String,
    pub(super) sort: Sort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Within a stage.
    Push,
    /// Over a stage boundary.
    Boundary,
    /// A broadcast value that the step reads.
    Value,
}

impl Picture {
    pub(super) fn of(graph: &Graph) -> Picture {
        let mut layout = Layout { scopes: Vec::new(), frames: Vec::new(), steps: Vec::new() };
        let title = Title { id: graph.name.to_owned(), what: String::new(), state: "" };
        for port in graph.inputs {
            layout.port(port.name, "input");
        }
        layout.scope(graph, title, "", None);
        let lines = layout.lines(graph);
        Picture { frames: layout.frames, steps: layout.steps, lines }
    }
}

/// Builds a picture.
struct Layout<'g> {
    /// One per frame, of the same index.
    scopes: Vec<Scope<'g>>,
    frames: Vec<Frame>,
    /// The inputs of the whole come first.
    steps: Vec<Step>,
}

struct Scope<'g> {
    graph: &'g Graph,
    /// The scope of the call, and the index of the call among its nodes.
    caller: Option<(usize, usize)>,
    /// What became of each node.
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
enum Place {
    Step(usize),
    Flow(usize),
}

/// Where a stream really begins.
struct Origin {
    step: usize,
    name: &'static str,
    /// Whether `name` tells it from the step's other outputs.
    named: bool,
    /// The type of its items, where it is known.
    items: &'static str,
}

impl<'g> Layout<'g> {
    fn port(&mut self, name: &str, what: &str) -> usize {
        let title = Title { id: name.to_owned(), what: what.to_owned(), state: "" };
        self.steps.push(Step { title, look: PORT, frame: 0 });
        self.steps.len() - 1
    }

    /// Lays a graph and all that is nested in it.
    fn scope(
        &mut self,
        graph: &'g Graph,
        title: Title,
        prefix: &str,
        caller: Option<(usize, usize)>,
    ) -> usize {
        let index = self.scopes.len();
        self.frames.push(Frame { title, parent: caller.map(|(scope, _)| scope) });
        self.scopes.push(Scope { graph, caller, places: Vec::new() });
        for (n, node) in graph.nodes.iter().enumerate() {
            let title = title_of(node, prefix);
            let place = if let Kind::Flow(inner) = node.operator.kind {
                let prefix = format!("{}/", title.id);
                Place::Flow(self.scope(inner, title, &prefix, Some((index, n))))
            } else {
                self.steps.push(Step { title, look: look(&node.operator.kind), frame: index });
                Place::Step(self.steps.len() - 1)
            };
            self.scopes[index].places.push(place);
        }
        index
    }

    fn lines(&mut self, graph: &Graph) -> Vec<Line> {
        let mut lines = Vec::new();
        for (index, scope) in self.scopes.iter().enumerate() {
            for (node, place) in scope.graph.nodes.iter().zip(&scope.places) {
                let Place::Step(to) = *place else { continue };
                for (n, edge) in node.inputs.iter().enumerate() {
                    let Some(origin) = self.origin(index, *edge) else { continue };
                    // What a signature takes is its first input; the others are configuration.
                    let taken = if n == 0 { item(node.operator.input) } else { "" };
                    let sort = if self.steps[origin.step].look.is_value {
                        Sort::Value
                    } else if node.operator.kind.starts_stage() {
                        Sort::Boundary
                    } else {
                        Sort::Push
                    };
                    lines.push(origin.line(to, taken, sort));
                }
            }
        }
        // In the order of the steps, which is that of the text.
        lines.sort_by_key(|line| line.to);
        for edge in graph.outputs {
            let Some(origin) = self.origin(0, *edge) else { continue };
            let to = self.port(origin.name, "output");
            lines.push(origin.line(to, "", Sort::Push));
        }
        lines
    }

    /// Follows a stream upstream, out of and into sub-flows, to the step that yields it. A hand-written graph may
    /// point nowhere.
    fn origin(&self, scope: usize, edge: Edge) -> Option<Origin> {
        let Scope { graph, caller, places } = &self.scopes[scope];
        match edge {
            Edge::Input(n) => {
                let port = graph.inputs.get(n)?;
                let Some((outer, call)) = *caller else {
                    let items = item(port.ty);
                    return Some(Origin { step: n, name: port.name, named: false, items });
                };
                let given = *self.scopes[outer].graph.nodes[call].inputs.get(n)?;
                let mut origin = self.origin(outer, given)?;
                if origin.items.is_empty() {
                    origin.items = item(port.ty);
                }
                Some(origin)
            }
            Edge::Step { node, output } => match *places.get(node)? {
                Place::Flow(inner) => {
                    self.origin(inner, *self.scopes[inner].graph.outputs.get(output)?)
                }
                Place::Step(step) => {
                    let node = &graph.nodes[node];
                    let name = node.outputs.get(output).copied().unwrap_or_default();
                    let named = node.outputs.len() > 1;
                    Some(Origin { step, name, named, items: self.items(scope, node) })
                }
            },
        }
    }

    /// The type of the items that a step emits.
    fn items(&self, scope: usize, node: &Node) -> &'static str {
        let operator = &node.operator;
        if !operator.output.is_empty() || !look(&operator.kind).keeps_items {
            return operator.output;
        }
        let upstream = node.inputs.first().and_then(|edge| self.origin(scope, *edge));
        upstream
            .map(|origin| origin.items)
            .filter(|items| !items.is_empty())
            .unwrap_or(item(operator.input))
    }
}

impl Origin {
    fn line(&self, to: usize, taken: &str, sort: Sort) -> Line {
        let items = if self.items.is_empty() { taken } else { self.items };
        let label = match (self.named, items.is_empty()) {
            (true, true) => self.name.to_owned(),
            (true, false) => format!("{}: {items}", self.name),
            (false, _) => items.to_owned(),
        };
        Line { from: self.step, to, label, sort }
    }
}

fn title_of(node: &Node, prefix: &str) -> Title {
    let kind = node.operator.kind.name();
    let what = match node.operator.kind {
        Kind::Flow(_) => node.name.to_owned(),
        // `key_by_ref`, `entries`: the built-in step says more than its kind.
        Kind::KeyBy | Kind::Reshape if !node.name.is_empty() => node.name.to_owned(),
        _ if node.name.is_empty() || node.name == kind => kind.to_owned(),
        _ => format!("{kind} {}", node.name),
    };
    Title { id: format!("{prefix}{}", node.id), what, state: node.operator.state }
}

/// The items of a stream type as written; of an item type, the type itself without a borrow.
fn item(ty: &'static str) -> &'static str {
    let ty = ty.trim();
    let inside = |name: &str| {
        Some(ty.strip_prefix(name)?.trim_start().strip_prefix('<')?.strip_suffix('>')?.trim())
    };
    if let Some(item) = inside("Stream").or_else(|| inside("Broadcast")) {
        return item;
    }
    if let Some(both) = inside("Keyed") {
        return both.get(after_comma(both)..).unwrap_or("").trim();
    }
    ty.strip_prefix('&').map_or(ty, |borrowed| borrowed.trim_start_matches("mut ").trim())
}

/// The place behind the first comma that is in no brackets.
fn after_comma(types: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in types.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    types.len()
}
