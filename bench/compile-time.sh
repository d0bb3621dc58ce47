#!/usr/bin/env bash
# How long a change of one step takes to compile, in a dataflow of 100 steps with 20 exchanges.
#
# Generates such a crate under bench/target, builds it, changes the body of one operator and builds again, three times
# each for the debug and the release profile, and prints the medians beside the marks. Other work on the machine shows.
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

# Milliseconds that a build takes: build PROFILE-FLAGS..
build() {
    local began ended
    began=$(date +%s%N)
    if ! cargo build --manifest-path "$crate/Cargo.toml" "$@" 2> "$crate/build.log"; then
        cat "$crate/build.log" >&2
        exit 1
    fi
    ended=$(date +%s%N)
    echo $(((ended - began) / 1000000))
}

# Changes the body of one operator so that it must be compiled again.
change() {
    sed -i "/^fn add_7(/,/^}/s/wrapping_add([0-9]*)/wrapping_add($1)/" "$crate/src/main.rs"
}

seconds() {
    awk -v ms="$1" 'BEGIN { printf "%.2f", ms / 1000 }'
}

# measure NAME MARK PROFILE-FLAGS..
measure() {
    local name=$1 mark=$2 times=()
    shift 2
    build "$@" > /dev/null
    for round in $(seq "$rounds"); do
        change "$((RANDOM + 1))"
        times+=("$(build "$@")")
    done
    local median
    median=$(printf '%s\n' "${times[@]}" | sort -n | sed -n "$(((rounds + 1) / 2))p")
    printf 'build=%s change_s=%s mark_s=%s within=%s all_ms=%s\n' "$name" "$(seconds "$median")" "$mark" \
        "$(awk -v ms="$median" -v mark="$mark" 'BEGIN { print (ms / 1000 <= mark) ? "yes" : "no" }')" \
        "$(IFS=,; echo "${times[*]}")"
}

generate
echo '100 steps, 20 exchanges: a change of one operator, in seconds'
measure debug "$mark_debug"
measure release "$mark_release" --release
# The release profile compiles a crate as a whole unless it is told otherwise.
CARGO_INCREMENTAL=1 measure release-incremental "$mark_release" --release
cargo run --quiet --manifest-path "$crate/Cargo.toml" > /dev/null 2>&1 || { echo 'the generated dataflow does not run' >&2; exit 1; }
