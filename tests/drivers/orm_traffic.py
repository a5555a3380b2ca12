"""Traffic of one kind of application: CLIENTS connections open at once, each of them used for requests in turn.

The caller looks at the proxy's metrics while the program waits, after its last request, for a line on standard input.
"""

import asyncio
import os
import ssl
import sys
import threading

from checks import CLIENTS, environment

REQUESTS = 8
parts = environment()


def wait_for_caller():
    print("done", flush=True)
    sys.stdin.readline()


def in_threads(work):
    """Runs `work(client)` in as many threads as there are clients; all keep their connections to the end."""
    failures = []
    everyone = threading.Barrier(CLIENTS + 1)

    def guarded(client):
        try:
            for request in range(REQUESTS):
                work(client, request)
        except Exception as error:  # reported below
            failures.append(error)
        everyone.wait(120)
        everyone.wait(120)

    threads = [threading.Thread(target=guarded, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    everyone.wait(120)
    wait_for_caller()
    everyone.wait(120)
    for thread in threads:
        thread.join()
    assert not failures, failures


def url(driver):
    from sqlalchemy import URL

    return URL.create(driver, parts["user"], parts["password"], parts["host"], parts["port"], parts["database"])


def sqlalchemy_psycopg():
    from sqlalchemy import create_engine, select, text
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

    class Base(DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        client: Mapped[int]
        words: Mapped[str]

    engine = create_engine(url("postgresql+psycopg"), pool_size=CLIENTS, isolation_level="REPEATABLE READ")
    setup = create_engine(url("postgresql+psycopg"))
    Base.metadata.create_all(setup)
    setup.dispose()
    local = threading.local()

    def work(client, request):
        if not hasattr(local, "connection"):
            local.connection = engine.connect()
            local.connection.execute(text(f"set application_name to 'client {client}'"))
            local.connection.commit()
        with Session(local.connection) as session:
            session.add(Note(client=client, words=f"request {request}"))
            session.commit()
            notes = session.scalars(select(Note).where(Note.client == client).order_by(Note.id)).all()
            assert [note.words for note in notes] == [f"request {n}" for n in range(request + 1)]
            assert session.scalar(text("show application_name")) == f"client {client}"
            session.rollback()

    in_threads(work)


def sqlalchemy_asyncpg():
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])

    async def main():
        engine = create_async_engine(
            url("postgresql+asyncpg"),
            pool_size=CLIENTS,
            connect_args={"ssl": context, "server_settings": {"application_name": "sqlalchemy", "timezone": "Asia/Tokyo"}},
        )
        connections = [await engine.connect() for _ in range(CLIENTS)]

        async def work(client, connection):
            for request in range(REQUESTS):
                query = text("select cast(:client as int) * 100 + cast(:request as int), current_setting('TimeZone'), :tags")
                row = (await connection.execute(query.bindparams(client=client, request=request, tags="a"))).one()
                assert tuple(row) == (client * 100 + request, "Asia/Tokyo", "a"), row
                await connection.commit()

        await asyncio.gather(*(work(client, connection) for client, connection in enumerate(connections)))
        wait_for_caller()
        for connection in connections:
            await connection.close()
        await engine.dispose()

    asyncio.run(main())


def asyncpg_pool():
    import asyncpg

    context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])

    async def main():
        # The types of columns are asked for by a query under `set_config('jit', …)`.
        pool = await asyncpg.create_pool(**parts, ssl=context, min_size=CLIENTS, max_size=CLIENTS)
        async with pool.acquire() as connection:
            await connection.execute("create type mood as enum ('glad', 'sad')")

        async def work(client):
            for request in range(REQUESTS):
                async with pool.acquire() as connection, connection.transaction():
                    row = await connection.fetchrow("select $1::int + $2::int, 'glad'::mood, array['sad']::mood[]", client, request)
                    assert tuple(row) == (client + request, "glad", ["sad"]), row

        await asyncio.gather(*(work(client) for client in range(CLIENTS)))
        wait_for_caller()
        await pool.close()

    asyncio.run(main())


def django():
    import django
    from django.conf import settings

    options = {"sslmode": os.environ["PGSSLMODE"], "sslrootcert": os.environ["PGSSLROOTCERT"], "application_name": "django"}
    if "server_side" in sys.argv:
        options["server_side_binding"] = True
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": parts["database"],
                "USER": parts["user"],
                "PASSWORD": parts["password"],
                "HOST": parts["host"],
                "PORT": parts["port"],
                "CONN_MAX_AGE": None,
                "TIME_ZONE": "Asia/Tokyo",
                "OPTIONS": options,
            }
        },
        USE_TZ=True,
        INSTALLED_APPS=[],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()

    from django.db import connection, models, transaction

    class Note(models.Model):
        client = models.IntegerField()
        words = models.TextField()
        at = models.DateTimeField(auto_now_add=True)

        class Meta:
            app_label = "notes"

    with connection.schema_editor() as editor:
        editor.create_model(Note)
    connection.close()

    def work(client, request):
        with transaction.atomic():
            Note.objects.create(client=client, words=f"request {request}")
            with transaction.atomic():
                Note.objects.filter(client=client, words="request 0").update(words="first")
            # Outside a transaction its cursor would be one WITH HOLD, which pins until it is read.
            assert len(list(Note.objects.filter(client=client).iterator())) == request + 1
        assert Note.objects.filter(client=client).count() == request + 1
        with connection.cursor() as cursor:
            cursor.execute("show timezone")
            assert cursor.fetchone() == ("Asia/Tokyo",)

    in_threads(work)


{"sqlalchemy_psycopg": sqlalchemy_psycopg, "sqlalchemy_asyncpg": sqlalchemy_asyncpg, "asyncpg_pool": asyncpg_pool, "django": django}[sys.argv[1]]()
