#!/usr/bin/env bash
# The keyed work on Bytewax, without and with recovery. README.md says how it is timed.
#
#   bash bench/engines/bytewax.sh [--records N] [--keys N] [--workers N]
set -euo pipefail
. "$(dirname "$0")/common.sh"

version=0.21.1
# Bytewax is slow. 20 updates a key, as in the benchmark.
options 500000 25000 "$@"

python=$(python311) || skip bytewax 'there is no Python 3.11 here that can make virtual environments'
env=$engines/bytewax-$version
if [[ ! -e $env/installed ]]; then
    log=$engines/bytewax.log
    "$python" -m venv --clear "$env" > "$log" 2>&1 \
        && "$env/bin/pip" install --quiet --disable-pip-version-check "bytewax==$version" > "$log" 2>&1 \
        || skip bytewax "bytewax $version cannot be installed from PyPI" "$log"
    touch "$env/installed"
fi

expected=$(expected "$python")
scratch=$(mktemp -d "$engines/scratch.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
for count in $workers; do
    for recovery in off 1s; do
        measured "$expected" "$env/bin/python" "$here/keyed_bytewax.py" "$records" "$keys" "$count" "$recovery" "$scratch"
    done
done
[[ $agreeing = yes ]]
