//! The const graph, and its drawing in the documentation.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::lower::path_of;
use super::signature::ParamKind;
use super::{Arg, Flow, From, Step, StreamIx};
use crate::text::written;

/// `Graph { name, inputs, nodes, outputs }`. Without nodes where there is an error.
pub(super) fn graph(flow: &Flow) -> TokenStream {
    let private = flow.paths.private();
    let name = flow.function.sig.ident.to_string();
    let inputs =
        flow.signature.params.iter().filter(|param| param.kind != ParamKind::Config).map(|param| {
            let (name, ty) = (param.name.to_string(), written(&param.ty));
            quote!(#private::Port { name: #name, ty: #ty })
        });
    let (mut nodes, mut outputs) = (Vec::new(), Vec::new());
    if !flow.poisoned {
        nodes.extend(flow.steps().map(|step| node(flow, step)));
        outputs.extend(flow.returned.streams().iter().map(|(ix, _)| edge(flow, *ix)));
    }
    quote! {
        #private::Graph {
            name: #name,
            inputs: &[#(#inputs),*],
            nodes: &[#(#nodes),*],
            outputs: &[#(#outputs),*],
        }
    }
}

fn node(flow: &Flow, step: &Step) -> TokenStream {
    let private = flow.paths.private();
    let (id, path) = (&step.id, path_of(step));
    let name = written(&path);
    let inputs = used(step).map(|ix| edge(flow, ix));
    let outputs = step.outputs.streams().into_iter().map(|ix| flow.streams[ix].name.to_string());
    quote! {
        #private::Node {
            id: #id,
            name: #name,
            operator: <#path>::OPERATOR,
            inputs: &[#(#inputs),*],
            outputs: &[#(#outputs),*],
        }
    }
}

/// The streams and broadcast values that a step uses.
fn used(step: &Step) -> impl Iterator<Item = StreamIx> {
    step.args.iter().filter_map(|arg| match arg {
        Arg::Stream(ix, _) | Arg::Broadcast(ix, _) => Some(*ix),
        Arg::Unknown(_) | Arg::Config(_) => None,
    })
}

fn edge(flow: &Flow, ix: StreamIx) -> TokenStream {
    let private = flow.paths.private();
    match flow.streams[ix].from {
        From::Input(n) => quote!(#private::GraphEdge::Input(#n)),
        From::Step { node, output } => {
            quote!(#private::GraphEdge::Step { node: #node, output: #output })
        }
        From::Error => quote!(),
    }
}

/// For every step, that it has event times where it needs them. What a step needs is not known here, so it is asked by constants that the
/// compiler looks at, each at the step's name.
pub(super) fn times(flow: &Flow) -> Vec<TokenStream> {
    if flow.poisoned {
        return Vec::new();
    }
    let name = &flow.function.sig.ident;
    let steps = flow.steps().enumerate().filter(|(_, step)| used(step).next().is_some());
    let steps = steps.map(|(node, step)| {
        quote_spanned! {step.callee().span()=>
            const _: () = ::core::assert!(!#name::GRAPH.lacks_event_time(#node), #UNTIMED);
        }
    });
    steps.collect()
}

/// What is said where a step works by event time and there is none.
const UNTIMED: &str = "this step works by event time, and items without a time can come to it: \
    put `let timed = event_time(stream, |item| .., Disorder::bounded(..));` between the source and what follows, on every way from a source to this step";

/// The graph as text, one line a step: `lines -> split -> words`.
pub(super) fn drawing(flow: &Flow) -> String {
    let name = |ix: StreamIx| flow.streams[ix].name.to_string();
    let rows: Vec<[String; 3]> = flow
        .steps()
        .map(|step| {
            let inputs: Vec<String> = used(step).map(name).collect();
            let outputs: Vec<String> = step.outputs.streams().into_iter().map(name).collect();
            let mut after = outputs.join(", ");
            if outputs.first() != Some(&step.id) {
                after.push_str(&format!(
                    "{}[{}]",
                    if after.is_empty() { "" } else { "  " },
                    step.id
                ));
            }
            [inputs.join(", "), written(&path_of(step)), after]
        })
        .collect();
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let mut text = String::new();
    for [inputs, operator, after] in &rows {
        let arrow = if inputs.is_empty() { "   " } else { "-> " };
        let out = if after.starts_with('[') { "   " } else { "-> " };
        text.push_str(&format!("{inputs:<first$} {arrow}{operator:<second$} {out}{after}\n"));
    }
    for (ix, at) in flow.returned.streams() {
        let _ = at;
        text.push_str(&format!("{:<first$} -> returned\n", name(ix)));
    }
    text
}
