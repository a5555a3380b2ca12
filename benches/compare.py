#!/usr/bin/env python3
"""Runs Sluice beside PgBouncer in one interleaved run: python3 benches/compare.py

Needs PostgreSQL with pgbench, and openssl. It sets up a throwaway PostgreSQL that does not write
safely (fsync off), filled by pgbench at scale 10, and gives every peer a pool of 20 connections to
it without TLS; in TLS cases clients speak TLS 1.3 with an ECDSA P-256 certificate. Client, proxy
and server share this machine, so throughput says little; what counts is the CPU time of the proxy
per transaction (user and system, all threads), as a ratio within one run. Rounds run the peers in
the orders A B, B A, and so on, and medians are shown. --help lists the options.
"""

import signal
import sys

sys.dont_write_bytecode = True

from harness import cases, mysql, options, peers, postgres, procs, report  # noqa: E402


def main():
    """Runs everything; returns the exit code."""
    o = options.parse()
    for s in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, lambda *_: sys.exit(130))
    try:
        with procs.Workshop() as shop:
            return measure(o, shop)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except procs.CannotRun as e:
        print(f"cannot run: {e}", file=sys.stderr)
        return 1


def measure(o, shop):
    """Sets up, runs the rounds and prints the table; returns the exit code."""
    procs.more_files()  # for the loads, which inherit it
    postgres.certificates(shop)
    of_mysql = o.engine == "mysql"
    server = mysql.MySql(shop) if of_mysql else postgres.Postgres(shop)
    engine, kinds = (mysql, mysql.KINDS) if of_mysql else (cases, peers.KINDS)
    results = report.Results(o.engine)
    ready = []
    for name in o.peers:
        try:
            peer = kinds[name](shop, server, o)
            peer.start()
            ready.append(peer)
            print(f"{name} {peer.version}".strip() + " is up", flush=True)
        except (procs.CannotRun, OSError) as e:
            results.cannot(f"{name}: {e}")
    try:
        for case in o.cases:
            for clients, tls in engine.cells(case, o):
                cell(engine, case, clients, tls, ready, o, results)
    except KeyboardInterrupt:
        print("\nstopped; this is what there is", file=sys.stderr)
        results.table()
        return 130
    results.table()
    missing = [n for n in o.peers if n not in {row["peer"] for row in results.rows if report.measured(row)}]
    return 1 if missing else 0


def cell(engine, case, clients, tls, ready, o, results):
    """All rounds of all peers in one combination."""
    for round_ in range(1, o.rounds + 1):
        for peer in ready if round_ % 2 else reversed(ready):
            once(engine, case, clients, tls, round_, peer, o, results)
    if o.syscalls and case in cases.COUNTABLE:
        for peer in ready:
            if peer.pid:
                once(engine, case, clients, tls, 0, peer, o, results, count=True)


def once(engine, case, clients, tls, round_, peer, o, results, count=False):
    """One measurement, or a note why there is none. Round 0 counts system calls."""
    row = {"case": case, "peer": peer.name, "clients": clients, "tls": tls, "round": round_}
    why = peer.refuses(case, clients)
    if why:
        results.cannot(f"{case} with {peer.name}: {why}")
        results.add(**row)
        return
    try:
        results.add(**(row | engine.run(case, peer, clients, tls, o, count)))
    except (procs.CannotRun, OSError, EOFError) as e:
        results.cannot(f"{report.label(row)} with {peer.name}: {e}")
        results.add(**row)


if __name__ == "__main__":
    sys.exit(main())
