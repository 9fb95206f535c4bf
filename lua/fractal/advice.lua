--- Signatures of the handlers, in one place, and what to tell whose operation failed for want of one.
--
-- Names of handlers, `--check` and the hints about ENOSYS come from here; docs/reference.md is compared with it.

local errno = require "fractal.errno"
local log = require "fractal.log"
local types = require "fractal.types"

local advice = {}

local life = { prepare = "", init = "conn", destroy = "", reload = "old, conn" }

local function with_life(handlers)
  for name, arguments in pairs(life) do
    handlers[name] = arguments
  end
  return handlers
end

--- Handlers of fractal.lowlevel: name → arguments.
advice.lowlevel = with_life {
  lookup = "req, parent, name, entry",
  forget = "req, ino, nlookup",
  getattr = "req, ino, attr, fh",
  setattr = "req, ino, set, attr, fh",
  readlink = "req, ino",
  symlink = "req, parent, name, target, entry",
  mknod = "req, parent, name, mode, rdev, entry",
  mkdir = "req, parent, name, mode, entry",
  unlink = "req, parent, name",
  rmdir = "req, parent, name",
  rename = "req, parent, name, newparent, newname, flags",
  link = "req, ino, newparent, newname, entry",
  open = "req, ino, open",
  read = "req, ino, buf, offset, fh",
  write = "req, ino, data, offset, fh",
  statfs = "req, ino, st",
  release = "req, ino, fh",
  fsync = "req, ino, datasync, fh",
  setxattr = "req, ino, name, value, flags",
  getxattr = "req, ino, name",
  listxattr = "req, ino",
  removexattr = "req, ino, name",
  flush = "req, ino, fh",
  opendir = "req, ino, open",
  readdir = "req, ino, dir, offset, fh",
  releasedir = "req, ino, fh",
  fsyncdir = "req, ino, datasync, fh",
  getlk = "req, ino, lock, fh",
  setlk = "req, ino, lock, fh, wait",
  flock = "req, ino, op, fh",
  access = "req, ino, mask",
  create = "req, parent, name, mode, entry, open",
  bmap = "req, ino, block, blocksize",
  ioctl = "req, ino, cmd, arg, input, output, fh",
  poll = "req, ino, events, handle, fh",
  fallocate = "req, ino, mode, offset, length, fh",
  readdirplus = "req, ino, dir, offset, fh",
  lseek = "req, ino, offset, whence, fh",
  copy_file_range = "req, ino, offset, fh, newino, newoffset, newfh, length, flags",
  syncfs = "req, ino",
  tmpfile = "req, parent, mode, entry, open",
  statx = "req, ino, stx, mask, flags, fh",
}

--- Handlers of fractal.pathfs.
advice.pathfs = with_life {
  getattr = "path, fh",
  readdir = "path, fh",
  open = "path, flags",
  create = "path, mode, flags",
  read = "path, buf, offset, fh",
  write = "path, data, offset, fh",
  truncate = "path, size, fh",
  flush = "path, fh",
  release = "path, fh",
  fsync = "path, fh, datasync",
  chmod = "path, mode, fh",
  chown = "path, uid, gid, fh",
  utimens = "path, atime, mtime, fh, exact",
  mkdir = "path, mode",
  rmdir = "path",
  unlink = "path",
  rename = "from, to, flags",
  link = "from, to",
  symlink = "target, path",
  readlink = "path",
  mknod = "path, mode, rdev",
  statfs = "path",
  syncfs = "path",
  access = "path, mask",
  opendir = "path, flags",
  releasedir = "path, fh",
  fsyncdir = "path, fh, datasync",
  getxattr = "path, name",
  setxattr = "path, name, value, flags",
  listxattr = "path",
  removexattr = "path, name",
  fallocate = "path, mode, offset, length, fh",
  lseek = "path, offset, whence, fh",
  copy_file_range = "path, offset, fh, newpath, newoffset, newfh, length, flags",
  ioctl = "path, cmd, arg, input, output, fh",
  poll = "path, events, handle, fh",
  getlk = "path, lock, fh",
  setlk = "path, lock, fh, wait",
  flock = "path, op, fh",
}

local regular = types.S_IF.file

--- What a user did, by operation: the call, and the handler that would serve it. Operations that the kernel answers by
-- itself when there is no handler, and those that programs try only to see whether they are there, are not told of.
local actions = {
  lookup = { "access by name", "lookup" },
  getattr = { "stat(2)", "getattr" },
  setattr = { "chmod(2), chown(2), truncate(2) or utimensat(2)", "setattr" },
  readlink = { "readlink(2)", "readlink" },
  symlink = { "symlink(2)", "symlink" },
  mkdir = { "mkdir(2)", "mkdir" },
  unlink = { "unlink(2)", "unlink" },
  rmdir = { "rmdir(2)", "rmdir" },
  rename = { "rename(2)", "rename" },
  rename2 = { "rename(2)", "rename" },
  link = { "link(2)", "link" },
  read = { "read(2)", "read" },
  write = { "write(2)", "write" },
  readdir = { "getdents(2), as of ls,", "readdir" },
  setxattr = { "setxattr(2)", "setxattr" },
  fallocate = { "fallocate(2)", "fallocate" },
  -- parts of setattr, by path
  chmod = { "chmod(2)", "chmod" },
  chown = { "chown(2)", "chown" },
  truncate = { "truncate(2) or open(2) with O_TRUNC", "truncate" },
  utimens = { "utimensat(2), as of touch,", "utimens" },
}

--- The kernel makes regular files with create, and by mknod only where there is none.
local function action_of(operation, req)
  if operation == "mknod" then
    local creates = bit.band(req.arg.mknod.mode, types.S_IFMT) == regular
    return creates and { "open(2) with O_CREAT", "create", "create or mknod" } or { "mknod(2)", "mknod" }
  end
  return actions[operation]
end

--- Is it worth a line that nobody serves the operation?
function advice.is_worth(operation)
  return operation == "mknod" or actions[operation] ~= nil
end

--- The sentence about an operation that failed for want of a handler. `signatures`: those of the filesystem's kind.
-- `answer`: the errno that the caller gets. `subject`: the path, where it is known.
function advice.missing(operation, req, signatures, answer, subject)
  local action = action_of(operation, req)
  local handler = action[2]
  return ("%s%s by %s failed with %s: the script has no %s handler; add `function fs.%s(%s)`"):format(action[1],
    subject and (" of %q"):format(subject) or "", log.caller(req), errno.name(answer), action[3] or handler, handler,
    signatures[handler])
end

return advice
