# What both scripts need: options, a folder, the expected checksum. Sourced, not run.
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$here/../target/engines"
engines=$(cd "$here/../target/engines" && pwd)

# Sets records, keys and workers (a list): options DEFAULT-RECORDS DEFAULT-KEYS ARGS..
options() {
    records=$1 keys=$2 workers='1 2'
    shift 2
    while [[ $# -gt 0 ]]; do
        [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage
        case $1 in
            --records) records=$2 ;;
            --keys) keys=$2 ;;
            --workers) workers=$2 ;;
            *) usage ;;
        esac
        shift 2
    done
}

usage() {
    echo "usage: $(basename "$0") [--records N] [--keys N] [--workers N]" >&2
    exit 2
}

# Says why nothing is measured: skip ENGINE REASON [LOG]
skip() {
    echo "$1: skipped, as $2"
    [[ -z ${3:-} ]] || tail -n 3 "$3" >&2
    exit 0
}

# A Python 3.11. The distribution's own comes first: it is compiled with all optimisations, which others often are not.
python311() {
    local python
    for python in "${PYTHON:-}" /usr/bin/python3.11 python3.11; do
        if [[ -n $python ]] && "$python" -c 'import venv, ensurepip' 2> /dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

# The checksum by a plain loop in Python, which is kept, as it takes a while: expected PYTHON
expected() {
    local kept=$engines/checksum-$records-$keys
    if [[ ! -s $kept ]]; then
        "$1" "$here/records.py" "$records" "$keys" > "$kept.new"
        mv "$kept.new" "$kept"
    fi
    cat "$kept"
}

# Runs a command that prints a line, and adds whether its checksum is the expected one: measured EXPECTED COMMAND..
agreeing=yes
measured() {
    local expected=$1 line
    shift
    line=$("$@")
    if [[ " $line " = *" checksum=$expected "* ]]; then
        echo "$line agrees=true"
    else
        echo "$line agrees=false"
        agreeing=no
    fi
}
