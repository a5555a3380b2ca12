"""PyMySQL: the text protocol in pure Python."""

import pymysql
from pymysql.constants import CLIENT
from pymysql.cursors import DictCursor, SSCursor

from checks import expect, run
from mysql_checks import CA, DATABASE, HOST, PASSWORD, PORT, USER, DbApi, one


def connect(**options):
    return pymysql.connect(
        host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, charset="utf8mb4",
        ssl_ca=CA, ssl_verify_cert=True, ssl_verify_identity=True, **options,
    )


def several_statements_in_one_text():
    connection = connect(client_flag=CLIENT.MULTI_STATEMENTS, autocommit=True)
    cursor = connection.cursor(DictCursor)
    cursor.execute("select 1 as a; do 1; select 2 as b, 3 as c")
    assert cursor.fetchall() == [{"a": 1}]
    assert cursor.nextset() and cursor.nextset()
    assert cursor.fetchall() == [{"b": 2, "c": 3}] and not cursor.nextset()
    # The statements behind one that fails are not run.
    cursor.execute("select 1 as a; select nothing; set @ran = 1")
    error = expect(pymysql.Error, cursor.nextset)
    assert error.args[0] == 1054
    cursor.execute("select @ran as ran")
    assert cursor.fetchall() == [{"ran": None}]
    connection.close()


def commands_beside_queries():
    connection = connect(autocommit=True)
    connection.ping(reconnect=False)
    connection.select_db("information_schema")
    assert one(connection.cursor(), "select database()") == "information_schema"
    connection.select_db(DATABASE)
    assert one(connection.cursor(), "select database()") == DATABASE
    error = expect(pymysql.Error, lambda: connection.select_db("nowhere"))
    assert error.args[0] in (1044, 1049), error
    assert one(connection.cursor(), "select database()") == DATABASE
    connection.set_character_set("latin1")
    assert one(connection.cursor(), "select @@character_set_client") == "latin1"
    assert one(connection.cursor(), "select %s", ("é",)) == "é"
    connection.close()


def found_rows_count_what_was_found():
    connection = connect(client_flag=CLIENT.FOUND_ROWS, autocommit=True)
    cursor = connection.cursor()
    cursor.execute("create table found (id int primary key)")
    cursor.execute("insert into found values (1), (2)")
    assert cursor.execute("update found set id = id") == 2
    plain = connect(autocommit=True)
    assert plain.cursor().execute("update found set id = id") == 0
    assert cursor.execute("update found set id = id") == 2
    cursor.execute("drop table found")
    connection.close()
    plain.close()


api = DbApi(pymysql, connect, lambda connection: connection.cursor(SSCursor))
run([*api.all(), several_statements_in_one_text, commands_beside_queries, found_rows_count_what_was_found])
