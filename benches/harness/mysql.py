"""MySQL: a throwaway server, the peers that stand before it, and sysbench as the load.

Programs come from `tests/setup.sh bench`. The server does not write safely: it is here to be fast.
"""

import os
import re
import shutil
import subprocess
import time

from . import cases, mywire, peers
from .cases import Window, end
from .procs import CannotRun, free_port, wait_port

USER, PASSWORD, DATABASE = "bench", "benchpw", "bench"
BIN = os.path.join(peers.ROOT, os.environ.get("CARGO_TARGET_DIR", "target"), "test-env", "bin")
TABLE_SIZE = 100_000
PROGRESS = re.compile(r"\[ (\d+)s \] thds: \d+ tps: [\d.]+ qps: ([\d.]+) .*lat \(ms,99%\): ([\d.]+) err/s: ([\d.]+)")

# What each case runs. Costs are per query, of which a transaction of read_only has 16.
CASES = {
    "point_select": ["oltp_point_select", "--db-ps-mode=disable"],
    "point_select_prepared": ["oltp_point_select", "--db-ps-mode=auto"],
    "read_only": ["oltp_read_only", "--db-ps-mode=disable"],
}
# Connections that each client makes in one run of mysqlslap.
CONNECTS = 100

CONF = """
[mysqld]
bind_address = 127.0.0.1
port = {port}
datadir = {data}
tmpdir = {data}.tmp
socket = {data}.sock
pid_file = {data}.pid
mysqlx = OFF
secure_file_priv = ''
skip_name_resolve = ON
max_connections = 600
disable_log_bin
sync_binlog = 0
innodb_flush_log_at_trx_commit = 0
innodb_flush_method = nosync
innodb_doublewrite = OFF
innodb_buffer_pool_size = 256M
performance_schema = OFF
ssl_ca = {tls}/ca.crt
ssl_cert = {tls}/server.crt
ssl_key = {tls}/server.key
"""


def program(name):
    """A program that the setup has unpacked."""
    path = os.path.join(BIN, name)
    if not os.access(path, os.X_OK):
        raise CannotRun(f"no {name}; run tests/setup.sh bench")
    return path


def certify(shop, name, use, kind, size):
    """A key, and a certificate of the throwaway authority's for localhost."""
    tls = os.path.join(shop.path, "tls")
    key, request, certificate = (f"{tls}/{name}.{end}" for end in ("key", "csr", "crt"))
    if not os.path.exists(certificate):
        ext = shop.write(f"tls/{name}.ext", f"subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage={use}\n")
        shop.run(["openssl", "req", "-newkey", kind, "-pkeyopt", size, "-nodes", "-subj", "/CN=localhost", "-keyout", key,
                  "-out", request])
        shop.run(["openssl", "x509", "-req", "-days", "30", "-in", request, "-CA", f"{tls}/ca.crt", "-CAkey", f"{tls}/ca.key",
                  "-CAcreateserial", "-extfile", ext, "-out", certificate])
    return key, certificate


