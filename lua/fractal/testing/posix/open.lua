-- open(2): creation and its mode, the flags, what kinds of file they refuse, and what a descriptor may do.

local sys = require "fractal.testing.sys"
local bit = require "bit"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

case("O_CREAT makes an empty file", function(t)
  must.close(must.open("f", "wronly creat", "644"))
  t:type("f", "file")
  t:size("f", 0)
  t:nlink("f", 1)
end)

for _, row in ipairs { { "777", "000", "777" }, { "666", "022", "644" }, { "777", "077", "700" }, { "644", "777", "0" },
  { "7777", "000", "7777" }, { "400", "022", "400" }, { "000", "000", "0" }, { "1644", "022", "1644" } } do
  case(("creation mode %s under umask %s gives %s"):format(row[1], row[2], row[3]), function(t)
    sys.umask(row[2])
    local fd = must.open("f", "wronly creat", row[1])
    sys.umask("022")
    t:mode("f", row[3])
    t:equal(("%o"):format(must.fstat(fd).mode), row[3], "mode by fstat")
  end)
end

case("O_CREAT leaves an existing file's mode and content alone", function(t)
  t:file("f", "content", "600")
  must.close(must.open("f", "wronly creat", "777"))
  t:mode("f", "600")
  t:content("f", "content")
end)

case("a created file belongs to the caller", function(t)
  t:file "f"
  t:owner("f", sys.geteuid(), sys.getegid())
end)

case("O_CREAT with a read-only mode still gives a writable descriptor", function(t)
  t:unprivileged(function()
    local fd = must.open("f", "rdwr creat excl", "400")
    must.write(fd, "x")
    t:equal(must.pread(fd, 9, 0), "x", "content")
    t:expect("EACCES", sys.open, "f", "wronly")
  end)
end, { "permissions" })

case("O_CREAT with mode 0 gives a descriptor, but no second one", function(t)
  t:unprivileged(function()
    local fd = must.open("f", "rdwr creat excl", "0")
    must.write(fd, "x")
    t:expect("EACCES", sys.open, "f", "rdonly")
  end)
end, { "permissions" })

case("O_EXCL of an existing file is EEXIST", function(t)
  t:file "f"
  t:expect("EEXIST", sys.open, "f", "wronly creat excl", "644")
end)

case("O_EXCL of an existing directory is EEXIST", function(t)
  t:directory "d"
  t:expect("EEXIST", sys.open, "d", "rdonly creat excl", "644")
end)

case("O_EXCL of a link to a file is EEXIST", function(t)
  t:file "f"
  must.symlink("f", "s")
  t:expect("EEXIST", sys.open, "s", "wronly creat excl", "644")
end, { "symlink" })

case("O_EXCL has one winner among processes", function(t)
  local children = {}
  for i = 1, 4 do
    children[i] = t:fork(function()
      local won = 0
      for n = 1, 50 do
        if sys.open("f" .. n, "wronly creat excl", "644") then won = won + 1 end
      end
      return won
    end)
  end
  local total = 0
  for i = 1, 4 do total = total + tonumber(children[i]:wait()) end
  t:equal(total, 50, "files created")
end)

case("O_TRUNC empties the file", function(t)
  t:file("f", "content")
  must.close(must.open("f", "wronly trunc"))
  t:size("f", 0)
end)

case("O_TRUNC keeps mode, owner and inode", function(t)
  t:file("f", "content", "640")
  local before = must.stat("f")
  must.close(must.open("f", "wronly creat trunc", "777"))
  local after = must.stat("f")
  t:equal(after.ino, before.ino, "inode")
  t:mode("f", "640")
end)

case("O_TRUNC without write permission is EACCES and truncates nothing", function(t)
  t:unprivileged(function()
    t:file("f", "content", "444")
    t:expect("EACCES", sys.open, "f", "wronly trunc")
    t:expect("EACCES", sys.open, "f", "rdonly trunc")
    t:content("f", "content")
  end)
end, { "permissions" })

case("opening a directory to write is EISDIR", function(t)
  t:directory "d"
  t:expect("EISDIR", sys.open, "d", "wronly")
  t:expect("EISDIR", sys.open, "d", "rdwr")
  t:expect("EISDIR", sys.open, "d", "rdonly trunc")
  t:expect("EISDIR", sys.open, "d", "rdonly creat", "644")
end)

