"""The peers: who stands between the clients and PostgreSQL, all with a pool of 20."""

import argparse
import glob
import os
import re
import shutil
import subprocess

from .postgres import DATABASE, PASSWORD, USER
from .procs import CannotRun, free_port, wait_port

POOL = 20
MAX_CLIENTS = 12000
# Below the servers' limit of connections.
MOST_WITHOUT_POOL = 380
# It keeps two sockets for each, within the 20,000 files that a process may be held to.
HAPROXY_CLIENTS = 4000
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.path.join(ROOT, os.environ.get("CARGO_TARGET_DIR", "target"))
TEST_ENV = os.path.join(TARGET, "test-env")


class Peer:
    """A peer that can be started, measured by `pid` and reached at `port`."""

    name = "direct"
    pools = False
    version = ""

    def __init__(self, shop, server, options):
        self.shop, self.server, self.options = shop, server, options
        self.port, self.child = server.port, None

    def start(self):
        """Starts it; a second call does nothing."""

    def stop(self):
        """Stops it, if it was started."""
        if self.child:
            self.shop.stop(self.child)
            self.child = None

    @property
    def pid(self):
        """The process whose CPU time counts; None where there is no proxy."""
        return self.child and self.child.pid

    def refuses(self, case, clients):
        """Why it cannot run a case with so many clients; None if it can."""
        if not self.pools and (case == "idle" or clients > MOST_WITHOUT_POOL):
            return "every client would hold a server connection"
        return None

    def launch(self, command, drop=True, env=None):
        """Starts the process and waits until it listens."""
        self.child = self.shop.start(self.name, command, drop=drop, env=env)
        try:
            wait_port(self.port, self.child, self.name, self.shop)
        except CannotRun:
            self.stop()
            raise


class PgBouncer(Peer):
    """The distribution's PgBouncer, or the one that was given."""

    name = "pgbouncer"
    pools = True

    def __init__(self, shop, server, options):
        super().__init__(shop, server, options)
        self.port = free_port()
        self.binary = options.pgbouncer or shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        self.binary = self.binary or unpacked(shop, "pgbouncer", "usr/sbin/pgbouncer")
        self.version = shop.run([self.binary, "--version"]).splitlines()[0].removeprefix("PgBouncer ")
        self.renames = tuple(int(n) for n in re.findall(r"\d+", self.version)[:2]) >= (1, 21)
        users = shop.write("userlist.txt", f'"{USER}" "{server.verifier}"\n')
        tls = os.path.join(shop.path, "tls")
        statements = "max_prepared_statements = 200" if self.renames else ""
        self.conf = shop.write(f"{self.name}.ini", f"""
[databases]
{DATABASE} = host=127.0.0.1 port={server.port} dbname={DATABASE}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {POOL}
max_client_conn = {MAX_CLIENTS}
server_tls_sslmode = disable
client_tls_sslmode = allow
client_tls_cert_file = {tls}/server.crt
client_tls_key_file = {tls}/server.key
client_tls_ca_file = {tls}/ca.crt
log_connections = 0
log_disconnections = 0
ignore_startup_parameters = extra_float_digits
{statements}
""")

    def start(self):
        if not self.child:
            self.launch([self.binary, self.conf])

    def refuses(self, case, clients):
        if case == "select_prepared" and not self.renames:
            return f"PgBouncer {self.version} knows no prepared statements (1.21 and later do: see pgbouncer_unstable)"
        return super().refuses(case, clients)


class PgBouncerUnstable(PgBouncer):
    """The PgBouncer of Debian unstable, which `tests/setup.sh bench` unpacks."""

    name = "pgbouncer_unstable"

    def __init__(self, shop, server, options):
        super().__init__(shop, server, argparse.Namespace(**(vars(options) | {"pgbouncer": of_unstable("pgbouncer")})))


class Sluice(Peer):
    """Sluice, built for packaging from this tree, as it is without a word about it in its configuration."""

    name = "sluice"
    pools = True
    # Lines added to a section of the configuration.
    general = listener = group = ""

    def __init__(self, shop, server, options):
        super().__init__(shop, server, options)
        self.port = free_port()
        self.binary = options.sluice or built()
        self.version = version(self.binary)
        tls = os.path.join(shop.path, "tls")
        self.conf = shop.write(f"{self.name}.toml", f"""
[general]
max_client_conn = {MAX_CLIENTS}
log_level = "warn"
log_connections = false
{self.general}
[[listener]]
name = "bench"
engine = "postgresql"
address = "127.0.0.1:{self.port}"
target_group = "main"
tls_cert_file = "{tls}/server.crt"
tls_key_file = "{tls}/server.key"
auth_method = "scram-sha-256"
{self.listener}
[[target_group]]
name = "main"
engine = "postgresql"
default_pool_size = {POOL}
server_tls_mode = "disable"
{self.group}
{self.targets(server)}
[[user]]
name = "{USER}"
password = "{server.verifier}"
""")

    def targets(self, server):
        """The section of each server."""
        return f'[[target_group.target]]\naddress = "127.0.0.1:{server.port}"'

    def start(self):
        if not self.child:
            # Not dropped to another user: the tree may lie where only its owner may enter.
            clean = {k: v for k, v in os.environ.items() if k not in ("RUST_LOG", "SLUICE_CONFIG")}
            self.launch([self.binary, "run", "--config", self.conf], drop=False, env=clean)


class SluiceOneThread(Sluice):
    """Sluice with one thread, whatever this machine has."""

    name, general = "sluice_1", "worker_threads = 1"


class SluiceTwoThreads(Sluice):
    """Sluice with two threads, whatever this machine has."""

    name, general = "sluice_2", "worker_threads = 2"


