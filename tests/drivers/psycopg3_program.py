"""psycopg 3, synchronous: extended protocol, prepared statements, pipeline mode, server cursors, COPY."""

import threading

import psycopg
from psycopg import errors
from psycopg.types.json import Jsonb

from checks import CLIENTS, expect, new_table, run


def connect(**options):
    return psycopg.connect("", **options)


def simple_and_parameterised_queries():
    with connect() as connection:
        assert connection.pgconn.ssl_in_use
        row = connection.execute("select 1, %s::text, %s::int, %s::text", ("it's", 42, None)).fetchone()
        assert row == (1, "it's", 42, None)
        cursor = connection.execute("select 1; select 2")
        assert cursor.fetchall() == [(1,)] and cursor.nextset() and cursor.fetchall() == [(2,)]
        for binary in (False, True):
            row = connection.execute(
                "select %b::int[], %b::text[], %t::jsonb, %b::float8",
                ([1, 2, 3], ["a", None, "ü"], Jsonb({"a": [1, None]}), 1.5),
                binary=binary,
            ).fetchone()
            assert row == ([1, 2, 3], ["a", None, "ü"], {"a": [1, None]}, 1.5), row


def prepared_statements_are_found_again():
    with connect(autocommit=True) as connection:
        for turn in range(4):
            for number in range(30):
                row = connection.execute(f"select %s::int + {number}", (turn,), prepare=True).fetchone()
                assert row == (turn + number,)
        names = connection.execute("select count(*) from pg_prepared_statements").fetchone()
        assert names is not None
    # The driver closes the ones that it has not used for long with DEALLOCATE or Close.
    with connect(autocommit=True) as connection:
        connection.prepared_max = 5
        connection.prepare_threshold = 0
        for turn in range(3):
            for number in range(20):
                assert connection.execute(f"select {number} + %s::int", (turn,)).fetchone() == (turn + number,)


def prepared_statements_follow_schema_changes():
    table = new_table()
    with connect(autocommit=True) as connection:
        connection.execute(f"create table {table} (a int)")
        connection.execute(f"insert into {table} values (1)")
        for _ in range(3):
            assert connection.execute(f"select a from {table} where a = %s", (1,), prepare=True).fetchone() == (1,)
        connection.execute(f"alter table {table} add b int default 2")
        for _ in range(3):
            assert connection.execute(f"select a from {table} where a = %s", (1,), prepare=True).fetchone() == (1,)
        connection.execute("deallocate all")
        assert connection.execute(f"select a, b from {table} where a = %s", (1,), prepare=True).fetchone() == (1, 2)


def transactions_nest_commit_and_roll_back():
    table = new_table()
    with connect() as connection:
        connection.execute(f"create table {table} (id int primary key)")
        connection.commit()
        with connection.transaction():
            connection.execute(f"insert into {table} values (1)")
            try:
                with connection.transaction():
                    connection.execute(f"insert into {table} values (2)")
                    raise psycopg.Rollback
            except psycopg.Rollback:
                pass

            def duplicate():
                with connection.transaction():
                    connection.execute(f"insert into {table} values (%s)", (1,))

            expect(errors.UniqueViolation, duplicate)
            connection.execute(f"insert into {table} values (3)")
        assert connection.execute(f"select id from {table} order by id").fetchall() == [(1,), (3,)]
        connection.rollback()
        expect(errors.DivisionByZero, lambda: connection.execute("select %s / 0", (1,)))
        expect(errors.InFailedSqlTransaction, lambda: connection.execute("select 1"))
        connection.rollback()
        assert connection.execute("select 1").fetchone() == (1,)


def errors_leave_the_connection_usable():
    with connect(autocommit=True) as connection:
        for _ in range(3):
            assert expect(errors.SyntaxError, lambda: connection.execute("selec %s", (1,))).sqlstate == "42601"
            expect(errors.UndefinedTable, lambda: connection.execute("select * from nowhere where a = %s", (1,), prepare=True))
            expect(errors.InvalidTextRepresentation, lambda: connection.execute("select %s::int", ("x",), prepare=True))
            assert connection.execute("select %s::text", ("fine",)).fetchone() == ("fine",)