case("O_DIRECTORY of a file is ENOTDIR", function(t)
  t:file "f"
  t:expect("ENOTDIR", sys.open, "f", "rdonly directory")
end)

case("O_DIRECTORY with O_CREAT is EINVAL", function(t)
  t:expect("EINVAL", sys.open, "f", "rdonly directory creat", "644")
  t:absent "f"
end)

case("O_NOFOLLOW of a link is ELOOP, of a file nothing", function(t)
  t:file "f"
  must.symlink("f", "s")
  t:expect("ELOOP", sys.open, "s", "rdonly nofollow")
  must.open("f", "rdonly nofollow")
end, { "symlink" })

case("O_NOFOLLOW follows links before the last part", function(t)
  t:directory "d"
  t:file "d/f"
  must.symlink("d", "s")
  must.open("s/f", "rdonly nofollow")
end, { "symlink" })

case("O_DIRECTORY with O_NOFOLLOW of a link to a directory is ENOTDIR", function(t)
  t:directory "d"
  must.symlink("d", "s")
  t:expect("ENOTDIR", sys.open, "s", "rdonly directory nofollow")
end, { "symlink" })

case("O_PATH with O_NOFOLLOW opens the link itself", function(t)
  must.symlink("target", "s")
  local fd = must.open("s", "path nofollow")
  t:equal(must.fstat(fd).type, "symlink", "type")
  t:equal(must.readlinkat(fd, ""), "target", "target")
end, { "symlink" })

case("an O_PATH descriptor does no I/O: EBADF", function(t)
  t:file("f", "x")
  local fd = must.open("f", "path")
  t:expect("EBADF", sys.read, fd, 1)
  t:expect("EBADF", sys.write, fd, "x")
  t:expect("EBADF", sys.fchmod, fd, "600")
  t:expect("EBADF", sys.fchown, fd, -1, -1)
  t:expect("EBADF", sys.ftruncate, fd, 0)
  t:equal(must.fstat(fd).size, 1, "size by fstat")
end)

case("O_PATH needs no permission on the file", function(t)
  t:unprivileged(function()
    t:file("f", "x", "0")
    t:expect("EACCES", sys.open, "f", "rdonly")
    must.open("f", "path")
  end)
end, { "permissions" })

case("reading a write-only descriptor is EBADF", function(t)
  local fd = must.open("f", "wronly creat", "644")
  t:expect("EBADF", sys.read, fd, 1)
  t:expect("EBADF", sys.pread, fd, 1, 0)
end)

case("writing a read-only descriptor is EBADF", function(t)
  t:file "f"
  local fd = must.open("f", "rdonly")
  t:expect("EBADF", sys.write, fd, "x")
  t:expect("EBADF", sys.pwrite, fd, "x", 0)
  t:expect_any({ "EBADF", "EINVAL" }, sys.ftruncate, fd, 0)
end)

case("reading a directory descriptor is EISDIR", function(t)
  t:directory "d"
  local fd = must.open("d", "rdonly")
  t:expect("EISDIR", sys.read, fd, 1)
  t:expect("EBADF", sys.write, fd, "x")
end)

case("getdents of a file is ENOTDIR", function(t)
  t:file "f"
  t:expect("ENOTDIR", sys.getdents, must.open("f", "rdonly"))
end)

case("two opens have positions of their own, dup shares one", function(t)
  t:file("f", "0123456789")
  local a, b = must.open("f", "rdonly"), must.open("f", "rdonly")
  local c = must.dup(a)
  t:equal(must.read(a, 3), "012", "first descriptor")
  t:equal(must.read(b, 2), "01", "second descriptor")
  t:equal(must.read(c, 2), "34", "duplicate")
end)

case("a forked process shares the position", function(t)
  t:file("f", "0123456789")
  local fd = must.open("f", "rdonly")
  t:fork(function() must.read(fd, 4) end):wait()
  t:equal(must.read(fd, 2), "45", "after the child's read")
end)

case("F_GETFL tells the access mode and status flags", function(t)
  local fd = must.open("f", "rdwr creat append", "644")
  local flags = must.fcntl(fd, "getfl")
  t:equal(bit.band(flags, 3), 2, "access mode")
  t:check(bit.band(flags, sys.K.open.append) ~= 0, "O_APPEND is not set")
end)

