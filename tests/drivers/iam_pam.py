"""What pam_exec runs: has iam_checker.py judge what is on standard input, for the user PAM_USER."""
import json
import os
import socket
import sys

token = sys.stdin.buffer.read().rstrip(b"\0").decode()
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    asked = {"user": os.environ["PAM_USER"], "token": token}
    connection.sendall(json.dumps(asked).encode() + b"\n")
    sys.exit(0 if connection.makefile("rb").readline() == b"yes\n" else 1)
