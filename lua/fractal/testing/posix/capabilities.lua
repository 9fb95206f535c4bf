-- What a filesystem and the machine below the suite can do, probed by doing it: capability name → function(t) that
-- returns true, or nil and the reason that skipped cases give. Each probe runs like a case: in its own process and in
-- an empty directory. A case names what it needs; everything a POSIX filesystem must have is not listed here.

local sys = require "fractal.testing.sys"

local probes = {}

local function try(what, fn, ...)
  local value, err = fn(...)
  if value ~= nil then return value end
  return nil, ("%s: %s"):format(what, err)
end

local function scratch_file() return assert(sys.open("probe", "rdwr creat", "644")) end

function probes.root(t)
  if t.root then return true end
  return nil, "needs root"
end

-- Other users may enter: not so on a FUSE mount without allow_other.
function probes.two_users(t)
  if not t.root then return nil, "needs root to become other users" end
  sys.chmod(".", "777")
  local pid = sys.must.fork()
  if pid == 0 then
    local ok = sys.become(t.alice.uid, t.alice.gid) and sys.stat(".") and sys.open("alice", "wronly creat", "644")
    sys.exit(ok and 0 or 1)
  end
  local _, status = sys.waitpid(pid)
  if status == 0 then return true end
  return nil, "other users cannot reach the filesystem (allow_other?)"
end

-- The modes of files decide who may do what: not so on a FUSE mount that neither checks nor lets the kernel check.
function probes.permissions(t)
  return t:unprivileged(function()
    t:file("probe", "", "0")
    if sys.open("probe", "rdonly") then return "no" end
  end) ~= "no" or nil, "modes are not enforced (default_permissions?)"
end

function probes.link() sys.close(scratch_file()) return try("link", sys.link, "probe", "second") end
function probes.symlink() return try("symlink", sys.symlink, "target", "probe") end
function probes.mknod() return try("mkfifo", sys.mkfifo, "probe", "644") end
function probes.socket() return try("bind of a unix socket", sys.unix_socket, "probe") end
function probes.locks() return try("fcntl lock", sys.lock, scratch_file(), "setlk", "wr", 0, 1) end
function probes.ofd_locks() return try("OFD lock", sys.lock, scratch_file(), "ofd_setlk", "wr", 0, 1) end
function probes.flock() return try("flock", sys.flock, scratch_file(), "ex nb") end
function probes.user_xattr()
  return try("user xattr", sys.fsetxattr, scratch_file(), "user.probe", "x")
end
function probes.trusted_xattr(t)
  if not t.root then return nil, "needs root for trusted xattrs" end
  sys.close(scratch_file())
  return try("trusted xattr", sys.setxattr, "probe", "trusted.probe", "x")
end
function probes.security_xattr(t)
  if not t.root then return nil, "needs root for security xattrs" end
  sys.close(scratch_file())
  return try("security xattr", sys.setxattr, "probe", "security.probe", "x")
end
function probes.acl()
  sys.close(scratch_file())
  local value, err = sys.getxattr("probe", "system.posix_acl_access")
  if value or err == "ENODATA" then return true end
  return nil, "POSIX ACL: " .. err
end
function probes.fallocate() return try("fallocate", sys.fallocate, scratch_file(), nil, 0, 4096) end
function probes.keep_size() return try("fallocate keep_size", sys.fallocate, scratch_file(), "keep_size", 0, 4096) end
function probes.punch_hole()
  local fd = scratch_file()
  sys.write(fd, ("x"):rep(65536))
  return try("fallocate punch_hole", sys.fallocate, fd, "punch_hole keep_size", 4096, 4096)
end
function probes.zero_range()
  local fd = scratch_file()
  sys.write(fd, ("x"):rep(65536))
  return try("fallocate zero_range", sys.fallocate, fd, "zero_range", 4096, 4096)
end
function probes.copy_file_range()
  local from, to = scratch_file(), assert(sys.open("to", "rdwr creat", "644"))
  sys.write(from, "x")
  return try("copy_file_range", sys.copy_file_range, from, 0, to, 0, 1)
end
-- SEEK_HOLE finds a hole, and a hole takes no blocks.
function probes.sparse()
  local fd = scratch_file()
  sys.pwrite(fd, "x", 1048576)
  local hole, err = sys.lseek(fd, 0, "hole")
  if hole == 0 and sys.fstat(fd).blocks < 2048 then return true end
  return nil, "holes are not kept" .. (err and ": " .. err or "")
end
function probes.tmpfile() return try("O_TMPFILE", sys.open, ".", "rdwr tmpfile", "600") end
function probes.mmap_shared()
  local fd = scratch_file()
  sys.ftruncate(fd, 4096)
  return try("shared writable mmap", sys.mmap, 4096, "read write", "shared", fd)
end
function probes.direct() return try("O_DIRECT", sys.open, "probe", "rdwr creat direct", "644") end
function probes.rename_noreplace()
  sys.close(scratch_file())
  return try("RENAME_NOREPLACE", sys.rename2, "probe", "other", "noreplace")
end
function probes.rename_exchange()
  sys.close(scratch_file())
  sys.mkdir("other")
  return try("RENAME_EXCHANGE", sys.rename2, "probe", "other", "exchange")
end
function probes.rename_whiteout(t)
  if not t.root then return nil, "needs root to make a whiteout" end
  sys.close(scratch_file())
  return try("RENAME_WHITEOUT", sys.rename2, "probe", "other", "whiteout")
end

local function mount_flag(flag, what)
  return function()
    local st = assert(sys.statvfs("."))
    if require("bit").band(st.flag, sys.K.mount[flag]) == 0 then return true end
    return nil, ("mounted %s: %s"):format(flag, what)
  end
end
probes.exec = mount_flag("noexec", "files cannot be run")
probes.suid = mount_flag("nosuid", "set-id bits have no effect")
probes.atime = mount_flag("noatime", "access times are not kept")
-- Device nodes can be made and opened.
function probes.devices(t)
  if not t.root then return nil, "needs root to make device nodes" end
  return try("mknod of a device", sys.mknod, "probe", "char", "600", sys.makedev(1, 3))
end
function probes.open_devices(t)
  local ok, reason = probes.devices(t)
  if not ok then return nil, reason end
  return mount_flag("nodev", "device nodes cannot be opened")()
end
function probes.btime()
  if require("bit").band(sys.must.stat(".").mask, 0x800) ~= 0 then return true end
  return nil, "birth times are not kept"
end

-- A directory on another filesystem, where the user may write; t.elsewhere is its name.
local function elsewhere()
  local here = sys.must.stat(".").dev
  for _, candidate in ipairs { "/dev/shm", "/tmp", "/var/tmp", "/run" } do
    local st = sys.stat(candidate)
    if st and st.dev ~= here and sys.access(candidate, "w x") then return candidate end
  end
  return nil, "no second filesystem to write to"
end
probes.second_fs = elsewhere

return { probes = probes, elsewhere = elsewhere }
