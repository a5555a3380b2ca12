"""SQLAlchemy on MySQL: Core and ORM over PyMySQL and mysqlclient, and its asyncio extension over asyncmy."""

import asyncio
import ssl
import threading

from sqlalchemy import JSON, ForeignKey, String, URL, create_engine, func, inspect, select, text, update
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

from checks import CLIENTS, expect, expect_async, run, run_async
from mysql_checks import CA, DATABASE, HOST, PASSWORD, PORT, USER


def url(driver):
    return URL.create(driver, USER, PASSWORD, HOST, PORT, DATABASE, {"charset": "utf8mb4"})


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    facts: Mapped[dict | None] = mapped_column(JSON)
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(100))
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books")


TLS = {
    "mysql+pymysql": {"ssl_ca": CA, "ssl_verify_cert": True, "ssl_verify_identity": True},
    "mysql+mysqldb": {"ssl": {"ca": CA}, "ssl_mode": "VERIFY_IDENTITY"},
}
engine = None


def tables_are_created_and_reflected():
    Base.metadata.create_all(engine)
    assert sorted(inspect(engine).get_table_names()) == ["author", "book"]
    assert {column["name"] for column in inspect(engine).get_columns("book")} == {"id", "title", "author_id"}
    assert inspect(engine).get_foreign_keys("book")[0]["referred_table"] == "author"


def the_orm_writes_and_reads():
    with Session(engine) as session:
        session.add_all([Author(name=f"author {n}", facts={"n": n}, books=[Book(title=f"title {n}.{m}") for m in range(3)]) for n in range(100)])
        session.commit()
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(Book)) == 300
        author = session.scalars(select(Author).where(Author.name == "author 7").options(selectinload(Author.books))).one()
        assert author.facts == {"n": 7}
        assert [book.title for book in author.books] == ["title 7.0", "title 7.1", "title 7.2"]
        session.delete(author)
        session.execute(update(Book).where(Book.title.like("title 8.%")).values(title="renamed"))
        session.commit()
        assert session.scalar(select(func.count()).where(Book.title == "renamed")) == 3
        session.execute(insert(Author).values(name="author 1", facts=None).on_duplicate_key_update(facts={"again": True}))
        session.commit()
        assert session.scalars(select(Author).where(Author.name == "author 1")).one().facts == {"again": True}


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


def isolation_levels_are_those_asked_for():
    for level in ("SERIALIZABLE", "READ COMMITTED", "AUTOCOMMIT"):
        with engine.connect().execution_options(isolation_level=level) as connection:
            shown = connection.get_isolation_level()
            assert shown == level or level == "AUTOCOMMIT", shown
            assert connection.scalar(text("select @@autocommit")) == (level == "AUTOCOMMIT")
    with engine.connect() as connection:
        assert connection.get_isolation_level() == "REPEATABLE READ"


def large_results_stream():
    with engine.connect().execution_options(stream_results=True, max_row_buffer=100) as connection:
        rows = connection.execute(text("select a.id from book a, book b, (select 1 union select 2) c"))
        assert sum(1 for _ in rows) == 297 * 297 * 2


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


def tables_are_dropped():
    Base.metadata.drop_all(engine)
    assert inspect(engine).get_table_names() == []
    engine.dispose()


async def async_sessions_work():
    context = ssl.create_default_context(cafile=CA)
    async_engine = create_async_engine(url("mysql+asyncmy"), connect_args={"ssl": context}, pool_size=CLIENTS, pool_pre_ping=True)
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)

    async def work(client):
        for step in range(5):
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
        rows = await session.stream_scalars(select(Author.name))
        assert len([name async for name in rows]) == CLIENTS * 5
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await async_engine.dispose()


for driver, options in TLS.items():
    engine = create_engine(url(driver), connect_args=options, pool_size=CLIENTS)
    run(
        [
            tables_are_created_and_reflected,
            the_orm_writes_and_reads,
            errors_roll_back_to_savepoints,
            isolation_levels_are_those_asked_for,
            large_results_stream,
            threads_share_the_pool,
            tables_are_dropped,
        ]
    )
run_async([async_sessions_work])
