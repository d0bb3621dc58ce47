#!/usr/bin/env bash
# The keyed work on Flink, without and with checkpoints. README.md says how it is timed.
#
#   bash bench/engines/flink.sh [--records N] [--keys N] [--workers N]
set -euo pipefail
. "$(dirname "$0")/common.sh"

version=2.3.0
heap=${HEAP:-6g}
options 20000000 1000000 "$@"

python=$(python311) || skip flink 'there is no Python 3.11 here that can make virtual environments'
command -v java > /dev/null && command -v javac > /dev/null || skip flink 'there is no java and javac here (a JDK, 17 or later)'

# The package on PyPI holds the jars.
flink=$engines/flink-$version
if [[ ! -e $flink/installed ]]; then
    log=$engines/flink.log
    rm -rf "$flink"
    mkdir -p "$flink"
    "$python" -m venv "$flink/python" > "$log" 2>&1 \
        && "$flink/python/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$flink" \
            "apache-flink-libraries==$version" > "$log" 2>&1 \
        || skip flink "apache-flink-libraries $version cannot be had from PyPI" "$log"
    "$python" - "$flink" <<'PYTHON'
import sys, zipfile
from pathlib import Path

folder = Path(sys.argv[1])
(wheel,) = folder.glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if name.startswith(("pyflink/lib/flink-dist", "pyflink/lib/log4j")):
            (folder / Path(name).name).write_bytes(archive.read(name))
wheel.unlink()
PYTHON
    touch "$flink/installed"
fi

classes=$flink/classes
mkdir -p "$classes"
javac -nowarn -cp "$flink/*" -d "$classes" "$here/KeyedFlink.java"

expected=$(expected "$python")
scratch=$(mktemp -d "$engines/scratch.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
for count in $workers; do
    for recovery in off 1s; do
        measured "$expected" java "-Xms$heap" "-Xmx$heap" -XX:+UseParallelGC \
            --add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.util=ALL-UNNAMED \
            -Dorg.apache.logging.log4j.level=ERROR -cp "$classes:$flink/*" \
            KeyedFlink "$records" "$keys" "$count" "$recovery" "$scratch"
    done
done
[[ $agreeing = yes ]]
