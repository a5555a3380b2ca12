"""aiomysql and asyncmy (argument): queries of many tasks, pools, streams, cancellation."""

import asyncio
import importlib
import ssl
import sys

from checks import CLIENTS, expect_async, new_table, run_async
from mysql_checks import CA, DATABASE, HOST, LARGE, PASSWORD, PORT, USER

driver = importlib.import_module(sys.argv[1])
cursors = importlib.import_module(f"{sys.argv[1]}.cursors")
errors = importlib.import_module("pymysql.err" if sys.argv[1] == "aiomysql" else "asyncmy.errors")

OPTIONS = {
    "host": HOST, "port": PORT, "user": USER, "password": PASSWORD, "db": DATABASE, "charset": "utf8mb4",
    "ssl": ssl.create_default_context(cafile=CA),
}


async def one(connection, *query):
    async with connection.cursor() as cursor:
        await cursor.execute(*query)
        (row,) = await cursor.fetchall()
        return row[0] if len(row) == 1 else row


async def queries_are_answered():
    connection = await driver.connect(**OPTIONS)
    assert (await one(connection, "show status like 'Ssl_version'"))[1].startswith("TLSv1.")
    assert await one(connection, "select %s, %s, %s", ("it's", 42, None)) == ("it's", 42, None)
    error = await expect_async(errors.ProgrammingError, one(connection, "select * from nowhere"))
    assert error.args[0] == 1146
    await connection.ping()
    # asyncmy does not put the parts of a packet over 16 MB together.
    length = LARGE if driver.__name__ == "aiomysql" else LARGE // 20
    assert len(await one(connection, f"select repeat('x', {length})")) == length
    connection.close()


async def transactions_commit_and_roll_back():
    table = new_table()
    connection = await driver.connect(**OPTIONS)
    async with connection.cursor() as cursor:
        await cursor.execute(f"create table {table} (id int primary key auto_increment, word varchar(20))")
        await cursor.execute(f"insert into {table} (word) values ('kept')")
        assert cursor.lastrowid == 1
        await connection.commit()
        await connection.begin()
        await cursor.executemany(f"insert into {table} (word) values (%s)", [(f"lost {n}",) for n in range(10)])
        await connection.rollback()
        await cursor.execute(f"select word from {table}")
        assert await cursor.fetchall() == (("kept",),) or await cursor.fetchall() == [("kept",)]
        await connection.commit()
        await cursor.execute(f"drop table {table}")
    connection.close()


async def large_results_stream():
    table = new_table()
    connection = await driver.connect(**OPTIONS)
    async with connection.cursor() as cursor:
        await cursor.execute(f"create table {table} (id int primary key)")
        await cursor.executemany(f"insert into {table} values (%s)", [(n,) for n in range(500)])
        await connection.commit()
    async with connection.cursor(cursors.SSCursor) as cursor:
        await cursor.execute(f"select a.id from {table} a, {table} b where b.id < 60")
        count = 0
        while rows := await cursor.fetchmany(500):
            count += len(rows)
        assert count == 30_000
    await one(connection, f"select count(*) from {table}")
    await connection.commit()
    async with connection.cursor() as cursor:
        await cursor.execute(f"drop table {table}")
    connection.close()


async def pools_share_few_server_connections():
    table = new_table()
    pool = await driver.create_pool(minsize=1, maxsize=CLIENTS, autocommit=True, **OPTIONS)
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(f"create table {table} (id int primary key, n int)")
        await cursor.execute(f"insert into {table} values (1, 0)")

    async def work(client):
        for step in range(10):
            async with pool.acquire() as connection:
                assert await one(connection, "select %s, %s", (client, step)) == (client, step)
                await connection.begin()
                async with connection.cursor() as cursor:
                    await cursor.execute(f"update {table} set n = n + 1")
                await connection.commit()

    await asyncio.gather(*(work(client) for client in range(CLIENTS)))
    async with pool.acquire() as connection, connection.cursor() as cursor:
        assert await one(connection, f"select n from {table}") == CLIENTS * 10
        await cursor.execute(f"drop table {table}")
    pool.close()
    await pool.wait_closed()


async def cancelled_tasks_leave_others_alone():
    async def hang():
        connection = await driver.connect(**OPTIONS)
        try:
            await one(connection, "select sleep(20)")
        finally:
            connection.close()

    tasks = [asyncio.create_task(hang()) for _ in range(2)]
    await asyncio.sleep(0.3)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    connections = [await driver.connect(**OPTIONS) for _ in range(8)]
    assert await asyncio.gather(*(one(connection, "select 1") for connection in connections)) == [1] * 8
    for connection in connections:
        connection.close()


run_async(
    [
        queries_are_answered,
        transactions_commit_and_roll_back,
        large_results_stream,
        pools_share_few_server_connections,
        cancelled_tasks_leave_others_alone,
    ]
)
