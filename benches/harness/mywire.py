"""A small blocking MySQL client, for cases in which sysbench would be in the way."""

import hashlib
import socket
import struct

from .wire import exactly

# Capability flags (MySQL protocol, "Capabilities Flags").
LONG_PASSWORD, CONNECT_WITH_DB, PROTOCOL_41, SSL = 1, 1 << 3, 1 << 9, 1 << 11
TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH, DEPRECATE_EOF = 1 << 13, 1 << 15, 1 << 19, 1 << 24
WANTED = LONG_PASSWORD | CONNECT_WITH_DB | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH | DEPRECATE_EOF
PLUGIN = "caching_sha2_password"
UTF8MB4 = 45
QUERY = b"\x03"


def connect(port, user, password, database, tls=None):
    """A socket that is logged in by caching_sha2_password."""
    s = socket.create_connection(("127.0.0.1", port), timeout=60)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    number, greeting = packet(s)
    at = greeting.index(b"\0", 1) + 1 + 4
    # The challenge has 20 bytes: 8 here, the others behind what the server can do.
    challenge = greeting[at : at + 8] + greeting[at + 27 : at + 39]
    wanted = WANTED | (SSL if tls else 0)
    head = struct.pack("<IIB23x", wanted, 1 << 24, UTF8MB4)
    if tls:
        send(s, number + 1, head)
        s, number = tls.wrap_socket(s, server_hostname="localhost"), number + 1
    answer = scramble(password, challenge)
    names = f"{user}\0".encode() + bytes([len(answer)]) + answer + f"{database}\0{PLUGIN}\0".encode()
    send(s, number + 1, head + names)
    while True:
        number, body = packet(s)
        if body[0] == 0:
            return s
        if body[0] == 0xFE:
            # Another challenge behind the plugin's name.
            send(s, number + 1, scramble(password, body[body.index(b"\0", 1) + 1 :][:20]))
        elif body == b"\1\4":
            if not tls:
                raise OSError("the whole password is asked for without TLS")
            send(s, number + 1, password.encode() + b"\0")
        elif body != b"\1\3":
            raise OSError(f"a login goes on with {body[:40]!r}")


def scramble(password, challenge):
    """The answer to a challenge (MySQL source, sha2_password)."""
    once = hashlib.sha256(password.encode()).digest()
    twice = hashlib.sha256(hashlib.sha256(once).digest() + challenge).digest()
    return bytes(a ^ b for a, b in zip(once, twice))


def query(s, text):
    """Runs SQL that returns rows, and throws them away."""
    send(s, 0, QUERY + text.encode())
    _, body = packet(s)
    for _ in range(body[0]):
        packet(s)
    while packet(s)[1][0] != 0xFE:
        pass


def send(s, number, body):
    """Sends one packet."""
    s.sendall(struct.pack("<I", len(body))[:3] + bytes([number & 0xFF]) + body)


def packet(s):
    """Reads one packet: its number, and what it says; raises on an error packet."""
    head = exactly(s, 4)
    body = exactly(s, int.from_bytes(head[:3], "little"))
    if body[:1] == b"\xff":
        raise OSError(body[3:].decode(errors="replace"))
    return head[3], body

