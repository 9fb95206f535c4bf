"""Sends bytes to a server and prints all that comes back until it closes.

    http_client.py HOST:PORT|unix:PATH REQUEST [TIMES]   REQUEST: text with Python's escapes; empty: nothing is sent
"""
import socket
import sys


def connect(where):
    if where.startswith("unix:"):
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(20)
        peer.connect(where[5:])
        return peer
    host, port = where.rsplit(":", 1)
    return socket.create_connection((host, int(port)), 20)


def ask(where, request):
    with connect(where) as peer:
        try:
            peer.sendall(request.encode().decode("unicode_escape").encode("latin-1"))
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before everything was sent
        while data := peer.recv(65536):
            sys.stdout.buffer.write(data)


for _ in range(int(sys.argv[3]) if len(sys.argv) > 3 else 1):
    ask(sys.argv[1], sys.argv[2])
