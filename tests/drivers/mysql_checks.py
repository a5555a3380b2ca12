"""What every Python driver of MySQL has to do by the DB-API, for programs that say how they connect."""

import datetime
import decimal
import hashlib
import json
import os
import tempfile
import threading

from checks import CLIENTS, expect, new_table

HOST = os.environ["DB_HOST"]
PORT = int(os.environ["DB_PORT"])
USER = os.environ["DB_USER"]
PASSWORD = os.environ["DB_PASSWORD"]
DATABASE = os.environ["DB_NAME"]
CA = os.environ["DB_CA"]
IS_MARIADB = os.environ["DB_KIND"] == "mariadb"

# Above the 16 MB that one packet carries.
LARGE = 20_000_000


def code(error):
    return error.errno if hasattr(error, "errno") else error.args[0]


def one(cursor, *query):
    cursor.execute(*query)
    rows = cursor.fetchall()
    assert len(rows) == 1, rows
    return rows[0][0] if len(rows[0]) == 1 else tuple(rows[0])


class DbApi:
    """The checks, of a driver that `module` is and whose connections `connect` makes.

    `connect` takes `autocommit` and `local_infile`. `streaming` makes an unbuffered cursor.
    """

    def __init__(self, module, connect, streaming):
        self.module = module
        self.connect = connect
        self.streaming = streaming

    def all(self):
        return [
            self.queries_are_answered,
            self.values_of_every_type_survive,
            self.transactions_commit_and_roll_back,
            self.errors_leave_the_connection_usable,
            self.what_a_statement_left_behind_is_told,
            self.session_state_is_private,
            self.procedures_return_several_results,
            self.large_results_stream,
            self.large_values_survive,
            self.a_file_is_loaded,
            self.locks_and_temporary_tables_stay,
            self.a_running_query_is_killed,
            self.many_threads_share_few_server_connections,
        ]

    def queries_are_answered(self):
        connection = self.connect()
        cursor = connection.cursor()
        assert one(cursor, "show status like 'Ssl_version'")[1].startswith("TLSv1.")
        assert one(cursor, "select 1, %s, %s, %s", ("it's", 42, None)) == (1, "it's", 42, None)
        assert one(cursor, "select 'ü€😀', length(%s)", ("ü€😀",)) == ("ü€😀", 9)
        assert one(cursor, "select database()") == DATABASE
        assert one(cursor, "select %s = concat('a', char(92), char(34))", ('a\\"',)) == 1
        cursor.execute("select 1 from dual where 1 = 0")
        assert list(cursor.fetchall()) == [] and cursor.description[0][0] == "1"
        connection.close()

    def values_of_every_type_survive(self):
        table = new_table()
        connection = self.connect()
        cursor = connection.cursor()
        cursor.execute(
            f"""create table {table} (id bigint unsigned primary key auto_increment, small tinyint, wide bigint,
            exact decimal(30, 10), rough double, word varchar(100) character set utf8mb4, raw varbinary(300), moment datetime(6),
            day date, span time(6), doc json, mood enum('glad', 'sad'), letter char(3))"""
        )
        row = (
            -128,
            -(2**63),
            decimal.Decimal("-12345678901234567890.0123456789"),
            1.5e-300,
            "naïve ‘quotes’ \\ 😀\n\0",
            bytes(range(256)),
            datetime.datetime(2026, 2, 28, 23, 59, 59, 999999),
            datetime.date(1000, 1, 1),
            datetime.timedelta(hours=-838, minutes=-59, seconds=-58),
            json.dumps({"a": [1, None, "ü"]}),
            "sad",
            "é",
        )
        names = "small, wide, exact, rough, word, raw, moment, day, span, doc, mood, letter"
        marks = ", ".join(["%s"] * len(row))
        cursor.execute(f"insert into {table} ({names}) values ({marks})", row)
        cursor.execute(f"insert into {table} ({names}) values ({marks})", (None,) * len(row))
        connection.commit()
        cursor.execute(f"select {names} from {table} order by id")
        first, second = cursor.fetchall()
        got = list(first)
        got[9] = json.dumps(json.loads(got[9]))
        assert tuple(got) == row, (got, row)
        assert tuple(second) == (None,) * len(row)
        cursor.execute(f"drop table {table}")
        connection.close()

    def transactions_commit_and_roll_back(self):
        table = new_table()
        connection = self.connect()
        cursor = connection.cursor()
        cursor.execute(f"create table {table} (id int primary key, word text)")
        cursor.execute(f"insert into {table} values (1, 'kept')")
        connection.commit()
        cursor.execute(f"insert into {table} values (2, 'lost')")
        connection.rollback()
        cursor.execute("start transaction")
        cursor.execute(f"insert into {table} values (3, 'kept')")
        cursor.execute("savepoint here")
        cursor.execute(f"insert into {table} values (4, 'lost')")
        cursor.execute("rollback to savepoint here")
        connection.commit()
        cursor.execute(f"insert into {table} values (5, 'lost')")
        connection.close()
        connection = self.connect(autocommit=True)
        cursor = connection.cursor()
        cursor.execute(f"insert into {table} values (6, 'kept')")
        connection.rollback()
        cursor.execute(f"select id from {table} order by id")
        assert [row[0] for row in cursor.fetchall()] == [1, 3, 6]
        # A transaction's isolation is that of its own.
        cursor.execute("set transaction isolation level repeatable read")
        cursor.execute("start transaction")
        assert one(cursor, f"select count(*) from {table}") == 3
        other = self.connect(autocommit=True)
        other.cursor().execute(f"delete from {table} where id = 1")
        other.close()
        assert one(cursor, f"select count(*) from {table}") == 3
        connection.commit()
        assert one(cursor, f"select count(*) from {table}") == 2
        cursor.execute(f"drop table {table}")
        connection.close()

    def errors_leave_the_connection_usable(self):
        table = new_table()
        connection = self.connect()
        cursor = connection.cursor()
        cursor.execute(f"create table {table} (id int primary key, word varchar(3) not null, check (id < 100))")
        cursor.execute(f"insert into {table} values (1, 'a')")
        module = self.module
        for kind, number, sql in [
            (module.ProgrammingError, 1064, "selec 1"),
            (module.ProgrammingError, 1146, "select * from nowhere"),
            (module.IntegrityError, 1062, f"insert into {table} values (1, 'b')"),
            (module.IntegrityError, 1048, f"insert into {table} values (2, null)"),
            (module.DataError, 1406, f"insert into {table} values (2, 'four')"),
            (module.Error, 4025 if IS_MARIADB else 3819, f"insert into {table} values (200, 'b')"),
            (module.Error, 1054, "select nothing"),
        ]:
            error = expect(kind, lambda sql=sql: cursor.execute(sql))
            assert code(error) == number, (sql, error)
            assert one(cursor, "select 1") == 1
        # The transaction that the errors happened in is still open.
        connection.commit()
        assert one(cursor, f"select count(*) from {table}") == 1
        connection.commit()
        cursor.execute(f"drop table {table}")
        connection.close()

    def what_a_statement_left_behind_is_told(self):
        table = new_table()
        connection = self.connect(autocommit=True)
        cursor = connection.cursor()
        cursor.execute(f"create table {table} (id int primary key auto_increment, n int)")
        cursor.executemany(f"insert into {table} (n) values (%s)", [(n,) for n in range(10)])
        assert cursor.rowcount == 10
        cursor.execute(f"insert into {table} (n) values (77)")
        assert cursor.lastrowid == 11
        assert one(cursor, "select last_insert_id()") == 11
        cursor.execute(f"update {table} set n = n + 1 where id <= 3")
        assert cursor.rowcount == 3
        assert one(cursor, "select row_count()") == 3
        # An update that changes nothing has changed nothing.
        cursor.execute(f"update {table} set n = n where id <= 3")
        assert cursor.rowcount in (0, 3)
        assert one(cursor, "select last_insert_id()") == 11
        cursor.execute("select cast('12abc' as signed)")
        assert [row[0] for row in cursor.fetchall()] == [12]
        cursor.execute("show warnings")
        (warning,) = cursor.fetchall()
        assert warning[1] == 1292, warning
        cursor.execute(f"select sql_calc_found_rows id from {table} limit 2")
        assert len(cursor.fetchall()) == 2
        assert one(cursor, "select found_rows()") == 11
        expect(self.module.Error, lambda: cursor.execute("select * from nowhere"))
        cursor.execute("show errors")
        assert [row[1] for row in cursor.fetchall()] == [1146]
        cursor.execute(f"drop table {table}")
        connection.close()

    def session_state_is_private(self):
        clients = [self.connect(autocommit=True) for _ in range(CLIENTS // 2)]
        zones = ["+01:00", "-05:30", "+12:00"]
        for number, client in enumerate(clients):
            cursor = client.cursor()
            cursor.execute(f"set @mine = {number}, time_zone = '{zones[number % 3]}'")
            cursor.execute(f"set session sql_mode = '{'ANSI_QUOTES' if number % 2 else 'STRICT_TRANS_TABLES'}'")
            cursor.execute(f"set session group_concat_max_len = {1000 + number}")
        for _ in range(2):
            for number, client in enumerate(clients):
                row = one(client.cursor(), "select @mine, @@time_zone, @@group_concat_max_len, @@sql_mode")
                assert row[:3] == (number, zones[number % 3], 1000 + number), row
                assert ("ANSI_QUOTES" in row[3]) == bool(number % 2), row
        for client in clients:
            client.close()
        fresh = self.connect()
        assert one(fresh.cursor(), "select @mine, @@group_concat_max_len > 1000000") in [(None, 1), (None, 0)]
        assert one(fresh.cursor(), "select @@time_zone") == "+00:00"
        fresh.close()

    def procedures_return_several_results(self):
        name = new_table()
        connection = self.connect(autocommit=True)
        cursor = connection.cursor()
        cursor.execute(
            f"create procedure {name} (in a int, out twice int) begin select a; select 'second', a + 1; set twice = 2 * a; end"
        )
        for number in (7, 8):
            cursor.execute(f"call {name}({number}, @twice)")
            sets = []
            while True:
                if cursor.description:
                    sets.append([tuple(row) for row in cursor.fetchall()])
                if not cursor.nextset():
                    break
            assert sets == [[(number,)], [("second", number + 1)]], sets
            assert one(cursor, "select @twice") == 2 * number
        cursor.execute(f"drop procedure {name}")
        connection.close()

    def large_results_stream(self):
        table = new_table()
        connection = self.connect()
        cursor = connection.cursor()
        cursor.execute(f"create table {table} (id int primary key, word varchar(200))")
        cursor.executemany(f"insert into {table} values (%s, %s)", [(n, f"word {n} " * 10) for n in range(20_000)])
        connection.commit()
        streaming = self.streaming(connection)
        streaming.execute(f"select a.id, b.word from {table} a, {table} b where b.id < 5 order by a.id")
        assert [row[0] for row in streaming.fetchmany(12)] == [0] * 5 + [1] * 5 + [2] * 2
        count = 12
        while rows := streaming.fetchmany(1000):
            count += len(rows)
        assert count == 100_000
        streaming.close()
        assert one(connection.cursor(), "select 1") == 1
        connection.cursor().execute(f"drop table {table}")
        connection.close()

    def large_values_survive(self):
        table = new_table()
        connection = self.connect(autocommit=True)
        cursor = connection.cursor()
        cursor.execute(f"create table {table} (id int primary key, content longblob)")
        content = os.urandom(1_000_000) * (LARGE // 1_000_000)
        cursor.execute(f"insert into {table} values (1, %s)", (content,))
        assert one(cursor, f"select length(content), sha2(content, 256) from {table}") == (LARGE, hashlib.sha256(content).hexdigest())
        assert bytes(one(cursor, f"select content from {table}")) == content
        # Where a part ends exactly at the packet's limit an empty one follows.
        for length in (0xFFFFFF - 1, 0xFFFFFF, 0xFFFFFF + 1):
            assert len(one(cursor, f"select repeat('x', {length})")) == length
        cursor.execute(f"drop table {table}")
        connection.close()

    def a_file_is_loaded(self):
        table = new_table()
        connection = self.connect(local_infile=True)
        cursor = connection.cursor()
        cursor.execute(f"create table {table} (id int primary key, word varchar(100))")
        with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
            file.writelines(f"{n}\tword {n}\n" for n in range(60_000))
            file.flush()
            cursor.execute(f"load data local infile '{file.name}' into table {table}")
            assert cursor.rowcount == 60_000
            connection.commit()
            error = expect(self.module.Error, lambda: cursor.execute(f"load data local infile '{file.name}' into table nowhere"))
            assert code(error) == 1146, error
        assert one(cursor, f"select count(*), max(word) from {table}") == (60_000, "word 9999")
        connection.rollback()
        cursor.execute(f"drop table {table}")
        connection.close()

    def locks_and_temporary_tables_stay(self):
        name = new_table()
        first, second = self.connect(autocommit=True), self.connect(autocommit=True)
        mine, theirs = first.cursor(), second.cursor()
        assert one(mine, f"select get_lock('{name}', 5)") == 1
        assert one(theirs, f"select get_lock('{name}', 0)") == 0
        mine.execute(f"create temporary table {name} (id int)")
        mine.execute(f"insert into {name} values (1), (2)")
        expect(self.module.Error, lambda: theirs.execute(f"select * from {name}"))
        assert one(mine, f"select count(*) from {name}") == 2
        assert one(mine, f"select release_lock('{name}')") == 1
        assert one(theirs, f"select get_lock('{name}', 5)") == 1
        first.close()
        second.close()
        third = self.connect(autocommit=True)
        cursor = third.cursor()
        assert one(cursor, f"select get_lock('{name}', 10)") == 1
        expect(self.module.Error, lambda: cursor.execute(f"select * from {name}"))
        third.close()

    def a_running_query_is_killed(self):
        victim, killer = self.connect(autocommit=True), self.connect(autocommit=True)
        cursor = victim.cursor()
        number = one(cursor, "select connection_id()")
        began = threading.Event()
        outcome = []

        def wait():
            began.set()
            try:
                cursor.execute("select sleep(60)")
                outcome.append(cursor.fetchall()[0][0])
            except self.module.Error as error:
                outcome.append(code(error))

        thread = threading.Thread(target=wait)
        thread.start()
        began.wait()
        while thread.is_alive():
            killer.cursor().execute(f"kill query {number}")
            thread.join(0.2)
        # MySQL's sleep returns 1 when it is killed, or fails as any other statement does.
        assert outcome[0] in (1, 1317), outcome
        assert one(victim.cursor(), "select connection_id()") == number
        victim.close()
        killer.close()

    def many_threads_share_few_server_connections(self):
        table = new_table()
        connection = self.connect(autocommit=True)
        connection.cursor().execute(f"create table {table} (id int primary key, balance int)")
        connection.cursor().execute(f"insert into {table} values (1, 0), (2, 0)")
        failures = []

        def work(client):
            try:
                mine = self.connect(autocommit=True)
                cursor = mine.cursor()
                cursor.execute(f"set @client = {client}")
                for step in range(15):
                    assert one(cursor, "select %s, @client", (step,)) == (step, client)
                    cursor.execute("start transaction")
                    cursor.execute(f"update {table} set balance = balance + 1 where id = 1")
                    cursor.execute(f"update {table} set balance = balance - 1 where id = 2")
                    cursor.execute("rollback" if step % 5 == 4 else "commit")
                mine.close()
            except BaseException as error:  # reported by the main thread
                failures.append(error)
                raise

        threads = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        cursor = connection.cursor()
        assert one(cursor, f"select sum(balance), max(balance) from {table}") == (0, CLIENTS * 12)
        cursor.execute(f"drop table {table}")
        connection.close()
