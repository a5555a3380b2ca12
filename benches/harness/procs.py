"""Processes: started in sessions of their own, stopped by pid, and measured from /proc."""

import ctypes
import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1  # prctl(2)


class CannotRun(Exception):
    """Something is missing on this machine; the text says what."""


class Workshop:
    """A folder in the temporary directory and the processes that live in it; both end with it."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="sluice-bench-")
        os.chmod(self.path, 0o755)
        self.children = []
        self.user = unprivileged()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A second Ctrl-C must not leave servers behind.
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, signal.SIG_IGN)
        for child, how in reversed(self.children):
            stop(child, how)
        shutil.rmtree(self.path, ignore_errors=True)

    def folder(self, name, private=False):
        """Makes a folder that belongs to the unprivileged user."""
        path = os.path.join(self.path, name)
        os.mkdir(path, 0o700 if private else 0o755)
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)
        return path

    def write(self, name, text, mode=0o644):
        """Writes a file for the unprivileged user to read."""
        path = os.path.join(self.path, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)
        return path

    def start(self, name, command, drop=True, how=signal.SIGTERM, env=None):
        """Starts a server whose output goes to NAME.log; it is stopped with signal `how`."""
        with open(self.log(name), "ab") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.path, env=env,
                start_new_session=True, preexec_fn=die_with_parent, **self.identity(drop),
            )
        self.children.append((child, how))
        return child

    def stop(self, child):
        """Stops one server before the end."""
        how = next(h for c, h in self.children if c is child)
        stop(child, how)
        self.children = [(c, h) for c, h in self.children if c is not child]

    def run(self, command, **more):
        """Runs a short command as the unprivileged user and returns its output."""
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=self.path,
            **self.identity(True), **more,
        )
        if done.returncode:
            raise CannotRun(f"{command[0]}: {(done.stderr or done.stdout).strip()[-400:]}")
        return done.stdout

    def identity(self, drop):
        """Arguments of Popen that change the user, where that is asked for and possible."""
        if not (drop and self.user):
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def log(self, name):
        """Where the output of a server goes."""
        return os.path.join(self.path, name + ".log")

    def log_tail(self, name):
        """The last words of a server, for error messages."""
        try:
            with open(self.log(name), encoding="utf-8", errors="replace") as f:
                return " | ".join(f.read().strip().splitlines()[-3:])
        except OSError:
            return ""


def unprivileged():
    """Whom root becomes for servers that refuse to run as root; None for anybody else."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise CannotRun("root needs a user postgres or nobody to run PostgreSQL as")


def die_with_parent():
    """The child gets SIGTERM if this process is killed in a way that it cannot handle."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def stop(child, how=signal.SIGTERM):
    """Stops a child by its pid, harder if it does not listen."""
    for sig, patience in ((how, 10), (signal.SIGQUIT, 3), (signal.SIGKILL, 5)):
        if child.poll() is not None:
            return
        child.send_signal(sig)
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            pass


def free_port():
    """A port of loopback that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, child, name, shop, patience=30):
    """Returns once `port` accepts connections; raises if the child ends before."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if child.poll() is not None:
            raise CannotRun(f"{name} ended with {child.returncode}: {shop.log_tail(name)}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise CannotRun(f"{name} never listened: {shop.log_tail(name)}")


def more_files():
    """Raises the limit of open files as far as allowed, and returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cpu(pid):
    """CPU seconds of all threads of a process, user and system (proc(5), stat fields 14, 15)."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_kb(pid):
    """Resident memory of a process in KB."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def machine_cpu():
    """CPU seconds that the whole machine has been busy."""
    with open("/proc/stat", encoding="ascii") as f:
        t = [int(x) for x in f.readline().split()[1:9]]
    return (sum(t) - t[3] - t[4] - t[7]) / TICKS