def pipelines_answer_in_order():
    table = new_table()
    with connect(autocommit=True) as connection:
        connection.execute(f"create table {table} (id int primary key)")
        with connection.pipeline() as pipeline:
            cursors = [connection.execute("select %s::int", (number,)) for number in range(100)]
            pipeline.sync()
            inserted = connection.execute(f"insert into {table} values (1)")
            fetched = [cursor.fetchone()[0] for cursor in cursors]
        assert fetched == list(range(100)) and inserted.rowcount == 1

        def failing():
            with connection.pipeline() as pipeline:
                connection.execute(f"insert into {table} values (2)")
                pipeline.sync()
                connection.execute(f"insert into {table} values (3)")
                connection.execute(f"insert into {table} values (1)")
                connection.execute(f"insert into {table} values (4)")
                pipeline.sync()

        expect(errors.UniqueViolation, failing)
        assert connection.execute(f"select id from {table} order by id").fetchall() == [(1,), (2,)]
        with connection.pipeline(), connection.transaction():
            for number in range(10, 20):
                connection.execute(f"insert into {table} values (%s)", (number,), prepare=True)
        assert connection.execute(f"select count(*) from {table}").fetchone() == (12,)
        with connection.cursor() as cursor:
            cursor.executemany(f"insert into {table} values (%s) returning id", [(n,) for n in range(100, 300)], returning=True)
            seen = [cursor.fetchone()[0]]
            while cursor.nextset():
                seen.append(cursor.fetchone()[0])
        assert seen == list(range(100, 300))


def server_cursors_fetch_in_parts():
    with connect() as connection:
        with connection.cursor("in_parts") as cursor:
            cursor.itersize = 64
            cursor.execute("select * from generate_series(1, %s)", (1000,))
            assert [row[0] for row in cursor] == list(range(1, 1001))
        with connection.cursor("held", withhold=True, scrollable=True) as cursor:
            cursor.execute("select * from generate_series(1, 50)")
            connection.commit()
            cursor.scroll(40)
            assert cursor.fetchone() == (41,)
        with connection.cursor() as cursor:
            assert [row[0] for row in cursor.stream("select * from generate_series(1, 500)")] == list(range(1, 501))


def copy_goes_in_and_out():
    table = new_table()
    with connect() as connection:
        cursor = connection.cursor()
        cursor.execute(f"create table {table} (id int primary key, word text)")
        with cursor.copy(f"copy {table} from stdin") as copy:
            for number in range(20000):
                copy.write_row((number, f"word\t{number}"))
        connection.commit()
        with cursor.copy(f"copy (select * from {table} order by id) to stdout (format binary)") as copy:
            copy.set_types(["int4", "text"])
            assert list(copy.rows()) == [(number, f"word\t{number}") for number in range(20000)]

        def failing_on_the_server():
            with cursor.copy(f"copy {table} from stdin") as copy:
                copy.write_row((5, "again"))
                for number in range(30000, 130000):
                    copy.write_row((number, "more"))

        expect(errors.UniqueViolation, failing_on_the_server)
        connection.rollback()

        def failing_on_the_client():
            with cursor.copy(f"copy {table} from stdin") as copy:
                copy.write_row((40000, "half"))
                raise ZeroDivisionError

        expect(ZeroDivisionError, failing_on_the_client)
        connection.rollback()

        def stopping_halfway():
            with cursor.copy(f"copy (select * from {table}, generate_series(1, 20)) to stdout") as copy:
                copy.read()
                raise ZeroDivisionError

        expect(ZeroDivisionError, stopping_halfway)
        connection.rollback()
        assert cursor.execute(f"select count(*) from {table}").fetchone() == (20000,)


