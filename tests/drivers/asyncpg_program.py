"""asyncpg: binary protocol, Flush without Sync, its own statement cache, portals, pools."""

import asyncio
import decimal
import json
import os
import ssl

import asyncpg

from checks import CLIENTS, environment, expect_async, new_table, run_async

TLS = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])


async def connect(**options):
    return await asyncpg.connect(**environment(), ssl=TLS, **options)


async def simple_and_parameterised_queries():
    connection = await connect()
    assert await connection.fetchval("select 1") == 1
    assert await connection.execute("select 1; select 2") == "SELECT 1"
    row = await connection.fetchrow("select $1::text, $2::int, $3::text, $4::numeric", "it's", 42, None, decimal.Decimal("1.50"))
    assert tuple(row) == ("it's", 42, None, decimal.Decimal("1.50"))
    arrays = await connection.fetchrow("select $1::int[], $2::text[], $3::bytea[]", [[1, 2], [3, 4]], ["a", None], [b"\x00", b"\xff"])
    assert tuple(arrays) == ([[1, 2], [3, 4]], ["a", None], [b"\x00", b"\xff"])
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    assert await connection.fetchval("select $1::jsonb", {"a": [1, None]}) == {"a": [1, None]}
    await connection.close()


async def custom_types_are_introspected():
    connection = await connect()
    name = new_table()
    await connection.execute(f"create type {name} as (a int, b text)")
    assert tuple(await connection.fetchval(f"select $1::{name}", (1, "x"))) == (1, "x")
    await connection.execute(f"create type {name}_mood as enum ('glad', 'sad')")
    assert await connection.fetchval(f"select $1::{name}_mood[]", ["glad", "sad"]) == ["glad", "sad"]
    await connection.close()


async def prepared_statements_are_found_again():
    connection = await connect(statement_cache_size=8)
    statements = [await connection.prepare(f"select $1::int + {number}") for number in range(30)]
    for turn in range(3):
        for number, statement in enumerate(statements):
            assert await statement.fetchval(turn) == turn + number
    # Thirty texts through a cache of eight: the driver closes the oldest as it goes.
    for turn in range(3):
        for number in range(30):
            assert await connection.fetchval(f"select {number} * $1::int", turn) == number * turn
    assert [attribute.name for attribute in statements[0].get_attributes()] == ["?column?"]
    await connection.close()


async def schema_changes_are_survived():
    table = new_table()
    connection = await connect()
    await connection.execute(f"create table {table} (a int); insert into {table} values (1)")
    for _ in range(2):
        assert tuple(await connection.fetchrow(f"select * from {table}")) == (1,)
    other = await connect()
    await other.execute(f"alter table {table} add b int default 2")
    await other.close()
    assert tuple(await connection.fetchrow(f"select * from {table}")) == (1, 2)
    await connection.close()


async def transactions_nest_commit_and_roll_back():
    table = new_table()
    connection = await connect()
    await connection.execute(f"create table {table} (id int primary key)")
    async with connection.transaction(isolation="serializable"):
        await connection.execute(f"insert into {table} values ($1)", 1)
        try:
            async with connection.transaction():
                await connection.execute(f"insert into {table} values ($1)", 1)
        except asyncpg.UniqueViolationError:
            pass
        await connection.execute(f"insert into {table} values ($1)", 2)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(f"insert into {table} values ($1)", 3)
    await transaction.rollback()
    assert [row["id"] for row in await connection.fetch(f"select id from {table} order by 1")] == [1, 2]
    await connection.close()


async def errors_leave_the_connection_usable():
    connection = await connect()
    for _ in range(3):
        await expect_async(asyncpg.PostgresSyntaxError, connection.execute("selec 1"))
        await expect_async(asyncpg.PostgresSyntaxError, connection.fetch("selec $1", 1))
        await expect_async(asyncpg.DivisionByZeroError, connection.fetch("select 1 / $1::int", 0))
        await expect_async(asyncpg.DataError, connection.fetch("select $1::int", "no number"))
        assert await connection.fetchval("select $1::int", 7) == 7
    await connection.close()


async def cursors_fetch_in_parts():
    connection = await connect()
    async with connection.transaction():
        seen = [row[0] async for row in connection.cursor("select * from generate_series(1, $1::int)", 500, prefetch=37)]
        assert seen == list(range(1, 501))
        cursor = await connection.cursor("select * from generate_series(1, 100)")
        assert [row[0] for row in await cursor.fetch(10)] == list(range(1, 11))
        assert await cursor.forward(20) == 20
        # Another statement between two fetches of the same portal.
        assert await connection.fetchval("select 'between'") == "between"
        assert (await cursor.fetchrow())[0] == 31
    await connection.close()


async def many_rows_by_executemany():
    table = new_table()
    connection = await connect()
    await connection.execute(f"create table {table} (id int primary key, word text)")
    await connection.executemany(f"insert into {table} values ($1, $2)", [(n, "w" * 100) for n in range(5000)])
    assert await connection.fetchval(f"select count(*) from {table}") == 5000
    await expect_async(
        asyncpg.UniqueViolationError,
        connection.executemany(f"insert into {table} values ($1, $2)", [(n, "again") for n in range(4999, 9000)]),
    )
    assert await connection.fetchval(f"select count(*) from {table}") == 5000
    await connection.close()


