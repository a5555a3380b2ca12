"""MySQL Connector/Python, in pure Python or with MySQL's own client library (argument `pure` or `c`)."""

import os
import sys

IS_PURE = sys.argv[1] == "pure"
if not IS_PURE:
    # Before anything loads the system's OpenSSL: the extension brings a newer one.
    import _mysql_connector  # noqa: F401

import datetime
import decimal

import mysql.connector
from mysql.connector import errors

from checks import CLIENTS, expect, new_table, run
from mysql_checks import CA, DATABASE, HOST, IS_MARIADB, PASSWORD, PORT, USER, DbApi, one



def connect(local_infile=False, **options):
    return mysql.connector.connect(
        host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, use_pure=IS_PURE,
        collation="utf8mb4_general_ci", ssl_ca=CA, ssl_verify_cert=True, ssl_verify_identity=True,
        allow_local_infile=local_infile, **options,
    )


def prepared_statements_are_executed_again():
    table = new_table()
    connection = connect(autocommit=True)
    cursor = connection.cursor(prepared=True)
    plain = connection.cursor()
    plain.execute(f"create table {table} (id int primary key, word text, amount decimal(12, 2), at datetime(3))")
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000)
    insert = f"insert into {table} values (%s, %s, %s, %s)"
    for number in range(20):
        word = None if number % 3 == 0 else f"wörd {number}"
        # Of a Decimal the extension written in C writes beyond its memory (mysql_capi.c, MySQLPrepStmt_execute), as
        # valgrind tells of it on the server itself, too.
        amount = decimal.Decimal(number) / 4
        cursor.execute(insert, (number, word, amount if IS_PURE else str(amount), moment))
        assert cursor.rowcount == 1
    expect(errors.IntegrityError, lambda: cursor.execute(insert, (1, "again", 0, moment)))
    cursor.execute(f"select * from {table} where id = %s", (7,))
    assert cursor.fetchall() == [(7, "wörd 7", decimal.Decimal("1.75"), moment)]
    cursor.execute(f"select * from {table} where id = %s", (9,))
    assert cursor.fetchall() == [(9, None, decimal.Decimal("2.25"), moment)]
    # The table changes under the statement, of which the client library written in C dies.
    if IS_PURE:
        plain.execute(f"alter table {table} drop column at")
        cursor.execute(f"select * from {table} where id = %s", (7,))
        assert cursor.fetchall() == [(7, "wörd 7", decimal.Decimal("1.75"))]
    cursor.close()
    plain.execute(f"drop table {table}")
    connection.close()


def prepared_statements_are_private():
    clients = [connect(autocommit=True) for _ in range(CLIENTS // 2)]
    cursors = [client.cursor(prepared=True) for client in clients]
    for turn in range(4):
        for number, cursor in enumerate(cursors):
            cursor.execute(f"select %s, 'client {number}'", (turn,))
            assert cursor.fetchall() == [(turn, f"client {number}")]
    for client in clients:
        client.close()


def commands_beside_queries():
    connection = connect(autocommit=True)
    connection.ping()
    cursor = connection.cursor()
    cursor.execute("set @a = 1, time_zone = '+05:00'")
    connection.cmd_reset_connection()
    assert one(connection.cursor(), "select @a, @@time_zone, database()") == (None, "+00:00", DATABASE)
    connection.cmd_change_user(USER, PASSWORD, "information_schema")
    assert one(connection.cursor(), "select database()") == "information_schema"
    connection.database = DATABASE
    assert one(connection.cursor(), "select database()") == DATABASE
    assert "Threads" in str(connection.cmd_statistics()) or IS_PURE
    assert one(connection.cursor(), "select connection_id()") == connection.connection_id
    connection.close()


def compression_is_transparent():
    connection = connect(compress=True)
    cursor = connection.cursor()
    # In pure Python this driver takes a packet for broken that spans several compressed ones, as
    # those of a proxy do that does not wait for the end of a row.
    for length in (1, 100, 60_000) if IS_PURE else (1, 100, 100_000, 17_000_000):
        assert len(one(cursor, f"select repeat('x', {length})")) == length
    assert one(cursor, "select length(%s)", ("y" * 1_000_000,)) == 1_000_000
    connection.close()


def outcomes_of_procedures_come_back():
    name = new_table()
    connection = connect(autocommit=True)
    cursor = connection.cursor()
    cursor.execute(f"create procedure {name} (inout a int) begin select a; set a = a + 1; end")
    assert cursor.callproc(name, (5,)) == (6,)
    assert [result.fetchall() for result in cursor.stored_results()] == [[(5,)]]
    cursor.execute(f"drop procedure {name}")
    connection.close()


api = DbApi(mysql.connector, connect, lambda connection: connection.cursor(buffered=False))
run(
    [
        *api.all(),
        prepared_statements_are_executed_again,
        prepared_statements_are_private,
        commands_beside_queries,
        compression_is_transparent,
        outcomes_of_procedures_come_back,
    ]
)
if not IS_PURE:
    # The extension may break down as the interpreter ends, with a server of MariaDB directly too:
    # every check has passed by now.
    sys.stdout.flush()
    os._exit(0)
