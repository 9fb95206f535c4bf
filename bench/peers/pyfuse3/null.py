"""The null filesystem of the benchmarks on pyfuse3: python null.py MOUNTPOINT"""
import errno
import stat
import sys

import pyfuse3
import trio

FILE = 2
CONSTANT = b"\x5a" * (1 << 20)


def attributes(inode):
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = inode
    entry.entry_timeout = entry.attr_timeout = 0
    if inode == pyfuse3.ROOT_INODE:
        entry.st_mode = stat.S_IFDIR | 0o755
    elif inode == FILE:
        entry.st_mode = stat.S_IFREG | 0o644
        entry.st_size = 1 << 30
    else:
        raise pyfuse3.FUSEError(errno.ENOENT)
    return entry


class Null(pyfuse3.Operations):
    async def lookup(self, parent_inode, name, ctx=None):
        if name != b"file":
            raise pyfuse3.FUSEError(errno.ENOENT)
        return attributes(FILE)

    async def getattr(self, inode, ctx=None):
        return attributes(inode)

    async def open(self, inode, flags, ctx=None):
        return pyfuse3.FileInfo(fh=inode, direct_io=True)

    async def read(self, fh, off, size):
        return CONSTANT[:size]

    async def write(self, fh, off, buf):
        return len(buf)


def main():
    options = set(pyfuse3.default_options)
    options.add("fsname=null")
    options.discard("default_permissions")
    pyfuse3.init(Null(), sys.argv[1], options)
    try:
        trio.run(pyfuse3.main)
    finally:
        pyfuse3.close(unmount=False)


main()
