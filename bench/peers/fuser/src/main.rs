//! The null filesystem of the benchmarks on fuser: a thread for each CPU with a
//! cloned /dev/fuse descriptor. `null-fuser MOUNTPOINT`

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    WriteFlags,
};
use std::ffi::OsStr;
use std::time::{Duration, UNIX_EPOCH};

const FILE: INodeNo = INodeNo(2);
static CONSTANT: [u8; 1 << 20] = [0x5a; 1 << 20];

struct Null;

fn attr(ino: INodeNo) -> Option<FileAttr> {
    let (kind, perm, nlink, size) = match ino {
        INodeNo::ROOT => (FileType::Directory, 0o755, 2, 0),
        FILE => (FileType::RegularFile, 0o644, 1, 1 << 30),
        _ => return None,
    };
    let (atime, mtime, ctime, crtime) = (UNIX_EPOCH, UNIX_EPOCH, UNIX_EPOCH, UNIX_EPOCH);
    let (uid, gid, rdev, flags, blocks, blksize) = (0, 0, 0, 0, 0, 4096);
    Some(FileAttr {
        ino,
        size,
        blocks,
        atime,
        mtime,
        ctime,
        crtime,
        kind,
        perm,
        nlink,
        uid,
        gid,
        rdev,
        blksize,
        flags,
    })
}

impl Filesystem for Null {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match attr(FILE) {
            Some(found) if name == "file" => reply.entry(&Duration::ZERO, &found, Generation(0)),
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attr(ino) {
            Some(found) => reply.attr(&Duration::ZERO, &found),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        reply.data(&CONSTANT[..size as usize]);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.written(data.len() as u32);
    }
}

fn main() -> std::io::Result<()> {
    let mountpoint = std::env::args_os().nth(1).expect("a mountpoint");
    let mut config = Config::default();
    config.n_threads = Some(std::thread::available_parallelism()?.get());
    config.clone_fd = true;
    fuser::mount(Null, mountpoint, &config)
}
