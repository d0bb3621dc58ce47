//! The text of a lock: a line for each field, so that a change is a line of a diff.
//!
//! ```text
//! lock     dataflow NAME, step*
//! step     step ID, kind: WORDS, [key: shape], (slot: shape)*, [meaning: STRING]
//! shape    WORD | plain STRING | foreign STRING | () | (,) | (shape, ..) | [shape] | [shape; N]
//!          | Option<shape> | {shape: shape} | MapState<shape, shape> | ListState<shape>
//!          | NAME vN { (NAME: shape)* } | NAME vN < (NAME [{ (NAME: shape)* }])* >
//! NAME     WORD | STRING         what begins with `#` is a comment, to the end of the line
//! ```

use std::fmt::Write;

use super::Lock;
use crate::state::Shape;

/// The text of a lock.
pub(super) fn text(lock: &Lock) -> String {
    let name = &lock.dataflow;
    let mut text = format!(
        "# What the dataflow `{name}` keeps in its recovery log: a change here is one of what deployments have saved.\n\
         # Checked by a test, and written by it: `FLOW_SCHEMA_LOCK=write cargo test`. See `flow_runtime::schema_lock`.\n\n\
         dataflow {name}\n"
    );
    for (id, spec) in &lock.steps {
        let _ = write!(text, "\nstep {id}\n  kind: {}\n", spec.kind);
        if let Some(key) = &spec.key {
            line(&mut text, "key", key);
        }
        for slot in &spec.slots {
            line(&mut text, &slot.name, &slot.shape);
        }
        if !spec.meaning.is_empty() {
            let _ = writeln!(text, "  meaning: {}", quoted(&spec.meaning));
        }
    }
    text
}

fn line(text: &mut String, name: &str, of: &Shape) {
    let _ = write!(text, "  {name}: ");
    shape(text, of, 1);
    text.push('\n');
}

/// Writes a shape that begins in a line of this depth.
fn shape(text: &mut String, of: &Shape, depth: usize) {
    match of {
        Shape::Plain(name) if is_word(name) || name == "()" => text.push_str(name),
        Shape::Plain(name) => drop(write!(text, "plain {}", quoted(name))),
        Shape::Foreign(name) => drop(write!(text, "foreign {}", quoted(name))),
        Shape::Option(some) => around(text, "Option<", some, depth, ">"),
        Shape::List(element) => around(text, "[", element, depth, "]"),
        Shape::Serde(inner) => around(text, "serde(", inner, depth, ")"),
        Shape::Array(element, length) => {
            around(text, "[", element, depth, &format!("; {length}]"));
        }
        Shape::Map(key, value) => {
            around(text, "{", key, depth, ": ");
            around(text, "", value, depth, "}");
        }
        Shape::MapState(key, value) => {
            around(text, "MapState<", key, depth, ", ");
            around(text, "", value, depth, ">");
        }
        Shape::ListState(element) => around(text, "ListState<", element, depth, ">"),
        Shape::Tuple(parts) if parts.is_empty() => text.push_str("(,)"),
        Shape::Tuple(parts) => {
            for (n, part) in parts.iter().enumerate() {
                around(text, if n == 0 { "(" } else { " " }, part, depth, ",");
            }
            // A comma ends a tuple of one part only.
            if parts.len() > 1 {
                text.pop();
            }
            text.push(')');
        }
        Shape::Struct { name, version, fields: inner } => {
            let _ = write!(text, "{} v{version} ", word(name));
            fields(text, inner, depth);
        }
        Shape::Enum { name, version, variants } => {
            let _ = write!(text, "{} v{version} <", word(name));
            for (variant, inner) in variants {
                new_line(text, depth + 1);
                text.push_str(&word(variant));
                if !inner.is_empty() {
                    text.push(' ');
                    fields(text, inner, depth + 1);
                }
            }
            new_line(text, depth);
            text.push('>');
        }
    }
}

fn around(text: &mut String, before: &str, of: &Shape, depth: usize, after: &str) {
    text.push_str(before);
    shape(text, of, depth);
    text.push_str(after);
}

fn fields(text: &mut String, fields: &[(String, Shape)], depth: usize) {
    text.push('{');
    for (name, of) in fields {
        new_line(text, depth + 1);
        let _ = write!(text, "{}: ", word(name));
        shape(text, of, depth + 1);
    }
    if !fields.is_empty() {
        new_line(text, depth);
    }
    text.push('}');
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    (0..depth).for_each(|_| text.push_str("  "));
}

/// A name as it is, or quoted where it is no word.
fn word(name: &str) -> String {
    if is_word(name) { name.to_owned() } else { quoted(name) }
}

/// Whether a name needs no quotes. The two that begin a shape of their own do.
fn is_word(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_of_word) && name != "plain" && name != "foreign"
}

/// Whether words are made of it.
pub(super) fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
