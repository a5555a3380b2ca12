"""Runs the checks of a driver program, one after another, each named on standard output."""

import asyncio
import faulthandler
import itertools
import os
import time

# A program that hangs shows where before its caller gives up on it.
faulthandler.dump_traceback_later(150, exit=True)

# More clients at once than the proxy has server connections.
CLIENTS = 24

_numbers = itertools.count()


def environment():
    """Where to connect and as whom, for drivers that do not read libpq's variables."""
    return {
        "host": os.environ["PGHOST"],
        "port": int(os.environ["PGPORT"]),
        "user": os.environ["PGUSER"],
        "password": os.environ["PGPASSWORD"],
        "database": os.environ["PGDATABASE"],
    }


def new_table():
    """A table name nobody else has in this database."""
    return f"t{os.getpid()}_{next(_numbers)}"


def expect(errors, action):
    """Calls `action`, which has to raise one of `errors`; returns what it raised."""
    try:
        action()
    except errors as error:
        return error
    raise AssertionError(f"{errors} was not raised")


async def expect_async(errors, awaitable):
    """As `expect`, for something to await."""
    try:
        await awaitable
    except errors as error:
        return error
    raise AssertionError(f"{errors} was not raised")


def run(checks):
    """Runs functions in order."""
    for check in checks:
        began = time.monotonic()
        print(check.__name__, end=" ", flush=True)
        check()
        print(f"{time.monotonic() - began:.2f}s", flush=True)


def run_async(checks):
    """Runs coroutine functions in order, in one event loop."""

    async def all_of_them():
        for check in checks:
            began = time.monotonic()
            print(check.__name__, end=" ", flush=True)
            await check()
            print(f"{time.monotonic() - began:.2f}s", flush=True)

    asyncio.run(all_of_them())
