//! Programs that must compile, and programs that must not, with what the compiler says.

use std::process::Command;

/// The compiler whose texts the `.stderr` files hold; `rust-toolchain.toml` pins it.
const COMPILER: &str = "rustc 1.95.0 ";

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/pass/*.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().map(|output| output.stdout);
    let version =
        version.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
    if version.starts_with(COMPILER) {
        cases.compile_fail("tests/ui/*.rs");
    } else {
        eprintln!("SKIPPED tests/ui: its texts are those of {COMPILER}, and this is {version}");
    }
}
