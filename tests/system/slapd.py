"""
A throw-away LDAP server: Debian's slapd, run by an ordinary user on ports of its own.

    with Slapd(directory, certs) as server:
        server.port, server.tls_port       ldap:// (with StartTLS) and ldaps://
        server.options("ldapprefix=...")   for auth_ldap_options or a rule

    dc=example,dc=org
      cn=reader               may search, password READER
      ou=people
        uid=..., cn=..., mail=...@example.org      the PEOPLE, nobody else may see them
"""

import base64
import os
import socket
import subprocess

import harness

PROGRAM = "/usr/sbin/slapd"
BASE = "dc=example,dc=org"
PEOPLE_BASE = f"ou=people,{BASE}"
READER_DN = f"cn=reader,{BASE}"
READER = "reader's \"own\""

# Names and passwords. The last name is made of what filters and names have as punctuation.
ODD_NAME = "o,d+d*(n)\\a"
PEOPLE = {"alice": "right, one", "bob": "bob's", ODD_NAME: "odd one"}

CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {directory}/slapd.pid
TLSCACertificateFile {certs.ca}
TLSCertificateFile {certs.server.cert}
TLSCertificateKeyFile {certs.server.key}
database mdb
suffix "{base}"
rootdn "cn=root,{base}"
directory {directory}/db
maxsize 10485760
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="{people}" by dn.exact="{reader}" read by {anonymous} by * none
access to * by * read
"""


def missing():
    """What has to be installed before there can be one, or None."""
    return None if os.path.exists(PROGRAM) else "slapd"


def quoted(value):
    """A value in the words of pg_hba.conf."""
    return '"' + value.replace('"', '""') + '"'


def person(name):
    """The name of somebody's entry."""
    return f"uid={''.join(f'{chr(92)}{ord(c):02x}' if c in ',+*()' + chr(92) else c for c in name)},{PEOPLE_BASE}"


class Slapd:
    def __init__(self, directory, certs, anonymous_search=True):
        self.directory, self.certs = directory, certs
        self.anonymous = "anonymous read" if anonymous_search else "anonymous auth"
        self.port, self.tls_port = harness.free_port(), harness.free_port()
        self.config = os.path.join(directory, "slapd.conf")
        self.process = None

    def options(self, more, **changes):
        named = {"ldapserver": harness.HOST, "ldapport": self.port, **changes}
        return " ".join([*(f"{key}={quoted(str(value))}" for key, value in named.items()), more])

    def fill(self):
        os.makedirs(os.path.join(self.directory, "db"))
        for path in (self.directory, os.path.join(self.directory, "db")):
            harness.give(path)
        with open(self.config, "w") as file:
            file.write(CONFIG.format(directory=self.directory, certs=self.certs, base=BASE, people=PEOPLE_BASE,
                                     reader=READER_DN, anonymous=self.anonymous))
        harness.give(self.config)
        done = subprocess.run([*harness.unprivileged(), "/usr/sbin/slapadd", "-q", "-f", self.config],
                              input=ldif(), text=True, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def start(self):
        urls = f"ldap://{harness.HOST}:{self.port} ldaps://{harness.HOST}:{self.tls_port}"
        self.process = harness.Process([*harness.unprivileged(), PROGRAM, "-d", "0", "-f", self.config, "-h", urls],
                                       os.path.join(self.directory, "output.log"))
        harness.wait_for(self.ready, 30, "slapd to accept connections")
        return self

    def ready(self):
        if not self.process.running():
            raise harness.Failed("slapd did not start")
        try:
            socket.create_connection((harness.HOST, self.port), timeout=5).close()
            return True
        except OSError:
            return False

    def stop(self):
        if self.process is not None:
            self.process.kill(15)
            assert self.process.wait(30) is not None
            self.process = None

    def __enter__(self):
        self.fill()
        return self.start()

    def __exit__(self, *unused):
        self.stop()


def ldif():
    """All entries, values in base64."""
    entries = [
        (BASE, {"objectClass": ["organization", "dcObject"], "o": ["example"], "dc": ["example"]}),
        (READER_DN, {"objectClass": ["organizationalRole", "simpleSecurityObject"], "cn": ["reader"],
                     "userPassword": [READER]}),
        (PEOPLE_BASE, {"objectClass": ["organizationalUnit"], "ou": ["people"]}),
    ]
    for name, password in PEOPLE.items():
        entries.append((person(name), {"objectClass": ["inetOrgPerson"], "uid": [name], "cn": [name], "sn": [name],
                                       "mail": [f"{name}@example.org"], "userPassword": [password]}))
    # two with the same address, so that this does not say who it is
    for name in ("twin1", "twin2"):
        entries.append((person(name), {"objectClass": ["inetOrgPerson"], "uid": [name], "cn": [name], "sn": [name],
                                       "mail": ["twin@example.org"], "userPassword": ["twin"]}))
    lines = []
    for dn, attributes in entries:
        lines.append(("dn", dn))
        lines += [(key, value) for key, values in attributes.items() for value in values]
        lines.append(None)
    return "".join("\n" if line is None else f"{line[0]}:: {base64.b64encode(line[1].encode()).decode()}\n"
                   for line in lines)
