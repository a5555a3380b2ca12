#!/usr/bin/env python3
"""Plays what servers live through, for a program that counts what it does: python3 benches/train.py PROGRAM

Part of benches/dist.sh. Needs what benches/compare.py needs; without MySQL's programs, that part is left out.
"""

import argparse
import subprocess
import sys

sys.dont_write_bytecode = True

from harness import mysql, peers, postgres, procs  # noqa: E402

SECONDS = "4"
# pgbench's options, clients, TLS. Most of the five hundred wait for a server connection.
LOADS = [
    (["-S", "-M", "simple"], 64, False),
    (["-S", "-M", "simple"], 500, False),
    (["-S", "-M", "simple"], 64, True),
    (["-S", "-M", "extended"], 16, False),
    (["-S", "-M", "prepared"], 64, False),
    (["-S", "-M", "prepared"], 8, True),
    (["-M", "simple"], 16, False),
    (["-M", "prepared"], 16, False),
    (["-S", "-C"], 16, False),
    (["-S", "-C"], 16, True),
]
# The same where reads go to a replica.
SPLIT_LOADS = [
    (["-S", "-M", "simple"], 64, False),
    (["-S", "-M", "prepared"], 64, False),
    (["-M", "simple"], 16, False),
]


def main():
    """Plays everything; returns the exit code."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("program")
    o = argparse.Namespace(sluice=p.parse_args().program, pgbouncer=None)
    try:
        with procs.Workshop() as shop:
            postgres.certificates(shop)
            of_postgres(shop, o)
            try:
                of_mysql(shop, o)
            except procs.CannotRun as e:
                print(f"without MySQL: {e}", flush=True)
    except procs.CannotRun as e:
        print(f"cannot run: {e}", file=sys.stderr)
        return 1
    return 0


def of_postgres(shop, o):
    """pgbench in its forms."""
    server = postgres.Postgres(shop)
    play(server, peers.Sluice(shop, server, o), LOADS)
    play(server, peers.SluiceReplica(shop, server, o), SPLIT_LOADS)


def play(server, peer, loads):
    """One Sluice's life."""
    peer.start()
    for how, clients, tls in loads:
        what = f"pgbench {' '.join(how)} with {clients} clients{' over TLS' if tls else ''}"
        print(f"  train: {peer.name}: {what}", flush=True)
        done = subprocess.run([f"{server.bin}/pgbench", "-n", *how, "-c", str(clients), "-j", "2", "-T", SECONDS,
                               server.url(peer.port, tls)], capture_output=True, text=True, env=postgres.env())
        if done.returncode:
            raise procs.CannotRun(f"pgbench: {done.stderr.strip()[-300:]}")
    peer.stop()


def of_mysql(shop, o):
    """sysbench's reading cases."""
    server = mysql.MySql(shop)
    peer = mysql.Sluice(shop, server, o)
    peer.start()
    for case in ("point_select", "point_select_prepared", "read_only"):
        print(f"  train: sysbench {case}", flush=True)
        command = server.sysbench(peer.port, 16, mysql.CASES[case]) + ["--time=" + SECONDS, "run"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise procs.CannotRun(f"sysbench: {done.stdout.strip()[-300:]}")
    peer.stop()


if __name__ == "__main__":
    sys.exit(main())
