//! Running the examples as a person would.
#![allow(dead_code)] // Each test file uses its part.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

pub(crate) mod flights;
#[cfg(unix)]
pub(crate) mod kills;
#[cfg(unix)]
pub(crate) mod power;
#[cfg(unix)]
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod shop;
pub(crate) mod sums;
pub(crate) mod visits;
pub(crate) mod words;

/// The program of an example. Cargo builds it beside the tests of its package.
pub(crate) fn example(name: &str) -> Command {
    let mut path = std::env::current_exe().expect("a test is a program");
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is missing: run `cargo test -p flow-examples` without a filter on targets",
        path.display()
    );
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).env_remove("FLOW_WORKERS").env_remove("RUST_BACKTRACE");
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs to the end, which must be a good one.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().expect("the example starts");
    assert!(output.status.success(), "{command:?} failed:\n{}", text(&output.stderr));
    output
}

/// Runs to an error: this exit code, nothing on standard output, one clear message without a backtrace.
pub(crate) fn fail(command: &mut Command, code: i32) -> String {
    let output = command.output().expect("the example starts");
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{command:?}:\n{message}");
    assert!(output.stdout.is_empty(), "{command:?} printed {}", text(&output.stdout));
    assert!(!message.contains("panicked at") && !message.contains("backtrace"), "{message}");
    message
}

/// The number in a variable.
pub(crate) fn given(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |number| number.parse().expect("the variable is a number"))
}

/// A folder for one test, removed at its end.
pub(crate) fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let path = folder.path().to_owned();
    (folder, path)
}
