//! The DOT language of Graphviz.

use std::fmt::Write;

use crate::graph::draw::picture::{Picture, Sort, Title};

pub(super) fn draw(picture: &Picture) -> String {
    let name = picture.frames.first().map_or("", |frame| &frame.title.id);
    let mut out = format!("digraph \"{}\" {{\n", escaped(name));
    out.push_str("    rankdir=TB;\n    node [fontname=\"sans-serif\"];\n    edge [fontname=\"sans-serif\"];\n");
    frame(picture, 0, 1, &mut out);
    for line in &picture.lines {
        let style = match line.sort {
            Sort::Push => "solid",
            Sort::Boundary => "bold",
            Sort::Value => "dashed",
        };
        let label = escaped(&line.label);
        let _ =
            writeln!(out, "    n{} -> n{} [style={style}, label=\"{label}\"];", line.from, line.to);
    }
    out.push_str("}\n");
    out
}

/// The steps of a frame, then the frames in it. The outermost one is the graph.
fn frame(picture: &Picture, index: usize, depth: usize, out: &mut String) {
    let indent = "    ".repeat(depth);
    for (n, step) in picture.steps.iter().enumerate().filter(|(_, step)| step.frame == index) {
        let shape = step.look.dot;
        let _ = writeln!(out, "{indent}n{n} [shape={shape}, label=\"{}\"];", label(&step.title));
    }
    for (n, inner) in picture.frames.iter().enumerate().filter(|(_, f)| f.parent == Some(index)) {
        // Graphviz draws a frame around a subgraph whose name begins with `cluster`.
        let _ = writeln!(out, "{indent}subgraph cluster_{n} {{");
        let _ = writeln!(out, "{indent}    label=\"{}\";", label(&inner.title));
        frame(picture, n, depth + 1, out);
        let _ = writeln!(out, "{indent}}}");
    }
}

fn label(title: &Title) -> String {
    let mut text = format!("{}\n{}", title.id, title.what);
    if !title.state.is_empty() {
        let _ = write!(text, "\nstate {}", title.state);
    }
    escaped(&text)
}

/// Text between quotes. Graphviz reads entities in labels, so an ampersand is one.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '&' => out.push_str("&amp;"),
            _ => out.push(c),
        }
    }
    out
}
