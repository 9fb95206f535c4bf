//! The null filesystem of the benchmarks on fractal-fuse, which speaks
//! FUSE over io_uring. `null-fractal-fuse MOUNTPOINT [QUEUE_DEPTH]`

use fractal_fuse::abi::FUSE_ROOT_ID;
use fractal_fuse::{
    ENOENT, FileAttr, FileHandleId, FileType, Filesystem, FsResult, InodeId, MountOptions,
    ReplyAttr, ReplyEntry, ReplyOpen, Request, Session,
};
use std::ffi::OsStr;
use std::hint::black_box;
use std::time::Duration;

const FILE: u64 = 2;
const FOPEN_DIRECT_IO: u32 = 1;
static CONSTANT: [u8; 1 << 20] = [0x5a; 1 << 20];

struct Null;

fn attr(id: u64) -> FsResult<FileAttr> {
    let (mode, nlink, size) = match id {
        FUSE_ROOT_ID => (FileType::Directory.to_mode() | 0o755, 2, 0),
        FILE => (FileType::RegularFile.to_mode() | 0o644, 1, 1 << 30),
        _ => return Err(ENOENT),
    };
    Ok(FileAttr {
        ino: id,
        mode,
        nlink,
        size,
        blksize: 4096,
        ..Default::default()
    })
}

impl Filesystem for Null {
    async fn lookup(&self, _: Request, _: InodeId, name: &OsStr) -> FsResult<ReplyEntry> {
        if name != "file" {
            return Err(ENOENT);
        }
        Ok(ReplyEntry {
            ttl: Duration::ZERO,
            attr: attr(FILE)?,
            generation: 0,
        })
    }

    async fn getattr(
        &self,
        _: Request,
        id: InodeId,
        _: Option<FileHandleId>,
        _: u32,
    ) -> FsResult<ReplyAttr> {
        Ok(ReplyAttr {
            ttl: Duration::ZERO,
            attr: attr(id.0)?,
        })
    }

    async fn open(&self, _: Request, _: InodeId, _: u32) -> FsResult<ReplyOpen> {
        Ok(ReplyOpen {
            fh: FileHandleId(0),
            flags: FOPEN_DIRECT_IO,
            backing_id: 0,
        })
    }

    async fn read(
        &self,
        _: Request,
        _: InodeId,
        _: FileHandleId,
        _: u64,
        buf: &mut [u8],
    ) -> FsResult<usize> {
        // The others copy, too: of an array that it knows the compiler would make a fill.
        buf.copy_from_slice(&black_box(&CONSTANT)[..buf.len()]);
        Ok(buf.len())
    }

    async fn write(
        &self,
        _: Request,
        _: InodeId,
        _: FileHandleId,
        _: u64,
        data: &[u8],
        _: u32,
        _: u32,
    ) -> FsResult<usize> {
        Ok(data.len())
    }
}

fn main() -> std::io::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let mountpoint = args.next().expect("a mountpoint");
    let session = Session::new(mountpoint.into(), MountOptions::new().fs_name("null"))?;
    let session = match args.next() {
        Some(depth) => session.with_queue_depth(depth.to_str().unwrap().parse().unwrap()),
        None => session,
    };
    session.run(Null)
}
