"""Runs a command on a terminal of its own, 80 columns by 24 rows, and prints all it writes there; exits with its status.

    on_terminal.py KEYS COMMAND [ARGUMENT ...]     KEYS: each is typed a second after the one before; "K" ends the command (SIGTERM)
"""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

keys, command = sys.argv[1], sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.execv(command[0], command)
due = time.monotonic() + 1
while True:
    ready, _, _ = select.select([terminal], [], [], max(0, due - time.monotonic()))
    if ready:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the command has ended
            break
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    elif keys:
        if keys[0] == "K":
            os.kill(pid, signal.SIGTERM)
        else:
            os.write(terminal, keys[0].encode())
        keys, due = keys[1:], time.monotonic() + 1
    else:
        due = time.monotonic() + 1
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
