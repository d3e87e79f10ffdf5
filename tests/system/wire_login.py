"""
A login by hand, message by message: for what no driver would do, and for what no driver tells.

    with Client(port) as client:
        client.start_tls(context)
        client.login("alice", "secret")       Refused, when the answer is an error
        client.query("SELECT 1")

It blocks, and waits for no answer longer than LIMIT.
"""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct

import wire

LIMIT = 30  # seconds

PASSWORD_REQUESTS = {3: "plain", 5: "md5", 10: "scram"}


class Refused(Exception):
    """The server has answered with an error; fields has all of it."""

    def __init__(self, fields):
        super().__init__(f"{fields['C']}: {fields['M']}")
        self.fields = fields
        self.sqlstate, self.message = fields["C"], fields["M"]


class Client:
    """One connection. asked is how the server wanted the password, mechanisms what it offered of SASL."""

    def __init__(self, port, host="127.0.0.1", path=None):
        if path:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(LIMIT)
            self.sock.connect(path)
        else:
            self.sock = socket.create_connection((host, port), LIMIT)
        self.input = b""
        self.transcript = []  # of the login: all that the server has sent
        self.parameters = {}
        self.key = b""
        self.asked = None
        self.mechanisms = []

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    # Bytes ----------------------------------------------------------------------------------------------

    def send(self, data):
        self.sock.sendall(data)

    def bytes(self, size):
        while len(self.input) < size:
            chunk = self.sock.recv(1 << 16)
            if not chunk:
                raise wire.Closed("end of file")
            self.input += chunk
        taken, self.input = self.input[:size], self.input[size:]
        return taken

    def receive(self):
        header = self.bytes(5)
        return chr(header[0]), self.bytes(struct.unpack_from("!I", header, 1)[0] - 4)

    def at_end(self):
        """Whether the other side says nothing more and closes."""
        try:
            return not self.input and not self.sock.recv(1)
        except ConnectionResetError:
            return True

    # TLS ------------------------------------------------------------------------------------------------

    def request_tls(self):
        """What the server says to the wish for TLS: b"S" or b"N"."""
        self.send(wire.packet(struct.pack("!I", wire.SSL_REQUEST)))
        return self.bytes(1)

    def start_tls(self, context, session=None, direct=False, name="localhost"):
        if not direct:
            answer = self.request_tls()
            if answer != b"S":
                raise Refused({"C": "", "M": f"no TLS: {answer}"})
        self.sock = context.wrap_socket(self.sock, server_hostname=name, session=session)
        return self

    def end_point(self):
        """The channel binding tls-server-end-point, for a certificate that is signed with SHA-256."""
        return hashlib.sha256(self.sock.getpeercert(binary_form=True)).digest()

    # Login ----------------------------------------------------------------------------------------------

    def login(self, user, password=None, database="postgres", scram=None, protocol=wire.PROTOCOL, **parameters):
        """Up to ReadyForQuery. scram is how to do SCRAM when it is asked for: a Scram of its own making."""
        self.send(wire.startup(protocol, user=user, database=database, **parameters))
        while True:
            kind, body = self.receive()
            self.transcript.append((kind, body))
            if kind == "R":
                self.authenticate(user, password, body, scram)
            elif kind == "S":
                name, value = wire.pair(body)
                self.parameters[name] = value
            elif kind == "K":
                self.key = body
            elif kind == "E":
                raise Refused(wire.fields(body))
            elif kind == "Z":
                return self

    def authenticate(self, user, password, body, scram):
        (code,) = struct.unpack_from("!I", body)
        self.asked = PASSWORD_REQUESTS.get(code, self.asked)
        if code == 0:
            assert self.asked != "scram" or self.scram.checked, "the server has not proved itself"
        elif code == 3:
            self.answer(wire.text(password))
        elif code == 5:
            self.answer(wire.text(md5_answer(user, password, body[4:8])))
        elif code == 10:
            self.mechanisms = [name.decode() for name in body[4:].split(b"\0") if name]
            self.scram = scram or Scram()
            first = self.scram.first()
            self.answer(wire.text(self.scram.mechanism) + struct.pack("!I", len(first)) + first)
        elif code == 11:
            self.answer(self.scram.final(password, body[4:]))
        elif code == 12:
            self.scram.check(body[4:])

    def answer(self, body):
        self.send(wire.message(b"p", body))

    # Use ------------------------------------------------------------------------------------------------

    def query(self, sql):
        """The rows of a query."""
        self.send(wire.query(sql))
        rows = []
        while True:
            kind, body = self.receive()
            if kind == "D":
                rows.append(wire.row(body))
            elif kind == "E":
                raise Refused(wire.fields(body))
            elif kind == "Z":
                return rows


def md5_answer(user, password, salt):
    def md5(*parts):
        return hashlib.md5(b"".join(parts)).hexdigest().encode()

    return "md5" + md5(md5(password.encode(), user.encode()), salt).decode()


class Scram:
    """A client's side of SCRAM-SHA-256; binding makes it SCRAM-SHA-256-PLUS, gs2 replaces its usual header."""

    def __init__(self, binding=None, gs2=None):
        self.mechanism = "SCRAM-SHA-256-PLUS" if binding else "SCRAM-SHA-256"
        self.gs2 = gs2 or (b"p=tls-server-end-point,," if binding else b"n,,")
        self.binding = binding or b""
        self.nonce = base64.b64encode(os.urandom(18))
        self.salt, self.iterations = None, None
        self.checked = False

    def first(self):
        self.bare = b"n=,r=" + self.nonce
        return self.gs2 + self.bare

    def final(self, password, server_first):
        fields = dict(part.split(b"=", 1) for part in server_first.split(b","))
        assert fields[b"r"].startswith(self.nonce) and len(fields[b"r"]) > len(self.nonce)
        self.salt, self.iterations = base64.b64decode(fields[b"s"]), int(fields[b"i"])
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), self.salt, self.iterations)
        client_key, server_key = mac(salted, b"Client Key"), mac(salted, b"Server Key")
        final = b"c=" + base64.b64encode(self.gs2 + self.binding) + b",r=" + fields[b"r"]
        proven = b",".join((self.bare, server_first, final))
        signature = mac(hashlib.sha256(client_key).digest(), proven)
        self.expected = b"v=" + base64.b64encode(mac(server_key, proven))
        return final + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature)))

    def check(self, server_final):
        assert server_final == self.expected, "the server does not know the password either"
        self.checked = True


def mac(key, data):
    return hmac.digest(key, data, "sha256")


def scram_secret(password, iterations=4096):
    """What PostgreSQL would store."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored, server = hashlib.sha256(mac(salted, b"Client Key")).digest(), mac(salted, b"Server Key")
    words = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{words[0]}${words[1]}:{words[2]}"


def md5_secret(user, password):
    return "md5" + hashlib.md5((password + user).encode()).hexdigest()


def tls_context(ca, pair=None, alpn=None, version=None):
    """A client's context that trusts ca; pair is its own certificate."""
    context = ssl.create_default_context(cafile=ca)
    if pair:
        context.load_cert_chain(pair.cert, pair.key)
    if alpn:
        context.set_alpn_protocols(alpn)
    if version:
        context.minimum_version = context.maximum_version = version
    return context
