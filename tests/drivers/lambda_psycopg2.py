"""The classic Lambda function for PostgreSQL behind RDS Proxy, run by hand: boto3 signs, psycopg2 connects."""
import json
import os

import boto3
import psycopg2

# What the function is configured with.
ENDPOINT = os.environ["DB_ENDPOINT"]
HOST = os.environ.get("DB_HOST", ENDPOINT)
PORT = int(os.environ["DB_PORT"])
ENDPOINT_PORT = int(os.environ.get("DB_ENDPOINT_PORT", PORT))
USER = os.environ["DB_USER"]
REGION = os.environ["AWS_REGION"]
DBNAME = os.environ["DB_NAME"]

client = boto3.client("rds", region_name=REGION)


def lambda_handler(event, context):
    token = client.generate_db_auth_token(DBHostname=ENDPOINT, Port=ENDPOINT_PORT, DBUsername=USER, Region=REGION)
    connection = psycopg2.connect(
        host=HOST,
        port=PORT,
        database=DBNAME,
        user=USER,
        password=token,
        sslmode="verify-full",
        sslrootcert=os.environ["DB_CA"],
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT session_user, %s::int + 1", (event["number"],))
        user, number = cursor.fetchone()
    connection.close()
    return {"statusCode": 200, "body": json.dumps({"user": user, "number": number})}


for number in range(3):
    answer = lambda_handler({"number": number}, None)
    assert json.loads(answer["body"]) == {"user": USER, "number": number + 1}, answer
print("done")
