"""Compares tokens of `sluice token` with those that botocore makes at the same second.

    token_checks.py SLUICE

Credentials and region come from the environment. Prints how many were equal.
"""
import datetime
import subprocess
import sys
from unittest import mock
from urllib.parse import parse_qs

import boto3
import botocore.auth
import botocore.compat

CASES = [
    ("app.abcdefghijkl.eu-central-1.rds.amazonaws.com", 5432, "app", "eu-central-1"),
    ("app.cluster-abcdefghijkl.us-east-1.rds.amazonaws.com", 3306, "jane_doe", "us-east-1"),
    ("APP.Abcdefghijkl.us-gov-west-1.rds.amazonaws.com", 5432, "app", "us-gov-west-1"),
    ("10.0.0.1", 65535, "app", "ap-southeast-2"),
    ("db.internal", 443, "app", "eu-central-1"),
    ("db.internal", 5432, "o' +t/h&e=r%20é~.-_*", "eu-central-1"),
]


def ours(program, host, port, user, region):
    command = [program, "token", "--hostname", host, "--port", str(port), "--region", region, "--username", user]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.endswith("\n") and finished.stdout.count("\n") == 1, finished.stdout
    return finished.stdout[:-1]


def theirs(host, port, user, region, date):
    moment = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    client = boto3.client("rds", region_name=region)
    with mock.patch.object(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: moment):
        return client.generate_db_auth_token(host, port, user, region)


for case in CASES:
    token = ours(sys.argv[1], *case)
    date = parse_qs(token.partition("?")[2])["X-Amz-Date"][0]
    expected = theirs(*case, date)
    assert token == expected, "%s\n%s" % (token, expected)
print(len(CASES))
