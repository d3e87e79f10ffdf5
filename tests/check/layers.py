#!/usr/bin/python3
"""
Proves the layers: layers.py BUILD_DIRECTORY

With the compiler flags of each layer, as they stand in compile_commands.json, its own public headers must compile,
each alone, and a header of a layer that is not below it must not be found. And a library that has one home is
included nowhere else.
"""

import json
import os
import re
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# The layers bottom up, and which others each one uses.
USES = {
    "util": [],
    "os": ["util"],
    "proto": ["util"],
    "config": ["util"],
    "net": ["os", "util"],
    "store": ["os", "util"],
    "backend": ["net", "proto", "config"],
    "auth": ["net", "proto", "config"],
    "pool": ["auth", "backend", "store", "net"],
    "console": ["pool"],
    "main": ["console"],
}

HOMES = {  # what is included: the only folder where it may be
    r"libpq(-fe|/)": "src/backend",
    r"event2/": "src/net",
    r"sqlite3": "src/store",
    r"liburing": "src/net",
    r"(ldap|lber)\.h": "src/auth",
    r"security/pam": "src/auth",
}


def below(layer):
    """The layer itself and all it uses, directly or not."""
    return {layer}.union(*(below(used) for used in USES[layer]))


def headers(layer):
    folder = os.path.join(ROOT, "include", layer)
    return sorted(name for name in os.listdir(folder) if name.endswith(".h")) if os.path.isdir(folder) else []


def compilers(build):
    """For each layer that has code: the words that compile a file of it, up to the file itself."""
    with open(os.path.join(build, "compile_commands.json")) as file:
        commands = json.load(file)
    found = {}
    for entry in commands:
        words = entry.get("arguments") or shlex.split(entry["command"])
        where = re.match(r"src/(\w+)/", os.path.relpath(entry["file"], ROOT))
        if where:
            found[where[1]] = words[: words.index("-o")]
    return found


def complaints_about(compiler, header):
    """What the compiler says about a file that includes just this header."""
    done = subprocess.run([*compiler, "-fsyntax-only", "-include", header, "-x", "c", "/dev/null"], text=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "LC_ALL": "C"})
    return done.stderr


def check_visibility(build):
    for layer, compiler in compilers(build).items():
        for header in headers(layer):
            output = complaints_about(compiler, header)
            if output:
                yield f"{layer}/{header} does not compile alone:\n{output}"
        for other in set(USES) - below(layer):
            for header in headers(other):
                output = complaints_about(compiler, header)
                if not re.search(f"fatal error: '?{header}'?.* (not found|No such file)", output):
                    yield f"{layer} can include {other}/{header}"


def check_homes():
    for folder, _, names in [entry for top in ("src", "include") for entry in os.walk(os.path.join(ROOT, top))]:
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), ROOT)
            with open(os.path.join(ROOT, path)) as file:
                included = re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)', file.read(), re.MULTILINE)
            for pattern, home in HOMES.items():
                if any(re.match(pattern, header) for header in included) and not path.startswith(home + "/"):
                    yield f"{path}: what {pattern} names may only be included in {home}"


def check_names():
    seen = {}
    for layer in USES:
        for header in headers(layer):
            if header in seen:
                yield f"{header} is in both {seen[header]} and {layer}"
            seen[header] = layer


def main():
    build = sys.argv[1]
    complaints = [*check_visibility(build), *check_homes(), *check_names()]
    for complaint in complaints:
        print(complaint)
    print(f"layers: {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
