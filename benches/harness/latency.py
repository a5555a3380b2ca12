"""Quantiles of latency from a sample of the transactions that pgbench logs."""

import glob
import os

SAMPLE = 0.1  # of transactions; all of them would cost the client CPU time that the peers need


def arguments(prefix):
    """Flags for pgbench."""
    return ["-l", f"--log-prefix={prefix}", f"--sampling-rate={SAMPLE}"]


def take(prefix):
    """Reads and removes the log: p50_us and p99_us, None where it holds too little."""
    times = []
    for path in glob.glob(f"{prefix}.*"):
        with open(path, encoding="ascii") as f:
            # client, transaction, latency in microseconds, script, seconds, microseconds
            times += [int(parts[2]) for parts in map(str.split, f) if len(parts) >= 6 and parts[2].isdigit()]
        os.remove(path)
    times.sort()
    return {"p50_us": quantile(times, 0.5), "p99_us": quantile(times, 0.99)}


def quantile(times, q):
    """Nearest rank of ascending `times`; None unless some are beyond it."""
    if len(times) * (1 - q) < 1:
        return None
    return times[min(len(times) - 1, int(q * len(times)))]