class SluiceSplit(Sluice):
    """Sluice that looks for reads to send to a replica, with one thread; there is none, so all stays on the primary."""

    name, listener, general = "sluice_split", 'target_role = "split"', "worker_threads = 1"


class SluiceReplica(SluiceSplit):
    """The same where there is one, which has all reads."""

    name = "sluice_replica"

    def targets(self, server):
        return f'{super().targets(server)}\nrole = "primary"\n[[target_group.target]]\n' \
               f'address = "127.0.0.1:{server.replica()}"\nrole = "replica"'


class SluiceReadOnly(SluiceReplica):
    """The same with a listener for reads alone: all goes to the replica unseen."""

    name, listener = "sluice_read_only", 'target_role = "read_only"'


class SluiceSession(Sluice):
    """Sluice in session mode: no state is tracked or carried, no connection shared."""

    name, pools = "sluice_session", False
    listener = 'pool_mode = "session"'


class Odyssey(Peer):
    """Odyssey of Debian unstable, which `tests/setup.sh bench` unpacks."""

    name = "odyssey"
    pools = True

    def __init__(self, shop, server, options):
        super().__init__(shop, server, options)
        self.port, self.binary = free_port(), of_unstable("odyssey")
        tls = os.path.join(shop.path, "tls")
        self.conf = shop.write("odyssey.conf", f"""
daemonize no
log_format "%t %l %m\\n"
log_to_stdout yes
log_config no
log_debug no
log_session no
log_stats no
log_query no
workers 2
resolvers 1
coroutine_stack_size 24
client_max {MAX_CLIENTS}
listen {{
  host "127.0.0.1"
  port {self.port}
  backlog 1024
  tls "allow"
  tls_cert_file "{tls}/server.crt"
  tls_key_file "{tls}/server.key"
}}
storage "pg" {{
  type "remote"
  host "127.0.0.1"
  port {server.port}
  tls "disable"
}}
database "{DATABASE}" {{
  user "{USER}" {{
    authentication "scram-sha-256"
    password "{PASSWORD}"
    storage "pg"
    storage_db "{DATABASE}"
    storage_user "{USER}"
    storage_password "{PASSWORD}"
    pool "transaction"
    pool_size {POOL}
    pool_timeout 0
    pool_discard no
    pool_smart_discard yes
    pool_rollback yes
    pool_reserve_prepared_statement yes
    log_debug no
  }}
}}
""")

    def start(self):
        if not self.child:
            self.launch([self.binary, self.conf])


class HAProxy(Peer):
    """HAProxy as a plain relay without a pool: the floor of what passing bytes on costs."""

    name = "haproxy"

    def __init__(self, shop, server, options):
        super().__init__(shop, server, options)
        self.port = free_port()
        self.binary = of_unstable("haproxy")
        self.version = shop.run([self.binary, "-v"]).split()[2]
        self.conf = shop.write("haproxy.cfg", f"""
global
  maxconn {HAPROXY_CLIENTS}
  nbthread 2
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen pg
  bind 127.0.0.1:{self.port}
  server s 127.0.0.1:{server.port}
""")

    def start(self):
        if not self.child:
            self.launch([self.binary, "-db", "-f", self.conf])


VARIANTS = (SluiceOneThread, SluiceTwoThreads, SluiceSplit, SluiceReplica, SluiceReadOnly, SluiceSession)
KINDS = {k.name: k for k in (Peer, PgBouncer, PgBouncerUnstable, Odyssey, HAProxy, Sluice, *VARIANTS)}


def of_unstable(name):
    """A program of Debian unstable."""
    path = os.path.join(TEST_ENV, "bin", name)
    if not os.path.exists(path):
        raise CannotRun("not there; run tests/setup.sh bench")
    return path


def built():
    """Builds Sluice for packaging, which takes no time if nothing has changed."""
    print("building sluice (profile dist)", flush=True)
    if subprocess.run(["cargo", "build", "--locked", "--profile", "dist", "--quiet", "--bin", "sluice"], cwd=ROOT).returncode:
        raise CannotRun("cargo build --profile dist failed")
    return os.path.join(TARGET, "dist", "sluice")


def version(binary):
    """What this Sluice is. Asked as the caller: another user may not enter its folder, nor write what it counts."""
    done = subprocess.run([binary, "--version"], capture_output=True, text=True)
    return done.stdout.strip().removeprefix("sluice ")


def unpacked(shop, package, path):
    """Fetches a package of the distribution and unpacks it here, so that no service is installed
    or started. Returns the path of a program in it."""
    debs = os.path.join(ROOT, "target", "bench", "debs")
    os.makedirs(debs, exist_ok=True)
    if not glob.glob(f"{debs}/{package}_*.deb"):
        if not shutil.which("apt-get"):
            raise CannotRun(f"not installed, and no apt-get to fetch it with; install {package}")
        print(f"fetching {package} with apt-get download", flush=True)
        done = subprocess.run(["apt-get", "download", package], cwd=debs, capture_output=True, text=True)
        if done.returncode:
            raise CannotRun(f"not installed, and apt-get download failed: {done.stderr.strip()[-200:]}")
    folder = shop.folder(package)
    deb = sorted(glob.glob(f"{debs}/{package}_*.deb"))[-1]
    subprocess.run(["dpkg", "-x", deb, folder], check=True)
    binary = os.path.join(folder, path)
    libraries = subprocess.run(["ldd", binary], capture_output=True, text=True).stdout
    missing = re.findall(r"(\S+) => not found", libraries)
    if missing:
        raise CannotRun(f"libraries missing: {', '.join(missing)}; apt-get install {package}")
    return binary
