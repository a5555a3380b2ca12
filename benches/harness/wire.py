"""A small blocking PostgreSQL client, for cases in which pgbench would be in the way."""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct

SSL_REQUEST = 80877103  # PostgreSQL documentation, section 54.7
PROTOCOL_3_0 = 196608
READY = b"Z\0\0\0\5"

_salted = {}


def tls_context(ca):
    """TLS 1.3 that verifies the server's certificate and name."""
    c = ssl.create_default_context(cafile=ca)
    c.minimum_version = ssl.TLSVersion.TLSv1_3
    return c


def connect(port, user, password, database, tls=None):
    """A socket that is logged in and past the first ReadyForQuery."""
    s = socket.create_connection(("127.0.0.1", port), timeout=60)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls:
        s.sendall(struct.pack("!II", 8, SSL_REQUEST))
        if s.recv(1) != b"S":
            raise OSError("no TLS offered")
        s = tls.wrap_socket(s, server_hostname="localhost")
    body = struct.pack("!I", PROTOCOL_3_0) + f"user\0{user}\0database\0{database}\0\0".encode()
    s.sendall(struct.pack("!I", len(body) + 4) + body)
    scram = None
    while True:
        kind, data = message(s)
        if kind == b"Z":
            return s
        if kind != b"R":
            continue
        code = struct.unpack("!I", data[:4])[0]
        if code == 10:
            scram = Scram(password)
            first = scram.first()
            send(s, b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
        elif code == 11:
            send(s, b"p", scram.final(data[4:].decode()))
        elif code not in (0, 12):
            raise OSError(f"authentication {code} is not SCRAM")


class Scram:
    """Client side of SCRAM-SHA-256 (RFC 5802). Salted passwords are kept: a thousand logins with
    one password should not measure this client's arithmetic."""

    def __init__(self, password):
        self.password = password
        self.bare = "n=,r=" + base64.b64encode(os.urandom(18)).decode()

    def first(self):
        """client-first-message"""
        return b"n,," + self.bare.encode()

    def final(self, server_first):
        """client-final-message"""
        kv = dict(part.split("=", 1) for part in server_first.split(","))
        key = (self.password, kv["s"], kv["i"])
        if key not in _salted:
            salt = base64.b64decode(kv["s"])
            _salted[key] = hashlib.pbkdf2_hmac("sha256", self.password.encode(), salt, int(kv["i"]))
        without_proof = "c=biws,r=" + kv["r"]
        auth = f"{self.bare},{server_first},{without_proof}".encode()
        client_key = hmac.digest(_salted[key], b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), auth, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()


def send(s, kind, body):
    """Sends one message."""
    s.sendall(kind + struct.pack("!I", len(body) + 4) + body)


def message(s):
    """Reads one message; raises on an error message."""
    head = exactly(s, 5)
    body = exactly(s, struct.unpack("!I", head[1:])[0] - 4)
    if head[:1] == b"E":
        raise OSError(body.replace(b"\0", b" ").decode(errors="replace"))
    return head[:1], body


def exactly(s, n):
    """Reads n bytes."""
    b = bytearray()
    while len(b) < n:
        c = s.recv(n - len(b))
        if not c:
            raise EOFError("the connection was closed")
        b += c
    return bytes(b)


def query(s, text, buffer):
    """Runs SQL and throws the answer away; returns its size in bytes. The answer has ended where
    a read ends in ReadyForQuery; rows made of one printable character cannot look like it."""
    send(s, b"Q", text.encode() + b"\0")
    total, tail, view = 0, b"", memoryview(buffer)
    while True:
        n = s.recv_into(view)
        if not n:
            raise EOFError("the connection was closed")
        if not total and view[0] == ord("E"):
            raise OSError(bytes(view[:n]).decode(errors="replace"))
        total += n
        tail = (tail + bytes(view[max(0, n - 6) : n]))[-6:]
        if tail[:5] == READY:
            return total
