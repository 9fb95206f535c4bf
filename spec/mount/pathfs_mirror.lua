-- A directory mirrored by path, for states that share nothing: file handles are descriptors. -o source=DIR

local bit = require "bit"
local fractal = require "fractal"
local sys = require "fractal.testing.sys"
local E = fractal.errno

local fs = fractal.pathfs {
  name = "mirror", state = "per-worker", entry_ttl = 1, attr_ttl = 0, options = { source = "directory to mirror" },
}

local O_ACCMODE, O_APPEND, O_TRUNC, S_IFMT = 3, 0x400, 0x200, 0xf000
local FIELDS = { "type", "mode", "size", "ino", "nlink", "uid", "gid", "blocks", "atime", "mtime", "ctime" }

-- What the system call returned, its error as a number.
local function answer(value, err)
  if value == nil then return nil, E[err] end
  return value
end

local function under(path) return fs.options.source .. path end

function fs.init() sys.umask("0") end

function fs.getattr(path, fd)
  local st, err
  if fd and fd > 0 then
    st, err = sys.fstat(fd)
  else
    st, err = sys.lstat(under(path))
  end
  if not st then return nil, E[err] end
  local attr = {}
  for _, name in ipairs(FIELDS) do attr[name] = st[name] end
  return attr
end

function fs.readdir(path) return answer(sys.list(under(path))) end

-- Gives what was made to the caller.
local function given(path, ok, err)
  local req = fractal.request()
  if ok then sys.lchown(under(path), req.uid, req.gid) end
  return answer(ok, err)
end

function fs.open(path, flags)
  return answer(sys.open(under(path), bit.band(flags, O_ACCMODE + O_TRUNC)))
end

function fs.create(path, mode, flags)
  return given(path, sys.open(under(path), bit.bor(bit.band(flags, bit.bnot(O_APPEND)), sys.bits(sys.K.open, "creat")),
    bit.band(mode, 0xfff)))
end

function fs.read(_, _, offset, fd)
  return answer(sys.pread(fd, fractal.request().reply_cap, offset))
end

function fs.write(_, data, offset, fd) return answer(sys.pwrite(fd, data:string(), offset)) end
function fs.release(_, fd) sys.close(fd) end
function fs.fsync(_, fd) return answer(sys.fsync(fd)) end

function fs.truncate(path, size, fd)
  if fd and fd > 0 then return answer(sys.ftruncate(fd, size)) end
  return answer(sys.truncate(under(path), size))
end

function fs.chmod(path, mode) return answer(sys.chmod(under(path), bit.band(mode, 0xfff))) end
function fs.chown(path, uid, gid) return answer(sys.lchown(under(path), uid, gid)) end

function fs.utimens(path, _, _, _, exact)
  local a, m = exact.atime, exact.mtime
  return answer(sys.lutimens(under(path), { a.sec, a.nsec }, { m.sec, m.nsec }))
end

function fs.mkdir(path, mode) return given(path, sys.mkdir(under(path), mode)) end
function fs.rmdir(path) return answer(sys.rmdir(under(path))) end
function fs.unlink(path) return answer(sys.unlink(under(path))) end
function fs.link(from, to) return answer(sys.link(under(from), under(to))) end
function fs.symlink(target, path) return given(path, sys.symlink(target, under(path))) end
function fs.readlink(path) return answer(sys.readlink(under(path))) end
function fs.rename(from, to, flags) return answer(sys.rename2(under(from), under(to), flags)) end

function fs.mknod(path, mode)
  if bit.band(mode, S_IFMT) ~= 0x1000 then return nil, E.OPNOTSUPP end
  return given(path, sys.mkfifo(under(path), bit.band(mode, 0xfff)))
end

return fs
