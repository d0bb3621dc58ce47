//! What the system tells of this process and of the machine.

use std::fs;
use std::process::Command;

use rustix::time::{ClockId, clock_gettime};

/// The processor time of all threads of this process so far.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The memory that is resident now; 0 where the system does not tell.
pub fn resident_mb() -> f64 {
    status_mb("VmRSS:")
}

/// The most memory that has been resident since the start or the last [`reset_peak`].
pub fn peak_mb() -> f64 {
    status_mb("VmHWM:")
}

/// Makes what is resident now the peak. Where the system refuses, a higher peak of the making of the input stays, and growth beyond it
/// is what is seen.
pub fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn status_mb(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0 / 1e6
}

/// Machine, system and compiler, a line each.
pub fn describe() -> Vec<(&'static str, String)> {
    let first = |path: &str, field: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(field));
        line.and_then(|line| line.split_once(':'))
            .map_or("unknown".into(), |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    vec![
        (
            "Processor",
            format!("{}, {cores} cores for this program", first("/proc/cpuinfo", "model name")),
        ),
        ("Memory", first("/proc/meminfo", "MemTotal")),
        ("Kernel", output("uname", &["-sr"])),
        ("Compiler", output("rustc", &["--version"])),
        ("Date", output("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
    ]
}

/// What a program prints, without the line's end.
fn output(program: &str, args: &[&str]) -> String {
    let run = Command::new(program).args(args).output();
    run.map_or("unknown".into(), |run| String::from_utf8_lossy(&run.stdout).trim().to_owned())
}
