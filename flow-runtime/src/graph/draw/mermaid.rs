//! Mermaid flowcharts.

use std::fmt::Write;

use crate::graph::draw::picture::{Picture, Sort, Title};

pub(super) fn draw(picture: &Picture) -> String {
    let mut out = String::from("flowchart TD\n");
    frame(picture, 0, 1, &mut out);
    for line in &picture.lines {
        let arrow = match line.sort {
            Sort::Push => "-->",
            Sort::Boundary => "==>",
            Sort::Value => "-.->",
        };
        let label = if line.label.is_empty() {
            String::new()
        } else {
            format!("|\"{}\"|", escaped(&line.label))
        };
        let _ = writeln!(out, "    n{} {arrow}{label} n{}", line.from, line.to);
    }
    out
}

/// The steps of a frame, then the frames in it. The outermost one is the flowchart.
fn frame(picture: &Picture, index: usize, depth: usize, out: &mut String) {
    let indent = "    ".repeat(depth);
    for (n, step) in picture.steps.iter().enumerate().filter(|(_, step)| step.frame == index) {
        let (open, close) = step.look.mermaid;
        let _ = writeln!(out, "{indent}n{n}{open}\"{}\"{close}", label(&step.title));
    }
    for (n, inner) in picture.frames.iter().enumerate().filter(|(_, f)| f.parent == Some(index)) {
        let _ = writeln!(out, "{indent}subgraph f{n}[\"{}\"]", label(&inner.title));
        frame(picture, n, depth + 1, out);
        let _ = writeln!(out, "{indent}end");
    }
}

fn label(title: &Title) -> String {
    let mut text = format!("{}\n{}", title.id, title.what);
    if !title.state.is_empty() {
        let _ = write!(text, "\nstate {}", title.state);
    }
    escaped(&text)
}

/// Text between quotes. Mermaid knows no backslash; it has entities that begin with `#`.
fn escaped(text: &str) -> String {
    // Mermaid takes a line with one of these words and a colon for a style, and eats the semicolon of its last entity.
    let like_a_style = text.contains("style") || text.contains("classDef");
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("<br/>"),
            ':' if !like_a_style => out.push(c),
            '"' | '#' | '<' | '>' | '&' | '`' | '\\' | ':' => {
                let _ = write!(out, "#{};", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}
