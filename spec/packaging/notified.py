# Stands in for systemd: listens at NOTIFY_SOCKET, runs a command until it says that it is ready, stops it with SIGTERM,
# and prints each message with whether the mountpoint was mounted then.
#   notified.py ADDRESS MOUNTPOINT COMMAND...      an address that begins with "@" is an abstract one
import os
import signal
import socket
import subprocess
import sys

address, mountpoint, command = sys.argv[1], sys.argv[2], sys.argv[3:]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind("\0" + address[1:] if address.startswith("@") else address)
listener.settimeout(30)
server = subprocess.Popen(command, env={**os.environ, "NOTIFY_SOCKET": address}, stderr=subprocess.DEVNULL)


def mounted():
    with open("/proc/self/mountinfo") as table:
        return any(line.split()[4] == mountpoint for line in table)


def show_message():
    print(listener.recv(4096).decode(), "mounted" if mounted() else "not mounted")


try:
    show_message()
    server.send_signal(signal.SIGTERM)
    show_message()
    print("status", server.wait(30))
finally:
    server.kill()
