#!/usr/bin/python3
"""
Prints the rows of PgBouncer's contract that have no test, and ends with status 1 if there are any.

The rows are those of contract_rows.txt beside this file: section | row | tests, with commas between. A test is named by a
part of what it is called in whole: `test_contract_keys.py::test_key[listen_addr]` for pytest, `test_reload.c::test_host_moves`
for cmocka. Nothing is built or run but pytest's collection.
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)


def system_tests():
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only",
                           os.path.join(TESTS, "system")], capture_output=True, text=True, cwd=os.path.dirname(TESTS))
    names = {line for line in done.stdout.splitlines() if "::" in line}
    if not names:
        sys.exit(f"pytest has collected nothing:\n{done.stdout}{done.stderr}")
    return names


def unit_tests():
    """Those that are named somewhere else than where they are defined: a function that nobody runs is no test."""
    names = set()
    for directory, _, files in os.walk(os.path.join(TESTS, "unit")):
        for file in files:
            if file.startswith("test_") and file.endswith(".c"):
                with open(os.path.join(directory, file)) as source:
                    named = re.sub(r"^test_\w+\(", "", source.read(), flags=re.MULTILINE)
                names |= {f"{file}::{name}" for name in re.findall(r"\btest_\w+", named)}
    return names


def rows():
    with open(os.path.join(HERE, "contract_rows.txt")) as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                section, row, tests = (field.strip() for field in line.split(" | "))
                yield section, row, [test.strip() for test in tests.split(",")]


def main():
    known = system_tests() | unit_tests()
    missing = 0
    for section, row, tests in rows():
        for test in tests:
            if not test or not any(test in name for name in known):
                print(f"{section} {row}: there is no test {test}")
                missing += 1
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
