"""Sends bytes to a server and prints all that comes back until it closes.

    http_client.py HOST:PORT|unix:PATH REQUEST     REQUEST: text with Python's escapes; empty: nothing is sent
"""
import socket
import sys

where, request = sys.argv[1:3]
if where.startswith("unix:"):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    peer.connect(where[5:])
else:
    host, port = where.rsplit(":", 1)
    peer = socket.create_connection((host, int(port)), 20)
try:
    peer.sendall(request.encode().decode("unicode_escape").encode("latin-1"))
except (BrokenPipeError, ConnectionResetError):
    pass  # refused before everything was sent
while True:
    data = peer.recv(65536)
    if not data:
        break
    sys.stdout.buffer.write(data)
