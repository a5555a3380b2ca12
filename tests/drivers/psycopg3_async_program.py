"""psycopg 3, asynchronous: many coroutines, pipelines, COPY and cancellation by task."""

import asyncio

import psycopg
from psycopg import errors

from checks import CLIENTS, expect_async, new_table, run_async


async def connect(**options):
    return await psycopg.AsyncConnection.connect("", **options)


async def queries_and_transactions():
    table = new_table()
    async with await connect() as connection:
        await connection.execute(f"create table {table} (id int primary key)")
        await connection.commit()
        async with connection.transaction():
            await connection.execute(f"insert into {table} values (%s)", (1,))
        await connection.execute(f"insert into {table} values (%s)", (2,))
        await connection.rollback()
        await expect_async(errors.UniqueViolation, connection.execute(f"insert into {table} values (%s)", (1,)))
        await connection.rollback()
        cursor = await connection.execute(f"select id from {table}")
        assert await cursor.fetchall() == [(1,)]


async def pipelines_answer_in_order():
    async with await connect(autocommit=True) as connection:
        async with connection.pipeline():
            cursors = [await connection.execute("select %s::int", (number,)) for number in range(200)]
            assert [(await cursor.fetchone())[0] for cursor in cursors] == list(range(200))


async def server_cursors_and_copy():
    table = new_table()
    async with await connect() as connection:
        async with connection.cursor("in_parts") as cursor:
            cursor.itersize = 50
            await cursor.execute("select * from generate_series(1, 500)")
            assert [row[0] async for row in cursor] == list(range(1, 501))
        async with connection.cursor() as cursor:
            await cursor.execute(f"create table {table} (id int)")
            async with cursor.copy(f"copy {table} from stdin") as copy:
                for number in range(5000):
                    await copy.write_row((number,))
            async with cursor.copy(f"copy {table} to stdout") as copy:
                assert len([row async for row in copy.rows()]) == 5000


async def a_cancelled_task_cancels_its_query():
    async with await connect(autocommit=True) as connection, await connect(autocommit=True) as observer:
        task = asyncio.create_task(connection.execute("select pg_sleep(62)"))
        running = "select count(*) from pg_stat_activity where state = 'active' and query like 'select pg_sleep(62%'"
        while await (await observer.execute(running)).fetchone() == (0,):
            pass
        task.cancel()
        await expect_async(asyncio.CancelledError, task)
        while await (await observer.execute(running)).fetchone() != (0,):
            pass
        assert await (await connection.execute("select 'alive'")).fetchone() == ("alive",)


async def notifications_arrive():
    async with await connect(autocommit=True) as connection, await connect(autocommit=True) as other:
        await connection.execute("listen bell")
        await other.execute("notify bell, 'dong'")
        async for notice in connection.notifies(timeout=30, stop_after=1):
            assert notice.payload == "dong"


async def many_tasks_share_few_server_connections():
    async def work(client):
        async with await connect(autocommit=True) as mine:
            for step in range(25):
                cursor = await mine.execute("select %s::int, %s::int", (client, step), prepare=step % 2 == 0)
                assert await cursor.fetchone() == (client, step)
                async with mine.transaction():
                    await mine.execute("select set_config('sluice.test', %s, true)", (str(client),))
                    cursor = await mine.execute("select current_setting('sluice.test')")
                    assert await cursor.fetchone() == (str(client),)

    await asyncio.gather(*(work(client) for client in range(CLIENTS)))


run_async(
    [
        queries_and_transactions,
        pipelines_answer_in_order,
        server_cursors_and_copy,
        a_cancelled_task_cancels_its_query,
        notifications_arrive,
        many_tasks_share_few_server_connections,
    ]
)
