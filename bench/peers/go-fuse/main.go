// The null filesystem of the benchmarks on go-fuse's raw interface, its fastest.
package main

import (
	"log"
	"os"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

const fileID = 2

var constant = make([]byte, 1<<20)

type null struct{ fuse.RawFileSystem }

func fill(id uint64, attr *fuse.Attr) fuse.Status {
	*attr = fuse.Attr{Ino: id, Nlink: 1, Blksize: 4096}
	switch id {
	case fuse.FUSE_ROOT_ID:
		attr.Mode = syscall.S_IFDIR | 0755
	case fileID:
		attr.Mode, attr.Size = syscall.S_IFREG|0644, 1<<30
	default:
		return fuse.ENOENT
	}
	return fuse.OK
}

func (null) Lookup(_ <-chan struct{}, _ *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if name != "file" {
		return fuse.ENOENT
	}
	out.NodeId = fileID
	return fill(fileID, &out.Attr)
}

func (null) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return fill(in.NodeId, &out.Attr)
}

func (null) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_DIRECT_IO
	return fuse.OK
}

func (null) Read(_ <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
	return fuse.ReadResultData(constant[:in.Size]), fuse.OK
}

func (null) Write(_ <-chan struct{}, in *fuse.WriteIn, _ []byte) (uint32, fuse.Status) {
	return in.Size, fuse.OK
}

func main() {
	for i := range constant {
		constant[i] = 0x5a
	}
	// A splice of 1 MiB and a header exceeds the largest pipe: it would fail and be logged each time.
	options := &fuse.MountOptions{
		FsName: "null", MaxWrite: 1 << 20, DirectMount: true, DisableSplice: true,
	}
	server, err := fuse.NewServer(null{fuse.NewDefaultRawFileSystem()}, os.Args[1], options)
	if err != nil {
		log.Fatal(err)
	}
	server.Serve()
}
