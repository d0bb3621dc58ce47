"""The records of the benchmark's keyed work, and its checksum by a plain loop.

python records.py RECORDS KEYS
"""

import sys

MASK = (1 << 64) - 1


def record(n):
    """The n-th record: splitmix64 of n."""
    z = (n + 1) * 0x9E3779B97F4A7C15 & MASK
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def key_of(record, keys):
    return record * keys >> 64


def checksum(records, keys):
    """The wrapping sum, over all updates, of the key xor the key's sum so far."""
    sums = [0] * keys
    checksum = 0
    for amount in map(record, range(records)):
        key = key_of(amount, keys)
        sums[key] = (sums[key] + amount) & MASK
        checksum += key ^ sums[key]
    return checksum & MASK


if __name__ == "__main__":
    print(checksum(int(sys.argv[1]), int(sys.argv[2])))