class MySql:
    """The server, with sysbench's table."""

    def __init__(self, shop):
        if not shutil.which("sysbench"):
            raise CannotRun("no sysbench; run tests/setup.sh bench")
        self.shop, self.port = shop, free_port()
        data = os.path.join(shop.path, "mysql")
        os.mkdir(data + ".tmp")
        self.conf = shop.write("my.cnf", CONF.format(port=self.port, data=data, tls=os.path.join(shop.path, "tls")))
        users = shop.write("users.sql", f"create user {USER}@'%' identified with caching_sha2_password by '{PASSWORD}';\n"
                           f"create database {DATABASE};\ngrant all on {DATABASE}.* to {USER}@'%';\n")
        command = [program("mysqld"), f"--defaults-file={self.conf}"]
        if os.geteuid() == 0:
            command.append("--user=root")
        made = subprocess.run(command + ["--initialize-insecure", f"--init-file={users}"], capture_output=True, text=True)
        if made.returncode:
            raise CannotRun(f"mysqld: {made.stderr.strip()[-400:]}")
        child = shop.start("mysqld", command, drop=False)
        wait_port(self.port, child, "mysqld", shop)
        self.lay_certificates()
        # Over TLS once: from then on the server knows the password without being told it in clear.
        self.client(self.port, "select 1", "REQUIRED")
        done = subprocess.run(self.sysbench(self.port, 1, ["oltp_point_select"]) + ["prepare"], capture_output=True, text=True)
        if done.returncode:
            raise CannotRun(f"sysbench: {(done.stderr or done.stdout).strip()[-400:]}")
        self.client(self.port, "analyze table sbtest1")

    def lay_certificates(self):
        """Files where sysbench looks for them: in its working directory. Servers that ask for its own accept it."""
        tls = os.path.join(self.shop.path, "tls")
        certify(self.shop, "client", "clientAuth", "ec", "ec_paramgen_curve:P-256")
        for name, at in (("ca.crt", "cacert.pem"), ("client.crt", "client-cert.pem"), ("client.key", "client-key.pem")):
            shutil.copy(os.path.join(tls, name), os.path.join(self.shop.path, at))

    def slap(self, port, clients, tls):
        """A command of mysqlslap's that connects anew for each query."""
        ca = os.path.join(self.shop.path, "tls", "ca.crt")
        how = ["--ssl-mode=VERIFY_IDENTITY", f"--ssl-ca={ca}", "--tls-version=TLSv1.3"] if tls else ["--ssl-mode=DISABLED", "--get-server-public-key"]
        return [program("mysqlslap"), "--no-defaults", "-hlocalhost", "--protocol=TCP", f"-P{port}", f"-u{USER}", *how,
                f"--concurrency={clients}", f"--number-of-queries={clients * CONNECTS}", "--detach=1", "--no-drop",
                f"--create-schema={DATABASE}", "--query=SELECT c FROM sbtest1 WHERE id=5023", "--csv"]

    def client(self, port, sql, tls="PREFERRED"):
        """Runs SQL with MySQL's own client."""
        done = subprocess.run([program("mysql"), "--no-defaults", "-h127.0.0.1", f"-P{port}", f"-u{USER}", f"--ssl-mode={tls}",
                               DATABASE, "-e", sql], capture_output=True, text=True, env=dict(os.environ, MYSQL_PWD=PASSWORD))
        if done.returncode:
            raise CannotRun(f"mysql: {done.stderr.strip()}")

    def sysbench(self, port, clients, arguments, tls=False):
        """A command of sysbench's, without what it is to do."""
        return ["sysbench", f"--mysql-ssl={'on' if tls else 'off'}", "--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={port}", f"--mysql-user={USER}",
                f"--mysql-password={PASSWORD}", f"--mysql-db={DATABASE}", "--tables=1", f"--table-size={TABLE_SIZE}",
                f"--threads={clients}", *arguments]


class Sluice(peers.Peer):
    """This project."""

    name = "sluice"
    pools = True

    def __init__(self, shop, server, options):
        super().__init__(shop, server, options)
        self.port = free_port()
        self.binary = options.sluice or peers.built()
        self.version = peers.version(self.binary)
        self.conf = shop.write("sluice-mysql.toml", f"""
[general]
max_client_conn = {peers.MAX_CLIENTS}
log_level = "warn"
log_connections = false
[[listener]]
name = "bench"
engine = "mysql"
address = "127.0.0.1:{self.port}"
target_group = "main"
tls_cert_file = "{shop.path}/tls/server.crt"
tls_key_file = "{shop.path}/tls/server.key"
[[target_group]]
name = "main"
engine = "mysql"
default_pool_size = {peers.POOL}
server_tls_mode = "disable"
[[target_group.target]]
address = "127.0.0.1:{server.port}"
[[user]]
name = "{USER}"
password = "{PASSWORD}"
""")

    def start(self):
        if not self.child:
            clean = {k: v for k, v in os.environ.items() if k not in ("RUST_LOG", "SLUICE_CONFIG")}
            self.launch([self.binary, "run", "--config", self.conf], drop=False, env=clean)


class HAProxy(peers.Peer):
    """HAProxy as a plain relay without a pool: the floor of what passing bytes on costs."""

    name = "haproxy"

    def __init__(self, shop, server, options):
        super().__init__(shop, server, options)
        self.port = free_port()
        self.version = subprocess.run([program("haproxy"), "-v"], capture_output=True, text=True).stdout.split()[2]
        self.conf = shop.write("haproxy-mysql.cfg", f"""
global
  maxconn 4000
  nbthread 2
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen my
  bind 127.0.0.1:{self.port}
  server s 127.0.0.1:{server.port}
""")

    def start(self):
        if not self.child:
            self.launch([program("haproxy"), "-db", "-f", self.conf], drop=False)