case("F_SETFL switches O_APPEND", function(t)
  t:file("f", "12345")
  local fd = must.open("f", "rdwr")
  must.fcntl(fd, "setfl", sys.K.open.append)
  must.write(fd, "6")
  must.fcntl(fd, "setfl", 0)
  must.lseek(fd, 0)
  must.write(fd, "X")
  t:content("f", "X23456")
end)

case("O_NOATIME by somebody who is not the owner is EPERM", function(t)
  t:file("f", "x", "644")
  t:as(t.alice, function()
    t:expect("EPERM", sys.open, "f", "rdonly noatime")
    must.open("f", "rdonly")
  end)
end, { "two_users", "permissions" })

case("O_NOATIME by the owner works", function(t)
  t:file("f", "x")
  local fd = must.open("f", "rdonly noatime")
  must.utimens("f", 1000, 2000)
  must.read(fd, 1)
  t:equal(must.stat("f").atime.sec, 1000, "atime")
end)

case("opening a socket is ENXIO", function(t)
  must.unix_socket "s"
  t:expect("ENXIO", sys.open, "s", "rdonly")
end, { "socket" })

case("opening a fifo to write without a reader is ENXIO with O_NONBLOCK", function(t)
  must.mkfifo("p", "644")
  t:expect("ENXIO", sys.open, "p", "wronly nonblock")
  must.open("p", "rdonly nonblock")
  must.open("p", "wronly nonblock")
end, { "mknod" })

case("a missing file without O_CREAT is ENOENT", function(t)
  t:expect("ENOENT", sys.open, "f", "rdwr")
  t:absent "f"
end)

case("O_SYNC and O_DSYNC writes land", function(t)
  local fd = must.open("f", "rdwr creat sync", "644")
  must.write(fd, "one")
  local second = must.open("f", "wronly append dsync")
  must.write(second, "two")
  t:content("f", "onetwo")
end)

case("O_DIRECT reads and writes aligned blocks", function(t)
  local ffi = require "ffi"
  local fd = must.open("f", "rdwr creat direct", "644")
  local p = must.mmap(8192, "read write", "shared", must.open("/dev/zero", "rdwr"))
  ffi.fill(p, 4096, 65)
  local C = require "fractal.testing.sys_cdef"
  t:equal(tonumber(C.pwrite(fd, p, 4096, 4096)), 4096, "bytes written")
  t:equal(tonumber(C.pread(fd, p + 4096, 4096, 4096)), 4096, "bytes read")
  t:equal(p[4096], 65, "first byte")
  t:size("f", 8192)
end, { "direct" })

case("many descriptors of one file see one content", function(t)
  local fds = {}
  for i = 1, 50 do fds[i] = must.open("f", "rdwr creat", "644") end
  for i = 1, 50 do must.pwrite(fds[i], string.char(i), i - 1) end
  local text = must.pread(fds[1], 100, 0)
  t:equal(#text, 50, "length")
  for i = 1, 50 do t:equal(text:byte(i), i, "byte " .. i) end
end)

case("a descriptor limit is EMFILE", function(t)
  t:file "f"
  must.setrlimit("nofile", 20)
  local err
  for _ = 1, 30 do
    local fd, why = sys.open("f", "rdonly")
    if not fd then err = why end
  end
  t:equal(err, "EMFILE", "errno")
end)

case("a script in the filesystem can be run", function(t)
  t:file("run", "#!/bin/sh\nexit 7\n", "755")
  local pid = must.fork()
  if pid == 0 then
    sys.execv("./run", { "./run" })
    sys.exit(99)
  end
  local _, status = must.waitpid(pid)
  t:equal(status, 7, "exit status")
end, { "exec" })

case("running a file without execute permission is EACCES", function(t)
  t:file("run", "#!/bin/sh\nexit 7\n", "644")
  t:expect("EACCES", sys.execv, "./run", { "./run" })
end)

case("running a file open for writing is ETXTBSY", function(t)
  t:file("run", "#!/bin/sh\nexit 7\n", "755")
  local fd = must.open("run", "wronly")
  t:expect("ETXTBSY", sys.execv, "./run", { "./run" })
  must.close(fd)
end, { "exec" })

return cases
