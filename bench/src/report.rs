//! All rows as a Markdown table, with what is needed to judge them.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::machine;
use crate::measured::{Row, short};

/// The lock file, for the versions of what flow is compared with.
const LOCK: &str = include_str!("../Cargo.lock");

/// Writes the table and answers where it is.
///
/// # Errors
/// When the file cannot be written.
pub fn write(rows: &[Row], args: &[String]) -> io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    fs::create_dir_all(&folder)?;
    let path = folder.join("results.md");
    fs::write(&path, text(rows, args))?;
    Ok(path)
}

fn text(rows: &[Row], args: &[String]) -> String {
    let mut text = String::from("# Measured\n\n");
    let command =
        format!("cargo run --release --manifest-path bench/Cargo.toml -- {}", args.join(" "));
    let mut facts = machine::describe();
    let versions = ["timely", "renoir", "nexmark", "hashbrown", "compact_str"]
        .map(|name| format!("{name} {}", version(name)));
    facts.push(("Compared with", versions.join(", ")));
    facts.push(("Command", format!("`{}`", command.trim())));
    for (name, value) in facts {
        line(&mut text, format_args!("* {name}: {value}"));
    }
    text.push_str("\nThroughput in millions of items a second: median (least–most). `× side`: flow's speed as a multiple of that side's; for `memory` its bytes.\n\n");
    text.push_str("| work | workers | side | M/s | × side | CPU s | + peak MB | more |\n|---|---|---|---|---|---|---|---|\n");
    for row in rows {
        for side in &row.sides {
            let ratio = row
                .ratio(side)
                .filter(|_| side.name != "flow")
                .map_or("–".into(), |ratio| format!("{ratio:.2}"));
            let cpu = side.spread(|run| run.cpu_s).median;
            let peak = side.spread(|run| run.peak_mb).median;
            let mut more: Vec<String> = side
                .more()
                .iter()
                .map(|(name, value)| format!("{name} {}", short(*value)))
                .collect();
            more.extend(
                side.failed.as_ref().map(|why| format!("failed: {}", why.replace('|', "/"))),
            );
            if !row.agrees() {
                more.push("**results differ**".into());
            }
            line(
                &mut text,
                format_args!(
                    "| {} | {} | {} | {} | {ratio} | {cpu:.3} | {peak:.0} | {} |",
                    row.work.name,
                    row.workers,
                    side.name,
                    side.rate(),
                    more.join(", ")
                ),
            );
        }
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes everything");
}

/// The version of a package in the lock file; the newest, which is the one used here, if others use older ones.
fn version(name: &str) -> &'static str {
    let head = format!("name = \"{name}\"");
    let after = LOCK.rsplit_once(&head).map_or("", |(_, after)| after);
    after.split('"').nth(1).unwrap_or("unknown")
}
