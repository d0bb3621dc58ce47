"""Keyed running sums on Bytewax: the records, the state and the checksum of `bench/src/works/keyed.rs`.

python keyed_bytewax.py RECORDS KEYS WORKERS off|1s FOLDER
"""

import gc
import resource
import shutil
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main, run_main

from records import MASK, key_of, record

BATCH = 1024


class Part(StatefulSourcePartition):
    """A part of the records, which lie in memory with their keys; its state is where to go on."""

    def __init__(self, records, at):
        self.records = records
        self.at = at

    def next_batch(self):
        if self.at >= len(self.records):
            raise StopIteration()
        batch = self.records[self.at : self.at + BATCH]
        self.at += BATCH
        return batch

    def snapshot(self):
        return self.at


class Records(FixedPartitionedSource):
    def __init__(self, parts):
        self.parts = parts

    def list_parts(self):
        return list(self.parts)

    def build_part(self, step_id, for_part, resume_state):
        return Part(self.parts[for_part], resume_state or 0)


class SumPart(StatelessSinkPartition):
    def __init__(self, sink):
        self.sink = sink
        self.sum = 0
        self.items = 0

    def write_batch(self, items):
        total = 0
        for key, value in items:
            total += int(key) ^ value
        self.sum = (self.sum + total) & MASK
        self.items += len(items)

    def close(self):
        self.sink.closed.append(self)


class Sum(DynamicSink):
    def __init__(self):
        self.closed = []

    def build(self, step_id, worker_index, worker_count):
        return SumPart(self)


def total(state, amount):
    # A new tuple each time: a state that is changed in place would be changed under a snapshot.
    if state is None:
        state = (1, amount, amount, amount)
    else:
        count, sum, least, most = state
        state = (
            count + 1,
            (sum + amount) & MASK,
            amount if amount < least else least,
            amount if amount > most else most,
        )
    return state, state[1]


def main():
    records, keys, workers = (int(arg) for arg in sys.argv[1:4])
    recovery, scratch = sys.argv[4:6]
    # All records of a key are in one part, as the running sums depend on their order. The engine deals keys to workers by a hash of
    # its own, so this saves it nothing.
    lists = [[] for _ in range(workers)]
    for amount in map(record, range(records)):
        key = key_of(amount, keys)
        lists[key % workers].append((str(key), amount))
    parts = {str(n): part for n, part in enumerate(lists)}

    out = Sum()
    flow = Dataflow("keyed")
    by_key = op.input("by_key", flow, Records(parts))
    sums = op.stateful_map("total", by_key, total)
    op.output("out", sums, out)

    options = {}
    folder = None
    if recovery != "off":
        folder = Path(tempfile.mkdtemp(dir=scratch))
        init_db_dir(folder, workers)
        options["recovery_config"] = RecoveryConfig(str(folder))
        options["epoch_interval"] = timedelta(seconds=1)

    # The input is no garbage, and need not be looked through again and again.
    gc.collect()
    gc.freeze()

    cpu, written = used(), written_bytes()
    began = time.perf_counter()
    if workers == 1:
        run_main(flow, **options)
    else:
        cluster_main(flow, [], 0, worker_count_per_proc=workers, **options)
    seconds = time.perf_counter() - began
    cpu = used() - cpu

    written = written_bytes() - written
    if folder:
        shutil.rmtree(folder)
    items = sum(part.items for part in out.closed)
    checksum = sum(part.sum for part in out.closed) & MASK
    assert items == records, f"{items} updates of {records} records"
    print(
        f"engine=bytewax work=keyed workers={workers} recovery={recovery} records={records} keys={keys}"
        f" per_s={records / seconds:.0f} seconds={seconds:.3f} cpu_s={cpu:.2f} checksum={checksum}"
        + (f" written_mb={written / 1e6:.0f}" if folder else "")
    )


def used():
    """Processor time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def written_bytes():
    """What this process has had written to disks."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


if __name__ == "__main__":
    main()
