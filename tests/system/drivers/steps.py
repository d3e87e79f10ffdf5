"""
What the programs of Python's drivers have in common: fifty clients at a time that do the steps of test_drivers.py,
and say so as JSON. A program brings a class Client with open(), close() and a coroutine for each step.
"""

import asyncio
import json
import sys

import psycopg

OPTIONS = dict(word.split("=", 1) for word in sys.argv[1:])


class Mixed(Exception):
    """The answer is not the one to this client's question."""


def same(found, expected):
    if found != expected:
        raise Mixed(f"{found!r} instead of {expected!r}"[:500])


def unchanged(number, names, values):
    """The row of a table whose columns change their types, and come and go, while their values stay."""
    same(len(names), len(values))
    row = {name: str(value) for name, value in zip(names, values)}
    same({"more": "5", **row}, {"id": str(number), "value": str(1000 + number), "more": "5"})


async def asleep(token):
    """Waits until the server says that this client's query is in pg_sleep."""
    sql = "SELECT FROM pg_stat_activity WHERE application_name = %s AND wait_event = 'PgSleep'"
    async with asyncio.timeout(120), await psycopg.AsyncConnection.connect(OPTIONS["server"], autocommit=True) as server:
        while (await server.execute(sql, (token,))).rowcount == 0:
            await asyncio.sleep(0.02)


async def work(client, steps, rounds, report):
    step = "open"
    try:
        await client.open()
        for turn in range(rounds * len(steps)):
            # Each client begins with another step, so that all of them meet.
            step = steps[(client.number + turn) % len(steps)]
            await getattr(client, step)()
            report["done"][step] += 1
        step = "close"
        await client.close()
    except Exception as error:  # whatever it is, the others go on
        report["failures"].append(f"{client.token}: {step}: {type(error).__name__}: {error}")


async def run(driver, make_client):
    steps = OPTIONS["steps"].split(",")
    report = {"driver": driver, "done": dict.fromkeys(steps, 0), "failures": []}
    clients = [make_client(number, OPTIONS) for number in range(int(OPTIONS["clients"]))]
    await asyncio.gather(*(work(client, steps, int(OPTIONS["rounds"]), report) for client in clients))
    print(json.dumps(report))
