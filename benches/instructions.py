#!/usr/bin/env python3
"""Counts the instructions that Sluice runs for each transaction, and compares them with a stored bound:

    python3 benches/instructions.py            fails if a case needs more than its bound allows
    python3 benches/instructions.py --store    stores what was counted as the new bounds

Seconds mean little on a busy machine; instructions in user space are the same whatever else runs. Valgrind's
callgrind counts them while pgbench sends transactions through Sluice to a throwaway PostgreSQL. What varies is
how many events one wake-up finds, by a few in a hundred: so bounds have a tolerance. The system's share, which is
larger, does not count here: see system calls in compare.py. Needs PostgreSQL with pgbench, openssl and valgrind.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from harness import peers, postgres, procs  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BOUNDS = os.path.join(HERE, "instructions.json")
# Case: pgbench's options, clients, transactions of each client.
CASES = {
    "select_simple_1": (["-S", "-M", "simple"], 1, 2000),
    "select_simple_16": (["-S", "-M", "simple"], 16, 200),
    "select_simple_64": (["-S", "-M", "simple"], 64, 100),
    "select_prepared_16": (["-S", "-M", "prepared"], 16, 200),
    "tpcb_simple_4": (["-M", "simple"], 4, 100),
    "churn_4": (["-S", "-C"], 4, 60),
}


def main():
    """Runs the cases; returns the exit code."""
    o = arguments()
    if not shutil.which("valgrind"):
        print("cannot run: valgrind is not installed; apt-get install valgrind", file=sys.stderr)
        return 1
    try:
        with procs.Workshop() as shop:
            postgres.certificates(shop)
            counted = count(o, shop, postgres.Postgres(shop))
    except procs.CannotRun as e:
        print(f"cannot run: {e}", file=sys.stderr)
        return 1
    if o.store:
        kept = bounds() if os.path.exists(BOUNDS) else {"tolerance": 0.1, "instructions": {}}
        kept["instructions"].update(counted)
        with open(BOUNDS, "w", encoding="utf-8") as f:
            json.dump(kept, f, indent=2, sort_keys=True)
            f.write("\n")
        return 0
    return judge(counted)


def arguments():
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--cases", type=lambda s: s.split(","), default=list(CASES), help="some of " + ",".join(CASES))
    p.add_argument("--sluice", type=os.path.abspath, help="a program built for release; by default it is built")
    p.add_argument("--store", action="store_true", help="keep the counts as bounds")
    p.add_argument("--keep", metavar="FOLDER", help="leave callgrind's profiles there, for callgrind_annotate")
    o = p.parse_args()
    for case in o.cases:
        if case not in CASES:
            p.error(f"no such case: {case}")
    # What the peers ask of their options.
    o.pgbouncer = None
    return o


def count(o, shop, server):
    """Instructions for each transaction, by case."""
    o.sluice = o.sluice or peers.built()
    counted = {}
    for case in o.cases:
        counted[case] = round(one(o, shop, server, case))
        print(f"{case}: {counted[case]} instructions for each transaction", flush=True)
    return counted


def one(o, shop, server, case):
    """Runs one case in a Sluice of its own, after a warm-up that does not count."""
    how, clients, each = CASES[case]
    peer = Watched(shop, server, o, case)
    peer.start()
    try:
        load(server, peer.port, how, clients, max(each // 4, 10))
        peer.control("--zero")
        load(server, peer.port, how, clients, each)
        time.sleep(0.3)  # its last clients leave
        peer.control("--dump")
        return total(peer.profile(), o.keep, case) / (clients * each)
    finally:
        peer.stop()


def load(server, port, how, clients, each):
    """Runs pgbench to its end."""
    command = [f"{server.bin}/pgbench", "-n", *how, "-c", str(clients), "-j", "1", "-t", str(each), server.url(port)]
    done = subprocess.run(command, capture_output=True, text=True, env=postgres.env(), timeout=600)
    if done.returncode:
        raise procs.CannotRun(f"pgbench failed: {done.stderr.strip()[-300:]}")


class Watched(peers.Sluice):
    """Sluice under callgrind."""

    name = "sluice"

    def __init__(self, shop, server, options, case):
        super().__init__(shop, server, options)
        self.out = os.path.join(shop.path, f"callgrind.{case}")

    def launch(self, command, drop=True, env=None):
        # One thread, so that the same work is counted on every machine.
        with open(self.conf, encoding="utf-8") as f:
            text = f.read()
        if "worker_threads" not in text:
            self.shop.write("sluice.toml", text.replace("[general]\n", "[general]\nworker_threads = 1\n", 1))
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={self.out}"]
        super().launch(valgrind + command, drop, env)

    def control(self, what):
        """Has callgrind do something, and waits until it has."""
        done = subprocess.run(["callgrind_control", what, str(self.child.pid)], capture_output=True, text=True)
        if done.returncode:
            raise procs.CannotRun(f"callgrind_control {what}: {done.stderr.strip()[-300:]}")

    def profile(self):
        """What the dump was written to."""
        return f"{self.out}.1"


def total(path, keep, case):
    """The sum of a profile."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as f:
                found = re.search(r"^(?:totals|summary): (\d+)", f.read(), re.MULTILINE)
            if found:
                if keep:
                    shutil.copy(path, os.path.join(keep, f"callgrind.out.{case}"))
                return int(found.group(1))
        time.sleep(0.2)
    raise procs.CannotRun("callgrind has written no profile")


def bounds():
    """The stored bounds."""
    with open(BOUNDS, encoding="utf-8") as f:
        return json.load(f)


def judge(counted):
    """Compares the counts with the bounds; returns the exit code."""
    kept, code = bounds(), 0
    for case, now in counted.items():
        bound = kept["instructions"].get(case)
        if bound is None:
            print(f"{case}: no bound is stored; --store keeps one", file=sys.stderr)
            code = 1
        elif now > bound * (1 + kept["tolerance"]):
            print(f"{case}: {now} instructions, where {bound} and {kept['tolerance']:.0%} are allowed", file=sys.stderr)
            code = 1
        elif now < bound * (1 - kept["tolerance"]):
            print(f"{case}: {now} instructions are far below the bound of {bound}: --store keeps the gain")
    return code


if __name__ == "__main__":
    sys.exit(main())
