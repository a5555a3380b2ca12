"""What to run: from flags, else from environment variables of the same names in capitals."""

import argparse
import os

CASES = ["select_simple", "select_prepared", "tpcb", "churn", "bulk", "idle"]
PEERS = ["direct", "pgbouncer", "pgbouncer_unstable", "odyssey", "haproxy", "sluice"]
OPTIONAL_PEERS = ["sluice_1", "sluice_2", "sluice_split", "sluice_replica", "sluice_read_only", "sluice_session"]
MYSQL_CASES = ["point_select", "read_only", "churn", "idle"]
MYSQL_OPTIONAL_CASES = ["point_select_prepared"]
MYSQL_PEERS = ["direct", "haproxy", "router", "router_sharing", "sluice"]


def parse(argv=None):
    """Returns the options as a namespace with lists already split."""
    p = argparse.ArgumentParser(
        prog="compare.py",
        description="Runs Sluice beside PgBouncer on this machine, interleaved, and prints medians "
        "and ratios. Each option may be given by environment variable too: CASES, PEERS, ROUNDS, "
        "SECONDS, CLIENTS, TLS, IDLE_CLIENTS, BULK_GB, SYSCALLS, SLUICE, PGBOUNCER.",
    )

    def add(flag, default, text, **more):
        env = flag.lstrip("-").upper().replace("-", "_")
        p.add_argument(flag, default=os.environ.get(env, default), help=f"{text} (default: {default})", **more)

    add("--engine", "postgresql", "postgresql, or mysql: other cases and peers, with sysbench", choices=["postgresql", "mysql"])
    add("--cases", "", f"comma-separated cases; of PostgreSQL {','.join(CASES)}; of MySQL {','.join(MYSQL_CASES)}, "
        f"{','.join(MYSQL_OPTIONAL_CASES)} may be added")
    add("--peers", "", f"comma-separated peers; of PostgreSQL {','.join(PEERS)}, {','.join(OPTIONAL_PEERS)} may be added; of MySQL {','.join(MYSQL_PEERS)}")
    add("--rounds", "3", "rounds; every second one runs the peers in reverse order")
    add("--seconds", "8", "length of one pgbench run")
    add("--clients", "1,16,64,256,2000", "client counts of the select and tpcb cases")
    add("--tls", "0,1", "0: plaintext clients, 1: TLS 1.3 clients, 0,1: both")
    add("--churn-clients", "16", "clients that connect anew for each transaction")
    add("--idle-clients", "10000", "clients of the idle case")
    add("--bulk-gb", "1", "gigabytes of rows read in the bulk case")
    add("--syscalls", "0", "1: also count system calls per transaction, with perf or strace")
    add("--sluice", "", "the binary to run instead of building one")
    add("--pgbouncer", "", "the PgBouncer to run instead of the distribution's")
    o = p.parse_args(argv)
    mysql = o.engine == "mysql"
    usual_cases, more_cases = (MYSQL_CASES, MYSQL_OPTIONAL_CASES) if mysql else (CASES, [])
    usual_peers, more_peers = (MYSQL_PEERS, []) if mysql else (PEERS, OPTIONAL_PEERS)
    o.cases = names(p, o.cases or ",".join(usual_cases), usual_cases + more_cases)
    o.peers = names(p, o.peers or ",".join(usual_peers), usual_peers + more_peers)
    try:
        o.rounds, o.seconds = max(1, int(o.rounds)), max(3, int(o.seconds))
        o.clients = [int(c) for c in o.clients.split(",")]
        o.tls = [bool(int(t)) for t in o.tls.split(",")]
        o.churn_clients, o.idle_clients = int(o.churn_clients), int(o.idle_clients)
        o.bulk_gb, o.syscalls = float(o.bulk_gb), bool(int(o.syscalls))
    except ValueError as e:
        p.error(str(e))
    return o


def names(parser, text, known):
    """Splits a list and refuses what is not known."""
    wanted = [n.strip() for n in text.split(",") if n.strip()]
    for n in wanted:
        if n not in known:
            parser.error(f"unknown name {n!r}; known: {', '.join(known)}")
    return wanted
