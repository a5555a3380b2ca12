"""A throwaway PostgreSQL on loopback. It does not write safely (fsync off): it is here to be fast."""

import glob
import os
import shutil
import signal
import subprocess
import time

from .procs import CannotRun, free_port, wait_port

USER, PASSWORD, DATABASE = "bench", "benchpw", "bench"
SCALE = 10

CONF = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 400
shared_buffers = 256MB
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
wal_level = replica
max_wal_senders = 4
max_wal_size = 2GB
password_encryption = 'scram-sha-256'
ssl = on
ssl_cert_file = '{tls}/server.crt'
ssl_key_file = '{tls}/server.key'
"""


def tools():
    """The newest folder that holds PostgreSQL's server and pgbench."""
    def version(path):
        return [int(n) for n in path.split("/")[-2].split(".") if n.isdigit()]

    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=version, reverse=True)
    found += [d for d in os.environ.get("PATH", "").split(":") if d]
    for folder in found:
        if all(os.access(f"{folder}/{t}", os.X_OK) for t in ("initdb", "postgres", "pgbench", "psql")):
            return folder
    raise CannotRun("no PostgreSQL server with pgbench; install postgresql and postgresql-contrib")


class Postgres:
    """The server, filled with pgbench's tables."""

    def __init__(self, shop):
        self.bin, self.shop, self.port = tools(), shop, free_port()
        self.replicas = []
        data = shop.folder("data", private=True)
        word = shop.write("superuser", PASSWORD, 0o600)
        shop.run([f"{self.bin}/initdb", "-D", data, "-U", "postgres", "--pwfile", word, "-A", "scram-sha-256",
                  "--no-sync", "-E", "UTF8", "--locale=C"])
        conf = os.path.join(data, "postgresql.conf")
        with open(conf, "a", encoding="utf-8") as f:
            f.write(CONF.format(port=self.port, tls=os.path.join(shop.path, "tls")))
        child = shop.start("postgres", [f"{self.bin}/postgres", "-D", data], how=signal.SIGINT)
        wait_port(self.port, child, "postgres", shop)
        self.wait_ready(self.port)
        self.sql(f"create role {USER} login password '{PASSWORD}'", user="postgres", database="postgres")
        self.sql(f"create database {DATABASE} owner {USER}", user="postgres", database="postgres")
        subprocess.run([f"{self.bin}/pgbench", "-q", "-i", "-s", str(SCALE), self.url(self.port)],
                       check=True, capture_output=True, env=env())
        self.sql("vacuum analyze")
        verifier = f"select rolpassword from pg_authid where rolname = '{USER}'"
        self.verifier = self.sql(verifier, user="postgres")

    def replica(self):
        """The port of a streaming replica, which is made when it is first asked for."""
        if self.replicas:
            return self.replicas[0]
        port, data = free_port(), self.shop.folder("replica", private=True)
        source = f"host=127.0.0.1 port={self.port} user=postgres sslmode=disable"
        self.shop.run([f"{self.bin}/pg_basebackup", "-d", source, "-D", data, "-R", "-X", "stream", "-c", "fast", "--no-sync"],
                      env=env())
        with open(os.path.join(data, "postgresql.conf"), "a", encoding="utf-8") as f:
            f.write(f"port = {port}\n")
        child = self.shop.start("replica", [f"{self.bin}/postgres", "-D", data], how=signal.SIGINT)
        wait_port(port, child, "replica", self.shop)
        self.wait_ready(port)
        self.replicas.append(port)
        return port

    def wait_ready(self, port):
        """Waits until the server there takes queries: it listens before that."""
        end = time.monotonic() + 60
        while True:
            try:
                return self.sql("select 1", user="postgres", database="postgres", port=port)
            except CannotRun as e:
                if not any(why in str(e) for why in ("starting up", "not yet accepting")) or time.monotonic() > end:
                    raise
            time.sleep(0.1)

    def sql(self, text, user=USER, database=DATABASE, port=None):
        """Runs SQL on the server itself, and returns what it prints."""
        url = f"host=127.0.0.1 port={port or self.port} user={user} dbname={database} sslmode=disable"
        done = subprocess.run([f"{self.bin}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text, url],
                              capture_output=True, text=True, env=env())
        if done.returncode:
            raise CannotRun(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def url(self, port, tls=False):
        """A libpq connection string for whoever listens on `port`."""
        ca = os.path.join(self.shop.path, "tls", "ca.crt")
        how = f"verify-full sslrootcert={ca} ssl_min_protocol_version=TLSv1.3" if tls else "disable"
        return f"host=localhost hostaddr=127.0.0.1 port={port} user={USER} dbname={DATABASE} sslmode={how}"


def env():
    """The environment of libpq programs: nothing of the caller's own settings."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    return dict(clean, PGPASSWORD=PASSWORD, PGSSLCERT="/nonexistent", PGCONNECT_TIMEOUT="60")


def certificates(shop):
    """A throwaway authority and an ECDSA P-256 certificate for localhost, in the folder tls."""
    if not shutil.which("openssl"):
        raise CannotRun("no openssl to make certificates with; install openssl")
    folder = shop.folder("tls")
    ext = shop.write("tls/ext", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    ca = ["-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.crt"]
    shop.run(new + ["-x509", "-days", "30", "-subj", "/CN=throwaway authority"] + ca)
    shop.run(new + ["-subj", "/CN=localhost", "-keyout", f"{folder}/server.key", "-out", f"{folder}/server.csr"])
    shop.run(["openssl", "x509", "-req", "-days", "30", "-in", f"{folder}/server.csr", "-CA", f"{folder}/ca.crt",
              "-CAkey", f"{folder}/ca.key", "-CAcreateserial", "-extfile", ext, "-out", f"{folder}/server.crt"])
    os.chmod(f"{folder}/server.key", 0o600)
