//! JSON, as documented at [`Graph::to_json`].

use serde::Serialize;

use crate::graph::{Edge, Graph, Kind, Node};

/// The number of the format.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Whole<'a> {
    format: u32,
    #[serde(flatten)]
    flow: Flow<'a>,
}

#[derive(Serialize)]
struct Flow<'a> {
    name: &'a str,
    inputs: Vec<Port<'a>>,
    nodes: Vec<Step<'a>>,
    outputs: Vec<From<'a>>,
}

#[derive(Serialize)]
struct Port<'a> {
    name: &'a str,
    r#type: &'a str,
}

#[derive(Serialize)]
struct Step<'a> {
    id: String,
    kind: &'a str,
    operator: &'a str,
    starts_stage: bool,
    key: Option<&'a str>,
    input: Option<&'a str>,
    output: Option<&'a str>,
    state: Option<&'a str>,
    inputs: Vec<From<'a>>,
    outputs: &'a [&'a str],
    flow: Option<Flow<'a>>,
}

/// Where a stream comes from.
#[derive(Serialize)]
#[serde(untagged)]
enum From<'a> {
    Input { input: &'a str },
    Step { step: String, stream: &'a str },
}

pub(super) fn draw(graph: &Graph) -> String {
    let whole = Whole { format: FORMAT, flow: flow(graph, "") };
    serde_json::to_string_pretty(&whole).expect("text and lists always have a JSON form")
}

fn flow<'a>(graph: &'a Graph, prefix: &str) -> Flow<'a> {
    Flow {
        name: graph.name,
        inputs: graph.inputs.iter().map(|port| Port { name: port.name, r#type: port.ty }).collect(),
        nodes: graph.nodes.iter().map(|node| step(graph, node, prefix)).collect(),
        outputs: graph.outputs.iter().map(|edge| from(graph, *edge, prefix)).collect(),
    }
}

fn step<'a>(graph: &'a Graph, node: &'a Node, prefix: &str) -> Step<'a> {
    let operator = &node.operator;
    let id = format!("{prefix}{}", node.id);
    let inner = match operator.kind {
        Kind::Flow(inner) => Some(flow(inner, &format!("{id}/"))),
        _ => None,
    };
    Step {
        id,
        kind: operator.kind.name(),
        operator: node.name,
        starts_stage: operator.kind.starts_stage(),
        key: written(operator.key),
        input: written(operator.input),
        output: written(operator.output),
        state: written(operator.state),
        inputs: node.inputs.iter().map(|edge| from(graph, *edge, prefix)).collect(),
        outputs: node.outputs,
        flow: inner,
    }
}

fn from<'a>(graph: &'a Graph, edge: Edge, prefix: &str) -> From<'a> {
    match edge {
        Edge::Input(n) => From::Input { input: graph.inputs.get(n).map_or("", |port| port.name) },
        Edge::Step { node, output } => {
            let node = graph.nodes.get(node);
            From::Step {
                step: format!("{prefix}{}", node.map_or("", |node| node.id)),
                stream: node.and_then(|node| node.outputs.get(output)).copied().unwrap_or(""),
            }
        }
    }
}

fn written(ty: &str) -> Option<&str> {
    Some(ty).filter(|ty| !ty.is_empty())
}
