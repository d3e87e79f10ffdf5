"""
The load of test_crosstalk.py: clients that ask for values only they know, in every way the protocol has, and hold
each message that comes back against the one that must come. Some cancel, some vanish, some stall in the middle of
a message, some send rubbish.

    crosstalk.py '{"port": 6432, "mode": "transaction", "seed": 1, "first": 0, "clients": 100, "seconds": 10, ...}'

Prints what was done as JSON. A failure names the client, its seed, and what it did last; the same seed gives each
client the same plan again, though not the same neighbours at the same moment.
"""

import asyncio
import json
import sys
import time

from crosstalk_client import Report
from crosstalk_ends import Ends


async def main(options):
    report = Report()
    deadline = time.monotonic() + options["seconds"]
    numbers = range(options["first"], options["first"] + options["clients"])
    await asyncio.gather(*(Ends(number, options, report).run(deadline) for number in numbers))
    print(json.dumps({"done": report.done, "committed": report.committed, "failures": report.failures[:10]}))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
