"""mysqlclient: the C client library of MariaDB."""

import MySQLdb
from MySQLdb.constants import CLIENT
from MySQLdb.cursors import SSCursor

from checks import expect, run
from mysql_checks import CA, DATABASE, HOST, PASSWORD, PORT, USER, DbApi, one


def connect(autocommit=False, local_infile=False, **options):
    return MySQLdb.connect(
        host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, charset="utf8mb4",
        ssl_mode="VERIFY_IDENTITY", ssl={"ca": CA}, autocommit=autocommit, local_infile=int(local_infile), **options,
    )


def commands_beside_queries():
    connection = connect(autocommit=True)
    connection.ping()
    assert "Threads: " in connection.stat()
    number = connection.thread_id()
    assert one(connection.cursor(), "select connection_id()") == number
    error = expect(MySQLdb.Error, lambda: connection.change_user(USER, "wrong", DATABASE))
    assert error.args[0] == 1045, error
    connection.close()
    # It answers the challenge of its first login, and does not read another.
    connection = connect(autocommit=True)
    one(connection.cursor(), "select @a := 5")
    for _ in range(2):
        connection.change_user(USER, PASSWORD, DATABASE)
        assert one(connection.cursor(), "select database()") == DATABASE
        assert one(connection.cursor(), "select @a") is None
    connection.close()


def results_follow_one_another():
    connection = connect(autocommit=True, client_flag=CLIENT.MULTI_STATEMENTS)
    cursor = connection.cursor()
    cursor.execute("select 1; insert into nowhere values (1)")
    assert cursor.fetchall() == ((1,),)
    expect(MySQLdb.ProgrammingError, cursor.nextset)
    assert one(connection.cursor(), "select 3") == 3
    connection.discard_result()
    connection.close()


api = DbApi(MySQLdb, connect, lambda connection: connection.cursor(SSCursor))
run([*api.all(), commands_beside_queries, results_follow_one_another])
