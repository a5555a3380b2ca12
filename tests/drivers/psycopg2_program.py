"""psycopg2: libpq's simple protocol, COPY, named cursors, cancellation, threads."""

import io
import threading

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from psycopg2 import errors

from checks import CLIENTS, expect, new_table, run


def connect(**options):
    return psycopg2.connect("", **options)


def simple_and_parameterised_queries():
    with connect() as connection, connection.cursor() as cursor:
        assert connection.info.ssl_in_use
        cursor.execute("select 1, %s::text, %s::int, %s", ("it's", 42, None))
        assert cursor.fetchall() == [(1, "it's", 42, None)]
        cursor.execute("select 1; select 2; select 3")
        assert cursor.fetchall() == [(3,)]
        cursor.execute("select %s::int[], %s::jsonb", ([1, 2, None], psycopg2.extras.Json({"a": [1]})))
        assert cursor.fetchone() == ([1, 2, None], {"a": [1]})
    connection.close()


def transactions_commit_and_roll_back():
    table = new_table()
    connection = connect()
    cursor = connection.cursor()
    cursor.execute(f"create table {table} (id int primary key, word text)")
    connection.commit()
    cursor.execute(f"insert into {table} values (1, 'kept')")
    connection.commit()
    cursor.execute(f"insert into {table} values (2, 'lost')")
    connection.rollback()
    cursor.execute(f"insert into {table} values (3, 'kept')")
    cursor.execute("savepoint here")
    expect(errors.UniqueViolation, lambda: cursor.execute(f"insert into {table} values (1, 'again')"))
    expect(errors.InFailedSqlTransaction, lambda: cursor.execute("select 1"))
    cursor.execute("rollback to savepoint here")
    connection.commit()
    cursor.execute(f"select id from {table} order by id")
    assert cursor.fetchall() == [(1,), (3,)]
    connection.close()


def errors_leave_the_connection_usable():
    connection = connect()
    connection.autocommit = True
    cursor = connection.cursor()
    error = expect(errors.SyntaxError, lambda: cursor.execute("selec 1"))
    assert error.pgcode == "42601" and "selec" in str(error)
    expect(errors.DivisionByZero, lambda: cursor.execute("select 1/0"))
    expect(errors.UndefinedTable, lambda: cursor.execute("select * from nowhere"))
    cursor.execute("select 1")
    assert cursor.fetchone() == (1,)
    connection.close()


def isolation_levels_and_read_only():
    connection = connect()
    connection.set_session(isolation_level="SERIALIZABLE", readonly=True)
    cursor = connection.cursor()
    cursor.execute("show transaction_isolation")
    assert cursor.fetchone() == ("serializable",)
    expect(errors.ReadOnlySqlTransaction, lambda: cursor.execute(f"create table {new_table()} ()"))
    connection.rollback()
    connection.close()


def named_cursors_fetch_in_parts():
    connection = connect()
    cursor = connection.cursor("rows_in_parts")
    cursor.itersize = 100
    cursor.execute("select * from generate_series(1, 1050)")
    assert [row[0] for row in cursor] == list(range(1, 1051))
    cursor.close()
    connection.commit()
    held = connection.cursor("held", withhold=True, scrollable=True)
    held.execute("select * from generate_series(1, 50)")
    connection.commit()
    held.scroll(40)
    assert held.fetchone() == (41,)
    held.close()
    connection.close()


def copy_goes_in_and_out():
    table = new_table()
    connection = connect()
    cursor = connection.cursor()
    cursor.execute(f"create table {table} (id int primary key, word text)")
    cursor.copy_expert(f"copy {table} from stdin", io.StringIO("".join(f"{n}\tword {n}\n" for n in range(20000))))
    connection.commit()
    out = io.StringIO()
    cursor.copy_expert(f"copy (select * from {table} order by id) to stdout", out)
    assert out.getvalue().count("\n") == 20000 and out.getvalue().startswith("0\tword 0\n1\tword 1\n")
    connection.rollback()
    # A failing COPY IN: the server gives up while rows are still on their way.
    many = "7\tbad\n" + "".join(f"{n}\tmore\n" for n in range(30000, 130000))
    expect(errors.UniqueViolation, lambda: cursor.copy_expert(f"copy {table} from stdin", io.StringIO(many)))
    connection.rollback()

    class Broken:
        def read(self, _size):
            raise ValueError("no more rows")

    error = expect((ValueError, errors.QueryCanceled), lambda: cursor.copy_expert(f"copy {table} from stdin", Broken()))
    assert "no more rows" in str(error)
    connection.rollback()
    cursor.execute(f"select count(*) from {table}")
    assert cursor.fetchone() == (20000,)
    connection.close()


