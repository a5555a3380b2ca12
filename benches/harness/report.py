"""Results: one JSON object a line while the run goes on, and a table of medians at its end."""

import json
import os
import statistics

from .peers import ROOT

FIELDS = ["case", "peer", "clients", "tls", "round", "tps", "p50_us", "p99_us", "cpu_us_per_txn",
          "syscalls_per_txn", "rss_kb_per_client", "cpu_s", "mb_per_s", "cores_busy", "errors"]
# What each case is judged by: less is better.
COST = {"bulk": "cpu_s", "idle": "rss_kb_per_client"}
COLUMNS = [("tps", "tps", "{:,.0f}"), ("p50 us", "p50_us", "{:,.0f}"), ("p99 us", "p99_us", "{:,.0f}"),
           ("CPU us/txn", "cpu_us_per_txn", "{:.1f}"), ("calls/txn", "syscalls_per_txn", "{:.1f}"),
           ("KB/client", "rss_kb_per_client", "{:.1f}"), ("CPU s", "cpu_s", "{:.2f}"), ("MB/s", "mb_per_s", "{:,.0f}")]
# The peers that ratios are to: the newest, the distribution's where that is not there.
BASES = {"postgresql": ["pgbouncer_unstable", "pgbouncer"], "mysql": ["router_sharing"]}


class Results:
    """All rows of a run; ratios are to the first of the engine's `BASES` that has run."""

    def __init__(self, engine):
        self.bases = BASES[engine]
        folder = os.path.join(ROOT, "target", "bench")
        os.makedirs(folder, exist_ok=True)
        self.path, self.rows, self.missing = os.path.join(folder, "results.jsonl"), [], []
        self.file = open(self.path, "w", encoding="utf-8")

    def add(self, **row):
        """Keeps, writes and prints one measurement."""
        row = {f: row.get(f) for f in FIELDS} | {k: v for k, v in row.items() if k not in FIELDS}
        self.rows.append(row)
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        seen = "  ".join(f"{title} {form.format(row[f])}" for title, f, form in COLUMNS if row[f] is not None)
        print(f"{label(row)} round {row['round']} {row['peer']:18} {seen}", flush=True)

    def cannot(self, text):
        """Remembers once what could not be run."""
        if text not in self.missing:
            self.missing.append(text)
            print(f"cannot run {text}", flush=True)

    def table(self):
        """Prints medians, and each peer's cost and throughput as a ratio to the base's."""
        cells = {}
        for row in self.rows:
            cell = cells.setdefault((row["case"], row["tls"], row["clients"]), {})
            cell.setdefault(row["peer"], []).append(row)
        used = [c for c in COLUMNS if any(row[c[1]] is not None for row in self.rows)]
        head = ["case", "peer"] + [title for title, _, _ in used] + [f"{what}/{self.bases[0]}" for what in ("cost", "tps")]
        lines = [head]
        for peers in cells.values():
            cost = COST.get(next(iter(peers.values()))[0]["case"], "cpu_us_per_txn")
            base = next((peers[b] for b in self.bases if median(peers.get(b, []), cost) is not None), None)
            for peer, rows in peers.items():
                line = [label(rows[0]), peer]
                for _, field, form in used:
                    value = median(rows, field)
                    line.append("-" if value is None else form.format(value))
                lines.append(line + [ratio(rows, base, f) for f in (cost, "tps")])
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        print("\nMedians; cost is CPU per transaction, CPU seconds (bulk) or memory per client (idle).")
        for line in lines:
            left = [f"{text:<{w}}" for text, w in zip(line[:2], widths)]
            print("  ".join(left + [f"{text:>{w}}" for text, w in zip(line[2:], widths[2:])]))
        for text in self.missing:
            print(f"cannot run {text}")
        print(f"\nEvery measurement: {os.path.relpath(self.path)}")


def measured(row):
    """True for a row that says more than that there is nothing to say."""
    return any(row[field] is not None for _, field, _ in COLUMNS)


def label(row):
    """Names a cell."""
    return f"{row['case']} {row['clients']}{' TLS' if row['tls'] else ''}"


def median(rows, field):
    """The median of what was measured; None if nothing was."""
    values = [row[field] for row in rows if row[field] is not None]
    return statistics.median(values) if values else None


def ratio(rows, base, field):
    """How the median relates to the base's."""
    ours, theirs = median(rows, field), median(base or [], field)
    return f"{ours / theirs:.2f}" if ours is not None and theirs else "-"
