"""
A client with the libpq that LD_LIBRARY_PATH leads to: runs the second argument, and cancels it by the new functions
when it is told so. Says which protocol was spoken, whether the cancel was sent, and how the query ended.
"""

import ctypes
import sys


def main(conninfo, sql):
    libpq = ctypes.CDLL("libpq.so.5")
    for name in ("PQconnectdb", "PQcancelCreate", "PQgetResult"):
        getattr(libpq, name).restype = ctypes.c_void_p
    for name in ("PQerrorMessage", "PQcancelErrorMessage", "PQresultErrorField"):
        getattr(libpq, name).restype = ctypes.c_char_p
    connection = ctypes.c_void_p(libpq.PQconnectdb(conninfo.encode()))
    if libpq.PQstatus(connection) != 0:
        sys.exit(libpq.PQerrorMessage(connection).decode())
    print("protocol", libpq.PQfullProtocolVersion(connection), flush=True)
    libpq.PQsendQuery(connection, sql.encode())
    libpq.PQflush(connection)
    sys.stdin.readline()
    cancel = ctypes.c_void_p(libpq.PQcancelCreate(connection))
    print("cancel", libpq.PQcancelBlocking(cancel), libpq.PQcancelErrorMessage(cancel).decode().strip())
    result = ctypes.c_void_p(libpq.PQgetResult(connection))
    print((libpq.PQresultErrorField(result, ord("C")) or b"done").decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
