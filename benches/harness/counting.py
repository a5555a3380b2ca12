"""System calls of a process per second, counted by perf or, dearer, by strace."""

import re
import shutil
import signal
import subprocess
import tempfile
import time

from .procs import CannotRun

EVENT = "raw_syscalls:sys_enter"


def start(pid):
    """Begins to count with whatever this machine has and allows."""
    for kind in (Perf, Strace):
        if kind.usable():
            return kind(pid)
    raise CannotRun("neither perf with tracepoints nor strace to count system calls with")


class Counter:
    """A counting child and how long it has counted."""

    def __init__(self, command):
        self.out = tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.out, start_new_session=True)
        self.begin = time.monotonic()

    def finish(self):
        """Ends counting. Returns calls per second; None if nothing was counted."""
        self.child.send_signal(signal.SIGINT)
        took = time.monotonic() - self.begin
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.out.seek(0)
        found = re.search(self.total, self.out.read(), re.MULTILINE)
        self.out.close()
        return int(found.group(1)) / took if found else None


class Perf(Counter):
    """perf stat on the tracepoint of all system calls."""

    total = rf"^(\d+),[^,]*,{EVENT}"
    _usable = None

    def __init__(self, pid):
        super().__init__(["perf", "stat", "-x,", "-e", EVENT, "-p", str(pid)])

    @classmethod
    def usable(cls):
        """Whether perf is here and may use tracepoints."""
        if cls._usable is None:
            probe = ["perf", "stat", "-x,", "-e", EVENT, "true"]
            done = shutil.which("perf") and subprocess.run(probe, capture_output=True, text=True)
            cls._usable = bool(done and re.search(cls.total, done.stderr, re.MULTILINE))
        return cls._usable


class Strace(Counter):
    """strace -c on all threads. Slows the process down, so CPU time of the same run is no use."""

    total = r"^100\.00\s+[\d.]+\s+\d*\s+(\d+)\s.*total$"

    def __init__(self, pid):
        super().__init__(["strace", "-c", "-f", "-p", str(pid)])

    @staticmethod
    def usable():
        """Whether strace is here."""
        return shutil.which("strace") is not None
