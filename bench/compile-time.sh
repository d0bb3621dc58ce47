#!/usr/bin/env bash
# How long a change of one step takes to compile, in a dataflow of 100 steps with 20 exchanges.
#
# Generates such a crate under bench/target, builds it, changes the body of one operator and builds again, three times
# each, and prints the medians beside the marks, which are for incremental builds. The release profile compiles a crate as a
# whole unless it is told otherwise, so that is shown too. `cpu_s` is the processor time of the same builds: where it is much
# less than the time on the clock, the machine was busy with something else.
#
#   bash bench/compile-time.sh
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
crate=$root/bench/target/compile-time
mark_debug=2.0
mark_release=4.0
rounds=3

# 20 exchanges, each with four steps behind it: 100 steps.
generate() {
    mkdir -p "$crate/src"
    cat > "$crate/Cargo.toml" <<TOML
[package]
name = "compile-time"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
flow-runtime = { path = "$root/flow-runtime" }
TOML
    {
        echo 'use flow_runtime::prelude::*;'
        for n in $(seq 0 19); do
            cat <<RUST
#[stateful_map]
fn sum_$n(state: &mut u64, _key: &u64, item: u64) -> u64 {
    *state = state.wrapping_add(item);
    *state
}
#[map]
fn add_$n(item: u64) -> u64 {
    item.wrapping_add($((n + 1)))
}
#[filter]
fn some_$n(item: &u64) -> bool {
    item % 1000 != $n
}
#[flat_map]
fn twice_$n(item: u64) -> impl Iterator<Item = u64> {
    (0..item % 2).map(move |n| item + n)
}
RUST
        done
        echo '#[dataflow]'
        echo 'fn long<S: Sink<Keyed<u64, u64>>>(most: u64, out: S) {'
        echo '    let step = source(from_iter(0..most));'
        from=step
        for n in $(seq 0 19); do
            echo "    let keyed_$n = key_by($from, |item| item % $((n + 7)));"
            echo "    let summed_$n = sum_$n(keyed_$n);"
            echo "    let added_$n = add_$n(summed_$n);"
            echo "    let chosen_$n = some_$n(added_$n);"
            echo "    let doubled_$n = twice_$n(chosen_$n);"
            from=doubled_$n
        done
        echo "    sink($from, out);"
        echo '}'
        cat <<'RUST'
fn main() -> Result<(), flow_runtime::Error> {
    long(1000, for_each_keyed(|_: &u64, item: u64| assert!(item > 0))).workers(1).run()
}
RUST
    } > "$crate/src/main.rs"
}

# Milliseconds that a build takes, on the clock and of the processor: build PROFILE-FLAGS..
build() {
    local TIMEFORMAT='%R %U %S' taken
    if ! taken=$( { time cargo build --manifest-path "$crate/Cargo.toml" "$@" 2> "$crate/build.log"; } 2>&1); then
        cat "$crate/build.log" >&2
        exit 1
    fi
    awk '{ printf "%d %d\n", $1 * 1000, ($2 + $3) * 1000 }' <<< "$taken"
}

# Changes the body of one operator so that it must be compiled again.
change() {
    sed -i "/^fn add_7(/,/^}/s/wrapping_add([0-9]*)/wrapping_add($1)/" "$crate/src/main.rs"
}

# The median of a column of the rounds, in seconds: median COLUMN
median() {
    cut -d' ' -f"$1" "$crate/rounds" | sort -n | sed -n "$(((rounds + 1) / 2))p" | awk '{ printf "%.2f", $1 / 1000 }'
}

# measure NAME MARK PROFILE-FLAGS..: a mark of 0 is none.
measure() {
    local name=$1 mark=$2
    shift 2
    build "$@" > /dev/null
    : > "$crate/rounds"
    for _ in $(seq "$rounds"); do
        change "$((RANDOM + 1))"
        build "$@" >> "$crate/rounds"
    done
    awk -v name="$name" -v wall="$(median 1)" -v cpu="$(median 2)" -v mark="$mark" 'BEGIN {
        printf "build=%s change_s=%s cpu_s=%s", name, wall, cpu
        if (mark > 0) printf " mark_s=%s within=%s", mark, (wall + 0 <= mark) ? "yes" : "no"
        print ""
    }'
}

generate
echo '100 steps, 20 exchanges: a change of one operator, in seconds'
measure debug "$mark_debug"
CARGO_INCREMENTAL=1 measure release "$mark_release" --release
measure release-whole 0 --release
cargo run --quiet --manifest-path "$crate/Cargo.toml" > /dev/null 2>&1 || { echo 'the generated dataflow does not run' >&2; exit 1; }
