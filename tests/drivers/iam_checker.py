"""Judges IAM database tokens for test servers, with botocore's signer and none of the proxy's code.

Serves PostgreSQL as an LDAP server that knows simple binds (RFC 4511), and PAM by lines of JSON. Every check is a line
in the log, so that tests can count how often a database asks.

    iam_checker.py ENDPOINT REGION LOG REVOKED

ENDPOINT is the host:port that tokens must be signed for; access keys named in the file REVOKED are refused. Prints the
two ports, LDAP first, once it is ready.
"""
import datetime
import json
import socketserver
import sys
import threading
from urllib.parse import parse_qsl, quote

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ENDPOINT, REGION, LOG, REVOKED = sys.argv[1:5]
# Access keys: the key, and its session token. As in AWS's documentation.
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEYS = {"AKIDEXAMPLE": (SECRET, None), "ASIDEXAMPLE": (SECRET, "FwoGZXIvYXdzE" + "session/token+" * 40 + "==")}
lock = threading.Lock()


def judge(user, token):
    """None, or why the token is refused."""
    place, _, query = token.partition("/?")
    if place.lower() != ENDPOINT.lower():
        return "signed for another endpoint"
    given = dict(parse_qsl(query, strict_parsing=True))
    if given.get("DBUser") != user or given.get("Action") != "connect":
        return "for another user"
    key, day, region, service, _ = given["X-Amz-Credential"].split("/")
    if region != REGION or service != "rds-db" or key not in KEYS:
        return "unknown key or scope"
    with open(REVOKED) as file:
        if key in file.read().split():
            return "revoked"
    date = datetime.datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    age = (datetime.datetime.now(datetime.timezone.utc) - date).total_seconds()
    if not -60 <= age < min(int(given["X-Amz-Expires"]), 900):
        return "expired or not yet valid"
    secret, session = KEYS[key]
    credentials = Credentials(key, secret, session)
    signatures = []
    # botocore signs host names in small letters, other generators as they are written.
    for host in {place, place.lower()}:
        signer = SigV4QueryAuth(credentials, service, region, expires=int(given["X-Amz-Expires"]))
        request = AWSRequest("GET", "https://%s/?Action=connect&DBUser=%s" % (host, quote(user, safe="")))
        request.context["timestamp"] = given["X-Amz-Date"]
        signer._modify_request_before_signing(request)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        signatures.append(signer.signature(text, request))
    if given["X-Amz-Signature"] not in signatures or given.get("X-Amz-Security-Token") != session:
        return "wrong signature"
    return None


def check(user, token):
    try:
        reason = judge(user, token)
    except (ValueError, KeyError, TypeError) as error:
        reason = "not a token: %s" % type(error).__name__
    with lock, open(LOG, "a") as log:
        log.write("%s %s\n" % (user, reason or "accepted"))
    return reason is None


def read_tlv(file):
    """One value of BER: its tag and its content; None at the end."""
    tag = file.read(1)
    if not tag:
        return None
    length = file.read(1)[0]
    if length & 0x80:
        length = int.from_bytes(file.read(length & 0x7F), "big")
    return tag[0], file.read(length)


def split(content):
    """The values that follow each other in a content."""
    import io
    file, values = io.BytesIO(content), []
    while (value := read_tlv(file)) is not None:
        values.append(value)
    return values


def tlv(tag, content):
    length = len(content)
    size = length.to_bytes((length.bit_length() + 7) // 8 or 1, "big")
    head = bytes([length]) if length < 128 else bytes([0x80 | len(size)]) + size
    return bytes([tag]) + head + content


class Ldap(socketserver.StreamRequestHandler):
    def handle(self):
        while (message := read_tlv(self.rfile)) is not None:
            (_, number), (operation, content) = split(message[1])[:2]
            if operation != 0x60:  # BindRequest
                return
            _, (_, name), (_, password) = split(content)
            # cn=USER,dc=iam
            user = name.decode().removeprefix("cn=").removesuffix(",dc=iam")
            result = 0 if check(user, password.decode()) else 49  # invalidCredentials
            response = tlv(0x61, tlv(0x0A, bytes([result])) + tlv(4, b"") + tlv(4, b""))
            self.wfile.write(tlv(0x30, tlv(2, number) + response))


class Pam(socketserver.StreamRequestHandler):
    def handle(self):
        asked = json.loads(self.rfile.readline())
        self.wfile.write(b"yes\n" if check(asked["user"], asked["token"]) else b"no\n")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 256


open(LOG, "a").close()
open(REVOKED, "a").close()
servers = [Server(("127.0.0.1", 0), handler) for handler in (Ldap, Pam)]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
print(*(server.server_address[1] for server in servers), flush=True)
# Until its standard input is closed: it ends with the test, whatever becomes of that.
threading.Thread(target=servers[0].serve_forever, daemon=True).start()
sys.stdin.read()
