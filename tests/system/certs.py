"""
Certificates for a run of the tests, made by the openssl command when they are first asked for.

    certs = postgres.certs                     one set for each cluster
    certs.ca, certs.other_ca                   files of two authorities that do not know each other
    certs.server, certs.server_ec              for localhost and 127.0.0.1, with an RSA and an EC key
    certs.server_sha512                        signed with another digest than the usual one
    certs.renewed                              another one for them, of the same authority
    certs.foreign, certs.misnamed, certs.expired   of the other authority; for another host; no longer valid
    certs.client("alice")                      a client's, by its common name
    certs.foreign_client("alice"), certs.expired_client("alice")

Each is a Pair: pair.cert, pair.key, and pair.der_key for pgjdbc.
"""

import functools
import os
import subprocess

SERVER_NAMES = "DNS:localhost,IP:127.0.0.1"
RSA = ("-newkey", "rsa:2048")
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Pair:
    """A certificate and its private key, in files."""

    def __init__(self, certs, stem):
        self.certs = certs
        self.cert, self.key = f"{stem}.crt", f"{stem}.key"

    @functools.cached_property
    def der_key(self):
        """The key in the form that Java reads."""
        path = self.key.replace(".key", ".pk8")
        openssl("pkcs8", "-topk8", "-nocrypt", "-in", self.key, "-outform", "DER", "-out", path)
        self.certs.give_key(path)
        return path


class Certs:
    """Lives in a directory; give makes a file belong to the user that the daemons run as."""

    def __init__(self, directory, give):
        self.directory, self.give = directory, give
        os.mkdir(directory, 0o755)
        give(directory)

    def path(self, name):
        return os.path.join(self.directory, name)

    def give_key(self, path):
        """Daemons and libpq refuse a private key that others can read."""
        os.chmod(path, 0o600)
        self.give(path)

    @functools.cached_property
    def authority(self):
        return self.make_authority("ca")

    @functools.cached_property
    def other_authority(self):
        return self.make_authority("other-ca")

    def make_authority(self, name):
        pair = Pair(self, self.path(name))
        openssl("req", "-x509", *EC, "-noenc", "-keyout", pair.key, "-out", pair.cert, "-days", "30",
                "-subj", f"/CN=pgweir {name}", "-addext", "basicConstraints=critical,CA:TRUE")
        self.give_key(pair.key)
        return pair

    def make(self, name, common_name, names=None, authority=None, key=EC, days=30, digest="sha256"):
        """A certificate for common_name, and for the hosts that are named as in subjectAltName."""
        pair, authority = Pair(self, self.path(name)), authority or self.authority
        request, extensions = self.path(f"{name}.csr"), self.path(f"{name}.ext")
        with open(extensions, "w") as file:
            file.write("basicConstraints=critical,CA:FALSE\n" + (f"subjectAltName={names}\n" if names else ""))
        openssl("req", *key, "-noenc", "-keyout", pair.key, "-out", request, "-subj", f"/CN={common_name}")
        openssl("x509", "-req", "-in", request, "-CA", authority.cert, "-CAkey", authority.key, "-CAcreateserial",
                f"-{digest}", "-extfile", extensions, "-days", str(days), "-out", pair.cert)
        self.give_key(pair.key)
        return pair

    @property
    def ca(self):
        return self.authority.cert

    @property
    def other_ca(self):
        return self.other_authority.cert

    @functools.cached_property
    def server(self):
        return self.make("server", "localhost", SERVER_NAMES, key=RSA)

    @functools.cached_property
    def server_ec(self):
        return self.make("server-ec", "localhost", SERVER_NAMES)

    @functools.cached_property
    def server_sha512(self):
        return self.make("server-sha512", "localhost", SERVER_NAMES, digest="sha512")

    @functools.cached_property
    def renewed(self):
        return self.make("renewed", "localhost", SERVER_NAMES, key=RSA)

    @functools.cached_property
    def foreign(self):
        return self.make("foreign", "localhost", SERVER_NAMES, authority=self.other_authority)

    @functools.cached_property
    def misnamed(self):
        return self.make("misnamed", "elsewhere.example", "DNS:elsewhere.example")

    @functools.cached_property
    def expired(self):
        return self.make("expired", "localhost", SERVER_NAMES, days=-1)

    @functools.lru_cache(maxsize=None)
    def client(self, common_name):
        return self.make(f"client-{common_name}", common_name)

    @functools.lru_cache(maxsize=None)
    def foreign_client(self, common_name):
        return self.make(f"foreign-client-{common_name}", common_name, authority=self.other_authority)

    @functools.lru_cache(maxsize=None)
    def expired_client(self, common_name):
        return self.make(f"expired-client-{common_name}", common_name, days=-1)


def openssl(*args):
    done = subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"openssl {' '.join(args)}: status {done.returncode}\n{done.stdout}")
