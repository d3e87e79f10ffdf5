"""
What clients know of their own transfers, written down before they do anything.

Each line is a state, a database, a token and the number of rows that belong to it:

    p   part of it may be on its way, but not all: it must not be in the tables
    s   all of it is on its way: in the tables it is whole or not at all
    c   acknowledged: it must be there, once
    r   refused: it must not be there

The last line of a token counts. A token is said to be sent before the first byte is.
"""

import collections
import glob
import os

PART, SENT, COMMITTED, REFUSED = "pscr"

Transfer = collections.namedtuple("Transfer", "state database rows")


class Journal:
    """One process's part of it."""

    def __init__(self, folder, name):
        self.file = open(os.path.join(folder, f"journal-{name}.txt"), "w")

    def write(self, state, database, tokens, rows):
        self.file.writelines(f"{state} {database} {token} {rows}\n" for token in tokens)

    def close(self):
        self.file.close()


def read(folder):
    """The last that is known of each token."""
    transfers = {}
    for path in glob.glob(os.path.join(glob.escape(folder), "journal-*.txt")):
        with open(path) as file:
            for line in file:
                state, database, token, rows = line.split()
                transfers[token] = Transfer(state, database, int(rows))
    return transfers
