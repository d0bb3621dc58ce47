#!/usr/bin/env bash
# Whether a hot loop of the library takes more instructions per item than it did.
#
#   bash bench/guard/check.sh            compares with baseline.txt; exits with 1 if a loop has become slower
#   bash bench/guard/check.sh LOOP..     only these loops
#   bash bench/guard/check.sh --bless    counts, and writes baseline.txt anew
#
# A clock says little on a machine that others use too; instructions are the same whoever else is there. valgrind's callgrind
# counts those of all threads, at N items and at 2 N, and the difference over N is what an item costs: starting, stopping and
# the first sight of each key fall out. What instructions do not show: misses of the cache, and threads that wait for each other.
#
# The loops run on the virtual schedule of flow's tests: threads take turns by a seed, nobody spins, and no batch is cut by the clock. So
# two counts of the same program lie within 0.1 % of each other, however busy the machine is, and the tolerance can be 1 %. The count
# is that of all threads: what a committer encodes is a cost worth guarding.
#
# Counts depend on the compiler, the target's processor and libc. The baseline's header says what it was counted with, and the
# script says where that differs from here.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
baseline=$here/baseline.txt
target=$here/../target/guard
tolerance=1.0

# Each loop with its N: above the number of its keys (100,000) or the words of its text (200,000), so that from N to 2 N nothing is new.
# In `restart` every item is a key.
loops=(
    stateless:10000000
    exchange:2000000
    keyed:1000000
    words:400000
    gather:1000000
    restart:300000
)

bless=no
chosen=()
for arg in "$@"; do
    case $arg in
        --bless) bless=yes ;;
        -*) echo "usage: check.sh [--bless | LOOP..]" >&2; exit 2 ;;
        *) chosen+=("$arg") ;;
    esac
done
if [[ $bless = yes && ${#chosen[@]} -gt 0 ]]; then
    echo 'all loops are blessed together, as the header holds for all of them' >&2
    exit 2
fi
for name in "${chosen[@]}"; do
    [[ " ${loops[*]}" = *" $name:"* ]] || { echo "there is no loop \`$name\`" >&2; exit 2; }
done
if ! command -v valgrind > /dev/null; then
    echo 'guard: skipped, as there is no valgrind here to count instructions with'
    exit 0
fi

# What the counts depend on.
header() {
    local cpu=generic
    [[ ${RUSTFLAGS:-} =~ target-cpu=([^ ]+) ]] && cpu=${BASH_REMATCH[1]}
    echo "# $(rustc --version)"
    echo "# target $(rustc -vV | sed -n 's/^host: //p'), cpu $cpu"
    echo "# $(getconf GNU_LIBC_VERSION 2> /dev/null || echo 'libc unknown')"
    echo "# $(valgrind --version)"
}

# All instructions of a run: instructions LOOP ITEMS
instructions() {
    local folder
    folder=$(mktemp -d "$target/log.XXXXXX")
    if [[ $1 = restart ]]; then
        "$hot" "$1" "$2" "$folder" > /dev/null
    fi
    if ! valgrind --tool=callgrind --callgrind-out-file=/dev/null "$hot" "$1" "$2" "$folder" \
        > "$folder.out" 2>&1; then
        cat "$folder.out" >&2
        return 1
    fi
    awk '/Collected *:/ { print $NF; found = 1 } END { exit !found }' "$folder.out"
    rm -r "$folder" "$folder.out"
}

# Instructions of an item: each LOOP N
each() {
    local once twice
    once=$(instructions "$1" "$2")
    twice=$(instructions "$1" "$((2 * $2))")
    awk -v once="$once" -v twice="$twice" -v n="$2" 'BEGIN { printf "%.2f\n", (twice - once) / n }'
}

# How much more than the baseline, in percent: change WAS NOW
change() {
    awk -v was="$1" -v now="$2" 'BEGIN { printf "%+.1f\n", (now / was - 1) * 100 }'
}

# Whether a change goes beyond the tolerance, in either direction.
beyond() {
    awk -v change="$1" -v most="$tolerance" 'BEGIN { exit !(change > most || change < -most) }'
}

nice cargo build --quiet --release --manifest-path "$here/Cargo.toml" --target-dir "$target"
hot=$target/release/hot

if [[ $bless = yes ]]; then
    {
        header
        for loop in "${loops[@]}"; do
            name=${loop%:*} items=${loop#*:}
            now=$(each "$name" "$items")
            echo "$name $now"
            printf '%-10s %10s\n' "$name" "$now" >&2
        done
    } > "$target/baseline.txt"
    mv "$target/baseline.txt" "$baseline"
    echo "wrote $baseline"
    exit 0
fi

[[ -f $baseline ]] || { echo "there is no $baseline: run with --bless" >&2; exit 2; }
if ! diff <(grep '^#' "$baseline") <(header) > "$target/header.diff"; then
    echo 'the baseline (<) was not counted as here (>), so changes may not be the library'"'"'s:'
    grep '^[<>]' "$target/header.diff"
fi

printf '%-10s %10s %10s %8s\n' loop baseline now change
slower=() faster=()
for loop in "${loops[@]}"; do
    name=${loop%:*} items=${loop#*:}
    [[ ${#chosen[@]} -eq 0 || " ${chosen[*]} " = *" $name "* ]] || continue
    was=$(awk -v name="$name" '$1 == name { print $2 }' "$baseline")
    now=$(each "$name" "$items")
    if [[ -z $was ]]; then
        printf '%-10s %10s %10s %8s\n' "$name" none "$now" ''
        faster+=("$name")
        continue
    fi
    by=$(change "$was" "$now")
    printf '%-10s %10s %10s %7s%%\n' "$name" "$was" "$now" "$by"
    if beyond "$by"; then
        [[ $by = +* ]] && slower+=("$name") || faster+=("$name")
    fi
done
if [[ ${#faster[@]} -gt 0 ]]; then
    echo "more than $tolerance % below the baseline, or not in it: ${faster[*]}; run with --bless"
fi
if [[ ${#slower[@]} -gt 0 ]]; then
    echo "more than $tolerance % above the baseline: ${slower[*]}"
    exit 1
fi