def notices_and_notifications_arrive():
    connection = connect()
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("do $$ begin raise notice 'hear me'; end $$")
    assert any("hear me" in notice for notice in connection.notices), connection.notices
    cursor.execute("listen doorbell")
    with connect() as other, other.cursor() as ringer:
        ringer.execute("notify doorbell, 'ding'")
    other.close()
    while not connection.notifies:
        connection.poll()
    assert connection.notifies[0].payload == "ding"
    connection.close()


def a_running_query_can_be_cancelled():
    connection = connect()
    cursor = connection.cursor()
    started = threading.Event()

    def cancel():
        started.wait()
        with connect() as observer, observer.cursor() as looker:
            while True:
                looker.execute("select count(*) from pg_stat_activity where state = 'active' and query like 'select pg_sleep(60%'")
                if looker.fetchone()[0]:
                    break
                observer.rollback()
        observer.close()
        connection.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    started.set()
    expect(errors.QueryCanceled, lambda: cursor.execute("select pg_sleep(60)"))
    thread.join()
    connection.rollback()
    cursor.execute("select 'alive'")
    assert cursor.fetchone() == ("alive",)
    connection.close()


def large_values_survive():
    connection = connect()
    cursor = connection.cursor()
    for size in (8191, 8192, 65536, 1_000_000, 10_000_000):
        value = "x" * size
        cursor.execute("select %s, length(%s)", (value, value))
        assert cursor.fetchone() == (value, size)
    blob = bytes(range(256)) * 4096
    cursor.execute("select %s::bytea", (psycopg2.Binary(blob),))
    assert bytes(cursor.fetchone()[0]) == blob
    connection.close()


def asynchronous_connections_work():
    connection = psycopg2.connect("", async_=True)
    psycopg2.extras.wait_select(connection)
    cursor = connection.cursor()
    for number in range(20):
        cursor.execute("select %s + 1", (number,))
        psycopg2.extras.wait_select(connection)
        assert cursor.fetchone() == (number + 1,)
    connection.close()


def sql_level_prepared_statements_work():
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("prepare doubled (int) as select $1 * 2")
    connection.commit()
    for number in range(15):
        cursor.execute("execute doubled (%s)", (number,))
        assert cursor.fetchone() == (number * 2,)
        connection.commit()
    cursor.execute("deallocate doubled")
    connection.commit()
    expect(errors.InvalidSqlStatementName, lambda: cursor.execute("execute doubled (1)"))
    connection.close()


def session_state_stays_with_its_client():
    first, second = connect(), connect()
    first.autocommit = second.autocommit = True
    one, two = first.cursor(), second.cursor()
    one.execute("set search_path to pg_catalog; set time zone 'Asia/Tokyo'")
    one.execute("create temp table mine as select 'mine' as word")
    one.execute("select pg_advisory_lock(4711)")
    for _ in range(5):
        two.execute("show search_path")
        assert two.fetchone() == ('"$user", public',)
        two.execute("show time zone")
        assert two.fetchone()[0] != "Asia/Tokyo"
        expect(errors.UndefinedTable, lambda: two.execute("select * from mine"))
        two.execute("select pg_try_advisory_lock(4711)")
        assert two.fetchone() == (False,)
        one.execute("select word, current_setting('TimeZone') from mine")
        assert one.fetchone() == ("mine", "Asia/Tokyo")
    first.close()
    second.close()


def many_threads_share_few_server_connections():
    table = new_table()
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"create table {table} (client int, step int)")
    connection.close()
    failures = []

    def work(client):
        try:
            mine = connect()
            cursor = mine.cursor()
            for step in range(25):
                cursor.execute(f"insert into {table} values (%s, %s)", (client, step))
                cursor.execute("select %s, %s", (client, step))
                assert cursor.fetchone() == (client, step)
                mine.commit()
            mine.close()
        except Exception as error:  # reported by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"select count(*), count(distinct client) from {table}")
        assert cursor.fetchone() == (CLIENTS * 25, CLIENTS)
    connection.close()


def startup_options_take_effect():
    connection = connect(options="-c statement_timeout=12345 -c search_path=pg_catalog", application_name="named by me")
    cursor = connection.cursor()
    cursor.execute("select current_setting('statement_timeout'), current_setting('search_path'), current_setting('application_name')")
    assert cursor.fetchone() == ("12345ms", "pg_catalog", "named by me")
    connection.close()


run(
    [
        simple_and_parameterised_queries,
        transactions_commit_and_roll_back,
        errors_leave_the_connection_usable,
        isolation_levels_and_read_only,
        named_cursors_fetch_in_parts,
        copy_goes_in_and_out,
        notices_and_notifications_arrive,
        a_running_query_can_be_cancelled,
        large_values_survive,
        asynchronous_connections_work,
        sql_level_prepared_statements_work,
        session_state_stays_with_its_client,
        many_threads_share_few_server_connections,
        startup_options_take_effect,
    ]
)