async def copy_goes_in_and_out():
    table = new_table()
    connection = await connect()
    await connection.execute(f"create table {table} (id int primary key, word text)")
    rows = [(number, f"word {number}") for number in range(20000)]
    assert await connection.copy_records_to_table(table, records=rows) == "COPY 20000"
    received = bytearray()

    async def receive(data):
        received.extend(data)

    await connection.copy_from_query(f"select * from {table} order by id", output=receive)
    assert received.count(b"\n") == 20000
    again = [(5, "again")] + [(number, "more") for number in range(30000, 90000)]
    await expect_async(asyncpg.UniqueViolationError, connection.copy_records_to_table(table, records=again))

    async def breaking():
        yield b"50000\thalf\n"
        raise ZeroDivisionError

    await expect_async(ZeroDivisionError, connection.copy_to_table(table, source=breaking()))
    assert await connection.fetchval(f"select count(*) from {table}") == 20000
    await connection.close()


async def a_timeout_cancels_the_query():
    connection, observer = await connect(), await connect()
    running = "select count(*) from pg_stat_activity where state = 'active' and query like 'select pg_sleep(63%'"
    await expect_async(asyncio.TimeoutError, connection.execute("select pg_sleep(63)", timeout=0.5))
    while await observer.fetchval(running):
        pass
    assert await connection.fetchval("select 'alive'") == "alive"
    await connection.close()
    await observer.close()


async def notifications_and_notices_arrive():
    connection, other = await connect(), await connect()
    heard = asyncio.get_running_loop().create_future()
    notices = []
    connection.add_log_listener(lambda _, notice: notices.append(notice.message))
    await connection.add_listener("chime", lambda *arguments: heard.set_result(arguments[3]))
    await other.execute("notify chime, 'dang'")
    assert await asyncio.wait_for(heard, 30) == "dang"
    await connection.execute("do $$ begin raise notice 'hear me'; end $$")
    assert notices == ["hear me"]
    await connection.remove_listener("chime", lambda: None)
    await connection.close()
    await other.close()


async def more_clients_listen_than_there_are_server_connections():
    listeners = [await connect() for _ in range(CLIENTS)]
    heard = [asyncio.Queue() for _ in listeners]
    for connection, queue in zip(listeners, heard):
        await connection.add_listener("gong", lambda *arguments, queue=queue: queue.put_nowait(arguments[3]))
    for turn in range(5):
        for connection in listeners:
            await connection.execute(f"notify gong, '{turn}'")
    for queue in heard:
        for turn in range(5):
            for _ in listeners:
                assert await asyncio.wait_for(queue.get(), 60) == str(turn)
        assert queue.empty()
    for connection in listeners:
        # What a pool does to a connection that comes back: UNLISTEN * is part of it.
        await connection.reset()
        assert await connection.fetchval("select 1") == 1
        await connection.close()


async def large_values_survive():
    connection = await connect()
    for size in (8191, 65536, 1_000_000, 10_000_000):
        blob = os.urandom(size)
        assert await connection.fetchval("select $1::bytea", blob) == blob
    assert await connection.fetchval("select repeat('z', 10000000)") == "z" * 10_000_000
    await connection.close()


async def reset_gives_a_clean_session():
    connection = await connect()
    await connection.execute("set search_path to pg_catalog")
    await connection.reset()
    assert await connection.fetchval("show search_path") == '"$user", public'
    await connection.close()


async def many_tasks_share_few_server_connections():
    pool = await asyncpg.create_pool(**environment(), ssl=TLS, min_size=CLIENTS, max_size=CLIENTS)

    async def work(client):
        for step in range(30):
            async with pool.acquire() as mine:
                assert tuple(await mine.fetchrow("select $1::int, $2::int", client, step)) == (client, step)
                async with mine.transaction():
                    await mine.execute("select set_config('sluice.test', $1, true)", str(client))
                    assert await mine.fetchval("select current_setting('sluice.test')") == str(client)

    await asyncio.gather(*(work(client) for client in range(CLIENTS)))
    await pool.close()


async def startup_settings_take_effect():
    connection = await connect(server_settings={"search_path": "pg_catalog", "application_name": "named by me"})
    assert await connection.fetchval("show search_path") == "pg_catalog"
    assert await connection.fetchval("show application_name") == "named by me"
    await connection.close()


run_async(
    [
        simple_and_parameterised_queries,
        custom_types_are_introspected,
        prepared_statements_are_found_again,
        schema_changes_are_survived,
        transactions_nest_commit_and_roll_back,
        errors_leave_the_connection_usable,
        cursors_fetch_in_parts,
        many_rows_by_executemany,
        copy_goes_in_and_out,
        a_timeout_cancels_the_query,
        notifications_and_notices_arrive,
        more_clients_listen_than_there_are_server_connections,
        large_values_survive,
        reset_gives_a_clean_session,
        many_tasks_share_few_server_connections,
        startup_settings_take_effect,
    ]
)
