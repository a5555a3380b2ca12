"""RDS's API on this machine: a moto server, and orders for it.

Prints the server's port, then reads a line of JSON for each order (the region, the operation of boto3's
client and its arguments) and prints the answer when it has been carried out.
"""

import json
import sys

import boto3
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()


def client(region):
    return boto3.client(
        "rds",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=region,
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="example",
    )


print(port, flush=True)
for line in sys.stdin:
    region, operation, arguments = json.loads(line)
    answer = getattr(client(region), operation)(**arguments)
    answer.pop("ResponseMetadata", None)
    print(json.dumps(answer, default=str), flush=True)
