"""The cases: each runs one peer once and returns what it measured."""

import os
import re
import subprocess
import time

from . import counting, latency, wire
from .postgres import DATABASE, PASSWORD, USER, env
from .procs import CannotRun, cpu, machine_cpu, more_files, rss_kb

PROGRESS = re.compile(r"progress: ([\d.]+) s, ([\d.]+) tps.*?(?:(\d+) failed)?$")
# What pgbench plays in a transaction.
PLAYS = {"select_simple": ("-S", "simple"), "select_prepared": ("-S", "prepared"), "tpcb": ("-btpcb-like", "simple")}
COUNTABLE = tuple(PLAYS)
WARM_UP = 25  # logins before memory is measured
SPARE_FILES = 200
ROW_BYTES = 100  # of a DataRow with one column of 89 characters: 1 + 4 + 2 + 4 + 89


class Window:
    """CPU time of a proxy and of the machine between two marks."""

    def __init__(self, pid):
        self.pid = pid
        self.mark()

    def mark(self):
        """Begins the window here."""
        self.begin = self.now()

    def now(self):
        """Wall clock, the proxy's CPU time, the machine's CPU time; in seconds."""
        return time.monotonic(), cpu(self.pid) if self.pid else 0.0, machine_cpu()

    def spent(self):
        """Wall, proxy's CPU, machine's CPU since the mark."""
        return tuple(b - a for a, b in zip(self.begin, self.now()))


def play(peer, clients, tls, case, o, count=False):
    """pgbench over connections that stay. The window is between the first and the last
    progress line, so that logins are left out. With `count`, system calls are counted, and since
    that slows the peer down, nothing else is reported."""
    server, prefix = peer.server, os.path.join(peer.shop.path, "latencies")
    what, protocol = PLAYS[case]
    command = [f"{server.bin}/pgbench", "-n", what, "-M", protocol, "-c", str(clients), "-j", "2",
               "-T", str(o.seconds + login_allowance(clients)), "-P", "1", *latency.arguments(prefix), server.url(peer.port, tls)]
    window, counter = Window(peer.pid), None
    done, first, last, spent, errors = 0.0, None, None, None, []
    load = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env(),
                            cwd=peer.shop.path, start_new_session=True)
    try:
        for line in load.stderr:
            found = PROGRESS.match(line)
            if not found:
                errors.append(line.strip())
                continue
            at, tps = float(found.group(1)), float(found.group(2))
            if first is None:
                first, counter = at, counting.start(peer.pid) if count else None
                window.mark()
            else:
                done += tps * (at - last)
                spent = window.spent()
            last = at
        load.wait()
    finally:
        calls = counter.finish() if counter else None
        end(load)
        latencies = latency.take(prefix)
    if load.returncode:
        raise CannotRun(f"pgbench failed: {' | '.join(errors[-2:])}")
    if not done:
        raise CannotRun("the logins left no time to measure in; give more SECONDS")
    if count:
        return {"syscalls_per_txn": calls and calls / (done / spent[0])}
    return {
        "tps": done / spent[0], **latencies, "errors": len(errors),
        "cpu_us_per_txn": spent[1] / done * 1e6 if peer.pid else None,
        "cores_busy": spent[2] / spent[0],
    }


def login_allowance(clients):
    """Seconds to add, since pgbench counts its logins as part of the run."""
    return 1 + clients // 64


def churn(peer, clients, tls, o):
    """pgbench -C -S: each transaction logs in by SCRAM anew."""
    server = peer.server
    command = [f"{server.bin}/pgbench", "-n", "-C", "-S", "-c", str(clients), "-j", "2", "-T", str(o.seconds),
               server.url(peer.port, tls)]
    window = Window(peer.pid)
    load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env(),
                            start_new_session=True)
    try:
        out, err = load.communicate(timeout=o.seconds + 60)
        spent = window.spent()
    finally:
        end(load)
    done = re.search(r"actually processed: (\d+)", out)
    if load.returncode or not done or not int(done.group(1)):
        raise CannotRun(f"pgbench failed: {' | '.join(err.strip().splitlines()[-2:])}")
    done = int(done.group(1))
    return {
        "tps": done / spent[0],
        "cpu_us_per_txn": spent[1] / done * 1e6 if peer.pid else None,
        "cores_busy": spent[2] / spent[0],
    }


def bulk(peer, tls, o):
    """One SELECT of many rows of 100 bytes on the wire, read and thrown away."""
    rows = int(o.bulk_gb * 1e9 / ROW_BYTES)
    s, buffer = login(peer, tls), bytearray(1 << 20)
    try:
        window = Window(peer.pid)
        size = wire.query(s, f"select repeat('x', 89) from generate_series(1, {rows})", buffer)
        spent = window.spent()
    finally:
        s.close()
    if size < rows * ROW_BYTES:
        raise CannotRun(f"only {size} bytes came")
    return {
        "cpu_s": spent[1] if peer.pid else None,
        "mb_per_s": size / 1e6 / spent[0],
        "bytes": size,
        "cores_busy": spent[2] / spent[0],
    }


def idle(peer, tls, o, login, query):
    """Memory that each of many logged-in clients costs that have run one query and wait."""
    limit = more_files() - SPARE_FILES
    n, clients = min(o.idle_clients, limit), []
    peer.stop()  # what earlier cases left in the allocator would hide the growth
    peer.start()
    try:
        for _ in range(WARM_UP):
            clients.append(login(peer, tls))
        for s in clients:
            query(s, "select 1")
            s.close()
        clients.clear()
        time.sleep(1)
        before = rss_kb(peer.pid)
        for _ in range(n):
            clients.append(login(peer, tls))
        for s in clients:
            query(s, "select 1")
        time.sleep(1)
        window = Window(peer.pid)
        time.sleep(2)
        spent = window.spent()
        return {"rss_kb_per_client": (rss_kb(peer.pid) - before) / n, "idle_cpu": spent[1] / spent[0], "clients": n}
    finally:
        for s in clients:
            s.close()


def login(peer, tls):
    """A logged-in client of `peer`."""
    return wire.connect(peer.port, USER, PASSWORD, DATABASE, context(peer, tls))


def context(peer, tls):
    """What TLS clients trust; None without TLS."""
    ca = os.path.join(peer.shop.path, "tls", "ca.crt")
    return _contexts.setdefault(ca, wire.tls_context(ca)) if tls else None


_contexts = {}


def end(load):
    """Stops a load that did not end by itself."""
    if load.poll() is None:
        load.terminate()
        load.wait()


def run(case, peer, clients, tls, o, count=False):
    """Runs one case once."""
    if case in COUNTABLE:
        return play(peer, clients, tls, case, o, count)
    if case == "churn":
        return churn(peer, clients, tls, o)
    if case == "bulk":
        return bulk(peer, tls, o)
    buffer = bytearray(65536)
    return idle(peer, tls, o, login, lambda s, text: wire.query(s, text, buffer))


def cells(case, o):
    """The combinations of clients and TLS that a case is run with."""
    counts = {"churn": [o.churn_clients], "bulk": [1], "idle": [o.idle_clients]}.get(case, o.clients)
    return [(c, t) for t in o.tls for c in counts]
