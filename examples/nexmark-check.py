#!/usr/bin/env python3
"""Finds the rows of the Nexmark queries by SQL, in DuckDB, and compares them with those of the example `nexmark`.

    nexmark-check.py [--events N] [--seed N] [--events-per-second N] [--workers 1,2] [--queries q4,q5] PROGRAM

PROGRAM is the built example. It is run for each query with each number of workers. Of q12, whose rows depend on the clock, it is compared how many
bids of each bidder were counted. DuckDB is installed into the temporary directory if Python does not have it. Exits with 1 if any rows differ.
"""

import argparse
import collections
import os
import subprocess
import sys
import tempfile
import time
import venv

DUCKDB = "duckdb==2.0.1"

# Types are given: what is in a file must not depend on its first lines.
TABLES = """
CREATE TABLE event AS SELECT * FROM read_json('{events}', format = 'newline_delimited', columns = {{
    kind: 'VARCHAR', id: 'BIGINT', name: 'VARCHAR', city: 'VARCHAR', state: 'VARCHAR', seller: 'BIGINT', category: 'BIGINT',
    auction: 'BIGINT', bidder: 'BIGINT', price: 'BIGINT', time_ms: 'BIGINT', expires_ms: 'BIGINT'}});
CREATE TABLE person AS SELECT id, name, city, state, time_ms FROM event WHERE kind = 'person';
CREATE TABLE auction AS SELECT id, seller, category, time_ms, expires_ms FROM event WHERE kind = 'auction';
CREATE TABLE bid AS SELECT auction, bidder, price, time_ms FROM event WHERE kind = 'bid';
CREATE TABLE sale AS
    SELECT a.id AS auction, a.seller, a.category, a.expires_ms, max(b.price) AS price
    FROM auction a JOIN bid b ON b.auction = a.id AND b.time_ms BETWEEN a.time_ms AND a.expires_ms
    GROUP BY ALL;
"""

QUERIES = {
    "q0": "SELECT auction, bidder, price, time_ms FROM bid",
    "q1": "SELECT auction, bidder, price * 908 // 1000, time_ms FROM bid",
    "q2": "SELECT auction, price FROM bid WHERE auction % 123 = 0",
    "q3": """
        SELECT p.name, p.city, p.state, a.id
        FROM person p JOIN auction a ON a.seller = p.id
        WHERE a.category = 10 AND p.state IN ('or', 'id', 'ca')""",
    "q4": "SELECT category, count(*), sum(price) // count(*) FROM sale GROUP BY category",
    "q5": """
        WITH hop AS (
            SELECT time_ms // 2000 * 2000 - 2000 * n AS start_ms, auction, count(*) AS bids
            FROM bid, range(5) hops(n)
            GROUP BY ALL)
        SELECT start_ms, start_ms + 10000, auction, bids
        FROM hop QUALIFY bids = max(bids) OVER (PARTITION BY start_ms)""",
    "q6": """
        SELECT seller, auction, expires_ms, sum(price) OVER last_ten // count(*) OVER last_ten
        FROM sale
        WINDOW last_ten AS (PARTITION BY seller ORDER BY expires_ms, auction ROWS BETWEEN 9 PRECEDING AND CURRENT ROW)""",
    "q7": """
        SELECT time_ms // 10000 * 10000 AS start_ms, start_ms + 10000, auction, bidder, price, time_ms
        FROM bid QUALIFY price = max(price) OVER (PARTITION BY time_ms // 10000)""",
    "q8": """
        SELECT p.id, p.name, p.time_ms // 10000 * 10000, count(*)
        FROM person p JOIN auction a ON a.seller = p.id AND a.time_ms // 10000 = p.time_ms // 10000
        GROUP BY ALL""",
    "q11": """
        WITH gap AS (
            SELECT bidder, time_ms, time_ms - lag(time_ms) OVER (PARTITION BY bidder ORDER BY time_ms) AS since
            FROM bid),
        session AS (
            SELECT bidder, time_ms,
                count(*) FILTER (since >= 10000) OVER (PARTITION BY bidder ORDER BY time_ms ROWS UNBOUNDED PRECEDING) AS number
            FROM gap)
        SELECT bidder, min(time_ms), max(time_ms) + 10000, count(*) FROM session GROUP BY bidder, number""",
    "q12": "SELECT bidder, count(*) FROM bid GROUP BY bidder",
}


def duckdb_module():
    """DuckDB; in an environment of its own, in which this program is started again, if there is none."""
    try:
        import duckdb

        return duckdb
    except ImportError:
        home = os.path.join(tempfile.gettempdir(), f"nexmark-check-{os.getuid()}")
        python = os.path.join(home, "bin", "python")
        if sys.prefix == home:
            sys.exit(f"{home} has no DuckDB: remove it and try again")
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", DUCKDB], check=True)
        os.execv(python, [python, *sys.argv])


def written(query, path):
    """The rows of a run, sorted."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    if query == "q12":
        bids = collections.Counter()
        for line in lines:
            bidder, _, count = line.split(",")
            bids[bidder] += int(count)
        lines = [f"{bidder},{count}" for bidder, count in bids.items()]
    return sorted(lines)


def main():
    arguments = argparse.ArgumentParser(description="Compares the example nexmark with SQL.")
    arguments.add_argument("program", metavar="PROGRAM")
    arguments.add_argument("--events", default="1000000")
    arguments.add_argument("--seed", default="1")
    arguments.add_argument("--events-per-second", default="10000")
    arguments.add_argument("--workers", default="1,2", help="numbers of workers")
    arguments.add_argument("--queries", default=",".join(QUERIES), help="which; all unless given")
    options = arguments.parse_args()
    queries = options.queries.split(",")
    if unknown := [query for query in queries if query not in QUERIES]:
        sys.exit(f"{unknown[0]} is not known: the queries are {', '.join(QUERIES)}")
    duckdb = duckdb_module()

    made = ["--events", options.events, "--seed", options.seed, "--events-per-second", options.events_per_second]
    differ = 0
    with tempfile.TemporaryDirectory() as folder:
        events, out = os.path.join(folder, "events.jsonl"), os.path.join(folder, "rows.csv")
        subprocess.run([options.program, *made, "--dump", events], check=True)
        sql = duckdb.connect()
        sql.execute(TABLES.format(events=events))
        print(f"{'query':<6}{'workers':>8}{'rows':>10}{'by SQL':>10}{'seconds':>9}")
        for query in queries:
            found = sql.execute(QUERIES[query]).fetchall()
            expected = sorted(",".join(map(str, row)) for row in found)
            for workers in options.workers.split(","):
                begun = time.monotonic()
                run = [options.program, *made, "--query", query, "--out", out, "--workers", workers]
                subprocess.run([*run, "--progress", "never"], check=True, stderr=subprocess.DEVNULL)
                seconds = time.monotonic() - begun
                rows = written(query, out)
                is_equal = rows == expected and len(rows) > 0
                differ += not is_equal
                word = "equal" if is_equal else "different" if rows else "empty"
                print(f"{query:<6}{workers:>8}{len(rows):>10}{len(expected):>10}{seconds:>9.2f}  {word}", flush=True)
                if not is_equal:
                    ours, theirs = collections.Counter(rows), collections.Counter(expected)
                    print("    only ours:  ", list((ours - theirs).elements())[:3])
                    print("    only by SQL:", list((theirs - ours).elements())[:3])
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
