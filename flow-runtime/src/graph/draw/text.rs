//! Text for a terminal.

use std::fmt::Write;

use crate::graph::draw::picture::{Line, Picture, Sort};

pub(super) fn draw(picture: &Picture) -> String {
    let mut inputs = vec![0_usize; picture.steps.len()];
    for line in &picture.lines {
        inputs[line.to] += 1;
    }
    let begins: Vec<_> = (0..picture.steps.len()).filter(|step| inputs[*step] == 0).collect();
    let mut drawing = Drawing { picture, inputs, rows: Vec::new() };
    for step in begins {
        drawing.row("", step, None);
        drawing.below(step, "");
    }
    let name = picture.frames.first().map_or("", |frame| &frame.title.id);
    let mut out = format!("{name}\n");
    let width = drawing.rows.iter().map(|row| row.left.chars().count()).max().unwrap_or(0);
    for Row { left, right } in drawing.rows {
        let _ = writeln!(out, "{}", format!("{left:width$}  {right}").trim_end());
    }
    out
}

/// A line of text: the step within the drawing, and what there is to say about it, in a column of its own.
struct Row {
    left: String,
    right: String,
}

struct Drawing<'p> {
    picture: &'p Picture,
    /// The lines into each step that have not been drawn yet.
    inputs: Vec<usize>,
    rows: Vec<Row>,
}

impl<'p> Drawing<'p> {
    fn row(&mut self, lead: &str, step: usize, along: Option<&Line>) {
        let title = &self.picture.steps[step].title;
        let mut right = title.what.clone();
        if !title.state.is_empty() {
            let _ = write!(right, " (state {})", title.state);
        }
        if let Some(label) = along.map(|line| &line.label).filter(|label| !label.is_empty()) {
            let _ = write!(right, "  ← {label}");
        }
        self.rows.push(Row { left: format!("{lead}{}", title.id), right });
    }

    /// What follows a step. A chain runs down the page, so that long ones do not walk off to the right.
    fn below(&mut self, mut step: usize, lead: &str) {
        let picture = self.picture;
        loop {
            let outputs: Vec<_> = picture.lines.iter().filter(|line| line.from == step).collect();
            match outputs[..] {
                [] => return,
                [only] => {
                    if !self.follow(only, &format!("{lead}{} ", arrow(only))) {
                        return;
                    }
                    step = only.to;
                }
                [ref others @ .., last] => {
                    for line in others {
                        if self.follow(line, &format!("{lead}  ├{} ", arrow(line))) {
                            self.below(line.to, &format!("{lead}  │"));
                        }
                    }
                    if self.follow(last, &format!("{lead}  └{} ", arrow(last))) {
                        self.below(last.to, &format!("{lead}   "));
                    }
                    return;
                }
            }
        }
    }

    /// Draws the end of a line. Whether it was the last one into its step, which is then drawn here.
    fn follow(&mut self, line: &Line, lead: &str) -> bool {
        self.inputs[line.to] -= 1;
        if self.inputs[line.to] == 0 {
            self.row(lead, line.to, Some(line));
            return true;
        }
        let left = format!("{lead}{} ↓", self.picture.steps[line.to].title.id);
        let right =
            if line.label.is_empty() { String::new() } else { format!("← {}", line.label) };
        self.rows.push(Row { left, right });
        false
    }
}

fn arrow(line: &Line) -> &'static str {
    match line.sort {
        Sort::Push => "→",
        Sort::Boundary => "⇒",
        Sort::Value => "⇢",
    }
}