def notices_and_notifications_arrive():
    with connect(autocommit=True) as connection:
        heard = []
        connection.add_notice_handler(lambda notice: heard.append(notice.message_primary))
        connection.execute("do $$ begin raise notice 'hear me'; end $$")
        assert heard == ["hear me"]
        connection.execute("listen doorbell")
        with connect(autocommit=True) as other:
            other.execute("select pg_notify('doorbell', 'ding')")
        assert [notice.payload for notice in connection.notifies(timeout=30, stop_after=1)] == ["ding"]


def more_clients_listen_than_there_are_server_connections():
    listeners = [connect(autocommit=True) for _ in range(CLIENTS)]
    for connection in listeners:
        connection.execute("listen gong")
    with connect(autocommit=True) as other:
        for turn in range(5):
            other.execute("select pg_notify('gong', %s)", (str(turn),))
    for connection in listeners:
        heard = [notice.payload for notice in connection.notifies(timeout=60, stop_after=5)]
        assert heard == ["0", "1", "2", "3", "4"], heard
        connection.execute("unlisten *")
        connection.close()


def a_running_query_can_be_cancelled():
    for safe in (True, False):
        with connect(autocommit=True) as connection, connect(autocommit=True) as observer:

            def cancel():
                running = "select count(*) from pg_stat_activity where state = 'active' and query like 'select pg_sleep(61%%'"
                while observer.execute(running).fetchone() == (0,):
                    pass
                connection.cancel_safe(timeout=30) if safe else connection.cancel()

            thread = threading.Thread(target=cancel)
            thread.start()
            expect(errors.QueryCanceled, lambda: connection.execute("select pg_sleep(61)"))
            thread.join()
            assert connection.execute("select 'alive'").fetchone() == ("alive",)


def large_values_survive():
    with connect() as connection:
        for size in (8191, 65536, 1_000_000, 10_000_000):
            value = "y" * size
            assert connection.execute("select %s::text, length(%s)", (value, value)).fetchone() == (value, size)
            blob = b"\x00\xff" * (size // 2)
            assert connection.execute("select %b::bytea", (blob,), binary=True).fetchone() == (blob,)


def many_threads_share_few_server_connections():
    failures = []

    def work(client):
        try:
            with connect(autocommit=True) as mine:
                for step in range(40):
                    row = mine.execute("select %s::int, %s::int", (client, step), prepare=True).fetchone()
                    assert row == (client, step), row
                    with mine.transaction():
                        mine.execute("select %s::text", (str(step),))
                        assert mine.execute("select %s::int8", (client,)).fetchone() == (client,)
        except Exception as error:  # reported by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def two_phase_commit_works():
    table = new_table()
    connection = connect()
    connection.execute(f"create table {table} (id int primary key)")
    connection.commit()
    xid = connection.xid(1, f"global {table}", "branch")
    connection.tpc_begin(xid)
    connection.execute(f"insert into {table} values (1)")
    connection.tpc_prepare()
    connection.tpc_commit()
    connection.tpc_begin(xid)
    connection.execute(f"insert into {table} values (2)")
    connection.tpc_prepare()
    connection.close()
    # Another session decides about what this one prepared.
    with connect() as other:
        (left,) = other.tpc_recover()
        assert left.gtrid == xid.gtrid
        other.tpc_rollback(left)
        assert other.execute(f"select id from {table}").fetchall() == [(1,)]


run(
    [
        simple_and_parameterised_queries,
        prepared_statements_are_found_again,
        prepared_statements_follow_schema_changes,
        transactions_nest_commit_and_roll_back,
        errors_leave_the_connection_usable,
        pipelines_answer_in_order,
        server_cursors_fetch_in_parts,
        copy_goes_in_and_out,
        notices_and_notifications_arrive,
        more_clients_listen_than_there_are_server_connections,
        a_running_query_can_be_cancelled,
        large_values_survive,
        many_threads_share_few_server_connections,
        two_phase_commit_works,
    ]
)
