//! The car park, while single calls to the operating system fail or are its last: whatever it is, the next run goes on.
//!
//! The calls are made to fail by `strace`; where it is missing, or may not trace, the tests say so. `FLOW_FAULTS` is how many of each kind
//! are tried, 4 unless it is given.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::process::Command;

use common::process::Process;
use common::visits::{parking, undisturbed, visits};
use common::{folder, given, succeed, text};

/// The calls of a kind, under the names that they have on any machine.
const KINDS: [(&str, &str); 4] = [
    ("sync", "/^f(data)?sync$"),
    ("write", "/^p?write(64)?$"),
    ("rename", "/^rename"),
    ("unlink", "/^unlink"),
];

const EVENTS: u64 = 4_000;

/// Whether calls can be traced here; if not, why.
fn can_trace() -> Result<(), String> {
    let mut command = Command::new("strace");
    let tried =
        command.args(["-f", "-o", "/dev/null", "-e", "inject=/^rename:error=EIO", "true"]).output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(text(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("strace: {error}")),
    }
}

/// One history: a run that ends well, one in which a call of a thread goes wrong, one that must go on. Answers whether the call was made.
fn goes_on_after(calls: &str, fault: &str, n: u64) -> bool {
    let (_keep, folder) = folder();
    let (log, out, trace) = (folder.join("log"), folder.join("visits"), folder.join("trace"));
    fs::create_dir(&out).expect("the folder is writable");
    let of = |command: &mut Command| {
        command.arg("--epochs").arg(&out).arg("--recovery").arg(&log);
        command.args(["--epoch", "100items", "--workers", "3"]);
    };
    let run = |events: u64| {
        let mut command = parking(events);
        of(&mut command);
        command
    };
    succeed(&mut run(EVENTS / 4));
    let inner = run(EVENTS);
    let mut traced = Command::new("strace");
    traced.arg("-f").arg("-o").arg(&trace).args(["-e", &format!("trace={calls}")]);
    traced.args(["-e", &format!("inject={calls}:{fault}:when={n}")]);
    traced.arg(inner.get_program()).args(inner.get_args());
    traced.stdin(std::process::Stdio::null()).env_remove("RUST_BACKTRACE");
    let (code, said) = Process::start(&mut traced).outcome();
    // It ends well, or says why not, or was killed.
    let is_killed = fault.starts_with("signal") && code.is_none();
    assert!(is_killed || matches!(code, Some(0 | 1)), "{calls} {fault} {n}: {code:?}\n{said}");
    assert!(code != Some(1) || said.contains("Error: "), "{calls} {fault} {n}:\n{said}");
    let trace = fs::read_to_string(&trace).expect("it was traced");
    let happened = is_killed || trace.contains("(INJECTED)");
    succeed(&mut run(EVENTS));
    let expected = undisturbed(&folder, EVENTS);
    assert!(visits(&out) == expected, "{calls} {fault} {n}: the visits differ\n{said}");
    happened
}

/// Tries one fault in calls of several kinds.
fn each(fault: &str, kinds: &[(&str, &str)]) {
    if let Err(why) = can_trace() {
        return println!("skipped: no calls can be traced here: {why}");
    }
    for (kind, calls) in kinds {
        // The first ones while it starts; then further and further apart.
        let numbers = (0..given("FLOW_FAULTS", 4)).map(|n| 1 + n * (n + 1) / 2);
        let happened = numbers.filter(|n| goes_on_after(calls, fault, *n)).count();
        println!("{kind}: {fault}, {happened} times");
        assert!(happened > 0, "no {kind} was made to fail");
    }
}

#[test]
fn after_a_call_that_fails_the_next_run_goes_on() {
    each("error=EIO", &KINDS);
}

#[test]
fn after_a_call_that_finds_no_room_the_run_goes_on_or_the_next_does() {
    each("error=ENOSPC", &KINDS[..3]);
}

#[test]
fn after_a_call_that_was_the_last_the_next_run_goes_on() {
    each("signal=KILL", &KINDS);
}
