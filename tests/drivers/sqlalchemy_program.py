"""SQLAlchemy: Core and ORM over psycopg, and its asyncio extension over asyncpg."""

import asyncio
import os
import ssl
import threading

from sqlalchemy import ForeignKey, URL, create_engine, delete, func, inspect, select, text, update
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

from checks import CLIENTS, environment, expect, expect_async, run, run_async


def url(driver):
    parts = environment()
    return URL.create(driver, parts["user"], parts["password"], parts["host"], parts["port"], parts["database"])


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books")


engine = create_engine(url("postgresql+psycopg"), pool_size=CLIENTS, isolation_level="REPEATABLE READ")


def tables_are_created_and_reflected():
    Base.metadata.create_all(engine)
    assert sorted(inspect(engine).get_table_names()) == ["author", "book"]
    assert {column["name"] for column in inspect(engine).get_columns("book")} == {"id", "title", "author_id"}


def the_orm_writes_and_reads():
    with Session(engine) as session:
        session.add_all([Author(name=f"author {n}", books=[Book(title=f"title {n}.{m}") for m in range(3)]) for n in range(200)])
        session.commit()
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(Book)) == 600
        author = session.scalars(select(Author).where(Author.name == "author 7").options(selectinload(Author.books))).one()
        assert [book.title for book in author.books] == ["title 7.0", "title 7.1", "title 7.2"]
        session.delete(author)
        session.execute(update(Book).where(Book.title.like("title 8.%")).values(title="renamed"))
        session.commit()
        assert session.scalar(select(func.count()).where(Book.title == "renamed")) == 3


def errors_roll_back_to_savepoints():
    with Session(engine) as session:
        session.add(Author(name="kept"))
        session.flush()

        def duplicate():
            with session.begin_nested():
                session.add(Author(name="author 1"))

        expect(IntegrityError, duplicate)
        session.commit()
        assert session.scalar(select(func.count()).where(Author.name == "kept")) == 1
        expect(ProgrammingError, lambda: session.execute(text("select * from nowhere")))
        session.rollback()
        session.execute(delete(Author).where(Author.name == "kept"))
        session.commit()


def large_results_stream():
    with engine.connect().execution_options(stream_results=True, max_row_buffer=100) as connection:
        rows = connection.execute(text("select * from generate_series(1, 5000)"))
        assert [row[0] for row in rows] == list(range(1, 5001))
    with engine.connect() as connection:
        names = connection.execute(
            Author.__table__.insert().returning(Author.__table__.c.name), [{"name": f"bulk {n}"} for n in range(2500)]
        ).scalars()
        assert len(list(names)) == 2500
        connection.rollback()


def threads_share_the_pool():
    failures = []

    def work(client):
        try:
            for step in range(20):
                with Session(engine) as session:
                    assert session.scalar(select(func.abs(-client * 100 - step))) == client * 100 + step
        except Exception as error:  # reported by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    engine.dispose()


async def asyncpg_sessions_work():
    context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])
    async_engine = create_async_engine(url("postgresql+asyncpg"), connect_args={"ssl": context}, pool_size=CLIENTS)

    async def work(client):
        for step in range(10):
            async with AsyncSession(async_engine) as session:
                async with session.begin():
                    session.add(Author(name=f"async {client} {step}"))
                found = await session.scalars(select(Author).where(Author.name == f"async {client} {step}"))
                assert found.one().id > 0

    await asyncio.gather(*(work(client) for client in range(CLIENTS)))
    async with AsyncSession(async_engine) as session:
        session.add(Author(name="async 0 0"))
        await expect_async(IntegrityError, session.commit())
        await session.rollback()
        count = await session.scalar(select(func.count()).where(Author.name.like("async %")))
        assert count == CLIENTS * 10
        rows = await session.stream_scalars(select(Author.name).order_by(Author.id))
        assert len([name async for name in rows]) == CLIENTS * 10 + 199
    await async_engine.dispose()


run(
    [
        tables_are_created_and_reflected,
        the_orm_writes_and_reads,
        errors_roll_back_to_savepoints,
        large_results_stream,
        threads_share_the_pool,
    ]
)
run_async([asyncpg_sessions_work])
