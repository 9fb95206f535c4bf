"""Runs a command in which io_uring_setup(2) fails with EPERM, by seccomp: without_uring.py PROGRAM [ARGUMENT...]"""
import ctypes
import os
import struct
import sys

IO_URING_SETUP = 425
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 1  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | EPERM
LOAD, EQUALS, RETURN = 0x20, 0x15, 0x06
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 22, 38, 2

program = b"".join(struct.pack("HBBI", *step) for step in (
    (LOAD, 0, 0, 0),
    (EQUALS, 0, 1, IO_URING_SETUP),
    (RETURN, 0, 0, REFUSE),
    (RETURN, 0, 0, ALLOW),
))
code = ctypes.create_string_buffer(program)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


libc = ctypes.CDLL(None, use_errno=True)
described = Program(len(program) // 8, ctypes.addressof(code))
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, FILTER, ctypes.byref(described), 0, 0):
    sys.exit("without_uring: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