class Router(peers.Peer):
    """MySQL Router as it comes: each client has a server connection of its own."""

    name = "router"
    sharing = 0

    def __init__(self, shop, server, options):
        super().__init__(shop, server, options)
        self.port = free_port()
        shown = subprocess.run([program("mysqlrouter"), "--version"], capture_output=True, text=True).stdout
        self.version = re.search(r"Ver ([\d.]+)", shown).group(1)
        # With an ECDSA key it could not ask clients without TLS for their passwords.
        key, certificate = certify(shop, "router", "serverAuth", "rsa", "rsa_keygen_bits:2048")
        folder = os.path.join(shop.path, f"{self.name}-data")
        os.mkdir(folder)
        plugins = os.path.join(os.path.dirname(BIN), "rivals", "usr", "lib", "mysqlrouter", "plugin")
        self.conf = shop.write(f"{self.name}.conf", f"""
[DEFAULT]
logging_folder =
plugin_folder = {plugins}
runtime_folder = {folder}
data_folder = {folder}
max_total_connections = {peers.MAX_CLIENTS}
[logger]
level = WARNING
[connection_pool]
max_idle_server_connections = 64
idle_timeout = 60
[io]
threads = 2
[routing:bench]
bind_address = 127.0.0.1
bind_port = {self.port}
destinations = 127.0.0.1:{server.port}
routing_strategy = first-available
protocol = classic
max_connect_errors = 4294967295
client_ssl_mode = PREFERRED
client_ssl_cert = {certificate}
client_ssl_key = {key}
server_ssl_mode = DISABLED
connection_sharing = {self.sharing}
connection_sharing_delay = 0
""")

    def start(self):
        if not self.child:
            self.launch([program("mysqlrouter"), "-c", self.conf], drop=False)


class RouterSharing(Router):
    """MySQL Router with connection sharing, which is what a pool is to be compared with."""

    name = "router_sharing"
    pools = True
    sharing = 1


KINDS = {k.name: k for k in (peers.Peer, HAProxy, Router, RouterSharing, Sluice)}


def run(case, peer, clients, tls, o, count=False):
    """Runs one case once."""
    del count
    if case == "churn":
        return churn(peer, clients, tls, o)
    if case == "idle":
        return cases.idle(peer, tls, o, login, mywire.query)
    return play(case, peer, clients, tls, o)


def play(case, peer, clients, tls, o):
    """sysbench over connections that stay. The window is between the first and the last progress line."""
    command = peer.server.sysbench(peer.port, clients, CASES[case], tls)
    command += ["--time=" + str(o.seconds + 1), "--report-interval=1", "--percentile=99", "run"]
    window, first, last, done, spent, latencies, errors = Window(peer.pid), None, None, 0.0, None, [], 0.0
    load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=peer.shop.path,
                            start_new_session=True)
    said = []
    try:
        for line in load.stdout:
            said.append(line.strip())
            found = PROGRESS.match(line)
            if not found:
                continue
            at, qps, p99, failed = (float(part) for part in found.groups())
            if first is None:
                first = at
                window.mark()
            else:
                done += qps * (at - last)
                latencies.append(p99)
                errors += failed * (at - last)
                spent = window.spent()
            last = at
        load.wait()
    finally:
        end(load)
    if load.returncode or not done:
        raise CannotRun(f"sysbench failed: {' | '.join(line for line in said if line)[-400:]}")
    return {
        "tps": done / spent[0], "p99_us": sorted(latencies)[len(latencies) // 2] * 1000, "errors": errors,
        "cpu_us_per_txn": spent[1] / done * 1e6 if peer.pid else None,
        "cores_busy": spent[2] / spent[0],
    }


def churn(peer, clients, tls, o):
    """mysqlslap that logs in anew for each query, again and again until the time is over."""
    command, done = peer.server.slap(peer.port, clients, tls), 0
    window = Window(peer.pid)
    until = time.monotonic() + o.seconds
    while time.monotonic() < until:
        load = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, MYSQL_PWD=PASSWORD), timeout=120)
        if load.returncode:
            raise CannotRun(f"mysqlslap: {load.stderr.strip()[-400:]}")
        done += clients * CONNECTS
    spent = window.spent()
    return {
        "tps": done / spent[0],
        "cpu_us_per_txn": spent[1] / done * 1e6 if peer.pid else None,
        "cores_busy": spent[2] / spent[0],
    }


def login(peer, tls):
    """A logged-in client of `peer`."""
    return mywire.connect(peer.port, USER, PASSWORD, DATABASE, cases.context(peer, tls))


def cells(case, o):
    """The combinations of clients and TLS that a case is run with."""
    counts = {"churn": [o.churn_clients], "idle": [o.idle_clients]}.get(case, o.clients)
    return [(c, t) for t in o.tls for c in counts]
